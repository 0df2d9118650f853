"""Which requests are due, to whom, and when they rest."""

from __future__ import annotations

import asyncio
from uuid import UUID

from matching.model import Outcome, Request, RequestState
from matching.request_rules import Case, Change
from signaling.model import EndReason, Side
from tests.integration.postgres.world import World

NEXT_LOOK = "SELECT extract(epoch FROM next_look_at - eyeline_now())::float FROM requests WHERE id = $1"


async def next_look(world: World, request: Request) -> float | None:
    """Seconds from now, None at rest."""
    seconds: float | None = await world.sql.fetchval(NEXT_LOOK, request.id)
    return seconds


async def make_due(world: World) -> None:
    await world.sql.execute("UPDATE requests SET next_look_at = eyeline_now() - interval '1 s'")


async def tell_all(world: World, request: Request) -> None:
    """As a look does, until nothing is left to tell."""
    news = await world.news.request_news(request.id)
    assert news is not None
    for call in await world.news.call_news(request.id):
        world.news.told_call(call)
    if news.untold:
        world.news.told_request(request.id, news.request.version)
    for offer in await world.news.offer_news(request.id):
        world.news.told_offer(offer.open.offer)
    await world.news.flush()


class TestDue:
    async def test_a_new_request_is_due_within_a_second_and_then_a_second_later(self, world: World) -> None:
        request = await world.open()
        assert (await next_look(world, request) or 0) <= 1
        await make_due(world)
        assert await world.book.due(10) == [request.id]
        assert await world.book.due(10) == []
        assert 0.5 < (await next_look(world, request) or 0) <= 1

    async def test_a_claim_is_a_second_while_waiting_or_connecting_and_three_in_a_call(self, world: World) -> None:
        waiting = await world.open()
        connecting, _, _ = await world.in_call()
        connected, _, _ = await world.in_call(media=True)
        await make_due(world)
        assert len(await world.book.due(10)) == 3
        looks = [await next_look(world, request) or 0 for request in (waiting, connecting, connected)]
        assert [round(seconds) for seconds in looks] == [1, 1, 3]

    async def test_nobody_gets_more_than_asked_for_and_the_longest_due_come_first(self, world: World) -> None:
        requests = [await world.open() for _ in range(12)]
        for late, request in enumerate(requests):
            await world.sql.execute(
                "UPDATE requests SET next_look_at = eyeline_now() - make_interval(secs => $2) WHERE id = $1",
                request.id,
                float(late),
            )
        claimed = [set(await world.book.due(5)) for _ in range(4)]
        ids = [request.id for request in reversed(requests)]
        assert claimed == [set(ids[:5]), set(ids[5:10]), set(ids[10:]), set()]

    async def test_no_request_is_claimed_by_two_at_once(self, world: World) -> None:
        requests = {(await world.open()).id for _ in range(40)}
        for _ in range(5):
            await make_due(world)
            batches = await asyncio.gather(*(world.book.due(7) for _ in range(10)))
            claimed = [request_id for batch in batches for request_id in batch]
            assert len(claimed) == len(set(claimed))
            assert all(len(batch) <= 7 for batch in batches)
            rest: set[UUID] = set()
            while more := await world.book.due(50):
                rest |= set(more)
            assert rest | set(claimed) == requests

    async def test_a_request_somebody_decides_on_is_passed_over_without_waiting(self, world: World) -> None:
        held, free = await world.open(), await world.open()
        await make_due(world)
        async with world.locked(held):
            assert await world.book.due(10) == [free.id]
        assert await world.book.due(10) == [held.id]

    async def test_every_waiting_request_can_be_made_due_but_what_somebody_holds(self, world: World) -> None:
        """Whoever holds one looks at it; nobody waits for them."""
        waiting, held = await world.open(), await world.open()
        connected, _, _ = await world.in_call(media=True)
        await world.sql.execute("UPDATE requests SET next_look_at = eyeline_now() + interval '1 h'")
        async with world.locked(held), asyncio.timeout(1):
            await world.book.look_at_all()
        assert await world.book.due(10) == [waiting.id]
        assert (await next_look(world, connected) or 0) > 3000


