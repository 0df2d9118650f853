"""The receiving side of a socket: one frame after the other is judged, answered once, and handed to its meaning."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

import structlog
from aiohttp import WSMsgType

from server.auth import Suspended, Unauthorized
from server.failures import where_raised
from server.rate_limits import RateLimiter
from server.routing import Authenticates
from server.socket import metrics
from server.socket.connection import Clock, Connection, Socket
from server.socket.conversation import Conversation, FrameError
from server.socket.envelope import BadFrame, BadMessage, acked, decode, encode, refused
from server.socket.messages import AckFrame, ClientFrame, PassedFrame, PingFrame, Pong, PongFrame, TokenFrame
from server.socket.rules import Bucket, Close, Pace, SocketRules
from server.views import timestamp
from signaling.ports import Answers, CarrierUnavailable

HANDLE_S = 5.0
"""Deadline of what one frame asks for."""

_REPEATABLE = frozenset({"ready", "accept", "decline", "media", "stats", "end"})
"""Done twice these change nothing more, so they are done even when it cannot be remembered that they were."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Services:
    """What every reader of a node shares."""

    conversation: Conversation
    answers: Answers
    authenticator: Authenticates
    limiter: RateLimiter
    clock: Clock
    rules: SocketRules


class _Stop(Exception):
    """The connection is being closed: read no more."""


