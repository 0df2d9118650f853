"""The days' partitions of offers: made ahead, dropped when long past, never in anybody's way."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

from matching.model import RequestState
from tests.integration.postgres.world import World

DAY_S = 24 * 3600.0
AHEAD, KEEP = 7, 35
PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'offers'::regclass AND c.relname ~ '^offers_[0-9]{8}$'
"""


async def days(world: World) -> list[date]:
    names = [row["relname"] for row in await world.sql.fetch(PARTITIONS)]
    return sorted(datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() for name in names)


async def today(world: World) -> date:
    return (await world.book.now()).astimezone(UTC).date()


def span(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


class TestPartitions:
    async def test_a_new_database_has_the_coming_days(self, world: World) -> None:
        found = await days(world)
        assert found == span(found[0], found[0] + timedelta(days=AHEAD))
        assert found[0] <= await today(world) <= found[1]

    async def test_an_offer_is_in_the_partition_of_its_requests_day(self, world: World) -> None:
        request, _ = await world.offered(1)
        where = await world.sql.fetchval("SELECT tableoid::regclass::text FROM offers")
        made = await world.sql.fetchval("SELECT uuid_extract_timestamp($1::uuid)", request.id)
        assert where == f"offers_{made.astimezone(UTC):%Y%m%d}"

    async def test_time_makes_the_coming_days_and_drops_those_long_past(self, world: World) -> None:
        first = (await days(world))[0]
        for later in (1, 3, 10, 40, 60):
            await world.pass_time(later * DAY_S)
            await world.presence.keep_partitions()
            now = await today(world)
            found = await days(world)
            assert found[0] >= max(first, now - timedelta(days=KEEP))
            assert set(span(now, now + timedelta(days=AHEAD))) <= set(found)
            assert found[-1] == now + timedelta(days=AHEAD)

    async def test_the_last_day_kept_is_kept(self, world: World) -> None:
        first = (await days(world))[0]
        late = (await today(world) - first).days
        await world.pass_time((KEEP - late) * DAY_S)
        await world.presence.keep_partitions()
        assert (await days(world))[0] == first
        await world.pass_time((KEEP - late + 1) * DAY_S)
        await world.presence.keep_partitions()
        assert (await days(world))[0] == first + timedelta(days=1)

    async def test_twice_is_as_once_and_two_at_once_as_one(self, world: World) -> None:
        await world.pass_time(3 * DAY_S)
        await asyncio.gather(*(world.presence.keep_partitions() for _ in range(4)))
        found = await days(world)
        await world.presence.keep_partitions()
        assert await days(world) == found

    async def test_a_day_that_found_no_partition_gets_one_with_its_offers(self, world: World) -> None:
        """The service stood still for weeks and somebody asked before the partitions were made."""
        for name in [row["relname"] for row in await world.sql.fetch(PARTITIONS)]:
            await world.sql.execute(f"DROP TABLE {name}")
        request, people = await world.offered(2)
        assert await world.sql.fetchval("SELECT count(*) FROM offers_other") == 2
        await world.presence.keep_partitions()
        assert await world.sql.fetchval("SELECT count(*) FROM offers_other") == 0
        assert set(await world.offers(request)) == {person.id for person in people}
        await world.decline(request, people[1])
        await world.accept(request, people[0])
        assert await world.offers(request) == {people[0].id: "won", people[1].id: "declined"}

    async def test_offers_long_past_go_also_where_their_day_had_none(self, world: World) -> None:
        for name in [row["relname"] for row in await world.sql.fetch(PARTITIONS)]:
            await world.sql.execute(f"DROP TABLE {name}")
        request, _ = await world.offered(2)
        await world.pass_time((KEEP + 1) * DAY_S)
        await world.presence.keep_partitions()
        assert await world.offers(request) == {}

    async def test_a_partition_made_late_guards_as_the_others(self, world: World) -> None:
        for name in [row["relname"] for row in await world.sql.fetch(PARTITIONS)]:
            await world.sql.execute(f"DROP TABLE {name}")
        await world.offered(1)
        await world.presence.keep_partitions()
        late, early = [
            {
                (row["name"], row["what"])
                for row in await world.sql.fetch(
                    "SELECT tgname AS name, 'trigger' AS what FROM pg_trigger"
                    " WHERE tgrelid = $1::text::regclass AND NOT tgisinternal"
                    " UNION SELECT replace(pg_get_indexdef(indexrelid), $1, ''), 'index' FROM pg_index"
                    " WHERE indrelid = $1::text::regclass"
                    " UNION SELECT pg_get_constraintdef(oid), 'constraint' FROM pg_constraint"
                    " WHERE conrelid = $1::text::regclass",
                    f"offers_{day:%Y%m%d}",
                )
            }
            for day in (await today(world), await today(world) + timedelta(days=3))
        ]
        assert late == early
        assert any(what == "trigger" for _, what in late)

    async def test_making_and_dropping_them_is_in_nobodys_way(self, world: World) -> None:
        """Nor ends in a deadlock with those who ask and answer meanwhile."""

        async def keep() -> None:
            for day in (-90, 0, -80, 10, -70, 20, -60, 0):
                async with world.pool.acquire() as connection:
                    await connection.execute(f"SET eyeline.clock_offset = '{day} days'")
                    await connection.execute("SELECT eyeline_keep_offer_partitions(7, 35)")
                    await connection.execute("RESET eyeline.clock_offset")

        async def live() -> None:
            while not keeping.done():
                request, call, _ = await world.in_call()
                await world.news.offer_news(request.id)
                await world.calls.change(call.id, lambda c, _now: c)
                assert (await world.now(request)).state is RequestState.CONNECTING

        await world.sql.execute("SET lock_timeout = '5 s'")
        keeping = asyncio.create_task(keep())
        await asyncio.gather(keeping, live())
