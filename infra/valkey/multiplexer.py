"""One connection that all callers share: commands go out in the order given, and replies come in the same."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import InvalidResponse, RedisError

Argument = bytes | str | int | float
Command = Sequence[Argument]

WAITING_MAX = 16_384
"""Callers waiting for replies, or for a connection. More than that is a server that does not keep up: who comes then is
told so at once."""
UNREAD_S = 0.01
"""Before a reply counts as late what lies unread is read, should this process have stood still."""


class _Asked:
    """Commands of one caller, and the replies so far."""

    __slots__ = ("due_at", "missing", "replies", "told")

    def __init__(self, count: int, due_at: float, told: asyncio.Future[list[Any]]) -> None:
        self.missing = count
        self.due_at = due_at
        self.replies: list[Any] = []
        self.told = told


class Multiplexer(asyncio.Protocol):
    """Opens a connection when one is needed, and again after it was lost. Nothing is retried.

    What several callers ask in one turn of the loop is written at once, and their replies are read at once: most of
    what a command costs is what a write, a read and a timer cost. The driver opens the connection and signs in; then
    its streams are left out.
    """

    def __init__(self, make: Callable[[], AbstractConnection], *, connect_s: float, answer_s: float) -> None:
        """`make` gives a connection of the driver that is not open yet. `connect_s`: until it is open and signed in;
        `answer_s`: until a reply."""
        self._make = make
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.Transport | None = None
        self._streams: asyncio.BaseProtocol | None = None
        self._opening: asyncio.Future[Exception | None] | None = None
        self._opening_for = 0
        self._closed = 0
        """How often it was closed: what was being opened then is nobody's any more."""
        self._replies = hiredis.Reader()
        self._waiting: deque[_Asked] = deque()
        self._unwritten: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Replies in order, as the server gives them, an error in the place of its reply.

        Raises the driver's ConnectionError or TimeoutError, or OSError, when there are none: then nobody knows whether
        the commands were done.
        """
        assert commands
        if len(self._waiting) + self._opening_for >= WAITING_MAX:
            raise DriverConnectionError("too many wait for replies")
        packed = [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]
        if self._transport is None:
            self._opening_for += 1
            try:
                await self._open()
            finally:
                self._opening_for -= 1
        loop = asyncio.get_running_loop()
        asked = _Asked(len(packed), loop.time() + self._answer_s, loop.create_future())
        self._waiting.append(asked)
        if not self._unwritten:
            loop.call_soon(self._write)
        self._unwritten += packed
        if self._watch is None:
            self._watch = loop.call_at(asked.due_at, self._look_at_the_clock)
        return await asked.told

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def close(self) -> None:
        self._closed += 1
        self._lose(DriverConnectionError("closed"))

    # -- opening

    async def _open(self) -> None:
        """One caller opens and others wait for that: if it fails, so do they, if it gives up, the next one opens."""
        while self._transport is None:
            if self._opening is not None:
                failure = await asyncio.shield(self._opening)
                if failure is not None:
                    raise failure.with_traceback(None)  # one for all of them: each would make it longer
                continue
            connection, closed, failure = self._make(), self._closed, None
            opening = self._opening = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self._connect_s):
                    await connection.connect()  # type: ignore[no-untyped-call]
                if closed != self._closed:
                    raise DriverConnectionError("closed")
                self._take_over(connection)
            except (RedisError, OSError) as error:
                failure = error
                raise
            finally:
                if self._connection is not connection:
                    connection._close()  # type: ignore[no-untyped-call]
                self._opening = None
                opening.set_result(failure)

    def _take_over(self, connection: AbstractConnection) -> None:
        writer, parser = connection._writer, connection._parser
        if writer is None or writer.transport.is_closing():
            raise DriverConnectionError("lost while signing in")
        self._connection = connection
        self._transport = cast(asyncio.Transport, writer.transport)
        self._streams = self._transport.get_protocol()
        self._replies = hiredis.Reader(protocolError=InvalidResponse, replyError=parser.parse_error)
        self._transport.set_protocol(self)

    def _write(self) -> None:
        """At the end of a turn: uvloop would make a system call of each caller's commands."""
        unwritten, self._unwritten = self._unwritten, []
        if self._transport is not None and unwritten:
            try:
                self._transport.writelines(unwritten)
            except RuntimeError:  # uvloop's word for a closed transport
                self._lose(DriverConnectionError("closed"))

    # -- receiving

    def data_received(self, data: bytes) -> None:
        self._replies.feed(data)
        try:
            while (reply := self._replies.gets()) is not False:
                asked = self._waiting[0]
                asked.replies.append(reply)
                asked.missing -= 1
                if not asked.missing:
                    self._waiting.popleft()
                    if not asked.told.done():
                        asked.told.set_result(asked.replies)
        except (InvalidResponse, IndexError) as error:
            self._lose(DriverConnectionError(f"{type(error).__name__} among the replies"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc if isinstance(exc, OSError) else DriverConnectionError("the server closed the connection"))

    def _look_at_the_clock(self, late: _Asked | None = None) -> None:
        """Who waits longest is first, so one timer serves all. `late`: who was found to wait too long just now."""
        self._watch = None
        if not self._waiting:
            return
        loop, first = asyncio.get_running_loop(), self._waiting[0]
        if first is late:
            self._lose(TimeoutError("no reply in time"))
        elif first.due_at > loop.time():
            self._watch = loop.call_at(first.due_at, self._look_at_the_clock)
        else:
            self._watch = loop.call_later(UNREAD_S, self._look_at_the_clock, first)

    def _lose(self, error: Exception) -> None:
        """Whoever waits is told; what else this connection would have said is nobody's."""
        transport, self._transport = self._transport, None
        waiting, self._waiting = self._waiting, deque()
        self._unwritten = []
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for asked in waiting:
            if not asked.told.done():
                asked.told.set_exception(error)
        if transport is not None and self._streams is not None and self._connection is not None:
            transport.set_protocol(self._streams)
            transport.abort()
            self._connection._close()  # type: ignore[no-untyped-call]
            self._connection = self._streams = None
