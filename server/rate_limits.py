"""How fast callers may go: the limits themselves, and the port to whoever counts."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limit:
    """On average one call every `every_s` seconds, and up to `burst` at once (the generic cell rate algorithm)."""

    name: str
    every_s: float
    burst: int


SIGN_IN = Limit("sign_in", every_s=0.5, burst=120)
"""Sign-ins and refreshes per client address: many people may share one (a school, a carrier's gateway)."""
SESSION = Limit("session", every_s=0.01, burst=400)
"""All other calls per session."""
INVITE = Limit("invite", every_s=30.0, burst=20)
"""Codes of invites shown by one person: nobody mistypes that often, and guessing one takes more than lifetimes."""

FORGED = Limit("forged", every_s=2.0, burst=30)
"""Tokens per client address that were never ours: somebody is trying."""


class RateLimiter(Protocol):
    """Counts calls across all nodes."""

    async def wait_s(self, limit: Limit, subject: str) -> float:
        """0 when this call may go ahead (and is counted), else the seconds until one may.

        Always 0 while the counter is away: limits protect us, they must not become an outage.
        """


async def wait_by_address_s(limiter: RateLimiter, limit: Limit, address: str | None) -> float:
    """As `RateLimiter.wait_s` for a client's address. The node's own machine is not limited: what calls from there is
    a proxy, for anybody, or whoever develops on it."""
    return 0.0 if _is_this_machine(address) else await limiter.wait_s(limit, address or "")


def _is_this_machine(address: str | None) -> bool:
    try:
        return address is not None and ip_address(address).is_loopback
    except ValueError:
        return False
