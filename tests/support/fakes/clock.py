"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import datetime

from tests.support.fakes.cases import NOON, seconds


class FakeClock:
    """The database's clock, as far as fakes are concerned."""

    def __init__(self) -> None:
        self.now: datetime = NOON

    @property
    def unix(self) -> float:
        return self.now.timestamp()

    def advance(self, by_s: float) -> None:
        self.now += seconds(by_s)
