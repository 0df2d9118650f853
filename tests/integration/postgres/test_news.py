"""What was decided and not told, and the marks of what was."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from infra.postgres.news import MOST_MARKS, PostgresNews
from matching.model import Request
from matching.ports import OfferNews, RequestNews
from signaling.model import EndReason, Side
from tests.integration.postgres.world import Person, World


async def request_news(world: World, request: Request) -> RequestNews:
    news = await world.news.request_news(request.id)
    assert news is not None
    return news


async def offer_news(world: World, request: Request) -> list[OfferNews]:
    return await world.news.offer_news(request.id)


async def tell_offers(world: World, request: Request) -> None:
    for one in await offer_news(world, request):
        world.news.told_offer(one.open.offer)


async def marks(world: World) -> dict[str, Any]:
    return dict(await world.sql.fetchrow("SELECT told_at, end_told_at, delivered_at FROM offers"))


async def last_asked(world: World, person: Person) -> datetime | None:
    moment: datetime | None = await world.sql.fetchval("SELECT last_asked_at FROM users WHERE id = $1", person.id)
    return moment


class TestRequests:
    async def test_every_version_is_news_until_it_was_told(self, world: World) -> None:
        request = await world.open()
        for _ in range(2):
            news = await request_news(world, request)
            assert news.untold
            world.news.told_request(request.id, news.request.version)
            assert not (await request_news(world, request)).untold
            await world.news.flush()
            assert not (await request_news(world, request)).untold
            await world.wave(news.request, await world.volunteers(1))

    async def test_to_tell_an_old_version_is_not_to_tell_the_new_one(self, world: World) -> None:
        request, _ = await world.offered(1)
        assert request.version == 2
        world.news.told_request(request.id, 1)
        await world.news.flush()
        assert (await request_news(world, request)).untold

    async def test_a_late_mark_of_an_old_version_takes_nothing_back(self, world: World) -> None:
        request, _ = await world.offered(1)
        other = PostgresNews(world.pool)
        world.news.told_request(request.id, 2)
        await world.news.flush()
        other.told_request(request.id, 1)
        await other.flush()
        assert not (await request_news(world, request)).untold

    async def test_it_goes_to_the_requesters_live_sessions(self, world: World) -> None:
        who = await world.requester()
        request = await world.open(who)
        add = (
            "INSERT INTO sessions (user_id, device_id, platform, ended_at, seen_at)"
            " VALUES ($1, $2, 'web', $3, eyeline_now() - $4::interval) RETURNING id"
        )
        tablet = await world.sql.fetchval(add, who.id, "tablet", None, timedelta(minutes=1))
        await world.sql.fetchval(add, who.id, "signed out", datetime.now(UTC), timedelta())
        await world.sql.fetchval(add, who.id, "long gone", None, timedelta(minutes=6))
        assert set((await request_news(world, request)).sessions) == {who.session, tablet}

    async def test_of_no_request_there_is_no_news(self, world: World) -> None:
        (person,) = await world.volunteers(1)
        assert await world.news.request_news(person.id) is None
        assert await world.news.offer_news(person.id) == []
        assert await world.news.call_news(person.id) == []


class TestOffers:
    async def test_its_beginning_and_its_end_are_each_told_once(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        (begun,) = await offer_news(world, request)
        assert (begun.over, begun.sessions, begun.open.waiting_since) == (False, (person.session,), request.created_at)
        world.news.told_offer(begun.open.offer)
        assert await offer_news(world, request) == []
        await world.decline(request, person)
        (over,) = await offer_news(world, request)
        assert over.over
        await world.news.flush()
        (over,) = await offer_news(world, request)
        world.news.told_offer(over.open.offer)
        assert await offer_news(world, request) == []
        await world.news.flush()
        assert await offer_news(world, request) == []
        told = await marks(world)
        assert told["told_at"] < told["end_told_at"]

    async def test_who_was_told_had_their_turn(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        assert await last_asked(world, person) is None
        await tell_offers(world, request)
        await world.news.flush()
        assert await last_asked(world, person) is not None

    async def test_who_was_told_the_beginning_and_soon_the_end_had_their_turn(self, world: World) -> None:
        """Before the first mark was written."""
        request, (person,) = await world.offered(1)
        await tell_offers(world, request)
        await world.decline(request, person)
        await tell_offers(world, request)
        await world.news.flush()
        assert await last_asked(world, person) is not None

    async def test_the_winners_and_the_others_ends_are_news(self, world: World) -> None:
        request, people = await world.offered(3)
        await tell_offers(world, request)
        await world.accept(request, people[0])
        news = await offer_news(world, request)
        assert {one.open.offer.person_id for one in news if one.over} == {person.id for person in people}

    async def test_what_was_delivered_is_remembered_once(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        await world.book.note_delivered(person.id, [(request.id, 1)])
        first = (await marks(world))["delivered_at"]
        await world.book.note_delivered(person.id, [(request.id, 1), (request.id, 2)])
        assert first is not None
        assert (await marks(world))["delivered_at"] == first

    async def test_nobody_delivers_for_others(self, world: World) -> None:
        request, _ = await world.offered(1)
        (other,) = await world.volunteers(1)
        await world.book.note_delivered(other.id, [(request.id, 1)])
        assert (await marks(world))["delivered_at"] is None


class TestCalls:
    async def test_every_version_is_news_until_it_was_told(self, world: World) -> None:
        request, call, _ = await world.in_call()
        assert await world.news.call_news(request.id) == [call]
        world.news.told_call(call)
        assert await world.news.call_news(request.id) == []
        ended = await world.end(call, EndReason.DONE, Side.REQUESTER)
        assert await world.news.call_news(request.id) == [ended]
        await world.news.flush()
        assert await world.news.call_news(request.id) == [ended]
        world.news.told_call(ended)
        await world.news.flush()
        assert await world.news.call_news(request.id) == []

    async def test_calls_of_former_epochs_are_told_too(self, world: World) -> None:
        request, call, _ = await world.in_call()
        ended = await world.end(call, EndReason.LEFT, Side.VOLUNTEER)
        returned = await world.now(request)
        (person,) = await world.volunteers(1)
        await world.wave(returned, [person])
        await world.accept(returned, person)
        news = await world.news.call_news(request.id)
        assert sorted(one.id for one in news) == sorted([ended.id, (await world.call_of(request)).id])


class TestMarks:
    async def test_marks_that_die_with_their_node_are_told_again(self, world: World) -> None:
        request, call, _ = await world.in_call()
        died = PostgresNews(world.pool)
        died.told_call(call)
        died.told_request(request.id, request.version)
        for one in await offer_news(world, request):
            died.told_offer(one.open.offer)
        assert (await request_news(world, request)).untold
        assert await world.news.call_news(request.id) == [call]
        assert len(await offer_news(world, request)) == 1

    async def test_marks_wait_for_a_decision_and_never_make_it_wait(self, world: World) -> None:
        held, _ = await world.offered(1)
        free, _ = await world.offered(1)
        async with world.locked(held), asyncio.timeout(1.5):
            for request in (held, free):
                world.news.told_request(request.id, request.version)
                await tell_offers(world, request)
            await world.news.flush()
            told = {row["id"] for row in await world.sql.fetch("SELECT id FROM requests WHERE told_version = version")}
            assert told == {free.id}
            assert not (await request_news(world, held)).untold
        await world.news.flush()
        assert await world.sql.fetchval("SELECT count(*) FROM requests WHERE told_version < version") == 0
        assert await world.sql.fetchval("SELECT count(*) FROM offers WHERE told_at IS NULL") == 0

    async def test_what_is_marked_while_marks_are_written_is_not_lost(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        await tell_offers(world, request)
        async with world.other() as slow, slow.transaction():
            await slow.execute("SELECT FROM offers FOR UPDATE")
            flushing = asyncio.create_task(world.news.flush())
            await world.waiters(1)
            over = (await offer_news(world, request)) or None
            assert over is None
        await flushing
        await world.decline(request, person)
        await tell_offers(world, request)
        await world.news.flush()
        assert (await marks(world))["end_told_at"] is not None

    async def test_they_are_bounded(self, world: World) -> None:
        request = await world.open()
        news = PostgresNews(world.pool)
        for number in range(MOST_MARKS + 5):
            news.told_request(UUID(int=number), 1)
        news.told_request(request.id, 1)
        told = await news.request_news(request.id)
        assert told is not None
        assert told.untold
        await news.flush()

    async def test_the_task_writes_them_by_itself(self, world: World) -> None:
        request = await world.open()
        running = asyncio.create_task(world.news.run())
        try:
            world.news.told_request(request.id, request.version)
            async with asyncio.timeout(5):
                while await world.sql.fetchval("SELECT told_version FROM requests") == 0:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def test_two_nodes_marking_the_same_at_once_do_not_mind(self, world: World) -> None:
        requests = [(await world.offered(2))[0] for _ in range(8)]
        nodes = [PostgresNews(world.pool) for _ in range(4)]
        for node in nodes:
            for request in requests:
                node.told_request(request.id, request.version)
                for one in await offer_news(world, request):
                    node.told_offer(one.open.offer)
        await asyncio.gather(*(node.flush() for node in nodes))
        for node in nodes:
            await node.flush()
        assert await world.sql.fetchval("SELECT count(*) FROM offers WHERE told_at IS NULL") == 0
