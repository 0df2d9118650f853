"""What waits to be written to one socket: a bounded queue, written together at the end of each turn of the loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from aiohttp import WSMsgType, web

from server.socket.rules import SocketRules

PING = b""
"""Stands in the queue for a WebSocket ping; no frame is empty."""
AT_ONCE_BYTES = 64 * 1024
"""No more is written without asking how the reader keeps up."""

_LENGTH_16, _LENGTH_64 = 126, 127
"""RFC 6455, section 5.2: the length follows in two bytes, or in eight."""


class Outgoing:
    """Frames in order. What was put in one turn of the loop is one write, for as long as the reader takes everything.

    A reader that lags behind gets one frame after the other, from a task that waits for it and exists no longer than
    that, so an idle socket costs none.
    """

    __slots__ = ("_bytes", "_due", "_frames", "_moved", "_rules", "_socket", "_transport", "_waiting", "_writer")

    def __init__(
        self, socket: web.WebSocketResponse[Literal[False]], transport: asyncio.Transport | None, rules: SocketRules
    ) -> None:
        """`transport`: the socket's, None when it was lost already."""
        self._socket = socket
        self._transport = transport
        self._rules = rules
        self._waiting: list[bytes] = []
        self._frames = 0
        self._bytes = 0
        self._due: asyncio.Handle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._moved: asyncio.Event | None = None

    def put(self, frame: bytes) -> bool:
        """False, and not taken, when the reader is so slow that the queue is full."""
        if self._frames >= self._rules.queue_frames or self._bytes + len(frame) > self._rules.queue_bytes:
            return False
        self._waiting.append(frame)
        self._frames += 1
        self._bytes += len(frame)
        if self._due is None and self._writer is None:
            self._due = asyncio.get_running_loop().call_soon(self._write)
        return True

    async def room(self) -> None:
        """Wait until half of the queue is free: for replays, which may be longer than the queue."""
        rules = self._rules
        while self._frames > rules.queue_frames // 2 or self._bytes > rules.queue_bytes // 2:
            if self._moved is None:
                self._moved = asyncio.Event()
            self._moved.clear()
            await self._moved.wait()

    async def flush(self) -> None:
        """Wait until everything is handed to the transport, or cannot be."""
        if self._due is not None:
            self._due.cancel()
            self._write()
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def stop(self) -> None:
        """Write no more and forget what waits."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._forget()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    def _write(self) -> None:
        """All that waits, at once; of a lost connection the reading side hears too, and ends it."""
        self._due = None
        transport = self._transport
        if transport is None or transport.is_closing() or self._socket.closed:
            self._forget()
        elif transport.get_write_buffer_size() or self._bytes > AT_ONCE_BYTES:
            self._writer = asyncio.create_task(self._write_slowly())
        else:
            together = b"".join(map(_framed, self._waiting))
            self._forget()
            transport.write(together)

    async def _write_slowly(self) -> None:
        try:
            with suppress(ConnectionError):
                while self._waiting:
                    await self._write_batch()
        finally:
            self._writer = None
            self._forget()

    async def _write_batch(self) -> None:
        batch, self._waiting = self._waiting, []
        for frame in batch:
            await self._socket.send_frame(frame, WSMsgType.TEXT if frame else WSMsgType.PING)
            self._frames -= 1
            self._bytes -= len(frame)
            if self._moved is not None:
                self._moved.set()

    def _forget(self) -> None:
        self._waiting, self._frames, self._bytes = [], 0, 0
        if self._moved is not None:
            self._moved.set()


def _framed(frame: bytes) -> bytes:
    """A whole WebSocket message of a server: final, not masked (RFC 6455, section 5.2)."""
    first, length = 0x80 | (WSMsgType.TEXT if frame else WSMsgType.PING), len(frame)
    if length < _LENGTH_16:
        return b"%c%c%b" % (first, length, frame)
    if length < 1 << 16:
        return b"%c%c%b%b" % (first, _LENGTH_16, length.to_bytes(2, "big"), frame)
    return b"%c%c%b%b" % (first, _LENGTH_64, length.to_bytes(8, "big"), frame)
