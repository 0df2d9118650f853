"""What the desk adds to the two services: an action is done whatever the other side does at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

from matching.model import Outcome, RequestState
from matching.request_rules import Acceptance, Event
from server.desk import LOOKS_AT_ONCE, Desk
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


class SlowHelpDesk:
    """Looks take until they are let go; those of `stuck` requests take for ever."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.stuck: set[UUID] = set()
        self.go_on = asyncio.Event()

    async def look(self, request_id: UUID) -> None:
        self.begun.append(request_id)
        await (asyncio.Event() if request_id in self.stuck else self.go_on).wait()


async def test_few_looks_are_at_it_together_and_who_came_first_is_looked_at_first() -> None:
    slow, nothing = SlowHelpDesk(), cast(Any, None)
    desk = Desk(cast(Any, slow), nothing, nothing, nothing, nothing, nothing, nothing)
    requests = [uuid4() for _ in range(3 * LOOKS_AT_ONCE)]
    looks = [asyncio.create_task(desk.look(one)) for one in requests]
    await asyncio.sleep(0)
    assert slow.begun == requests[:LOOKS_AT_ONCE]
    slow.go_on.set()
    await asyncio.gather(*looks)
    assert slow.begun == requests


async def test_looks_that_wait_for_a_lock_hold_up_no_others() -> None:
    slow, nothing = SlowHelpDesk(), cast(Any, None)
    slow.go_on.set()
    desk = Desk(cast(Any, slow), nothing, nothing, nothing, nothing, nothing, nothing)
    requests = [uuid4() for _ in range(3 * LOOKS_AT_ONCE)]
    slow.stuck = set(requests[: LOOKS_AT_ONCE - 1])
    looks = [asyncio.create_task(desk.look(one)) for one in requests]
    async with asyncio.timeout(5):
        await asyncio.gather(*looks[len(slow.stuck) :])
    for look in looks:
        look.cancel()
    await asyncio.wait(looks)
