"""`GET /v1/ws`: who may open a socket, and the hello that turns one into an authenticated connection."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog
from aiohttp import WSMsgType, web

from server.auth import Caller, Forged, Suspended, Unauthorized
from server.errors import ApiError
from server.failures import where_raised
from server.rate_limits import FORGED, wait_by_address_s
from server.socket.connection import Connection, Socket, TextSocket, shut_socket
from server.socket.envelope import BadFrame, decode_hello
from server.socket.hub import Hub
from server.socket.messages import Hello
from server.socket.opening import SUBPROTOCOL, check_opening
from server.socket.reading import Reader, Services
from server.socket.rules import Close
from signaling.ports import CarrierUnavailable

PATH = "/v1/ws"
AUTHENTICATE_S = 5.0

_log = structlog.get_logger()


class _Refused(Exception):
    """No connection comes of this socket."""

    def __init__(self, code: Close) -> None:
        super().__init__(code)
        self.code = code


class SocketEndpoint:
    """The handler of `GET /v1/ws`. There is no connection before its hello was found good."""

    def __init__(self, hub: Hub, services: Services, origins: Collection[str]) -> None:
        """`origins`: whose pages may open sockets besides this host's own, as `scheme://host[:port]`."""
        self._hub = hub
        self._services = services
        self._origins = frozenset(origin.lower() for origin in origins)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Lives as long as the socket. Raises `ApiError` while it is still plain HTTP."""
        self._check(request)
        socket = self._socket()
        await socket.prepare(request)
        try:
            connection = await self._authenticated(socket, request)
        except _Refused as refusal:
            await shut_socket(socket, request.transport, refusal.code, self._services.rules.close_s)
            return socket
        try:
            await self._hub.greet(connection)
            await Reader(socket, connection, self._services).run()
        finally:
            await asyncio.wait([self._hub.detach(connection)])
        return socket

    def _check(self, request: web.Request) -> None:
        check_opening(request, self._origins)
        if self._hub.draining:
            raise ApiError(503, "unavailable", "this node is going", retryable=True, retry_after_s=1)

    def _socket(self) -> Socket:
        rules = self._services.rules
        # Frames a little too large are read whole, so that the peer gets the close code and not a reset.
        # Pings are ours (the hub's shared loop) and compression is off: both cost memory for every idle socket.
        return TextSocket(
            protocols=(SUBPROTOCOL,),
            timeout=rules.close_s,
            autoping=False,
            compress=False,
            max_msg_size=4 * rules.frame_bytes,
            decode_text=False,
        )

    async def _authenticated(self, socket: Socket, request: web.Request) -> Connection:
        """The authentication phase: returns the connection, or raises `_Refused`."""
        hello = await self._hello(socket)
        caller = await self._caller(hello, request.remote)
        resume = (hello.resume.incarnation, hello.resume.seq) if hello.resume is not None else None
        try:
            return await self._hub.attach(socket, request.transport, caller, resume)
        except CarrierUnavailable:
            raise _Refused(Close.TRY_AGAIN_LATER) from None

    async def _hello(self, socket: Socket) -> Hello:
        rules = self._services.rules
        try:
            async with asyncio.timeout(rules.hello_s):
                message = await self._first_message(socket)
        except TimeoutError:
            raise _Refused(Close.HELLO_TIMEOUT) from None
        if message is None:
            raise _Refused(Close.BAD_FRAME)
        if len(message) > rules.frame_bytes:
            raise _Refused(Close.FRAME_TOO_LARGE)
        try:
            return decode_hello(message).data
        except BadFrame:
            raise _Refused(Close.BAD_FRAME) from None

    async def _first_message(self, socket: Socket) -> bytes | None:
        """The first text; None when it is something else, or the socket is closed."""
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                return bytes(message.data)
            if message.type not in (WSMsgType.PING, WSMsgType.PONG):
                return None

    async def _caller(self, hello: Hello, address: str | None) -> Caller:
        try:
            async with asyncio.timeout(AUTHENTICATE_S):
                caller = await self._services.authenticator.authenticate(hello.token)
        except Forged:
            wait_s = await wait_by_address_s(self._services.limiter, FORGED, address)
            raise _Refused(Close.RATE_LIMITED if wait_s > 0 else Close.UNAUTHORIZED) from None
        except Unauthorized:
            raise _Refused(Close.UNAUTHORIZED) from None
        except Suspended:
            raise _Refused(Close.SUSPENDED) from None
        except Exception as error:
            _log.error("a hello could not be judged", error=type(error).__name__, where=where_raised(error))
            raise _Refused(Close.TRY_AGAIN_LATER) from None
        if caller.device_id != hello.device_id:
            raise _Refused(Close.UNAUTHORIZED)
        return caller
