"""What the frames of a socket mean: implements `Conversation` on the desk and the switchboard."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from matching.languages import PROBE_LANGUAGE
from matching.ports import NotFound
from server.auth import Caller
from server.call_reports import CallReports
from server.desk import AcceptRefused, Desk
from server.failures import where_raised
from server.presenting import offer_view, request_view, user_view
from server.socket import messages as wire
from server.socket.conversation import FrameError, Snapshot
from server.socket.envelope import encode
from server.telling import Outages, Telling
from signaling.model import CallState, EndReason, Media, Side
from signaling.negotiation import ufrag_of_candidate
from signaling.ports import Changed, NoSuchCall, Once
from signaling.privacy import RelayNets, relay_candidate, relayed_only
from signaling.switchboard import CallRefused, NotTheOwner, Refused, Route

log = structlog.get_logger()

NegotiationFrame = wire.DescriptionFrame | wire.CandidateFrame
CallFrame = NegotiationFrame | wire.PassedFrame | wire.MediaFrame | wire.StatsFrame | wire.EndFrame


class Presence(Protocol):
    """When sessions were seen, and which of them said ready."""

    def seen(self, session_id: UUID) -> None: ...

    async def attach(self, session_id: UUID, owner_epoch: int) -> None: ...

    async def detach(self, session_id: UUID, owner_epoch: int) -> bool:
        """Also takes readiness. False when a later owner has the session's socket."""

    async def set_ready(self, session_id: UUID, owner_epoch: int, ready: bool) -> bool:
        """False when the session cannot be ready, or a later owner has its socket."""


