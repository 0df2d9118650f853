"""The admin page's figures: one reading a second for the whole node, however many are watching."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from matching.languages import PROBE_LANGUAGE
from matching.model import Tier
from matching.ports import IndexUnavailable
from server.admin_messages import AnswerTime, Queue, VolunteerLanguage, WaitingLanguage
from server.views import timestamp

READING_LIVES_S = 0.9
"""A little under the second at which watchers come, so that each round is one new reading."""


class FiguresReading(Protocol):
    """What Postgres knows; see the fields of `Queue`."""

    @property
    def now(self) -> datetime: ...
    @property
    def waiting(self) -> Sequence[tuple[str, int, float]]: ...
    @property
    def offers_open(self) -> int: ...
    @property
    def calls_connecting(self) -> int: ...
    @property
    def calls_live(self) -> int: ...
    @property
    def answers(self) -> int: ...
    @property
    def answer_p50_s(self) -> float | None: ...
    @property
    def answer_p95_s(self) -> float | None: ...


class Figures(Protocol):
    async def read(self) -> FiguresReading: ...


class Counts(Protocol):
    """The part of `matching.ports.VolunteerIndex` that counts."""

    async def counts(self) -> dict[tuple[str, Tier], int]:
        """Raises `IndexUnavailable`."""


class AdminFeed:
    """Figures from Postgres and Valkey as one value, read at most about once a second."""

    def __init__(self, figures: Figures, index: Counts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._figures = figures
        self._index = index
        self._clock = clock
        self._reading = asyncio.Lock()
        self._last: tuple[float, Queue] | None = None

    async def queue(self) -> Queue:
        """The latest reading. Raises what Postgres' driver raises when there is none."""
        async with self._reading:
            if self._last is None or self._clock() - self._last[0] >= READING_LIVES_S:
                started = self._clock()
                self._last = started, await self._read()
            return self._last[1]

    async def _read(self) -> Queue:
        figures = await self._figures.read()
        volunteers = await self._volunteers()
        return Queue(
            now=timestamp(figures.now),
            waiting=[
                WaitingLanguage(language=language, count=count, oldest_wait_s=round(oldest_s, 1))
                for language, count, oldest_s in figures.waiting
            ],
            offers_open=figures.offers_open,
            calls_connecting=figures.calls_connecting,
            calls_live=figures.calls_live,
            volunteers=volunteers or [],
            volunteers_known=volunteers is not None,
            answer_time=AnswerTime(
                p50_s=_rounded(figures.answer_p50_s), p95_s=_rounded(figures.answer_p95_s), count=figures.answers
            ),
        )

    async def _volunteers(self) -> list[VolunteerLanguage] | None:
        """By language, the most people first; None while the index cannot answer."""
        try:
            counts = await self._index.counts()
        except IndexUnavailable:
            return None
        views = [
            VolunteerLanguage(
                language=language,
                hot=counts.get((language, Tier.HOT), 0),
                reachable=sum(counts.get((language, tier), 0) for tier in Tier),
            )
            for language in sorted({language for language, _ in counts} - {PROBE_LANGUAGE})
        ]
        return sorted((view for view in views if view.reachable), key=lambda view: -view.reachable)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
