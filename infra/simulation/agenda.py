"""What happens when, in virtual time, and how coroutines are driven through it without a wait."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Coroutine, Generator
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar

from infra.memory.clock import MovedClock

T = TypeVar("T")

Step = Callable[[], Coroutine[Any, Any, object]]


class Undisturbed(Awaitable[T], Generic[T]):
    """Awaits a coroutine without letting others go first where it only offers to (`asyncio.sleep(0)`).

    In a simulation one thing happens at a time, and each turn of the event loop costs more than what is simulated.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        while True:
            try:
                waiting = self._coroutine.send(None)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if waiting is not None:
                yield waiting


class Agenda:
    """Steps to take, each at its moment; those of one moment in the order in which they were planned."""

    def __init__(self, start: datetime, clock: MovedClock) -> None:
        self._start = start
        self._clock = clock
        self._steps: list[tuple[float, int, Step]] = []
        self._numbers = count()

    @property
    def now_s(self) -> float:
        return (self._clock.now - self._start).total_seconds()

    def at(self, at_s: float, step: Step) -> None:
        heapq.heappush(self._steps, (max(at_s, self.now_s), next(self._numbers), step))

    def after(self, wait_s: float, step: Step) -> None:
        self.at(self.now_s + wait_s, step)

    def at_moment(self, moment: datetime, step: Step) -> None:
        self.at((moment - self._start).total_seconds(), step)

    async def run(self, over: Callable[[], bool]) -> None:
        """Until nothing is left to do, or it is over."""
        while self._steps and not over():
            at_s, _, step = heapq.heappop(self._steps)
            self._clock.now = self._start + timedelta(seconds=at_s)
            await Undisturbed(step())