class Frames:
    """Holds nothing that matters: routes of calls are read again whenever a `call` message passes."""

    def __init__(
        self,
        desk: Desk,
        presence: Presence,
        telling: Telling,
        outages: Outages,
        reports: CallReports,
        relays: RelayNets | None = None,
    ) -> None:
        """`relays`: nothing but candidates of these networks passes; None: everything does."""
        self._relays = relays
        self._desk = desk
        self._presence = presence
        self._telling = telling
        self._outages = outages
        self._reports = reports
        self._routes: dict[UUID, Route] = {}

    # -- coming and going ---------------------------------------------------------------------------------------------

    async def snapshot(self, caller: Caller) -> Snapshot:
        request, offers = None, []
        if caller.role != "volunteer":
            current = await self._desk.current_request(caller)
            request = request_view(current) if current else None
        if caller.role != "requester":
            now, opened = await self._desk.open_offers(caller)
            offers = [offer_view(offer, now) for offer in opened]
        return Snapshot(user_view(caller), request, offers, await self._desk.live_call(caller))

    async def attached(self, caller: Caller, owner_epoch: int) -> None:
        await self._presence.attach(caller.session_id, owner_epoch)
        if caller.role == "volunteer":  # may be asked within their hours while the app is open
            await self._desk.person_changed(caller.user_id)
        await self._side_moved(caller, self._desk.switchboard.attached, "back")

    async def detached(self, caller: Caller, owner_epoch: int) -> None:
        if not await self._presence.detach(caller.session_id, owner_epoch):
            return
        if caller.role != "requester":
            await self._desk.person_changed(caller.user_id)

        async def away(call_id: UUID, session_id: UUID) -> Changed:
            return await self._desk.switchboard.detached(call_id, session_id, owner_epoch)

        await self._side_moved(caller, away, "away")

    def left(self, session_id: UUID) -> None:
        self._routes.pop(session_id, None)

    async def _side_moved(self, caller: Caller, move: Callable[[UUID, UUID], Awaitable[Changed]], state: str) -> None:
        """Write that a side's socket came or went, and let the other side know when that is news."""
        call = await self._desk.switchboard.live_of_person(caller.user_id)
        side = call.side_of_session(caller.session_id) if call is not None else None
        if call is None or side is None:
            return
        changed = await move(call.id, caller.session_id)
        was_away = changed.before.end(side).away_since is not None
        is_away = changed.after.end(side).away_since is not None
        if was_away != is_away and changed.after.state is not CallState.ENDED:
            await self._telling.peer(changed.after, side, "back" if state == "back" else "away", "network")
        if state == "back":  # also when it is well: what was told last may have been lost
            await self._telling.picture(changed.after)

    def seen(self, session_id: UUID) -> None:
        self._presence.seen(session_id)

    def passing(self, session_id: UUID, type: str) -> None:
        if type == "call":
            self._routes.pop(session_id, None)

    async def delivered(self, caller: Caller, offers: Collection[tuple[UUID, int]]) -> None:
        await self._desk.help_desk.delivered(caller.user_id, offers)

    # -- frames -------------------------------------------------------------------------------------------------------

    async def handle(self, caller: Caller, owner_epoch: int, frame: wire.ConversationFrame) -> None:
        try:
            await self._handle(caller, owner_epoch, frame)
        except CallRefused as refused:
            raise FrameError(refused.code, _WORDS[refused.code]) from None
        except NoSuchCall:
            raise FrameError(Refused.NOT_IN_CALL, _WORDS[Refused.NOT_IN_CALL]) from None
        except NotTheOwner:  # the later owner may have this message, too, and waits to hear what came of it
            raise FrameError("unavailable", "another socket speaks for this session now", retryable=True) from None
        except self._outages as error:
            log.error("frame failed", type=type(frame).__name__, error=type(error).__name__, where=where_raised(error))
            raise FrameError("unavailable", "this failed on our side and may be tried again", True) from None

    async def _handle(self, caller: Caller, owner_epoch: int, frame: wire.ConversationFrame) -> None:
        match frame:
            case wire.ReadyFrame():
                await self._ready(caller, owner_epoch, frame.data.ready)
            case wire.AcceptFrame():
                await self._accept(caller, frame.data)
            case wire.DeclineFrame():
                await self._decline(caller, frame.data)
            case _:
                await self._in_call(caller, owner_epoch, frame)

    async def _ready(self, caller: Caller, owner_epoch: int, ready: bool) -> None:
        _only_volunteers(caller)
        if not await self._presence.set_ready(caller.session_id, owner_epoch, ready):
            if caller.role == "volunteer":
                raise NotTheOwner
            raise FrameError("wrong_role", "only a volunteer may send this")
        await self._desk.person_changed(caller.user_id)

    async def _accept(self, caller: Caller, data: wire.Accept) -> None:
        _only_volunteers(caller)
        try:
            await self._desk.accept(caller, data.request_id, data.epoch)
        except AcceptRefused as refused:
            raise FrameError(refused.refusal, "this accept did not win", details=refused.details or None) from None
        except NotFound:
            raise FrameError("not_offered", "this request was not offered to you") from None

    async def _decline(self, caller: Caller, data: wire.Decline) -> None:
        _only_volunteers(caller)
        try:
            await self._desk.decline(caller, data.request_id, data.epoch)
        except NotFound:
            raise FrameError("not_offered", "this request was not offered to you") from None

    async def _in_call(self, caller: Caller, owner_epoch: int, frame: CallFrame) -> None:
        if frame.call is None:
            raise FrameError("bad_message", "call: missing", details={"field": "call"})
        if frame.attempt is None:
            raise FrameError("bad_message", "attempt: missing", details={"field": "attempt"})
        if isinstance(frame, wire.EndFrame):
            await self._end(caller, frame.call, frame.attempt, EndReason(frame.data.reason))
            return
        if isinstance(frame, wire.PassedFrame):
            await self._pass_on(caller, frame.call, frame.attempt, frame)
            return
        route = await self._route(caller, frame.call, frame.attempt)
        if isinstance(frame, wire.MediaFrame):
            await self._media(route, owner_epoch, frame.data)
        elif isinstance(frame, wire.StatsFrame):
            await self._stats(caller.session_id, route, owner_epoch, frame.data)
        else:
            await self._negotiate(route, frame)

    async def _end(self, caller: Caller, call_id: UUID, attempt: int, reason: EndReason) -> None:
        """Hang up, also when the other side did just now; a device the call was moved away from ends nothing."""
        route = await self._desk.switchboard.route(call_id, caller.session_id)
        if route.ended:
            return
        if route.attempt != attempt:
            raise CallRefused(Refused.STALE_ATTEMPT)
        await self._desk.end_call(caller, call_id, reason)

    async def _route(self, caller: Caller, call_id: UUID, attempt: int) -> Route:
        route = self._routes.get(caller.session_id)
        if route is None or route.call_id != call_id or route.attempt != attempt or route.ended:
            route = await self._desk.switchboard.route(call_id, caller.session_id)
            self._routes[caller.session_id] = route
        if route.ended:
            raise CallRefused(Refused.CALL_ENDED)
        if route.attempt != attempt:
            raise CallRefused(Refused.STALE_ATTEMPT)
        return route

    async def _pass_on(self, caller: Caller, call_id: UUID, attempt: int, frame: wire.PassedFrame) -> None:
        """Once for each id: the mailbox it goes to remembers. What was passed before is well, whatever came since."""
        once = Once(caller.session_id, frame.id) if frame.id is not None else None
        switchboard = self._desk.switchboard
        try:
            route = await self._route(caller, call_id, attempt)
            out = _passed(route, frame)
        except CallRefused:
            if once is None or not await switchboard.was_relayed(call_id, once):
                raise
            return
        relayed = switchboard.relay(route, out) if once is None else switchboard.relay_once(route, out, once)
        if not await relayed:  # after a wipe of Valkey the other side has no mailbox for a moment
            raise FrameError("unavailable", "the other side cannot be reached now", retryable=True)

    async def _negotiate(self, route: Route, frame: NegotiationFrame) -> None:
        now = time.time()
        if isinstance(frame, wire.DescriptionFrame):
            await self._relay_description(route, frame, now)
        else:
            await self._relay_candidate(route, frame, now)

    def _relays_of(self, route: Route) -> RelayNets | None:
        return None if route.direct else self._relays

    async def _relay_description(self, route: Route, frame: wire.DescriptionFrame, now: float) -> None:
        data, has_candidates = frame.data, True
        if (relays := self._relays_of(route)) is not None:
            filtered = relayed_only(data.sdp, relays)
            if filtered.complete and not filtered.relays:
                raise CallRefused(Refused.NO_RELAY)
            data, has_candidates = msgspec.structs.replace(data, sdp=filtered.sdp), filtered.relays > 0
        out = encode(wire.RelayedDescriptionFrame(data=data, id=frame.id, call=frame.call, attempt=frame.attempt))
        pass_on = self._desk.switchboard.relay_description
        await pass_on(route, data.type, data.negotiation, data.sdp, out, now, has_candidates=has_candidates)

    async def _relay_candidate(self, route: Route, frame: wire.CandidateFrame, now: float) -> None:
        """One that may not pass is acknowledged and goes no further: its sender has done nothing wrong."""
        data, relays = frame.data, self._relays_of(route)
        ufrag = ufrag_of_candidate(data.candidate, data.username_fragment)
        if data.candidate and relays is not None:
            passed = relay_candidate(data.candidate, relays)
            if passed is None:
                return
            data = msgspec.structs.replace(data, candidate=passed)
        out = encode(wire.RelayedCandidateFrame(data=data, id=frame.id, call=frame.call, attempt=frame.attempt))
        if data.candidate or relays is None:
            await self._desk.switchboard.relay_candidate(route, ufrag, out, now)
        else:
            await self._desk.switchboard.end_of_candidates(route, ufrag, out, now)

    async def _media(self, route: Route, owner_epoch: int, data: wire.MediaReport) -> None:
        report = Media(
            state=data.state,
            sends_audio=data.sending.audio,
            sends_video=data.sending.video,
            receives_audio=data.receiving.audio,
            receives_video=data.receiving.video,
            paused=data.paused,
        )
        changed = await self._desk.switchboard.media(route, report, owner_epoch)
        before, after = (call.end(route.side).media.paused for call in (changed.before, changed.after))
        if before != after:
            await self._telling.peer(changed.after, route.side, "paused" if after else "back", after or before)

    async def _stats(self, session_id: UUID, route: Route, owner_epoch: int, data: wire.Stats) -> None:
        if route.practice:
            return
        if route.language != PROBE_LANGUAGE:  # of no figures
            self._reports.reported(session_id, route, data)
        if data.luma is not None and route.side is Side.VOLUNTEER:
            await self._desk.switchboard.light(route, data.luma, owner_epoch)


