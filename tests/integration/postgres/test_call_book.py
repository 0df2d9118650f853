"""A call's change and what it does to its request, in one transaction: "Who ends it, and what then"."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from matching.model import Outcome, Request, RequestState
from matching.request_rules import IllegalTransition
from signaling import call_rules
from signaling.call_rules import CallLimits
from signaling.model import Call, CallState, EndReason, Side
from signaling.ports import NoSuchCall
from tests.integration.postgres.world import RUNNING, WRAP_UP, World

WAITS = RequestState.WAITING
ENDED = RequestState.ENDED
REQUESTER, VOLUNTEER, SYSTEM = Side.REQUESTER, Side.VOLUNTEER, None


@dataclass(frozen=True)
class Row:
    """One row of the contract's table."""

    reason: EndReason
    by: Side | None
    media: bool
    outcome: Outcome | None
    """None: the request waits again."""

    def __str__(self) -> str:
        media = "after" if self.media else "before"
        return f"{self.reason} by {self.by or 'system'} {media} media -> {self.outcome or 'waits again'}"


BEFORE, AFTER = False, True
TABLE = [
    Row(EndReason.CANCELLED, REQUESTER, BEFORE, Outcome.CANCELLED),
    Row(EndReason.DONE, REQUESTER, BEFORE, Outcome.CANCELLED),
    Row(EndReason.LEFT, REQUESTER, BEFORE, Outcome.CANCELLED),
    Row(EndReason.LEFT, VOLUNTEER, BEFORE, None),
    Row(EndReason.DONE, VOLUNTEER, BEFORE, None),
    Row(EndReason.TECHNICAL, REQUESTER, BEFORE, None),
    Row(EndReason.TECHNICAL, VOLUNTEER, BEFORE, None),
    Row(EndReason.TECHNICAL, REQUESTER, AFTER, None),
    Row(EndReason.TECHNICAL, VOLUNTEER, AFTER, None),
    Row(EndReason.LOST, SYSTEM, AFTER, None),
    Row(EndReason.NEVER_CONNECTED, SYSTEM, BEFORE, None),
    Row(EndReason.SUSPENDED, VOLUNTEER, BEFORE, None),
    Row(EndReason.SUSPENDED, VOLUNTEER, AFTER, None),
    Row(EndReason.DONE, REQUESTER, AFTER, Outcome.COMPLETED),
    Row(EndReason.DONE, VOLUNTEER, AFTER, Outcome.COMPLETED),
    Row(EndReason.LEFT, REQUESTER, AFTER, Outcome.COMPLETED),
    Row(EndReason.LEFT, VOLUNTEER, AFTER, Outcome.COMPLETED),
    Row(EndReason.CANCELLED, REQUESTER, AFTER, Outcome.COMPLETED),
    Row(EndReason.REPORTED, REQUESTER, AFTER, Outcome.COMPLETED),
    Row(EndReason.REPORTED, VOLUNTEER, AFTER, Outcome.COMPLETED),
    Row(EndReason.REPORTED, REQUESTER, BEFORE, Outcome.FAILED),
    Row(EndReason.REPORTED, VOLUNTEER, BEFORE, Outcome.FAILED),
    Row(EndReason.SUSPENDED, REQUESTER, AFTER, Outcome.COMPLETED),
    Row(EndReason.SUSPENDED, REQUESTER, BEFORE, Outcome.FAILED),
    Row(EndReason.ENDED_BY_ADMIN, SYSTEM, AFTER, Outcome.COMPLETED),
    Row(EndReason.ENDED_BY_ADMIN, SYSTEM, BEFORE, Outcome.FAILED),
]


async def nobody_is_taken(world: World) -> None:
    assert await world.busy() == {}


