"""When and how to come back after the socket was lost: the contract's close codes as a table, and full-jitter waits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

SHORTEST_S = 0.25
LONGEST_S = 10.0


class AfterClose(StrEnum):
    """What the client does next."""

    RESUME = "resume"
    RENEW = "renew"
    """Refresh the token once, then resume."""
    DISCARD = "discard"
    """Throw the offending frame away, then resume once."""
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a close, and why."""

    action: AfterClose
    reason: str


_BY_CODE = {
    4400: Verdict(AfterClose.DISCARD, "bad_frame"),
    4401: Verdict(AfterClose.RENEW, "unauthorized"),
    4403: Verdict(AfterClose.STOP, "suspended"),
    4409: Verdict(AfterClose.STOP, "session_taken_over"),
    4413: Verdict(AfterClose.DISCARD, "frame_too_large"),
}
_OTHERS = Verdict(AfterClose.RESUME, "lost")


def after_close(code: int | None) -> Verdict:
    """`code` is None when the connection went without a close frame, or never came about."""
    return _BY_CODE.get(code or 0, _OTHERS)


class Backoff:
    """Full jitter between 0.25 and 10 s, so that a thousand clients of a lost node do not return as one."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait now; the ceiling doubles with every call until `reset`."""
        ceiling = min(LONGEST_S, 2 * SHORTEST_S * 2.0**self._tries)
        self._tries = min(self._tries + 1, 10)
        return SHORTEST_S + self._chance() * (ceiling - SHORTEST_S)

    def reset(self) -> None:
        self._tries = 0