def _passed(route: Route, frame: wire.PassedFrame) -> bytes:
    """What the other side gets. Raises `CallRefused` where this side may not say it."""
    match frame:
        case wire.ChatFrame(data=data):
            return encode(wire.RelayedChatFrame(data=data, id=frame.id, call=frame.call, attempt=frame.attempt))
        case wire.ControlFrame(data=data):
            _only_from(route, Side.VOLUNTEER)
            return encode(wire.RelayedControlFrame(data=data, id=frame.id, call=frame.call, attempt=frame.attempt))
        case wire.ControlStateFrame(data=data):
            _only_from(route, Side.REQUESTER)
            relayed = wire.RelayedControlStateFrame
            return encode(relayed(data=data, id=frame.id, call=frame.call, attempt=frame.attempt))


def _only_from(route: Route, side: Side) -> None:
    if route.side is not side:
        raise CallRefused(Refused.WRONG_SIDE)


def _only_volunteers(caller: Caller) -> None:
    """A role is set once, perhaps after the socket was opened: who had none then may be a volunteer by now."""
    if caller.role == "requester":
        raise FrameError("wrong_role", "only a volunteer may send this")


_WORDS = {
    Refused.NOT_IN_CALL: "this session is not in this call",
    Refused.CALL_ENDED: "the call has ended",
    Refused.STALE_ATTEMPT: "the call is at another attempt",
    Refused.STALE_NEGOTIATION: "a newer description was seen",
    Refused.WRONG_SIDE: "the other side may send this, not yours",
    Refused.NO_RELAY: "no candidate of this side may pass: its network lets it reach no relay",
    Refused.TOO_MANY_CANDIDATES: "too many candidates wait for their description",
}
