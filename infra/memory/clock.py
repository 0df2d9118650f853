"""A clock that stands still until somebody moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""A Monday."""


class MovedClock:
    """The database's clock, as far as the ports in memory are concerned."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    @property
    def unix(self) -> float:
        return self.now.timestamp()

    def advance(self, by_s: float) -> None:
        self.now += timedelta(seconds=by_s)
