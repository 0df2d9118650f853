"""The phone's line to the server: comes back after every loss, sends again what was not answered, knows its state."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aiohttp

from infra.phone.account import Account
from infra.phone.errors import ApiError, FrameRefused, PhoneError, PhoneStopped, ServerUnreachable
from infra.phone.reconnect import AfterClose, Backoff, after_close
from infra.phone.socket import NotWelcome, PhoneSocket, Shared
from infra.phone.state import Frame, PhoneState, View, what_changed

INCOMING_LIMIT = 512
STEADY_S = 10.0
"""A connection that lived so long was a good one: the next loss starts from short waits."""
NEW_TOKEN_S = 60.0
ANSWER_DEADLINE_S = 10.0
_RENEW_AGAIN_S = 5.0
_LOOK_AT_TOKEN_S = 30.0


class Line:
    """One session's socket, kept up by a task that the async context owns. `PhoneClient` adds what a person does."""

    def __init__(self, account: Account, *, owns_http: bool) -> None:
        self.account = account
        self.state = PhoneState()
        self.dropped = 0
        """Incoming frames nobody took in time (the oldest go first)."""
        self.connections = 0
        """Sockets welcomed so far."""
        self._owns_http = owns_http
        self._shared = Shared()
        self._socket: PhoneSocket | None = None
        self._incoming: deque[Frame] = deque()
        self._changed = asyncio.Event()
        self._may_connect = asyncio.Event()
        self._wants_ready: bool | None = None
        self._backoff = Backoff()
        self._stopped: PhoneStopped | None = None
        self._resume_not_before = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> View:
        """Sign in; gives the `user`. Called once, when the context is entered."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        try:
            self.state = PhoneState(user=await self.begin())
            self._may_connect.set()
            self._tasks = [asyncio.create_task(self._live()), asyncio.create_task(self._renew_tokens())]
            await self.online()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        self._stop("closed")
        if (socket := self._socket) is not None:
            with suppress(aiohttp.ClientError, ConnectionError):
                await socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._owns_http:
            await self.account.http.close()

    # What goes over the socket.

    async def post(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        call: View | None = None,
        replaces: str | None = None,
        message_id: str | None = None,
    ) -> asyncio.Future[None]:
        """Send a message, now or after the next reconnect. The future ends when it is acknowledged.

        `call` puts its id and attempt on the envelope. `replaces`: see `Outbox.add`.
        """
        if self._stopped is not None:
            raise self._stopped
        frame: Frame = {"type": type_, "id": message_id or uuid4().hex, "data": dict(data)}
        if call is not None:
            frame |= {"call": call["id"], "attempt": call["attempt"]}
        answered = self._shared.outbox.add(frame, replaces=replaces)
        if (socket := self._socket) is not None:
            try:
                await socket.flush()
            except (TimeoutError, ConnectionError, aiohttp.ClientError):
                socket.abort()  # kept in the outbox for the next connection
        return answered

    async def send(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        call: View | None = None,
        replaces: str | None = None,
        message_id: str | None = None,
        timeout: float = ANSWER_DEADLINE_S,
    ) -> None:
        """As `post`, waiting for the acknowledgement. Raises `FrameRefused`; `TimeoutError` leaves it in the outbox."""
        async with asyncio.timeout(timeout):
            await (await self.post(type_, data, call=call, replaces=replaces, message_id=message_id))

    async def send_raw(self, frame: str | bytes) -> None:
        """Write a text or binary frame as it is, for tests of bad input."""
        if self._socket is None:
            raise PhoneError("not connected")
        await self._socket.write_raw(frame)

    # What comes in.

    async def next(self, *types: str, timeout: float | None = ANSWER_DEADLINE_S) -> Frame:
        """The oldest frame not taken yet of one of these types (of any, when none is named); it is taken by this.

        Raises `TimeoutError`, and `PhoneStopped` once nothing can come any more.
        """
        async with asyncio.timeout(timeout):
            while (frame := self._take(types)) is None:
                await self._change()
            return frame

    async def next_offer(self, *, timeout: float | None = ANSWER_DEADLINE_S) -> View:
        """The next offer that is still open."""
        async with asyncio.timeout(timeout):
            while True:
                offer: View = (await self.next("offer", timeout=None))["data"]["offer"]
                open_one = self.state.offers.get(offer["request_id"])
                if open_one is not None and open_one["epoch"] == offer["epoch"]:
                    return open_one

    async def until(
        self, holds: Callable[[PhoneState], bool], *, timeout: float | None = ANSWER_DEADLINE_S
    ) -> PhoneState:
        """Wait until the state is so; gives it. Takes no frames."""
        async with asyncio.timeout(timeout):
            while not holds(self.state):
                await self._change()
            return self.state

    def clear(self) -> None:
        """Forget the frames nobody took."""
        self._incoming.clear()

    async def online(self, *, timeout: float | None = ANSWER_DEADLINE_S) -> None:
        """Wait until a socket is welcomed."""
        async with asyncio.timeout(timeout):
            while self._socket is None:
                await self._change()

    @property
    def session_id(self) -> str:
        return self.account.tokens.session_id if self.account.tokens else ""

    # For tests: how a phone gets lost.

    def cut(self, *, come_back: bool = True) -> None:
        """Drop the socket without a goodbye. With `come_back=False` stay away until `come_back()`."""
        if not come_back:
            self._may_connect.clear()
        if self._socket is not None:
            self._socket.abort()

    def come_back(self) -> None:
        self._may_connect.set()

    def move_to(self, base_url: str) -> None:
        """Speak to another node from now on; the socket goes over at its next reconnect (see `cut`)."""
        self.account.base_url = base_url.rstrip("/")

    # The owner task.

    async def _live(self) -> None:
        discarded = False
        renewed_at = -math.inf
        while self._stopped is None:
            await self._may_connect.wait()
            code, lived_s = await self._one_socket()
            if lived_s is not None:
                renewed_at = -math.inf
                if lived_s > STEADY_S:
                    self._backoff.reset()
                    discarded = False
            verdict = after_close(code)
            if verdict.action is AfterClose.STOP:
                return self._stop(verdict.reason)
            if verdict.action is AfterClose.DISCARD:
                if discarded:
                    return self._stop(verdict.reason)
                discarded = True
                self._shared.outbox.discard_oldest(verdict.reason)
            if verdict.action is AfterClose.RENEW:
                # A token refused though it is new: the session is over. One may also grow old without a network.
                is_new = time.monotonic() - renewed_at < NEW_TOKEN_S
                if is_new or not await self._renewed_after_refusal():
                    return self._stop(verdict.reason)
                renewed_at = time.monotonic()
                continue
            await asyncio.sleep(max(self._backoff.next_s(), self._resume_not_before - time.monotonic()))

    async def _one_socket(self) -> tuple[int | None, float | None]:
        """Close code of one connection, and how long it was welcomed (None: it never was)."""
        try:
            socket = await PhoneSocket.open(self.account, self.connections + 1, self._shared)
        except NotWelcome as error:
            return error.code, None
        except ServerUnreachable:
            return None, None
        started = time.monotonic()
        self.connections += 1
        self._welcome(socket.welcome)
        if self._wants_ready is not None:
            ready = {"type": "ready", "id": uuid4().hex, "data": {"ready": self._wants_ready}}
            self._shared.outbox.add(ready, replaces="ready")
        self._socket = socket
        self._notify()
        try:
            return await socket.run(self._deliver), time.monotonic() - started
        finally:
            self._socket = None

    async def _renewed_after_refusal(self) -> bool:
        """False when the server said no; no answer is no verdict."""
        while True:
            try:
                await self.account.renew()
            except ServerUnreachable:
                await asyncio.sleep(self._backoff.next_s())
            except ApiError as error:
                if not error.retryable:
                    return False
                await asyncio.sleep(max(self._backoff.next_s(), error.retry_after_s or 0))
            else:
                return True

    async def _renew_tokens(self) -> None:
        """A fresh token before the old one ends, told to the socket."""
        await self.online(timeout=None)  # its welcome says how long the token lives
        while (tokens := self.account.tokens) is not None:
            await asyncio.sleep(min(max(1.0, tokens.renew_in_s), _LOOK_AT_TOKEN_S))
            if tokens.renew_in_s > 0:
                continue
            try:
                await self.account.renew(tokens.access)
                await self.post("token", {"token": self.account.access_token}, replaces="token")
            except PhoneStopped:
                return
            except PhoneError:
                await asyncio.sleep(_RENEW_AGAIN_S)  # the socket's 4401 decides if it never works again

    def _stop(self, reason: str) -> None:
        self._stopped = self._stopped or PhoneStopped(reason)
        self._shared.outbox.clear("closed")
        self._notify()

    # Frames.

    def _deliver(self, frame: Frame) -> None:
        data = frame.get("data") or {}
        match frame.get("type"):
            case "welcome":
                self._welcome(frame)
            case "ack":
                self._shared.outbox.settle(data.get("id") or frame.get("id") or "")
            case "error" if (data.get("id") or "") in self._shared.outbox:
                self._shared.outbox.refused(data["id"], _refused(data), asyncio.get_running_loop().time())
            case "pong":
                pass
            case "drain":
                self._resume_not_before = time.monotonic() + data["resume_in_ms"] / 1000
                self._put(frame)
            case _:
                self._apply(frame)
                self._put(frame)

    def _welcome(self, frame: Frame) -> None:
        data = frame["data"]
        self._shared.cursor.welcome(data)
        if self.account.tokens is not None:
            self.account.tokens.ends_in(_seconds_between(data["now"], data["token_expires_at"]))
        changes = list(what_changed(self.state, data))
        self._put(frame)
        for change in changes:
            self._deliver(change)
        self.state = PhoneState(data["user"], self.state.request, self.state.offers, self.state.call)
        self._notify()

    def _apply(self, frame: Frame) -> None:
        self.state = self.state.after(frame)
        if frame.get("type") == "call":
            call = frame["data"]["call"]
            ended = call["state"] == "ended"
            self._shared.outbox.forget_call(call["id"], before_attempt=None if ended else call["attempt"])
        self._notify()

    def _put(self, frame: Frame) -> None:
        if len(self._incoming) >= INCOMING_LIMIT:
            self._incoming.popleft()
            self.dropped += 1
        self._incoming.append(frame)
        self._notify()

    def _take(self, types: tuple[str, ...]) -> Frame | None:
        for index, frame in enumerate(self._incoming):
            if not types or frame["type"] in types:
                del self._incoming[index]
                return frame
        return None

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        """The next change of anything. Raises `PhoneStopped` when there will be none."""
        if self._stopped is not None:
            raise self._stopped
        await self._changed.wait()


def _refused(data: View) -> FrameRefused:
    return FrameRefused(
        data.get("code", "unknown"),
        data.get("message", ""),
        retryable=data.get("retryable", False),
        details=data.get("details"),
    )


def _seconds_between(now: str, then: str) -> float:
    """Both by the server's clock, so that this machine's own does not matter."""
    return (datetime.fromisoformat(then) - datetime.fromisoformat(now)).total_seconds()
