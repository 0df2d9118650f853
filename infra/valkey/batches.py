"""Calls of one function that come while earlier ones are on their way travel together, as one pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra.valkey.library import Library
from infra.valkey.multiplexer import Argument

TOGETHER_MAX = 128


Heed = Callable[[Sequence[Argument], Any], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """One call, and where its caller waits."""

    keys: Sequence[bytes]
    args: Sequence[Argument]
    reply: asyncio.Future[Any]

    def fail(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)

    def succeed(self, value: Any) -> None:
        if not self.reply.done():
            self.reply.set_result(value)


class Batches:
    """Many callers, one round trip after the other: several times what each could send alone.

    The order of one caller's calls, each awaited, is kept. The sending task ends as soon as nobody waits for it; who
    waits gets its failure.
    """

    def __init__(self, library: Library, name: str, heed: Heed | None = None) -> None:
        """`heed` is given each call's arguments and reply, also when its caller gave up meanwhile."""
        self._library = library
        self._heed = heed
        self._name = name
        self._waiting: list[_Place] = []
        self._sender: asyncio.Task[None] | None = None

    async def call(self, keys: Sequence[bytes], args: Sequence[Argument]) -> Any:
        """The function's reply. Raises the driver's errors; when a whole batch fails, so do all who were waiting."""
        place = _Place(keys, args, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await place.reply

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
                # Who gave up meanwhile is not sent for.
                await self._send_together([place for place in batch if not place.reply.done()])
        finally:
            self._sender = None
            self._fail_all(self._waiting, ConnectionError("cut off"))

    async def _send_together(self, batch: Sequence[_Place]) -> None:
        try:
            replies = await self._library.call_each(self._name, [(place.keys, place.args) for place in batch])
        except Exception as error:
            replies = [error] * len(batch)
        except asyncio.CancelledError:
            self._fail_all(batch, ConnectionError("cut off"))
            raise
        for place, reply in zip(batch, replies, strict=True):
            if isinstance(reply, Exception):
                place.fail(reply)
                continue
            if self._heed is not None:
                self._heed(place.args, reply)
            place.succeed(reply)
        if batch and all(isinstance(reply, Exception) for reply in replies):
            # Who waits behind would meet the same, a deadline later.
            self._fail_all(self._waiting, replies[0])

    def _fail_all(self, places: Sequence[_Place], error: Exception) -> None:
        for place in places:
            place.fail(error)
        self._waiting = []
