"""What the desk adds to the two services: an action is done whatever the other side does at the same moment."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from matching.model import Outcome, RequestState
from matching.request_rules import Acceptance, Event
from server.desk import Desk
from signaling.model import EndReason
from tests.support.fakes.town import Town


class LeavingVolunteer:
    """A switchboard where each call ends by its volunteer an instant before the requester's word comes."""

    def __init__(self, town: Town, request_id: UUID) -> None:
        self._town = town
        self._request_id = request_id
        self.ended = 0

    async def end(self, call_id: UUID, person_id: UUID, reason: EndReason) -> None:
        self.ended += 1
        await self._town.hang_up(self._request_id, Event.RETURNED)


async def test_a_cancel_that_meets_the_end_of_the_call_is_not_lost() -> None:
    town = Town()
    [helper, _other] = await town.volunteers(2)
    request = await town.ask()
    await town.look(request.id)
    assert await town.desk.accept(request.id, Acceptance(helper, UUID(int=1), 1)) is None
    switchboard = LeavingVolunteer(town, request.id)
    nothing = cast(Any, None)
    desk = Desk(town.desk, cast(Any, switchboard), town.book, nothing, nothing, nothing, nothing)
    caller = cast(Any, type("Caller", (), {"user_id": request.requester_id}))
    cancelled = await desk.cancel(caller, request.id)
    assert (cancelled.state, cancelled.outcome) == (RequestState.ENDED, Outcome.CANCELLED)
    assert switchboard.ended == 1
