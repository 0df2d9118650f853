"""A TCP proxy in front of one node that reads the WebSocket frames that pass and cuts, or stops, at a chosen one.

It is the bad network of one person: plain HTTP passes untouched, sockets are cut at a type of the contract's messages.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["up", "down"]
"""`up`: from the page to the node."""
HEAD_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket frame (RFC 6455, 5.2) as it came, and the contract's type of its message, if it has one."""

    raw: bytes
    type: str | None


class CuttingProxy:
    """Use `running`; its `url` stands for the node's."""

    def __init__(self, node_port: int) -> None:
        self._node_port = node_port
        self._cut_at: str | None = None
        self._messages_left = 0
        """Until the one to cut at; 0: none."""
        self._loses_last = False
        self._is_down = False
        self._stop_at: str | None = None
        self._sockets: set[_Line] = set()
        self._going = asyncio.Event()
        self._going.set()
        self.cut = asyncio.Event()
        """Set once a socket was cut."""
        self.stopped = asyncio.Event()
        """Set once a socket stands still."""
        self.url = ""

    @asynccontextmanager
    async def running(self, listener: socket.socket | None = None) -> AsyncIterator[CuttingProxy]:
        """`listener`: where it is to be reached, if not on a free port of this machine's loopback."""
        lines: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            lines.add(task)
            try:
                with suppress(asyncio.CancelledError):  # by nobody but the end of the proxy
                    await self._carry(reader, writer)
            finally:
                lines.discard(task)

        listener = listener or socket.create_server(("127.0.0.1", 0))
        self.url = "http://{}:{}".format(*listener.getsockname())
        server = await asyncio.start_server(accept, sock=listener, limit=2 * HEAD_BYTES)
        try:
            yield self
        finally:
            server.close()
            for line in [*lines]:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)

    def cut_at(self, type: str | None, *, number: int = 1, lost: bool = False) -> None:
        """Cut the socket, once, at the `number`th message of this type (or of any) either way from now on.

        After it has passed, or before.
        """
        self._cut_at = type
        self._messages_left = number
        self._loses_last = lost
        self.cut.clear()

    def stop_at(self, type: str) -> None:
        """The next message of this type coming down, and all that comes after it, stays here until `go_on`."""
        self._stop_at = type
        self.stopped.clear()

    def go_on(self) -> None:
        self._stop_at = None
        self._going.set()

    def cut_now(self) -> None:
        """Cut every socket that is open."""
        for line in [*self._sockets]:
            line.abort()
        self.cut.set()

    def go_down(self) -> None:
        """Cut every socket, and refuse all connections until `come_up`."""
        self._is_down = True
        self.cut_now()

    def come_up(self) -> None:
        self._is_down = False

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_down:
            writer.transport.abort()
            return
        try:
            node_reader, node_writer = await asyncio.open_connection("127.0.0.1", self._node_port, limit=2 * HEAD_BYTES)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(self, writer, node_writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                node_writer.write(head)
                is_socket = b"\r\nupgrade: websocket" in head.lower()
                if is_socket:
                    self._sockets.add(line)
                await _until_one_ends(
                    line.pump(reader, node_writer, "up", is_socket), line.pump(node_reader, writer, "down", is_socket)
                )
        finally:
            self._sockets.discard(line)
            line.abort()

    async def _before(self, frame: Frame, direction: Direction) -> None:
        if direction == "down" and frame.type is not None and frame.type == self._stop_at:
            self._going.clear()
            self.stopped.set()
        if direction == "down":
            await self._going.wait()

    def _is_last(self, frame: Frame) -> bool:
        if not self._messages_left or frame.type is None or self._cut_at not in (None, frame.type):
            return False
        self._messages_left -= 1
        return not self._messages_left


class _Line:
    """The two ends of one connection through the proxy."""

    def __init__(self, proxy: CuttingProxy, page: asyncio.StreamWriter, node: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = (page, node)

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction, is_socket: bool
    ) -> None:
        """Until this direction ends, or the socket is cut."""
        if not is_socket:
            while piece := await reader.read(PIECE_BYTES):
                writer.write(piece)
                await writer.drain()
            return
        if direction == "down":
            writer.write(await reader.readuntil(b"\r\n\r\n"))
        while True:
            frame = await _read_frame(reader)
            await self._proxy._before(frame, direction)
            is_last = self._proxy._is_last(frame)
            if not (is_last and self._proxy._loses_last):
                writer.write(frame.raw)
                await writer.drain()
            if is_last:  # closed, not reset: what was passed on must arrive
                writer.close()
                await writer.wait_closed()
                self._proxy.cut.set()
                return


async def _read_frame(reader: asyncio.StreamReader) -> Frame:
    raw = await reader.readexactly(2)
    masked, length = raw[1] & 0x80, raw[1] & 0x7F
    if length >= 126:
        extended = await reader.readexactly(2 if length == 126 else 8)
        raw += extended
        length = int.from_bytes(extended, "big")
    mask = await reader.readexactly(4) if masked else b"\0\0\0\0"
    payload = await reader.readexactly(length)
    plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload
    return Frame(raw + (mask if masked else b"") + payload, _type_of(plain) if raw[0] & 0x0F == 1 else None)


def _type_of(message: bytes) -> str | None:
    with suppress(ValueError):
        frame = json.loads(message)
        if isinstance(frame, dict):
            return str(frame.get("type"))
    return None


async def _until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run them until one ends, in whatever way."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
