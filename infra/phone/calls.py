"""One call of the phone with its media: an attempt's peer connection after another, until the call is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import uuid4

from infra.phone.errors import ApiError, ServerUnreachable
from infra.phone.peer import CannotApply, Peer
from infra.phone.state import Frame, View, is_older
from infra.phone.stats import StatsReport
from infra.phone.tracks import Media

LOOK_EVERY_S = 0.5
SILENT_S = 6.0
"""Connected, and nothing at all arrived for so long: the connection is reported as disconnected."""
BROKEN_WAIT_S = 1.0
"""The other side closes its connection a moment before the call's end is told; do not rejoin for that."""
MOST_REJOINS = 5
HELD_SIGNALS = 128
_HEARD = 256
_TYPES = ("call", "description", "candidate", "chat", "peer", "welcome")

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What happens in a call, as it happens."""

    def __call__(self, event: str, details: Mapping[str, Any], /) -> None:
        """`attempt`, `state` {state}, `media` (the report), `first_audio`, `first_video`, `chat` (its data), `peer`."""


class CallLine(Protocol):
    """What a call needs of the phone's line to the server."""

    async def next(self, *types: str, timeout: float | None) -> Frame:
        """The oldest frame not taken yet of one of these types; it is taken by this."""

    async def post(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        call: View,
        replaces: str | None = None,
        message_id: str | None = None,
    ) -> object:
        """Send a frame of this call and attempt, and see that it arrives."""

    async def rejoin(self, call: View) -> View:
        """The call with its next attempt. Raises `ApiError`, `ServerUnreachable`."""

    async def end_call(self, call: View, reason: str = "done") -> View: ...


