"""The service of signaling: relays what the two sides say, follows their media, moves and ends their call.

Every change is decided by a pure rule (`call_rules`, `negotiation`), committed, and told by the herald; relayed frames
go from mailbox to mailbox and are never kept longer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from signaling import call_rules, negotiation
from signaling.call_rules import CallLimits
from signaling.model import Call, CallState, EndReason, Media, Picture, Side
from signaling.negotiation import Judged, Negotiation, Verdict
from signaling.ports import (
    CallBook,
    CarrierUnavailable,
    Changed,
    Herald,
    NegotiationStore,
    NoSuchCall,
    Once,
    Sender,
)

CAS_TRIES = 8


class Refused(StrEnum):
    """Why a frame was not relayed (the contract's error codes)."""

    NOT_IN_CALL = "not_in_call"
    CALL_ENDED = "call_ended"
    STALE_ATTEMPT = "stale_attempt"
    STALE_NEGOTIATION = "stale_negotiation"
    WRONG_SIDE = "wrong_side"
    TOO_MANY_CANDIDATES = "too_many_candidates"
    NO_RELAY = "no_relay"


class NotTheOwner(Exception):
    """A later owner has the session's socket: what an earlier one says of it is void, and must not count as done."""


class CallRefused(Exception):
    """The frame or call cannot be done; `code` says why."""

    def __init__(self, code: Refused) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Route:
    """Where a session's frames go: its call, its side of it, and the other side's session."""

    call_id: UUID
    attempt: int
    side: Side
    peer_session: UUID
    ended: bool
    practice: bool = False
    language: str = ""
    direct: bool = False
    """Whether addresses may pass, whatever the deployment says of strangers."""


OnEnded = Callable[[Call, datetime], Awaitable[None]]
"""Called after a call's end was committed: people are free again."""


class Switchboard:
    """Brings two sessions into one call and keeps them there."""

    def __init__(
        self,
        book: CallBook,
        sender: Sender,
        negotiations: NegotiationStore,
        herald: Herald,
        on_ended: OnEnded,
        limits: CallLimits,
    ) -> None:
        self._book = book
        self._sender = sender
        self._negotiations = negotiations
        self._herald = herald
        self._on_ended = on_ended
        self._limits = limits

    # -- the call -----------------------------------------------------------------------------------------------------

    async def get(self, call_id: UUID, person_id: UUID) -> Call:
        """The call, if this person is in it. Raises `NoSuchCall`."""
        call = await self._book.get(call_id)
        if call is None or call.side_of_person(person_id) is None:
            raise NoSuchCall
        return call

    async def of_epoch(self, request_id: UUID, epoch: int) -> Call | None:
        """The call an accept led to."""
        return await self._book.of_epoch(request_id, epoch)

    async def live_of_person(self, person_id: UUID) -> Call | None:
        """The call the person is in now, on whichever session."""
        return await self._book.live_of_person(person_id)

    async def end(self, call_id: UUID, person_id: UUID, reason: EndReason) -> Call:
        """Hang up; said again, or after the other side did, it changes nothing. Raises `NoSuchCall`."""
        side = (await self.get(call_id, person_id)).side_of_person(person_id)
        return (await self._change(call_id, lambda call, now: call_rules.end(call, reason, side, now))).after

    async def take(self, call_id: UUID, person_id: UUID, session_id: UUID) -> tuple[Call, UUID | None]:
        """Move the person's side to this session; gives also the session it was moved from. Raises `NoSuchCall`."""
        side = (await self.get(call_id, person_id)).side_of_person(person_id)
        assert side is not None
        moved_from: UUID | None = None

        def rule(call: Call, now: datetime) -> Call:
            nonlocal moved_from
            taken = call_rules.take(call, side, session_id, now, self._limits)
            moved_from = call.end(side).session_id if taken is not call else None
            return taken

        return (await self._change(call_id, rule)).after, moved_from

    async def rejoin(self, call_id: UUID, session_id: UUID, attempt: int) -> Call:
        """This session has no connection of this attempt: both build anew. Raises `NoSuchCall`, `CallRefused`."""

        def rule(call: Call, now: datetime) -> Call:
            if call.side_of_session(session_id) is None:
                raise CallRefused(Refused.NOT_IN_CALL)
            if call.state is CallState.ENDED:
                raise CallRefused(Refused.CALL_ENDED)
            try:
                return call_rules.rejoin(call, attempt, now, self._limits)
            except call_rules.StaleAttempt:
                raise CallRefused(Refused.STALE_ATTEMPT) from None

        return (await self._change(call_id, rule)).after

    async def media(self, route: Route, report: Media, owner_epoch: int) -> Changed:
        """A side says how its connection is, to this owner of its mailbox. Raises `CallRefused`, `NotTheOwner`."""

        def rule(call: Call, now: datetime) -> Call:
            if call.end(route.side).owner_epoch > owner_epoch:
                raise NotTheOwner
            if call.attempt != route.attempt:
                raise CallRefused(Refused.STALE_ATTEMPT)
            return call_rules.media(call, route.side, report, now)

        return await self._change(route.call_id, rule)

    async def light(self, route: Route, luma: float, owner_epoch: int) -> None:
        """A side says how light the picture it receives is; void like `media`. Mostly that is no news."""
        call = await self._book.get(route.call_id)
        was_dark = call is not None and call.end(route.side).media.receives_dark
        if call is None or call_rules.is_dark(luma, was_dark) == was_dark:
            return

        def rule(call: Call, now: datetime) -> Call:
            stale = call.end(route.side).owner_epoch > owner_epoch or call.attempt != route.attempt
            return call if stale else call_rules.light(call, route.side, luma, now)

        await self._change(route.call_id, rule)

    async def look(self, call_id: UUID) -> None:
        """End what time has ended."""
        await self._change(call_id, lambda call, now: call_rules.look(call, now, self._limits))

    async def drained(self, call_id: UUID) -> None:
        """The node whose phone is one side of it goes."""
        await self._change(call_id, lambda call, now: call_rules.end(call, EndReason.DRAINED, None, now))

    async def attached(self, call_id: UUID, session_id: UUID) -> Changed:
        """The session's socket is (again) here."""
        return await self._presence(call_id, session_id, call_rules.back)

    async def detached(self, call_id: UUID, session_id: UUID, owner_epoch: int) -> Changed:
        """The session's socket is gone, by the word of this owner of its mailbox; void when a later one has one."""

        def away(call: Call, side: Side, now: datetime) -> Call:
            return call if call.end(side).owner_epoch > owner_epoch else call_rules.away(call, side, now)

        return await self._presence(call_id, session_id, away)

    async def _presence(self, call_id: UUID, session_id: UUID, rule: Callable[[Call, Side, datetime], Call]) -> Changed:
        def apply(call: Call, now: datetime) -> Call:
            side = call.side_of_session(session_id)
            return call if side is None else rule(call, side, now)

        return await self._change(call_id, apply)

    async def _change(self, call_id: UUID, rule: Callable[[Call, datetime], Call]) -> Changed:
        changed = await self._book.change(call_id, rule)
        if changed.after.version != changed.before.version:
            await self._herald.tell(changed.after)
        if _picture_is_news(changed):
            await self._herald.picture(changed.after)
        if changed.after.state is CallState.ENDED and changed.before.state is not CallState.ENDED:
            await self._on_ended(changed.after, changed.now)
        return changed

    # -- relaying -----------------------------------------------------------------------------------------------------

    async def route(self, call_id: UUID, session_id: UUID) -> Route:
        """Where this session's frames for the call go. Raises `CallRefused` when it has no part in it."""
        call = await self._book.get(call_id)
        side = call.side_of_session(session_id) if call is not None else None
        if call is None or side is None:
            raise CallRefused(Refused.NOT_IN_CALL)
        return Route(
            call_id=call.id,
            attempt=call.attempt,
            side=side,
            peer_session=call.end(side.other).session_id,
            ended=call.state is CallState.ENDED,
            practice=call.practice is not None,
            language=call.language,
            direct=call.direct,
        )

    async def relay(self, route: Route, frame: bytes) -> bool:
        """Pass a frame on as it is; False when the other side has no mailbox now. Raises `CarrierUnavailable`."""
        return await self._sender.send(route.peer_session, frame)

    async def relay_once(self, route: Route, frame: bytes, once: Once) -> bool:
        """As `relay`; said again, also when it was sent before."""
        return await self._sender.relay(route.peer_session, frame, once)

    async def was_relayed(self, call_id: UUID, once: Once) -> bool:
        """Whether this was passed on in the call, however the call is now. Raises `CallRefused`."""
        route = await self.route(call_id, once.sender)
        return await self._sender.was_relayed(route.peer_session, once)

    async def relay_description(
        self, route: Route, kind: str, number: int, sdp: str, frame: bytes, now: float, *, has_candidates: bool = True
    ) -> None:
        """Judge and pass a description, and the candidates that waited for it.

        Raises `CallRefused`, `CarrierUnavailable`.
        """

        def rule(state: Negotiation) -> Judged:
            judge = negotiation.description
            return judge(state, route.side, kind, number, sdp, now, has_candidates=has_candidates)

        judged = await self._judge(route, rule)
        await self._pass(route, frame)
        for held in judged.released:
            await self._pass(route, held.encode())

    async def relay_candidate(self, route: Route, ufrag: str | None, frame: bytes, now: float) -> None:
        """Judge and pass (or drop, or hold) a candidate. Raises `CallRefused`, `CarrierUnavailable`."""
        text = frame.decode()
        judged = await self._judge(route, lambda s: negotiation.candidate(s, route.side, ufrag, text, now))
        if judged.verdict is Verdict.PASS:
            await self._pass(route, frame)

    async def end_of_candidates(self, route: Route, ufrag: str | None, frame: bytes, now: float) -> None:
        """Pass (or drop, or hold) the word that a side has no more candidates.

        Raises `CallRefused` when none of its passed, `CarrierUnavailable`.
        """
        text = frame.decode()
        judged = await self._judge(route, lambda s: negotiation.no_more_candidates(s, route.side, ufrag, text, now))
        if judged.verdict is Verdict.PASS:
            await self._pass(route, frame)

    async def _pass(self, route: Route, frame: bytes) -> None:
        """A signal nobody got must be said again, or its sender waits for what it leads to."""
        if not await self.relay(route, frame):
            raise CarrierUnavailable("the other side has no mailbox now")

    async def _judge(self, route: Route, rule: Callable[[Negotiation], Judged]) -> Judged:
        """Apply a rule to the attempt's shared state; another node may be first, then it is applied to theirs."""
        for _ in range(CAS_TRIES):
            state, revision = await self._negotiations.load(route.call_id, route.attempt)
            judged = rule(state)
            if judged.verdict in _REFUSALS:
                raise CallRefused(_REFUSALS[judged.verdict])
            same = judged.state == state
            if same or await self._negotiations.store(route.call_id, route.attempt, judged.state, revision):
                return judged
        raise CarrierUnavailable("two nodes kept changing one negotiation")


def _picture_is_news(changed: Changed) -> bool:
    """That a first picture came people see, or hear by the call's state."""
    before, after = changed.before.picture, changed.after.picture
    first = before is None and after is Picture.OK
    return after is not before and not first and changed.after.state is not CallState.ENDED


_REFUSALS = {
    Verdict.STALE: Refused.STALE_NEGOTIATION,
    Verdict.WRONG_SIDE: Refused.WRONG_SIDE,
    Verdict.TOO_MANY: Refused.TOO_MANY_CANDIDATES,
    Verdict.NO_RELAY: Refused.NO_RELAY,
}