class TestWhoEndsItAndWhatThen:
    @pytest.mark.parametrize("row", TABLE, ids=str)
    async def test_the_request_follows(self, world: World, row: Row) -> None:
        request, call, person = await world.in_call(media=row.media)
        ended = await world.end(call, row.reason, row.by)
        after = await world.now(request)
        assert ended.state is CallState.ENDED
        assert ended == await world.calls.get(call.id)
        assert (after.state, after.outcome) == (ENDED if row.outcome else WAITS, row.outcome)
        assert after.version > request.version
        assert await world.offers(request) == {person.id: "won"}
        await nobody_is_taken(world)
        if row.outcome is None:
            await self._waits_again_in_its_place(world, request, after)
            assert person.id in await world.book.exclusions(request.id)

    async def _waits_again_in_its_place(self, world: World, before: Request, after: Request) -> None:
        assert (after.epoch, after.returns, after.call_id) == (before.epoch + 1, before.returns + 1, None)
        assert after.created_at == before.created_at
        assert after.deadline - after.waiting_since >= timedelta(seconds=30)
        assert (await world.book.now()) - after.waiting_since < timedelta(seconds=10)

    async def test_the_volunteer_is_left_in_peace_for_a_moment(self, world: World) -> None:
        _, call, person = await world.in_call(media=True)
        ended = await world.end(call, EndReason.DONE, REQUESTER)
        assert ended.ended_at is not None
        assert await world.not_before(person) == ended.ended_at + WRAP_UP

    async def test_both_can_be_in_another_call_at_once(self, world: World) -> None:
        request, call, person = await world.in_call(media=True)
        await world.end(call, EndReason.TECHNICAL, VOLUNTEER)
        other = await world.open()
        assert await world.wave(other, [person]) == (person.id,)
        assert (await world.accept(other, person)).change.winner is not None
        (helper,) = await world.volunteers(1)
        returned = await world.now(request)
        assert await world.wave(returned, [helper]) == (helper.id,)
        assert (await world.accept(returned, helper)).change.winner is not None

    async def test_a_fourth_return_fails(self, world: World) -> None:
        request = await world.open()
        for epoch in (1, 2, 3, 4):
            request = await world.now(request)
            assert (request.state, request.epoch, request.returns) == (WAITS, epoch, epoch - 1)
            (person,) = await world.volunteers(1)
            await world.wave(request, [person])
            await world.accept(request, person)
            await world.end(await world.call_of(request), EndReason.TECHNICAL, REQUESTER)
        after = await world.now(request)
        assert (after.state, after.outcome, after.epoch) == (ENDED, Outcome.FAILED, 4)
        assert await world.sql.fetchval("SELECT count(*) FROM calls") == 4
        await nobody_is_taken(world)

    async def test_a_deadline_far_off_stays_where_it_is(self, world: World) -> None:
        request, call, _ = await world.in_call()
        await world.sql.execute("UPDATE requests SET deadline = deadline + interval '1 h'")
        before = await world.now(request)
        await world.end(call, EndReason.LEFT, VOLUNTEER)
        assert (await world.now(request)).deadline == before.deadline


class TestChanging:
    async def test_media_both_ways_puts_the_request_in_call(self, world: World) -> None:
        request, call, _ = await world.in_call()
        assert (request.state, call.state) == (RequestState.CONNECTING, CallState.CONNECTING)
        await world.connect(request)
        after, connected = await world.now(request), await world.call_of(request)
        assert (after.state, connected.state) == (RequestState.IN_CALL, CallState.CONNECTED)
        assert connected.requester.media == connected.volunteer.media == RUNNING
        assert connected.connected_at is not None

    async def test_what_is_written_is_read_back_the_same(self, world: World) -> None:
        request, call, _ = await world.in_call(media=True)

        def broken(call: Call, now: object) -> Call:
            media = replace(RUNNING, state="failed", paused="phone_call")
            return call_rules.media(call, REQUESTER, media, now)  # type: ignore[arg-type]

        changed = await world.calls.change(call.id, broken)
        away = await world.calls.change(call.id, lambda c, now: call_rules.away(c, VOLUNTEER, now))
        rebuilt = await world.calls.change(call.id, lambda c, now: call_rules.rejoin(c, c.attempt, now, CallLimits()))
        assert changed.after.state is CallState.RECONNECTING
        assert away.before == changed.after
        assert rebuilt.before == away.after
        assert await world.call_of(request) == rebuilt.after
        assert rebuilt.after.attempt == 2

    async def test_moving_a_side_takes_effect(self, world: World) -> None:
        request, call, person = await world.in_call(media=True)
        session = await world.sql.fetchval(
            "INSERT INTO sessions (user_id, device_id, platform) VALUES ($1, 'tablet', 'web') RETURNING id", person.id
        )
        await world.calls.change(call.id, lambda c, now: call_rules.take(c, VOLUNTEER, session, now, CallLimits()))
        moved = await world.call_of(request)
        assert (moved.volunteer.session_id, moved.attempt) == (session, 2)
        assert (await world.now(request)).state is RequestState.IN_CALL

    async def test_a_rule_that_raises_changes_nothing(self, world: World) -> None:
        request, call, _ = await world.in_call()

        def refuse(_call: Call, _now: object) -> Call:
            raise KeyError(call.id)

        with pytest.raises(KeyError):
            await world.calls.change(call.id, refuse)
        assert await world.call_of(request) == call

    async def test_a_consequence_that_raises_undoes_the_calls_change_too(self, world: World) -> None:
        request, call, _ = await world.in_call()

        def impossible(call: Call, now: object) -> Call:
            """Connected without the request hearing of it, so that its end cannot be the end of the request."""
            return replace(
                call,
                state=CallState.ENDED,
                end_reason=EndReason.DONE,
                ended_at=call.created_at,
                connected_at=call.created_at,
                version=call.version + 1,
            )

        with pytest.raises(IllegalTransition):
            await world.calls.change(call.id, impossible)
        assert await world.call_of(request) == call
        assert await world.now(request) == request

    async def test_an_unknown_call_is_said_to_be_so(self, world: World) -> None:
        request = await world.open()
        with pytest.raises(NoSuchCall):
            await world.calls.change(request.id, lambda call, _now: call)
        assert await world.calls.get(request.id) is None

    async def test_of_all_who_end_it_at_once_one_does(self, world: World) -> None:
        request, call, _ = await world.in_call(media=True)
        ends = await asyncio.gather(
            *(
                world.end(call, reason, by)
                for reason in (EndReason.DONE, EndReason.TECHNICAL)
                for by in Side
                for _ in "12"
            )
        )
        assert len({(one.end_reason, one.ended_by, one.ended_at) for one in ends}) == 1
        after = await world.now(request)
        assert after.version == request.version + 1
        assert (after.state is WAITS) == (ends[0].end_reason is EndReason.TECHNICAL)
        await nobody_is_taken(world)

    async def test_ending_a_call_meets_a_cancel_of_its_request(self, world: World) -> None:
        for _ in range(10):
            request, call, _ = await world.in_call()
            await asyncio.gather(world.cancel(request), world.end(call, EndReason.LEFT, VOLUNTEER))
            after = await world.now(request)
            assert after.state is WAITS or after.outcome is Outcome.CANCELLED
            await nobody_is_taken(world)

    async def test_an_old_call_does_nothing_to_a_request_that_went_on(self, world: World) -> None:
        request, call, _ = await world.in_call()
        await world.end(call, EndReason.LEFT, VOLUNTEER)
        returned = await world.now(request)
        (person,) = await world.volunteers(1)
        await world.wave(returned, [person])
        await world.accept(returned, person)
        before = await world.now(request)
        for side in Side:
            await world.calls.change(call.id, lambda c, now, side=side: call_rules.media(c, side, RUNNING, now))  # type: ignore[misc]
        await world.end(call, EndReason.DONE, REQUESTER)
        assert await world.now(request) == before
        assert set((await world.busy()).values()) == {"call"}


