"""The admin page's calls: the queue over HTTP, and live over `GET /v1/admin/ws`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from aiohttp import WSMsgType, web

from server.admin_feed import AdminFeed
from server.admin_messages import Queue, QueueFrame
from server.auth import Suspended, Unauthorized
from server.errors import ApiError
from server.failures import where_raised
from server.routing import Authenticates, Exchange, Route
from server.socket.connection import Socket, TextSocket, shut_socket
from server.socket.envelope import BadFrame, BadMessage, decode, decode_hello, encode, refused
from server.socket.messages import AckFrame, Hello, PingFrame, Pong, PongFrame, TokenFrame
from server.socket.opening import SUBPROTOCOL, check_opening
from server.socket.rules import Close
from server.views import timestamp

PATH = "/v1/admin/ws"
HELLO_WITHIN_S = 5.0
SEND_WITHIN_S = 5.0
CLOSE_WITHIN_S = 2.0
SILENCE_S = 20.0
EVERY_S = 1.0
ROUNDS_PER_JUDGEMENT = 10
"""After so many figures a watcher's token is judged again: a role may be taken away, a session may end."""
FRAME_BYTES_MAX = 64 * 1024

log = structlog.get_logger()


class AdminApi:
    """Figures by asking."""

    def __init__(self, feed: AdminFeed) -> None:
        self._feed = feed

    def routes(self) -> list[Route]:
        queue = "Who waits, who is asked, who could be; figures only"
        return [Route("GET", "/v1/admin/queue", self.queue, reply=Queue, admin="observer", summary=queue)]

    async def queue(self, exchange: Exchange[None]) -> Queue:
        return await self._feed.queue()


class _Shut(Exception):
    """The socket is over, with this close code."""

    def __init__(self, code: Close) -> None:
        super().__init__(code)
        self.code = code


class AdminSockets:
    """The handler of `GET /v1/admin/ws`: `hello` in, then `queue` every second. `close` ends those that are open."""

    def __init__(self, feed: AdminFeed, authenticator: Authenticates, origins: Collection[str]) -> None:
        self._feed = feed
        self._authenticator = authenticator
        self._origins = frozenset(origin.lower() for origin in origins)
        self._open: set[asyncio.Task[Any]] = set()
        self._closing = False

    def register(self, app: web.Application) -> None:
        app.router.add_get(PATH, self.handle)

    async def close(self) -> None:
        """Tell every watcher to come back elsewhere."""
        self._closing = True
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Lives as long as the socket. Raises `ApiError` while it is still plain HTTP."""
        check_opening(request, self._origins)
        if self._closing:
            raise ApiError(503, "unavailable", "this node is going", retryable=True, retry_after_s=1)
        # Frames a little too large are read whole, so that the watcher gets the close code and not a reset.
        socket = TextSocket(
            protocols=(SUBPROTOCOL,),
            timeout=CLOSE_WITHIN_S,
            heartbeat=SILENCE_S,
            max_msg_size=4 * FRAME_BYTES_MAX,
            decode_text=False,
        )
        await socket.prepare(request)
        code = await self._owned(socket)
        await shut_socket(socket, request.transport, code, CLOSE_WITHIN_S)
        return socket

    async def _owned(self, socket: Socket) -> Close:
        """Serve the socket in a task that `close` can end; gives the code to close with."""
        task = asyncio.create_task(self._serve(socket))
        self._open.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._open.discard(task)
            task.cancel()
        return Close.DRAIN if task.cancelled() or self._closing else task.result()

    async def _serve(self, socket: Socket) -> Close:
        code = Close.GOING_AWAY
        try:
            watcher = Watcher(socket, await self._hello(socket), self._authenticator)
            await watcher.judge()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watcher.listen())
                tasks.create_task(self._figures(watcher))
        except* _Shut as shut:
            code = _first_code(shut)
        except* Exception as errors:
            error = errors.exceptions[0]
            log.error("an admin socket failed", error=type(error).__name__, where=where_raised(error))
            code = Close.TRY_AGAIN_LATER
        return code

    async def _hello(self, socket: Socket) -> Hello:
        try:
            message = await socket.receive(timeout=HELLO_WITHIN_S)
        except TimeoutError:
            raise _Shut(Close.HELLO_TIMEOUT) from None
        if message.type is not WSMsgType.TEXT:
            raise _Shut(Close.BAD_FRAME)
        try:
            return decode_hello(_in_bounds(message.data)).data
        except BadFrame:
            raise _Shut(Close.BAD_FRAME) from None

    async def _figures(self, watcher: Watcher) -> None:
        rounds = 0
        while True:
            await watcher.send(msgspec.json.encode(QueueFrame(data=await self._feed.queue())))
            await asyncio.sleep(EVERY_S)
            rounds += 1
            if rounds % ROUNDS_PER_JUDGEMENT == 0:
                await watcher.judge()


class Watcher:
    """One admin's socket after its hello."""

    def __init__(self, socket: Socket, hello: Hello, authenticator: Authenticates) -> None:
        self._socket = socket
        self._device_id = hello.device_id
        self._token = hello.token
        self._authenticator = authenticator

    async def judge(self) -> None:
        """Whether the token is (still) that of an observer on this device. Raises `_Shut`."""
        try:
            caller = await self._authenticator.authenticate(self._token)
        except Unauthorized:
            raise _Shut(Close.UNAUTHORIZED) from None
        except Suspended:
            raise _Shut(Close.SUSPENDED) from None
        if caller.device_id != self._device_id:
            raise _Shut(Close.UNAUTHORIZED)
        if not caller.may("observer"):
            await self.send(refused(None, "not_allowed", "this needs the admin role observer"))
            raise _Shut(Close.SUSPENDED)

    async def send(self, frame: bytes) -> None:
        """Raises `_Shut` for a reader that is gone or too slow."""
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._socket.send_frame(frame, WSMsgType.TEXT)
        except TimeoutError:
            raise _Shut(Close.SLOW_CONSUMER) from None
        except ConnectionError:
            raise _Shut(Close.GOING_AWAY) from None

    async def listen(self) -> None:
        """Answer what the watcher says until the socket is gone (then raises `_Shut`)."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                await self._answer(_in_bounds(message.data))
            elif message.type is WSMsgType.BINARY:
                raise _Shut(Close.BAD_FRAME)
            else:
                raise _Shut(Close.GOING_AWAY)

    async def _answer(self, text: bytes) -> None:
        try:
            frame = decode(text)
        except BadFrame:
            raise _Shut(Close.BAD_FRAME) from None
        except BadMessage as bad:
            await self.send(refused(bad.message_id, "bad_message", bad.problem, details={"field": bad.field}))
            return
        if isinstance(frame, PingFrame):
            await self.send(encode(PongFrame(data=Pong(now=timestamp(datetime.now(UTC))))))
        elif isinstance(frame, TokenFrame):
            self._token = frame.data.token
            await self.judge()
        elif not isinstance(frame, AckFrame):
            await self.send(refused(frame.id, "bad_message", "this socket only shows figures"))


def _in_bounds(text: bytes) -> bytes:
    """The frame as it came. Raises `_Shut` when it is too large."""
    if len(text) > FRAME_BYTES_MAX:
        raise _Shut(Close.FRAME_TOO_LARGE)
    return bytes(text)


def _first_code(errors: BaseExceptionGroup[_Shut]) -> Close:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, _Shut)
    return first.code
