"""Owns what a node does beside answering: every task started here is awaited, and no failure goes unheard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import structlog

from server.failures import where_raised

log = structlog.get_logger()

MOST_AT_ONCE = 2000
"""Beyond so many, new errands are dropped and counted: each is something a later look does anyway."""


class Errands:
    """Short things to do soon, that nobody waits for; bounded, and finished before the node ends."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, what: str, errand: Coroutine[Any, Any, object]) -> bool:
        """Run it soon; False when there are too many. Its failure is logged once under the name `what`."""
        if len(self._running) >= MOST_AT_ONCE:
            errand.close()
            log.warning("errand dropped", what=what)
            return False
        task = asyncio.create_task(self._guarded(what, errand), name=what)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _guarded(self, what: str, errand: Coroutine[Any, Any, object]) -> None:
        try:
            await errand
        except Exception as error:
            log.error("errand failed", what=what, error=type(error).__name__, where=where_raised(error))

    async def finish(self, within_s: float) -> None:
        """Wait for what is running; what takes longer is cancelled."""
        if not self._running:
            return
        _done, late = await asyncio.wait(self._running, timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def lasting(what: str, loop: Callable[[], Awaitable[object]], again_after_s: float = 1.0) -> None:
    """Run what is meant to go on for ever, until cancelled. A failure nobody foresaw is logged, and it begins again:
    one mistake must not take a node down with everybody on it."""
    while True:
        try:
            await loop()
            log.error("ended by itself", what=what)
        except Exception as error:
            log.error("beginning again", what=what, error=type(error).__name__, where=where_raised(error))
        _heed_cancellation()
        await asyncio.sleep(again_after_s)


async def every(seconds: float, what: str, step: Callable[[], Awaitable[object]]) -> None:
    """Do `step` again and again until cancelled; a failure is logged once per kind until it works again."""
    failing: set[str] = set()
    while True:
        try:
            await step()
            if failing:
                log.info("works again", what=what)
            failing.clear()
        except Exception as error:
            kind = type(error).__name__
            if kind not in failing:
                log.error("failing", what=what, error=kind, where=where_raised(error))
            failing.add(kind)
        _heed_cancellation()
        await asyncio.sleep(seconds)


def _heed_cancellation() -> None:
    """A cancellation that comes while a connection dies may surface as the driver's error about the connection."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def ended(tasks: Collection[asyncio.Task[Any]], again_after_s: float = 10.0) -> None:
    """Cancel these until they have ended: one that took its cancellation for an outage and goes on is told again.

    Not before `again_after_s`, in which whatever tidies up has done so.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_after_s)
