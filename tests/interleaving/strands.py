"""Actors, the strands (tasks) they are made of, and the stops at which they wait to be let on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from tests.interleaving.freezing import Digests

_MASK = (1 << 64) - 1


Work = Coroutine[Any, Any, object]


class _LetOthersIn:
    """Awaited within a port's method: what comes after is not of the same transaction. Only seeded bugs do this."""

    def __await__(self) -> Generator[object, None, None]:
        yield LET_OTHERS_IN


LET_OTHERS_IN = _LetOthersIn()


@dataclass(eq=False)
class Stop:
    """A strand stands before a call."""

    label: str
    go: asyncio.Future[None]
    when: Callable[[], bool] | None = None
    """It can be let on only while this holds."""

    @property
    def is_open(self) -> bool:
        return self.when is None or self.when()


class Actor:
    """One thing that is going on, on one node: a handler of a request, a look, a message on its way in."""

    def __init__(self, name: str, node: int, digests: Digests) -> None:
        self.name = name
        self.node = node
        self.digests = digests
        self.stops: list[Stop] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.is_started = False
        self.is_dropped = False
        self.memory = 0
        """What the strands have learned, as a hash: with it, their position and variables are the same."""

    def start(self, create_task: Callable[[Work], object], work: Work) -> None:
        token = STRAND.set(Strand(self, 0))
        try:
            create_task(work)
        finally:
            STRAND.reset(token)

    @property
    def failure(self) -> BaseException | None:
        """What its main strand raised."""
        task = self.tasks[0]
        return None if self.is_dropped or not task.done() else task.exception()

    @property
    def is_done(self) -> bool:
        return self.is_dropped or self.tasks[0].done()

    def open_stops(self) -> list[Stop]:
        return [stop for stop in self.stops if stop.is_open]

    def drop(self) -> None:
        """As when its process is killed: nothing after this point happens, but that locks within the node are free."""
        self.is_dropped = True
        self.stops.clear()
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if not task.done():
                cast(Work, task.get_coro()).close()


class Strand:
    """One task of an actor; `gather` makes more of them."""

    def __init__(self, actor: Actor, number: int) -> None:
        self.actor = actor
        self._number = number
        self._calls = 0

    def branch(self, task: asyncio.Task[Any]) -> Strand:
        self.actor.tasks.append(task)
        return Strand(self.actor, len(self.actor.tasks))

    async def stop(self, label: str, when: Callable[[], bool] | None = None) -> None:
        """Wait here until the explorer lets this strand on."""
        go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.actor.stops.append(Stop(label, go, when))
        await go

    async def pause(self, label: str, when: Callable[[], bool] | None = None) -> None:
        """Stop before something that has no result."""
        self._remember(label)
        await self.stop(label, when)
        self._remember(label)

    async def call(self, label: str, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Stop, then do the call undisturbed."""
        await self.stop(label)
        work = call()
        try:
            while True:
                # Letting others go first is what the stop was for.
                if work.send(None) is LET_OTHERS_IN:
                    await self.pause(f"{label} (the rest of it)")
        except StopIteration as end:
            result = end.value
        except Exception as error:
            self._remember(error)
            raise
        self._remember(result)
        return result

    def _remember(self, result: object) -> None:
        self._calls += 1
        # A sum: in which order strands of one actor were let on matters only as far as results show it.
        learned = hash((self._number, self._calls, self.actor.digests.of(result)))
        self.actor.memory = (self.actor.memory + learned) & _MASK


STRAND: ContextVar[Strand | None] = ContextVar("strand", default=None)
"""The strand that runs; None while a scene is being set."""


async def undisturbed(work: Coroutine[Any, Any, Any]) -> Any:
    """Do a call at once and without stopping anywhere."""
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        return end.value