class Reader:
    """Reads one connection until its end."""

    __slots__ = ("_bucket", "_connection", "_services", "_socket")

    def __init__(self, socket: Socket, connection: Connection, services: Services) -> None:
        self._socket = socket
        self._connection = connection
        self._services = services
        self._bucket = Bucket(services.rules, connection.heard_at)

    async def run(self) -> None:
        """Returns when the socket is closed, by whichever side. What a frame began is finished, never cut off."""
        loop = asyncio.get_running_loop()
        connection = self._connection
        while not connection.closing:
            message = await connection.receive()
            if message is None:
                return
            connection.heard_at = loop.time()
            try:
                if not await self._take(*message):
                    return
            except _Stop:
                return

    async def _take(self, kind: WSMsgType, data: Any) -> bool:
        """One WebSocket message; False when it was the last."""
        if kind not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
            return False
        connection = self._connection
        self._services.conversation.seen(connection.session_id)
        if kind is WSMsgType.PONG:
            return True
        pace = self._bucket.spend(self._services.rules, connection.heard_at)
        if pace is Pace.FLAGRANT:
            self._stop(Close.RATE_LIMITED)
        if kind is WSMsgType.PING:
            await self._socket.pong(data)
        elif kind is WSMsgType.BINARY:
            self._stop(Close.BAD_FRAME)
        else:
            await self._text(data, pace)
        return True

    async def _text(self, text: bytes, pace: Pace) -> None:
        if len(text) > self._services.rules.frame_bytes:
            self._stop(Close.FRAME_TOO_LARGE)
        try:
            frame = decode(text)
        except BadFrame:
            self._stop(Close.BAD_FRAME)
        except BadMessage as error:
            details = {"field": error.field}
            self._refuse(FrameError("bad_message", error.problem, details=details), error.message_id)
            return
        metrics.frames_in(type_of(frame)).inc()
        await self._acknowledge(frame.ack)
        if pace is Pace.TOO_FAST:
            self._refuse(FrameError("too_fast", "too many frames, wait a little", retryable=True), frame.id)
            return
        await self._answer(frame)

    def _stop(self, code: Close) -> NoReturn:
        self._connection.close(code)
        raise _Stop

    def _refuse(self, error: FrameError, message_id: str | None) -> bytes:
        metrics.errors_out.labels(error.code).inc()
        answer = refused(message_id, error.code, error.message, retryable=error.retryable, details=error.details)
        self._connection.push(answer)
        return answer

    async def _acknowledge(self, seq: int | None) -> None:
        offers = self._connection.acknowledge(seq) if seq is not None else []
        if not offers:
            return
        try:
            async with asyncio.timeout(HANDLE_S):
                await self._services.conversation.delivered(self._connection.caller, offers)
        except Exception as error:
            # Not being noted as delivered only means being told again.
            self._report("delivered", error)

    async def _answer(self, frame: ClientFrame) -> None:
        """Do what the frame asks, once for each id, and say so."""
        if isinstance(frame, AckFrame | PingFrame | TokenFrame):
            await self._transport(frame)
            if frame.id is not None:
                self._connection.push(acked(frame.id))
            return
        if frame.id is None:
            if (error := await self._attempt(frame)) is not None:
                self._refuse(error, None)
            return
        if isinstance(frame, PassedFrame):  # by the mailbox it goes to
            await self._do(frame, frame.id)
            return
        await self._answer_once(frame, frame.id)

    async def _answer_once(self, frame: ClientFrame, message_id: str) -> None:
        answers, session_id = self._services.answers, self._connection.session_id
        try:
            before = await answers.begin(session_id, message_id)
        except CarrierUnavailable:
            if type_of(frame) not in _REPEATABLE:
                self._refuse(_away(), message_id)
                return
            await self._do(frame, message_id)
            return
        if before is not None:
            self._connection.push(before)
            return
        await self._remember(session_id, message_id, await self._do(frame, message_id))

    async def _do(self, frame: ClientFrame, message_id: str) -> bytes | None:
        """Do what the frame asks and answer it. Gives the answer if a repeat is to get the same."""
        error = await self._attempt(frame)
        if error is None:
            self._connection.push(answer := acked(message_id))
            return answer
        answer = self._refuse(error, message_id)
        return None if error.retryable else answer

    async def _remember(self, session_id: UUID, message_id: str, answer: bytes | None) -> None:
        """Keep the answer, or forget that the message was ever begun."""
        answers = self._services.answers
        try:
            if answer is None:
                await answers.forget(session_id, message_id)
            else:
                await answers.finish(session_id, message_id, answer)
        except CarrierUnavailable as error:
            _log.warning("an answer could not be kept", error=str(error))

    async def _attempt(self, frame: ClientFrame) -> FrameError | None:
        """None when it was done; every failure of ours is an `unavailable` that may be tried again."""
        assert not isinstance(frame, AckFrame | PingFrame | TokenFrame)
        connection = self._connection
        try:
            async with asyncio.timeout(HANDLE_S):
                await self._services.conversation.handle(connection.caller, connection.claim.owner_epoch, frame)
        except FrameError as error:
            return error
        except CarrierUnavailable:
            return _away()
        except Exception as error:
            self._report(type_of(frame), error)
            return _away()
        return None

    def _report(self, doing: str, error: Exception) -> None:
        session_id = str(self._connection.session_id)
        _log.error(
            "a frame failed", doing=doing, session_id=session_id, error=type(error).__name__, where=where_raised(error)
        )

    async def _transport(self, frame: AckFrame | PingFrame | TokenFrame) -> None:
        """Frames about the socket itself."""
        if isinstance(frame, PingFrame):
            self._connection.push(encode(PongFrame(data=Pong(now=timestamp(self._services.clock())))))
        elif isinstance(frame, TokenFrame):
            await self._renew_token(frame.data.token)

    async def _renew_token(self, token: str) -> None:
        connection = self._connection
        try:
            async with asyncio.timeout(HANDLE_S):
                caller = await self._services.authenticator.authenticate(token)
        except Unauthorized:
            self._stop(Close.UNAUTHORIZED)
        except Suspended:
            self._stop(Close.SUSPENDED)
        except Exception as error:
            self._report("token", error)
            self._stop(Close.TRY_AGAIN_LATER)
        if caller.session_id != connection.session_id:
            self._stop(Close.UNAUTHORIZED)
        connection.caller = caller


def type_of(frame: ClientFrame) -> str:
    """The frame's `type` on the wire."""
    return str(type(frame).__struct_config__.tag)


def _away() -> FrameError:
    return FrameError("unavailable", "this failed on our side and may be tried again", retryable=True)
