"""What HTTP calls and socket frames have in common: the actions of requesters and volunteers, however they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from matching.help_desk import HelpDesk, NotWon, Refusal
from matching.model import Request
from matching.ports import NotFound, OpenOffer, RequestBook
from matching.request_rules import Acceptance, Event
from server.auth import Caller
from server.consequences import event_of_end
from server.ice import IceAnswer, IceServers
from server.presenting import call_view, offer_view
from server.tasks import Errands
from server.telling import Telling
from server.views import CallView, timestamp
from signaling.model import Call, CallState, EndReason, Side
from signaling.ports import NoSuchCall
from signaling.switchboard import CallRefused, Refused, Switchboard

LOOKS_AT_ONCE = 3
"""On one node. The more looks are at it together, the more of them find that what they were to do was just done."""


@dataclass(frozen=True)
class AcceptRefused(Exception):
    """The accept did not win; being second is thanks, not failure."""

    refusal: Refusal
    details: Mapping[str, Any] = field(default_factory=dict)
    """The contract's `{standby_until?, offer?}`."""


class Desk:
    """One action, one method, in terms of the caller; joins the two services and keeps looks going."""

    def __init__(
        self,
        help_desk: HelpDesk,
        switchboard: Switchboard,
        book: RequestBook,
        telling: Telling,
        ice: IceServers,
        errands: Errands,
        clock: Callable[[], datetime],
    ) -> None:
        self.help_desk = help_desk
        self.switchboard = switchboard
        self._book = book
        self._telling = telling
        self._ice = ice
        self._errands = errands
        self._clock = clock
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looks: dict[UUID, bool] = {}
        """Requests with a look on its way -> whether to look once more after it."""

    # -- looking ------------------------------------------------------------------------------------------------------

    async def look(self, request_id: UUID) -> None:
        """Look at a request, and at its call if it has one; who came first is looked at first."""
        async with self._looking:
            call_id = await self.help_desk.look(request_id)
            if call_id is not None:
                await self.switchboard.look(call_id)

    def look_soon(self, request_id: UUID) -> None:
        """Something happened that may want people asked at once; should it be lost, the next due look does it."""
        if request_id in self._looks:
            self._looks[request_id] = True
        elif self._errands.start("look", self._look_until_quiet(request_id)):
            self._looks[request_id] = False

    async def _look_until_quiet(self, request_id: UUID) -> None:
        """However many things happen during a look, one more look sees them all."""
        try:
            again = True
            while again:
                self._looks[request_id] = False
                await self.look(request_id)
                again = self._looks[request_id]
        finally:
            self._looks.pop(request_id, None)

    # -- the requester ------------------------------------------------------------------------------------------------

    async def cancel(self, caller: Caller, request_id: UUID) -> Request:
        """Cancel the caller's request, or end the call it led to. Raises `NotFound`."""
        await self.own_request(caller, request_id)
        # A call that ends at this very moment, by the other side, may send the request back to waiting: then that is
        # cancelled. A request goes back only so often, so this comes to an end.
        while (cancelled := await self.help_desk.cancel(request_id)).call_id is not None:
            await self.switchboard.end(cancelled.call_id, caller.user_id, EndReason.CANCELLED)
        return cancelled.request

    async def own_request(self, caller: Caller, request_id: UUID) -> Request:
        """The caller's own request. Raises `NotFound`."""
        request = await self._book.get(request_id)
        if request is None or request.requester_id != caller.user_id:
            raise NotFound
        return request

    async def want_callback(self, caller: Caller, request_id: UUID) -> None:
        """Tell the caller, once, when somebody is free for what nobody came to. Raises `NotFound`."""
        await self.own_request(caller, request_id)
        free = await self.help_desk.want_callback(request_id)
        if free is not None:
            await self.woken(free)

    async def drop_callback(self, caller: Caller, request_id: UUID) -> None:
        """The caller need not be told. Raises `NotFound`."""
        await self.own_request(caller, request_id)
        await self.help_desk.drop_callback(request_id)

    async def current_request(self, caller: Caller) -> Request | None:
        """The caller's request that has not ended."""
        return await self._book.current(caller.user_id)

    # -- the volunteer ------------------------------------------------------------------------------------------------

    async def accept(self, caller: Caller, request_id: UUID, epoch: int) -> CallView:
        """Win the request, or the call won before. Raises `AcceptRefused`, `NotFound`."""
        yes = Acceptance(caller.user_id, caller.session_id, epoch)
        not_won = await self.help_desk.accept(request_id, yes)
        if not_won is not None:
            raise await self._refused(caller, not_won)
        call = await self.switchboard.of_epoch(request_id, epoch)
        if call is None:
            raise NotFound
        return self.call_view_of(call, Side.VOLUNTEER)

    async def _refused(self, caller: Caller, not_won: NotWon) -> AcceptRefused:
        """Another request at once, or standing by for this one, also by the socket."""
        details: dict[str, Any] = {}
        if not_won.offer is not None:
            details["offer"] = msgspec.to_builtins(offer_view(not_won.offer, self._clock()))
        if not_won.standby_until is not None:
            details["standby_until"] = timestamp(not_won.standby_until)
            await self._telling.standing_by(caller.session_id, not_won.standby_until)
        return AcceptRefused(not_won.refusal, details)

    async def open_offers(self, caller: Caller) -> tuple[datetime, list[OpenOffer]]:
        """The offers open for the caller now, and the clock they are counted against."""
        return self._clock(), await self._book.open_offers(caller.user_id)

    async def decline(self, caller: Caller, request_id: UUID, epoch: int) -> None:
        """Not now; somebody else is looked for at once. Raises `NotFound` for what was never offered to the caller."""
        if await self._book.offer_for(request_id, caller.user_id, epoch) is None:
            raise NotFound
        if await self.help_desk.decline(request_id, caller.user_id, epoch):
            self.look_soon(request_id)

    async def person_changed(self, person_id: UUID) -> bool:
        """What the index knows of them is out of date; a request that waits for just them is looked at. False when the
        index could not be told."""
        listed = await self.help_desk.person_changed(person_id)
        await self.woken(person_id)
        return listed

    async def woken(self, person_id: UUID) -> None:
        """They may be asked now: a request that waits for just them is looked at."""
        request_id = await self.help_desk.waiting_for(person_id)
        if request_id is not None:
            self.look_soon(request_id)

    async def suspended(self, person_id: UUID) -> None:
        """What is going on with them ends; what of this is lost, looks do: they know who is suspended."""
        call = await self.switchboard.live_of_person(person_id)
        if call is not None:
            await self.switchboard.look(call.id)
        request = await self._book.current(person_id)
        if request is not None:
            await self.look(request.id)
        for request_id in await self.help_desk.open_to(person_id):
            self.look_soon(request_id)
        await self.help_desk.person_changed(person_id)

    # -- the call -----------------------------------------------------------------------------------------------------

    def call_view_of(self, call: Call, side: Side) -> CallView:
        """The call as this side sees it, with credentials of now."""
        return call_view(call, side, self._ice, self._clock())

    async def call_for(self, caller: Caller, call_id: UUID) -> CallView:
        """The caller's call. Raises `NoSuchCall`."""
        return self._seen_by(caller, await self.switchboard.get(call_id, caller.user_id))

    async def live_call(self, caller: Caller) -> CallView | None:
        """The call this very session is in."""
        call = await self.switchboard.live_of_person(caller.user_id)
        if call is None or call.side_of_session(caller.session_id) is None:
            return None
        return self._seen_by(caller, call)

    async def end_call(self, caller: Caller, call_id: UUID, reason: EndReason) -> CallView:
        """Hang up. Raises `NoSuchCall`."""
        return self._seen_by(caller, await self.switchboard.end(call_id, caller.user_id, reason))

    async def take_call(self, caller: Caller, call_id: UUID) -> CallView:
        """Move the caller's side of the call to this session. Raises `NoSuchCall`."""
        call, moved_from = await self.switchboard.take(call_id, caller.user_id, caller.session_id)
        side = call.side_of_person(caller.user_id)
        if moved_from is not None and side is not None:
            await self._telling.moved(call, side, moved_from)
        return self._seen_by(caller, call)

    async def rejoin_call(self, caller: Caller, call_id: UUID, attempt: int) -> CallView:
        """Both sides build anew. Raises `NoSuchCall`, `CallRefused`."""
        await self.switchboard.get(call_id, caller.user_id)
        return self._seen_by(caller, await self.switchboard.rejoin(call_id, caller.session_id, attempt))

    async def ice_for(self, caller: Caller, call_id: UUID) -> IceAnswer:
        """Fresh ICE servers for the caller's side of a living call. Raises `NoSuchCall`, `CallRefused`."""
        call = await self.switchboard.get(call_id, caller.user_id)
        side = call.side_of_person(caller.user_id)
        if side is None:
            raise NoSuchCall
        if call.state is CallState.ENDED:
            raise CallRefused(Refused.CALL_ENDED)
        return self._ice.for_side(call.id, side, self._clock())

    async def avoid(self, caller: Caller, call_id: UUID) -> None:
        """Never match the caller with the other side of this call again. Raises `NoSuchCall`."""
        call = await self.switchboard.get(call_id, caller.user_id)
        side = call.side_of_person(caller.user_id)
        assert side is not None
        if call.practice is not None:
            raise NoSuchCall  # with nobody
        await self._book.avoid(caller.user_id, call.end(side.other).person_id)

    def _seen_by(self, caller: Caller, call: Call) -> CallView:
        side = call.side_of_person(caller.user_id)
        if side is None:
            raise NoSuchCall
        here = call.side_of_session(caller.session_id) is not None
        return msgspec.structs.replace(self.call_view_of(call, side), here=here)

    async def on_call_ended(self, call: Call, now: datetime) -> None:
        """The volunteer is free again, and a request that went back to waiting is looked at."""
        await self.help_desk.freed(call.volunteer.person_id, now)
        if event_of_end(call) is Event.RETURNED:
            self.look_soon(call.request_id)