class PhoneCall:
    """Runs one call to its end. `media` makes what is sent, anew for each attempt."""

    def __init__(
        self,
        phone: CallLine,
        call: View,
        media: Callable[[], Media],
        listener: Listener = lambda event, details: None,
        through: Callable[[View], View] = lambda call: call,
    ) -> None:
        """`through` changes the call that connections are built for: its ICE servers, its policy."""
        self.call = call
        self.peer: Peer | None = None
        self._stats = StatsReport(0.0)
        self.reports: Mapping[str, Any] | None = None
        """The last `media` report."""
        self.phone = phone
        self._media = media
        self._tell = listener
        self._through = through
        self._look_now = asyncio.Event()
        self._acting = asyncio.Lock()
        """Listening and watching both may begin an attempt: one at a time."""
        self._early: list[Frame] = []
        self._heard_ids: dict[str, None] = {}
        self._told_first: set[str] = set()
        self._rejoins = 0
        self._stalled_since: float | None = None
        self._broken_since: float | None = None

    @property
    def _in_writing(self) -> bool:
        return bool(self.call["mode"] == "text")

    async def run(self) -> View:
        """Until the call has ended; gives it. Raises `PhoneStopped` when the phone itself cannot go on."""
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch())
                await self._listen()
                watching.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._close_peer()
        return self.call

    async def say(self, text: str, language: str) -> None:
        """Chat, by the socket and by the data channel under one id; the receiver drops the second."""
        data = {"text": text, "language": language}
        message_id = uuid4().hex
        if self.peer is not None:
            self.peer.say({"type": "chat", "id": message_id, "data": data})
        await self.phone.post("chat", data, call=self.call, message_id=message_id)

    async def end(self, reason: str = "done") -> None:
        """Hang up; `run` returns when the server has said so."""
        await self.phone.end_call(self.call, reason)

    # What comes in.

    async def _listen(self) -> None:
        async with self._acting:
            await self._begin_attempt()
        while self.call["state"] != "ended":
            frame = await self.phone.next(*_TYPES, timeout=None)
            async with self._acting:
                await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        data = frame.get("data") or {}
        match frame["type"]:
            case "welcome":
                self.reports = None  # said again, in case it was lost with everything else
            case "call" if data["call"]["id"] == self.call["id"]:
                await self._call_changed(data["call"])
            case "peer":
                self._tell("peer", data)
            case "chat" if frame.get("call") in (None, self.call["id"]):
                self._chat(frame)
            case "description" | "candidate" if frame.get("call") == self.call["id"]:
                await self._signal(frame)

    async def _call_changed(self, call: View) -> None:
        if is_older(call, self.call):
            return
        before, self.call = self.call, call
        if call["state"] != before["state"]:
            self._tell("state", {"state": call["state"], "end_reason": call.get("end_reason")})
        if call["attempt"] > before["attempt"] and call["state"] != "ended":
            await self._begin_attempt()

    async def _signal(self, frame: Frame) -> None:
        """A signal of a later attempt may come before the `call` that tells of it."""
        attempt = frame.get("attempt", self.call["attempt"])
        if attempt > self.call["attempt"]:
            self._early = [*self._early[1 - HELD_SIGNALS :], frame]
            return
        if attempt < self.call["attempt"] or self.peer is None:
            return
        try:
            if frame["type"] == "candidate":
                await self.peer.candidate(frame["data"])
            elif (answer := await self.peer.describe(frame["data"])) is not None:
                await self.phone.post("description", answer, call=self.call)
        except CannotApply as error:
            log.info("a new attempt is needed: %s", error)
            await self._rejoin()

    def _chat(self, frame: Frame) -> None:
        """From the socket or the data channel, each message once."""
        if (message_id := frame.get("id")) is not None:
            if message_id in self._heard_ids:
                return
            self._heard_ids[message_id] = None
            if len(self._heard_ids) > _HEARD:
                del self._heard_ids[next(iter(self._heard_ids))]
        data = frame.get("data")
        if isinstance(data, dict):
            self._tell("chat", data)

    def _message(self, frame: Frame) -> None:
        if frame.get("type") == "chat":
            self._chat(frame)

    # The connection.

    async def _begin_attempt(self) -> None:
        await self._close_peer()
        self.reports = None
        self._stalled_since = self._broken_since = None
        self._stats = StatsReport(asyncio.get_running_loop().time())
        self._tell("attempt", {"attempt": self.call["attempt"]})
        call = self._through(self.call)
        peer = self.peer = Peer(call, self._media(), changed=self._look_now.set, message=self._message)
        if peer.offers_first:
            offer = await peer.offer(in_writing=self._in_writing)
            await self.phone.post("description", offer, call=self.call)
        early, self._early = self._early, []
        for frame in early:
            await self._signal(frame)

    async def _rejoin(self) -> None:
        """This side's connection is of no more use: ask for the next attempt, which both build anew."""
        self._rejoins += 1
        try:
            if self._rejoins > MOST_REJOINS:
                await self.end("technical")
            else:
                await self._call_changed(await self.phone.rejoin(self.call))
        except ServerUnreachable:
            self._rejoins -= 1  # the next look tries again
        except ApiError as error:
            log.info("rejoin refused: %s", error.code)  # ended, or already a later attempt: a `call` says which

    async def _close_peer(self) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            await peer.close()

    # Reporting.

    async def _watch(self) -> None:
        """Report what flows when it changes, and notice a connection that is gone."""
        while True:
            self._look_now.clear()
            async with self._acting:
                await self._look()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._look_now.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        peer = self.peer
        if peer is None or self.call["state"] == "ended":
            return
        if peer.state in ("failed", "closed"):
            await self._broken()
            return
        if peer.state != "connected":
            return
        receiving = peer.receiving()
        for kind, flows in receiving.items():
            if flows and kind not in self._told_first:
                self._told_first.add(kind)
                self._tell(f"first_{kind}", {})
        report = {
            "state": "disconnected" if self._is_silent(any(receiving.values())) else "connected",
            "sending": peer.sending(),
            "receiving": receiving,
            "paused": None,
        }
        await self._report(report)
        stats = await self._stats.look(peer, asyncio.get_running_loop().time())
        if stats is not None:
            await self.phone.post("stats", stats, call=self.call, replaces="stats")

    async def _broken(self) -> None:
        nothing = {"audio": False, "video": False}
        await self._report({"state": "failed", "sending": nothing, "receiving": nothing, "paused": None})
        now = asyncio.get_running_loop().time()
        self._broken_since = self._broken_since or now
        if now - self._broken_since >= BROKEN_WAIT_S:
            await self._rejoin()

    async def _report(self, report: Mapping[str, Any]) -> None:
        if report == self.reports:
            return
        self.reports = report
        self._tell("media", report)
        await self.phone.post("media", report, call=self.call, replaces="media")

    def _is_silent(self, anything_flows: bool) -> bool:
        now = asyncio.get_running_loop().time()
        if anything_flows or self._in_writing:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        return self._stalled_since is not None and now - self._stalled_since > SILENT_S