class TestNextLook:
    async def test_it_is_at_most_a_second_away_while_somebody_waits(self, world: World) -> None:
        request = await world.open()
        await world.sql.execute("UPDATE requests SET next_look_at = eyeline_now() + interval '1 h'")
        await world.look(request)
        assert 0 < (await next_look(world, request) or 0) <= 1
        assert await world.wave(await world.now(request), await world.volunteers(2))
        assert 0 < (await next_look(world, request) or 0) <= 1

    async def test_a_look_that_changes_nothing_is_not_written(self, world: World) -> None:
        request = await world.open()
        await world.book.due(10)
        before = await world.sql.fetchval("SELECT xmin::text || ctid::text FROM requests WHERE id = $1", request.id)
        await world.look(request)
        assert before == await world.sql.fetchval(
            "SELECT xmin::text || ctid::text FROM requests WHERE id = $1", request.id
        )

    async def test_a_request_that_goes_back_to_waiting_is_due_at_once(self, world: World) -> None:
        request, call, _ = await world.in_call(media=True)
        await world.end(call, EndReason.TECHNICAL, Side.VOLUNTEER)
        assert await world.book.due(10) == [request.id]

    async def test_the_deadline_ends_it(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        await world.pass_time(185)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now()")
        await world.look(request)
        after = await world.now(request)
        assert (after.state, after.outcome) == (RequestState.ENDED, Outcome.EXPIRED)
        assert await world.offers(request) == {person.id: "withdrawn"}
        assert await world.busy() == {}

    async def test_a_requester_unseen_for_long_has_gone(self, world: World) -> None:
        request = await world.open()
        await world.pass_time(91)
        await world.look(request)
        after = await world.now(request)
        assert (after.state, after.outcome) == (RequestState.ENDED, Outcome.FAILED)


class TestRest:
    async def test_an_ended_request_is_looked_at_until_all_of_it_was_told(self, world: World) -> None:
        request, people = await world.offered(2)
        await world.cancel(request)
        for _ in range(3):
            await make_due(world)
            assert await world.book.due(10) == [request.id]
            assert await next_look(world, request) is not None
        await tell_all(world, request)
        assert await next_look(world, request) is None
        assert len(people) == 2

    async def test_it_does_not_rest_while_an_offers_end_or_a_call_is_untold(self, world: World) -> None:
        request, call, _ = await world.in_call()
        ended = await world.end(call, EndReason.DONE, Side.REQUESTER)
        news = await world.news.request_news(request.id)
        assert news is not None
        world.news.told_request(request.id, news.request.version)
        await world.news.flush()
        assert await next_look(world, request) is not None
        world.news.told_call(ended)
        await world.news.flush()
        assert await next_look(world, request) is not None
        await tell_all(world, request)
        assert await next_look(world, request) is None

    async def test_one_that_waits_never_rests(self, world: World) -> None:
        request, _ = await world.offered(1)
        await tell_all(world, request)
        assert await next_look(world, request) is not None

    async def test_a_late_look_does_not_wake_it_again(self, world: World) -> None:
        """Or it would be looked at every second for ever: nothing is left to tell, so nobody lays it to rest."""
        request, _ = await world.offered(1)
        await world.cancel(request)
        await tell_all(world, request)
        ended_at = await world.sql.fetchval("SELECT ended_at FROM requests")

        def unhungry(case: Case, _now: object) -> Change:
            return Change(case.request, hungry=not case.hungry)

        await world.book.decide(request.id, unhungry)
        assert await next_look(world, request) is None
        assert await world.sql.fetchval("SELECT ended_at FROM requests") == ended_at
