"""The switchboard over fakes: only the two sides speak, each change is told once, an end frees people once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from infra.memory.clock import MovedClock
from signaling.call_rules import CallLimits
from signaling.model import Call, CallState, EndReason, Media, Picture, Side
from signaling.negotiation import Negotiation
from signaling.ports import CarrierUnavailable, NoSuchCall
from signaling.switchboard import CallRefused, NotTheOwner, Refused, Route, Switchboard
from tests.support.fakes.call_book import FakeCallBook
from tests.support.fakes.calls import RUNNING, VOLUNTEER, VOLUNTEER_SESSION, call
from tests.support.fakes.carrying import FakeNegotiations, FakeSender
from tests.support.fakes.cases import CALL, REQUEST, REQUESTER, SESSION, person
from tests.support.fakes.heralds import FakeCallHerald

STRANGER, ELSEWHERE = person(9), UUID(int=9000)
OFFER = "v=0\r\na=ice-ufrag:r1\r\n"
ANSWER = "v=0\r\na=ice-ufrag:v1\r\n"


class Room:
    """A switchboard with everything it needs, and one call."""

    def __init__(self, live: Call | None = None) -> None:
        self.clock = MovedClock()
        self.book = FakeCallBook(self.clock, live or call())
        self.sender = FakeSender()
        self.negotiations = FakeNegotiations()
        self.herald = FakeCallHerald()
        self.freed: list[UUID] = []
        self.switchboard = self.node()

    def node(self) -> Switchboard:
        """One more node over the same books."""
        return Switchboard(self.book, self.sender, self.negotiations, self.herald, self._on_ended, CallLimits())

    async def _on_ended(self, over: Call, _now: datetime) -> None:
        assert over.state is CallState.ENDED
        self.freed.append(over.id)

    @property
    def call(self) -> Call:
        return self.book.calls[CALL]

    async def route(self, side: Side) -> Route:
        return await self.switchboard.route(CALL, self.call.end(side).session_id)

    async def offer(self, number: int = 1, ufrag: str = "r1", frame: bytes = b"offer") -> None:
        sdp = f"v=0\r\na=ice-ufrag:{ufrag}\r\n"
        await self.switchboard.relay_description(await self.route(Side.REQUESTER), "offer", number, sdp, frame, 0.0)

    async def answer(self, number: int = 1, frame: bytes = b"answer") -> None:
        await self.switchboard.relay_description(await self.route(Side.VOLUNTEER), "answer", number, ANSWER, frame, 0.0)


@pytest.fixture
def room() -> Room:
    return Room()


async def refusal(doing: Awaitable[object]) -> Refused:
    with pytest.raises(CallRefused) as caught:
        await doing
    return caught.value.code


class TestPicture:
    async def test_both_are_told_of_each_change_once(self) -> None:
        room = Room(call(CallState.CONNECTED))
        room.clock.advance(30)
        volunteer, requester = await room.route(Side.VOLUNTEER), await room.route(Side.REQUESTER)
        blind = replace(RUNNING, receives_video=False)
        for route, report in ((volunteer, blind), (volunteer, blind), (requester, RUNNING), (volunteer, RUNNING)):
            await room.switchboard.media(route, report, 0)
        for luma in (255, 0, 0, 200):
            await room.switchboard.light(volunteer, luma, 0)
        assert room.herald.pictures == [Picture.FROZEN, Picture.OK, Picture.DARK, Picture.OK]
        assert room.herald.told == []
        assert room.book.written == 4

    async def test_the_first_one_is_no_news(self) -> None:
        room = Room()
        for side in Side:
            await room.switchboard.media(await room.route(side), RUNNING, 0)
        assert (room.call.picture, room.herald.pictures) == (Picture.OK, [])

    async def test_light_seen_by_an_owner_that_is_none_any_more_is_void(self) -> None:
        live = call(CallState.CONNECTED)
        room = Room(replace(live, volunteer=replace(live.volunteer, owner_epoch=7)))
        route = await room.route(Side.VOLUNTEER)
        await room.switchboard.light(route, 0, 6)
        assert room.herald.pictures == []
        await room.switchboard.light(route, 0, 7)
        assert room.herald.pictures == [Picture.DARK]

    async def test_one_that_stays_away_ends_the_call(self) -> None:
        room = Room(call(CallState.CONNECTED))
        await room.switchboard.media(await room.route(Side.VOLUNTEER), replace(RUNNING, receives_video=False), 0)
        room.clock.advance(3)
        await room.switchboard.look(CALL)
        assert room.herald.pictures == [Picture.FROZEN]
        room.clock.advance(30)
        await room.switchboard.look(CALL)
        assert (room.call.end_reason, room.freed) == (EndReason.LOST, [CALL])


class TestWhoseCallItIs:
    @pytest.mark.parametrize("person_id", [REQUESTER, VOLUNTEER])
    async def test_both_people_see_it(self, room: Room, person_id: UUID) -> None:
        assert await room.switchboard.get(CALL, person_id) == room.call

    async def test_to_anybody_else_it_does_not_exist(self, room: Room) -> None:
        board = room.switchboard
        for doing in (
            board.get(CALL, STRANGER),
            board.end(CALL, STRANGER, EndReason.DONE),
            board.take(CALL, STRANGER, ELSEWHERE),
            board.get(UUID(int=404), REQUESTER),
        ):
            with pytest.raises(NoSuchCall):
                await doing
        assert room.book.written == 0

    async def test_only_its_two_sessions_have_a_route(self, room: Room) -> None:
        assert await refusal(room.switchboard.route(CALL, ELSEWHERE)) is Refused.NOT_IN_CALL
        assert await refusal(room.switchboard.route(UUID(int=404), SESSION)) is Refused.NOT_IN_CALL

    async def test_a_route_leads_to_the_other_side(self, room: Room) -> None:
        assert await room.route(Side.REQUESTER) == Route(
            CALL, 1, Side.REQUESTER, VOLUNTEER_SESSION, ended=False, language="en"
        )
        assert await room.route(Side.VOLUNTEER) == Route(CALL, 1, Side.VOLUNTEER, SESSION, ended=False, language="en")

    async def test_the_route_of_an_ended_call_says_so(self, room: Room) -> None:
        await room.switchboard.end(CALL, REQUESTER, EndReason.DONE)
        assert (await room.route(Side.VOLUNTEER)).ended


class TestEnding:
    @pytest.mark.parametrize(("person_id", "side"), [(REQUESTER, Side.REQUESTER), (VOLUNTEER, Side.VOLUNTEER)])
    async def test_either_side_ends_it_and_it_is_told_and_people_freed(
        self, room: Room, person_id: UUID, side: Side
    ) -> None:
        over = await room.switchboard.end(CALL, person_id, EndReason.LEFT)
        assert (over.state, over.end_reason, over.ended_by) == (CallState.ENDED, EndReason.LEFT, side)
        assert (room.herald.told, room.freed) == ([REQUEST], [CALL])

    async def test_ended_by_both_at_once_it_ends_once(self, room: Room) -> None:
        other_node = room.node()
        one, other = await asyncio.gather(
            room.switchboard.end(CALL, REQUESTER, EndReason.DONE), other_node.end(CALL, VOLUNTEER, EndReason.TECHNICAL)
        )
        assert one == other == room.call
        assert (room.herald.told, room.freed) == ([REQUEST], [CALL])

    async def test_what_comes_after_the_end_changes_nothing_and_is_not_told(self, room: Room) -> None:
        route = await room.route(Side.VOLUNTEER)
        over = await room.switchboard.end(CALL, REQUESTER, EndReason.DONE)
        board = room.switchboard
        assert await board.end(CALL, VOLUNTEER, EndReason.TECHNICAL) == over
        assert (await board.media(route, RUNNING, 0)).after == over
        assert await board.take(CALL, VOLUNTEER, ELSEWHERE) == (over, None)
        assert await refusal(board.rejoin(CALL, SESSION, 1)) is Refused.CALL_ENDED
        await board.attached(CALL, SESSION)
        await board.detached(CALL, SESSION, 0)
        await board.look(CALL)
        assert room.call == over
        assert (room.herald.told, room.freed) == ([REQUEST], [CALL])

    async def test_a_look_ends_what_time_has_ended(self, room: Room) -> None:
        await room.switchboard.look(CALL)
        assert (room.book.written, room.freed) == (0, [])
        room.clock.advance(15)
        await room.switchboard.look(CALL)
        assert room.call.end_reason is EndReason.NEVER_CONNECTED
        assert (room.herald.told, room.freed) == ([REQUEST], [CALL])


class TestMedia:
    async def test_is_told_when_the_call_connects_and_not_before(self, room: Room) -> None:
        await room.switchboard.media(await room.route(Side.REQUESTER), RUNNING, 0)
        assert (room.call.state, room.herald.told) == (CallState.CONNECTING, [])
        await room.switchboard.media(await room.route(Side.VOLUNTEER), RUNNING, 0)
        assert (room.call.state, room.herald.told) == (CallState.CONNECTED, [REQUEST])

    async def test_of_another_attempt_is_refused(self, room: Room) -> None:
        old = await room.route(Side.REQUESTER)
        await room.switchboard.rejoin(CALL, VOLUNTEER_SESSION, 1)
        before = room.call
        assert await refusal(room.switchboard.media(old, RUNNING, 0)) is Refused.STALE_ATTEMPT
        assert room.call == before

    async def test_told_to_an_owner_that_is_none_any_more_is_void(self) -> None:
        started = call(CallState.CONNECTED)
        room = Room(replace(started, volunteer=replace(started.volunteer, owner_epoch=7)))
        before = room.call
        with pytest.raises(NotTheOwner):
            await room.switchboard.media(await room.route(Side.VOLUNTEER), Media("failed"), 6)
        assert (room.call, room.herald.told) == (before, [])
        await room.switchboard.media(await room.route(Side.VOLUNTEER), Media("failed"), 7)
        assert room.call.state is CallState.RECONNECTING

    async def test_of_a_connected_call_that_breaks_is_told(self) -> None:
        room = Room(call(CallState.CONNECTED))
        await room.switchboard.media(await room.route(Side.VOLUNTEER), Media("failed"), 0)
        assert (room.call.state, room.herald.told) == (CallState.RECONNECTING, [REQUEST])


class TestMovingAndRebuilding:
    async def test_rejoin_counts_once_however_often_and_by_whomever_it_is_said(self, room: Room) -> None:
        other_node = room.node()
        await asyncio.gather(
            room.switchboard.rejoin(CALL, SESSION, 1),
            other_node.rejoin(CALL, VOLUNTEER_SESSION, 1),
            room.switchboard.rejoin(CALL, SESSION, 1),
        )
        assert (room.call.attempt, room.herald.told) == (2, [REQUEST])

    async def test_rejoin_of_a_future_attempt_or_by_another_session_is_refused(self, room: Room) -> None:
        assert await refusal(room.switchboard.rejoin(CALL, SESSION, 2)) is Refused.STALE_ATTEMPT
        assert await refusal(room.switchboard.rejoin(CALL, ELSEWHERE, 1)) is Refused.NOT_IN_CALL
        assert room.book.written == 0

    async def test_take_moves_the_side_and_names_the_session_it_left(self, room: Room) -> None:
        moved, left = await room.switchboard.take(CALL, VOLUNTEER, ELSEWHERE)
        assert (moved.attempt, moved.volunteer.session_id, left) == (2, ELSEWHERE, VOLUNTEER_SESSION)
        assert room.herald.told == [REQUEST]
        assert (await room.route(Side.REQUESTER)).peer_session == ELSEWHERE
        assert await refusal(room.switchboard.route(CALL, VOLUNTEER_SESSION)) is Refused.NOT_IN_CALL

    async def test_take_by_the_session_that_has_it_leaves_nobody(self, room: Room) -> None:
        assert await room.switchboard.take(CALL, VOLUNTEER, VOLUNTEER_SESSION) == (room.call, None)
        assert room.herald.told == []

    async def test_presence_of_a_session_is_that_of_its_side(self, room: Room) -> None:
        gone = await room.switchboard.detached(CALL, SESSION, 0)
        assert gone.after.requester.away_since == room.clock.now
        here = await room.switchboard.attached(CALL, SESSION)
        assert here.after.requester.away_since is None
        assert room.call == here.after
        assert room.call.volunteer == call().volunteer

    async def test_an_older_owner_of_the_mailbox_cannot_say_that_the_socket_is_gone(self, room: Room) -> None:
        attached = replace(room.call, requester=replace(room.call.requester, owner_epoch=7))
        room.book.calls[CALL] = attached
        await room.switchboard.detached(CALL, SESSION, 6)
        assert room.call == attached
        await room.switchboard.detached(CALL, SESSION, 7)
        assert room.call.requester.away_since == room.clock.now

    async def test_presence_of_a_session_that_left_the_call_is_no_matter(self, room: Room) -> None:
        await room.switchboard.take(CALL, REQUESTER, ELSEWHERE)
        before = room.call
        await room.switchboard.detached(CALL, SESSION, 0)
        assert room.call == before


class TestRelaying:
    @pytest.mark.parametrize("side", Side)
    async def test_frames_go_to_the_other_session_and_nowhere_else(self, room: Room, side: Side) -> None:
        assert await room.switchboard.relay(await room.route(side), b"chat")
        assert room.sender.sent == [(room.call.end(side.other).session_id, b"chat")]

    async def test_a_session_without_a_mailbox_is_said_to_be_missing(self, room: Room) -> None:
        room.sender.absent.add(VOLUNTEER_SESSION)
        assert not await room.switchboard.relay(await room.route(Side.REQUESTER), b"chat")

    async def test_a_signal_that_reached_nobody_is_to_be_said_again(self, room: Room) -> None:
        room.sender.absent.add(VOLUNTEER_SESSION)
        with pytest.raises(CarrierUnavailable):
            await room.offer()
        with pytest.raises(CarrierUnavailable):
            await room.switchboard.relay_candidate(await room.route(Side.REQUESTER), "r1", b"candidate", 0.0)
        room.sender.absent.clear()
        await room.offer()
        assert room.sender.sent == [(VOLUNTEER_SESSION, b"offer")]

    async def test_descriptions_cross_over(self, room: Room) -> None:
        await room.offer()
        await room.answer()
        assert room.sender.sent == [(VOLUNTEER_SESSION, b"offer"), (SESSION, b"answer")]

    async def test_a_refused_description_is_not_passed_and_changes_nothing(self, room: Room) -> None:
        await room.offer(number=2)
        sent, states = list(room.sender.sent), dict(room.negotiations.states)
        assert await refusal(room.offer(number=1, ufrag="r2")) is Refused.STALE_NEGOTIATION
        volunteer = await room.route(Side.VOLUNTEER)
        offering = room.switchboard.relay_description(volunteer, "offer", 3, ANSWER, b"too early", 0.0)
        assert await refusal(offering) is Refused.WRONG_SIDE
        assert (room.sender.sent, room.negotiations.states) == (sent, states)

    async def test_an_early_candidate_follows_its_description(self, room: Room) -> None:
        route = await room.route(Side.REQUESTER)
        await room.switchboard.relay_candidate(route, "r1", b"first", 0.0)
        await room.switchboard.relay_candidate(route, "r1", b"second", 0.0)
        assert room.sender.sent == []
        await room.offer()
        assert room.sender.sent == [(VOLUNTEER_SESSION, frame) for frame in (b"offer", b"first", b"second")]

    @pytest.mark.parametrize("ufrag", ["r1", None])
    async def test_a_candidate_of_the_description_in_force_passes_at_once(self, room: Room, ufrag: str | None) -> None:
        await room.offer()
        await room.switchboard.relay_candidate(await room.route(Side.REQUESTER), ufrag, b"candidate", 0.0)
        assert room.sender.sent == [(VOLUNTEER_SESSION, b"offer"), (VOLUNTEER_SESSION, b"candidate")]

    async def test_a_candidate_of_a_superseded_description_is_silently_dropped(self, room: Room) -> None:
        await room.offer(number=1, ufrag="r1")
        await room.offer(number=2, ufrag="r2")
        sent = list(room.sender.sent)
        await room.switchboard.relay_candidate(await room.route(Side.REQUESTER), "r1", b"late", 0.0)
        assert room.sender.sent == sent

    async def test_too_many_early_candidates_are_refused(self, room: Room) -> None:
        route = await room.route(Side.VOLUNTEER)
        for _ in range(64):
            await room.switchboard.relay_candidate(route, "v1", b"early", 0.0)
        one_more = room.switchboard.relay_candidate(route, "v1", b"one more", 0.0)
        assert await refusal(one_more) is Refused.TOO_MANY_CANDIDATES

    async def test_every_attempt_negotiates_from_the_start(self, room: Room) -> None:
        await room.offer(number=5)
        await room.switchboard.rejoin(CALL, SESSION, 1)
        await room.offer(number=1, frame=b"anew")
        assert room.sender.sent[-1] == (VOLUNTEER_SESSION, b"anew")
        assert {attempt for _, attempt in room.negotiations.states} == {1, 2}


class TestTwoNodesNegotiating:
    async def test_a_change_another_node_made_first_is_judged_anew(self, room: Room) -> None:
        room.negotiations.lose_next = 3
        await room.offer()
        assert room.negotiations.stores == 4
        assert room.sender.sent == [(VOLUNTEER_SESSION, b"offer")]

    async def test_that_never_get_their_turn_say_so_and_pass_nothing(self, room: Room) -> None:
        room.negotiations.lose_next = 1000
        with pytest.raises(CarrierUnavailable):
            await room.offer()
        assert room.sender.sent == []

    async def test_offering_at_once_the_requesters_offer_stands(self, room: Room) -> None:
        await room.offer()
        await room.answer()
        requester, volunteer = await room.route(Side.REQUESTER), await room.route(Side.VOLUNTEER)
        others = room.node()
        await asyncio.gather(
            others.relay_description(volunteer, "offer", 2, ANSWER, b"volunteer's", 0.0),
            room.switchboard.relay_description(requester, "offer", 2, OFFER, b"requester's", 0.0),
            return_exceptions=True,
        )
        assert (VOLUNTEER_SESSION, b"requester's") in room.sender.sent
        state, _ = room.negotiations.states[CALL, 1]
        assert replace(state, volunteer=Negotiation().volunteer, requester=Negotiation().requester) == Negotiation(
            highest=2, offerer=Side.REQUESTER, volunteer_may_offer=True
        )

    async def test_a_description_that_could_not_be_passed_on_passes_when_said_again(self, room: Room) -> None:
        room.sender.fail_next = 1
        with pytest.raises(CarrierUnavailable):
            await room.offer()
        await room.offer()
        room.sender.fail_next = 1
        with pytest.raises(CarrierUnavailable):
            await room.answer()
        await room.answer()
        assert room.sender.sent == [(VOLUNTEER_SESSION, b"offer"), (SESSION, b"answer")]
