"""What waits to be written to one socket: a bounded queue, and at most one task that writes it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from aiohttp import WSMsgType, web

from server.socket.rules import SocketRules

PING = b""
"""Stands in the queue for a WebSocket ping; no frame is empty."""


class Outgoing:
    """Frames in order. The writing task exists only while something waits, so an idle socket costs none."""

    __slots__ = ("_bytes", "_frames", "_moved", "_rules", "_socket", "_waiting", "_writer")

    def __init__(self, socket: web.WebSocketResponse[Literal[False]], rules: SocketRules) -> None:
        self._socket = socket
        self._rules = rules
        self._waiting: list[bytes] = []
        self._frames = 0
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._moved: asyncio.Event | None = None

    def put(self, frame: bytes) -> bool:
        """False, and not taken, when the reader is so slow that the queue is full."""
        if self._frames >= self._rules.queue_frames or self._bytes + len(frame) > self._rules.queue_bytes:
            return False
        self._waiting.append(frame)
        self._frames += 1
        self._bytes += len(frame)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
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
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def stop(self) -> None:
        """Write no more and forget what waits."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        try:
            # Of a lost connection the reading side hears too, and ends it.
            with suppress(ConnectionError):
                while self._waiting:
                    await self._write_batch()
        finally:
            self._waiting, self._frames, self._bytes, self._writer = [], 0, 0, None
            if self._moved is not None:
                self._moved.set()

    async def _write_batch(self) -> None:
        batch, self._waiting = self._waiting, []
        for frame in batch:
            await self._socket.send_frame(frame, WSMsgType.TEXT if frame else WSMsgType.PING)
            self._frames -= 1
            self._bytes -= len(frame)
            if self._moved is not None:
                self._moved.set()
