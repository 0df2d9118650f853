"""As much of an event loop as tasks, futures, locks and `gather` need: no clock, no input, no surprises."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple, cast

from tests.interleaving.strands import STRAND

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TinyLoop:
    """Runs what is ready, in the order in which it became so, and stops when nothing is.

    The tasks are asyncio's own, so locks and `gather` behave as they do on a node.
    """

    def __init__(self) -> None:
        # Not derived from `AbstractEventLoop`: of its fifty methods tasks need the few below.
        self._loop = cast(asyncio.AbstractEventLoop, self)
        self._ready: deque[asyncio.Handle] = deque()

    def run_ready(self) -> None:
        """Run until everybody waits for a future that nobody in here will resolve."""
        asyncio._set_running_loop(self._loop)
        try:
            while self._ready:
                self._ready.popleft()._run()
        finally:
            asyncio._set_running_loop(None)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end, which must need nothing from outside."""
        task: asyncio.Task[T] = self.create_task(coroutine)
        self.run_ready()
        return task.result()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._loop, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._loop)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        within = context or copy_context()
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._loop, name=name or "strand", context=within)
        strand = STRAND.get()
        if strand is not None:
            within.run(STRAND.set, strand.branch(task))
        return task

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task that was dropped is nobody's mistake here; what tasks raise is read from them."""
