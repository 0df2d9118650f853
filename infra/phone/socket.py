"""One socket of `eyeline.v1`, from hello to close: writes the outbox in order, acknowledges, pings, notices silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from infra.phone.account import Account
from infra.phone.errors import PhoneError, ServerUnreachable
from infra.phone.mailbox import Admission, MailboxCursor
from infra.phone.outbox import Outbox
from infra.phone.state import Frame

OPEN_DEADLINE_S = 10.0
WRITE_DEADLINE_S = 10.0
ACK_AFTER_S = 0.2
MAX_FRAME_BYTES = 1024 * 1024


class NotWelcome(PhoneError):
    """The server closed the socket, or answered hello with something else than `welcome`."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


@dataclass(slots=True)
class Shared:
    """What outlives one socket."""

    cursor: MailboxCursor = field(default_factory=MailboxCursor)
    outbox: Outbox = field(default_factory=Outbox)


class PhoneSocket:
    """One connection. Made by `open`, driven by `run`, ended by `abort` or `close`."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, number: int, shared: Shared, welcome: Frame) -> None:
        self._ws = ws
        self._number = number
        self._shared = shared
        self.welcome = welcome
        self._silence_s = float(welcome["data"]["heartbeat_s"])
        self._writing = asyncio.Lock()
        self._leaving = False
        now = asyncio.get_running_loop().time()
        self._ping_at = now + self._silence_s
        self._heard_at = now
        self._ack_at: float | None = None

    @classmethod
    async def open(cls, account: Account, number: int, shared: Shared) -> PhoneSocket:
        """Connect, say hello, be welcomed. Raises `NotWelcome`, `ServerUnreachable`."""
        ws: aiohttp.ClientWebSocketResponse | None = None
        try:
            async with asyncio.timeout(OPEN_DEADLINE_S):
                ws = await account.http.ws_connect(
                    account.base_url + "/v1/ws",
                    protocols=("eyeline.v1",),
                    ssl=account.ssl,
                    max_msg_size=MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
                hello: dict[str, Any] = {"token": account.access_token, "device_id": account.device_id}
                if (resume := shared.cursor.resume()) is not None:
                    hello["resume"] = resume
                await ws.send_str(json.dumps({"type": "hello", "data": hello}))
                welcome = _object(await ws.receive())
            if welcome is None or welcome.get("type") != "welcome":
                raise NotWelcome(ws.close_code)
            return cls(ws, number, shared, welcome)
        except BaseException as error:
            if ws is not None:
                _abort(ws)
            if isinstance(error, TimeoutError | aiohttp.ClientError | OSError):
                raise ServerUnreachable(f"socket: {type(error).__name__}") from error
            raise

    async def run(self, deliver: Callable[[Frame], None]) -> int | None:
        """Read until the connection ends; gives its close code, None when there was none.

        `deliver` gets every frame that still means something, in order; it must not block.
        """
        try:
            self._acknowledge_soon(urgent=True)
            await self.flush()
            while True:
                frame = await self._next()
                if frame is None:
                    return self._ws.close_code
                if frame and not self._take(frame, deliver):
                    self.abort()
                    return None
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            return self._ws.close_code
        finally:
            if not self._leaving:
                self.abort()

    async def flush(self) -> None:
        """Write what this connection is to carry now, oldest first, whoever asks."""
        now = asyncio.get_running_loop().time()
        async with self._writing:
            while (entry := self._shared.outbox.next_for(self._number, now)) is not None:
                entry.connection = self._number
                await self._write(entry.frame)

    async def write_raw(self, frame: str | bytes) -> None:
        """Write something as it is, for tests of bad input."""
        async with self._writing, asyncio.timeout(WRITE_DEADLINE_S):
            await (self._ws.send_str(frame) if isinstance(frame, str) else self._ws.send_bytes(frame))

    def abort(self) -> None:
        """Drop the connection without a goodbye."""
        _abort(self._ws)

    async def close(self) -> None:
        """Say goodbye, waiting a second at most for the other side's."""
        self._leaving = True
        await self._ws.close()
        self.abort()

    async def _next(self) -> Frame | None:
        """The next frame; {} when it was time for something else first; None when the connection ended."""
        loop = asyncio.get_running_loop()
        due = min(self._ping_at, self._heard_at + 3 * self._silence_s, self._ack_at or self._ping_at)
        if (outgoing_at := self._shared.outbox.due_at(self._number)) is not None:
            due = min(due, outgoing_at)
        try:
            message = await self._ws.receive(timeout=max(0.001, due - loop.time()))
        except TimeoutError:
            await self._do_what_is_due(loop.time())
            return {}
        self._heard_at = loop.time()
        return _object(message)

    async def _do_what_is_due(self, now: float) -> None:
        if now >= self._heard_at + 3 * self._silence_s:
            raise TimeoutError("nothing heard for three heartbeats")
        await self.flush()
        async with self._writing:
            if now >= self._ping_at:
                await self._write({"type": "ping", "data": {}})
            elif self._ack_at is not None and now >= self._ack_at:
                await self._write({"type": "ack", "data": {}})

    def _take(self, frame: Frame, deliver: Callable[[Frame], None]) -> bool:
        """False when a message is missing and only a resume can bring it."""
        cursor = self._shared.cursor
        if frame.get("type") == "welcome":
            deliver(frame)
            self._acknowledge_soon(urgent=True)
            return True
        admission = cursor.admit(frame)
        if admission is Admission.GAP:
            return False
        self._acknowledge_soon(urgent=frame.get("type") == "offer")  # until acknowledged, an offer is also pushed
        if admission is Admission.PASS:
            deliver(frame)
        return True

    def _acknowledge_soon(self, *, urgent: bool) -> None:
        cursor = self._shared.cursor
        if cursor.seq > cursor.acknowledged:
            wait_s = 0.0 if urgent else ACK_AFTER_S
            at = asyncio.get_running_loop().time() + wait_s
            self._ack_at = min(self._ack_at or at, at)

    async def _write(self, frame: dict[str, Any]) -> None:
        """Every frame carries the acknowledgement that is due."""
        cursor = self._shared.cursor
        if cursor.seq > cursor.acknowledged:
            frame = {**frame, "ack": cursor.seq}
            cursor.acknowledged = cursor.seq
        self._ack_at = None
        self._ping_at = asyncio.get_running_loop().time() + self._silence_s
        async with asyncio.timeout(WRITE_DEADLINE_S):
            await self._ws.send_str(json.dumps(frame, separators=(",", ":")))


def _object(message: aiohttp.WSMessage) -> Frame | None:
    """A frame, or None when the message is the connection's end. Raises `ConnectionError` on what is no frame."""
    if message.type is not aiohttp.WSMsgType.TEXT:
        return None
    try:
        frame = json.loads(message.data)
    except ValueError as error:
        raise ConnectionError("not JSON") from error
    if not isinstance(frame, dict):
        raise ConnectionError("not an object")
    return frame


def _abort(ws: aiohttp.ClientWebSocketResponse) -> None:
    connection = ws._response.connection  # aiohttp offers no public way to leave without a close frame
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    ws._response.close()
