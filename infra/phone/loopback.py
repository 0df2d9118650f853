"""Calls on a machine whose only network is itself."""

from __future__ import annotations

from aioice import ice

LOOPBACK = "127.0.0.1"


def include_loopback() -> None:
    """From now on this process also offers 127.0.0.1 as a host candidate, which aioice leaves out.

    For tests and `eyeline dev` only: between two machines such a candidate is useless.
    """
    found = ice.get_host_addresses
    if getattr(found, "includes_loopback", False):
        return

    def with_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        addresses: list[str] = found(use_ipv4=use_ipv4, use_ipv6=use_ipv6)
        return [*addresses, LOOPBACK] if use_ipv4 and LOOPBACK not in addresses else addresses

    with_loopback.includes_loopback = True  # type: ignore[attr-defined]
    ice.get_host_addresses = with_loopback