class TestReading:
    async def test_the_live_call_of_a_person_is_found_from_both_sides(self, world: World) -> None:
        _, call, person = await world.in_call()
        assert await world.calls.live_of_person(person.id) == call
        assert await world.calls.live_of_person(call.requester.person_id) == call
        await world.end(call, EndReason.DONE, REQUESTER)
        assert await world.calls.live_of_person(person.id) is None

    async def test_a_call_belongs_to_the_epoch_that_was_answered(self, world: World) -> None:
        request, call, _ = await world.in_call()
        await world.end(call, EndReason.LEFT, VOLUNTEER)
        assert (await world.calls.of_epoch(request.id, 1)) == await world.calls.get(call.id)
        assert await world.calls.of_epoch(request.id, 2) is None

    async def test_connecting_is_due_a_look_in_time(self, world: World) -> None:
        request, _call, _ = await world.in_call()
        late = await world.sql.fetchval(
            "SELECT extract(epoch FROM next_look_at - eyeline_now())::float FROM requests WHERE id = $1", request.id
        )
        assert late <= 1.0


class TestTime:
    async def test_time_ends_what_nobody_ends(self, world: World) -> None:
        request, call, _ = await world.in_call()
        await world.pass_time(16)
        changed = await world.calls.change(call.id, lambda c, now: call_rules.look(c, now, CallLimits()))
        assert changed.after.end_reason is EndReason.NEVER_CONNECTED
        assert (await world.now(request)).state is WAITS

    @pytest.mark.parametrize("media", [True, False])
    async def test_who_talks_while_nothing_can_be_written_goes_on_talking(self, world: World, media: bool) -> None:
        """Postgres, or every node, is away for as long as calls may be unheard of."""
        _, call, _ = await world.in_call(media=media)
        before = (await world.calls.get(call.id) or call).state
        await world.presence.flush()
        await world.pass_time(90)

        async def looked() -> Call:
            return (await world.calls.change(call.id, lambda c, now: call_rules.look(c, now, CallLimits()))).after

        assert (await looked()).state is before
        for seconds in (92, 97, 102):
            await world.pass_time(seconds)
            for end in (call.requester, call.volunteer):
                world.presence.seen(end.session_id)
            await world.presence.flush()
            assert (await looked()).state is before
        for seconds in (107, 112):
            await world.pass_time(seconds)
            await world.presence.flush()
        assert (await looked()).state is (CallState.CONNECTED if media else CallState.ENDED)

    async def test_both_phones_and_their_node_vanish(self, world: World) -> None:
        request, call, _ = await world.in_call(media=True)
        await world.pass_time(120)
        changed = await world.calls.change(call.id, lambda c, now: call_rules.look(c, now, CallLimits()))
        assert changed.after.end_reason is EndReason.LOST
        after = await world.now(request)
        assert after.state is WAITS
        await world.look(after)
        assert (await world.now(request)).outcome is Outcome.FAILED
