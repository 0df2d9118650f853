"""One authenticated socket and the mailbox it owns: what was sent, what was acknowledged, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from server.auth import Caller
from server.failures import where_raised
from server.socket import metrics
from server.socket.conversation import Snapshot
from server.socket.envelope import Head, call_is_over, encode, numbered, read_head, read_offer, read_withdrawn
from server.socket.messages import Welcome, WelcomeFrame
from server.socket.outgoing import PING, Outgoing
from server.socket.rules import Close, SocketRules
from server.views import timestamp
from signaling.ports import Claim

Socket = web.WebSocketResponse[Literal[False]]
"""One that hands texts on as bytes."""

_log = structlog.get_logger()


class Connection:
    """A socket after its authentication; there is none before.

    `sent` is the last number put on its way, `known` the last known to exist: while they differ somebody holds `order`
    and reads what is missing. Only the holder of `order` sends anything numbered, except for the very next message.
    """

    __slots__ = (
        "_acked",
        "_call_live",
        "_call_over_at",
        "_closer",
        "_interrupted",
        "_offers",
        "_receiving",
        "_ringing",
        "_rules",
        "_socket",
        "_transport",
        "_trimmed",
        "beat_slot",
        "caller",
        "claim",
        "heard_at",
        "known",
        "order",
        "outgoing",
        "sent",
        "taken_over",
        "welcomed",
    )

    def __init__(
        self,
        socket: Socket,
        transport: asyncio.Transport | None,
        caller: Caller,
        claim: Claim,
        rules: SocketRules,
        now: float,
    ) -> None:
        """`now`: monotonic seconds of the event loop, as everywhere in this class unless it is a datetime."""
        self._socket = socket
        self._transport = transport
        self._rules = rules
        self._closer: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[Any] | None = None
        self._interrupted: asyncio.Event | None = None
        self._call_live = False
        self._call_over_at: float | None = None
        self.caller = caller
        self.outgoing = Outgoing(socket, transport, rules)
        self.order = asyncio.Lock()
        self.heard_at = now
        self.taken_over = False
        self.beat_slot = 0
        self.begin(claim)

    def begin(self, claim: Claim) -> None:
        """Start from a claim: first its backlog is due, then numbers go on; nothing is acknowledged yet."""
        self.claim = claim
        self.known = claim.seq
        self.sent = claim.seq - len(claim.backlog)
        self.welcomed = False
        self._acked = -1
        self._trimmed = 0
        self._offers: list[tuple[int, UUID, int]] = []
        self._ringing: tuple[UUID, ...] = ()

    @property
    def session_id(self) -> UUID:
        return self.caller.session_id

    @property
    def in_haste(self) -> bool:
        """In a call, being rung, or a requester, who may be waiting for one."""
        return self._call_live or bool(self._ringing) or self.caller.role != "volunteer"

    @property
    def closing(self) -> bool:
        return self._closer is not None or self._socket.closed

    # Sending.

    def push(self, frame: bytes) -> None:
        """Queue a frame; a reader too slow for that is closed, resumable."""
        if not self.closing and not self.outgoing.put(frame):
            self.close(Close.SLOW_CONSUMER)

    def ping(self) -> None:
        """Ask a silent client whether it is there."""
        self.push(PING)

    async def room(self) -> None:
        """Wait, within bounds, for a reader that is behind in a replay."""
        try:
            async with asyncio.timeout(self._rules.room_s):
                await self.outgoing.room()
        except TimeoutError:
            self.close(Close.SLOW_CONSUMER)

    def take_backlog(self) -> tuple[tuple[int, bytes], ...]:
        """What is to be replayed after the welcome; kept no longer than that."""
        backlog = self.claim.backlog
        self.claim = replace(self.claim, backlog=())
        return backlog

    def push_numbered(self, seq: int, message: bytes) -> str:
        """Queue the mailbox message after `sent`; gives its type."""
        head = self._note(seq, message)
        self.sent = seq
        self.known = max(self.known, seq)
        self.push(numbered(message, seq))
        return head

    def welcome(self, snapshot: Snapshot, now: datetime) -> None:
        """Queue the welcome as of the claim's seq; always the first frame of a connection or incarnation."""
        claim = self.claim
        self._offers.extend((claim.seq, offer.request_id, offer.epoch) for offer in snapshot.offers)
        self._ringing = tuple(offer.request_id for offer in snapshot.offers)
        self._call_live = snapshot.call is not None and snapshot.call.state != "ended"
        data = Welcome(
            session=self.session_id,
            incarnation=claim.incarnation,
            resumed=claim.resumed,
            seq=claim.seq,
            now=timestamp(now),
            heartbeat_s=self._rules.heartbeat_s,
            token_expires_at=timestamp(self.caller.token_expires_at),
            limits=self._rules.limits(),
            user=snapshot.user,
            request=snapshot.request,
            offers=snapshot.offers,
            call=snapshot.call,
        )
        self.welcomed = True
        self.push(encode(WelcomeFrame(data=data)))

    def _note(self, seq: int, message: bytes) -> str:
        """Remember what must be known of a message on its way out."""
        try:
            head = read_head(message)
            self._note_meaning(seq, head)
        except msgspec.DecodeError as error:
            where = where_raised(error)
            _log.error("a mailbox message is not of the contract", session_id=str(self.session_id), where=where)
            return "unknown"
        return head.type

    def _note_meaning(self, seq: int, head: Head) -> None:
        if head.type == "offer":
            request_id, epoch = read_offer(head)
            self._offers.append((seq, request_id, epoch))
            self._ringing = (*self._ringing, request_id)
        elif head.type == "offer_withdrawn" and self._ringing:
            withdrawn = read_withdrawn(head)
            self._ringing = tuple(one for one in self._ringing if one != withdrawn)
        elif head.type == "call":
            was_live, self._call_live = self._call_live, not call_is_over(head)
            if was_live and not self._call_live:
                self._call_over_at = asyncio.get_running_loop().time()

    # Receiving.

    async def receive(self) -> tuple[WSMsgType, Any] | None:
        """The next WebSocket message; None when the connection is being closed from this side. One reader only."""
        self._receiving = task = asyncio.current_task()
        try:
            message = await self._socket.receive()
            return message.type, message.data
        except asyncio.CancelledError:
            if self._interrupted is None or (task is not None and task.uncancel() > 0):
                raise
            return None
        finally:
            self._receiving = None
            if self._interrupted is not None:
                self._interrupted.set()

    # Acknowledgement.

    def acknowledge(self, seq: int) -> list[tuple[UUID, int]]:
        """The client has seen everything up to `seq`. Gives the offers this newly covers, as (request id, epoch).

        A number of another incarnation, or none of ours, changes nothing.
        """
        if not self.welcomed or seq <= self._acked or seq > self.sent:
            return []
        self._acked = seq
        covered = [(request_id, epoch) for at, request_id, epoch in self._offers if at <= seq]
        if covered:
            self._offers = [offer for offer in self._offers if offer[0] > seq]
        return covered

    def to_trim(self) -> int | None:
        """The acknowledged number up to which the mailbox may forget, when that has grown since the last call."""
        if self._acked <= self._trimmed:
            return None
        self._trimmed = self._acked
        return self._acked

    # The end.

    def token_is_over(self, wall: datetime, now: float) -> bool:
        """Whether the token has expired and no call, nor the minute after one, excuses it."""
        if wall < self.caller.token_expires_at or self._call_live:
            return False
        return self._call_over_at is None or now - self._call_over_at >= self._rules.after_call_s

    def close(self, code: Close) -> None:
        """Begin to close; the first code counts. `closed` waits for the end of it."""
        self.taken_over = self.taken_over or code is Close.SESSION_TAKEN_OVER
        if not self.closing:
            metrics.closes.labels(str(code.value)).inc()
            self._closer = asyncio.create_task(self._shut(code))

    async def closed(self) -> None:
        """Wait for what `close` began, and stop writing."""
        if self._closer is not None:
            await asyncio.wait([self._closer])
        await self.outgoing.stop()

    async def _shut(self, code: Close) -> None:
        # What was answered before the close is still written, unless the reader is what is slow.
        if code is not Close.SLOW_CONSUMER:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rules.close_s / 2):
                    await self.outgoing.flush()
        await self.outgoing.stop()
        await self._stop_receiving()
        await shut_socket(self._socket, self._transport, code, self._rules.close_s)

    async def _stop_receiving(self) -> None:
        """Take the reader out of its wait: aiohttp cuts the handshake short when it finds one waiting."""
        if self._receiving is not None:
            self._interrupted = asyncio.Event()
            self._receiving.cancel()
            await self._interrupted.wait()


class TextSocket(web.WebSocketResponse[Literal[False]]):
    """aiohttp's socket, closing with the contract's code where aiohttp finds a frame too large by itself."""

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            code = Close.FRAME_TOO_LARGE
        return await super().close(code=code, message=message, drain=drain)


async def shut_socket(socket: Socket, transport: asyncio.Transport | None, code: Close, within_s: float) -> None:
    """Close handshake with a code; a peer that does not take part in it is cut off."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await socket.close(code=code, drain=False)
    if transport is not None and transport.get_write_buffer_size() > 0:
        transport.abort()


Clock = Callable[[], datetime]
"""Now, aware, in UTC."""
