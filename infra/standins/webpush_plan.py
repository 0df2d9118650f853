"""What the stand-in of the push services is told to answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Act(StrEnum):
    """One way to answer a push that is in order."""

    OK = "ok"
    """201."""
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    """401, though the signature is good."""
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    GONE = "gone"
    """410: the person took the permission back."""
    TOO_MANY = "too_many"
    """429."""
    INTERNAL = "internal"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    REDIRECT = "redirect"
    """307, to another address of the stand-in."""
    HANG = "hang"
    """No answer for as long as the connection lasts."""
    RESET = "reset"
    """The connection breaks before an answer."""


STATUS: Mapping[Act, int] = {
    Act.OK: 201,
    Act.BAD_REQUEST: 400,
    Act.UNAUTHORIZED: 401,
    Act.FORBIDDEN: 403,
    Act.NOT_FOUND: 404,
    Act.GONE: 410,
    Act.TOO_MANY: 429,
    Act.INTERNAL: 500,
    Act.UNAVAILABLE: 503,
    Act.REDIRECT: 307,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """An act, with the Retry-After header it comes with, if any."""

    act: Act
    retry_after: str | None = None


class Plan:
    """The next pushes come first, then what is set for a subscription, then what is set for all."""

    def __init__(self) -> None:
        self._next: deque[Planned] = deque()
        self._of_subscription: dict[str, Planned] = {}
        self._all = Planned(Act.OK)

    def answer_all(self, act: Act, retry_after: str | None = None) -> None:
        self._all = Planned(act, retry_after)

    def answer_next(self, count: int, act: Act, retry_after: str | None = None) -> None:
        """The next `count` pushes, after those planned before."""
        self._next.extend([Planned(act, retry_after)] * count)

    def answer_subscription(self, endpoint: str, act: Act, retry_after: str | None = None) -> None:
        self._of_subscription[endpoint] = Planned(act, retry_after)

    def clear(self) -> None:
        """All is well again."""
        self._next.clear()
        self._of_subscription.clear()
        self._all = Planned(Act.OK)

    def take(self, endpoint: str) -> Planned:
        """What to do with a push to `endpoint` that came now."""
        return self._next.popleft() if self._next else self._of_subscription.get(endpoint, self._all)
