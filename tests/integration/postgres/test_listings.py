"""How Postgres lists volunteers for the index, and what is known of sessions."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from infra.postgres.listings import RETURN_FROM_CALL
from matching.model import Listing, Tier
from signaling.model import EndReason, Side
from tests.integration.postgres.world import COOLDOWN, FRESH, WRAP_UP, Person, World

AVAILABILITY = "INSERT INTO availability (user_id, weekly, paused, paused_until) VALUES ($1, $2, $3, $4)"
REFUSED = "UPDATE push_values SET quarantined_until = eyeline_now() + interval '1 day'"
TIER = "SELECT eyeline_tier($1, $2)"
ALWAYS = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]
MORNINGS = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "08:00", "to": "12:00"}]


async def listed(world: World, person: Person) -> Listing | None:
    """The person's listing; its tier is what `eyeline_tier` says."""
    of, [tier] = await world.listings.of([person.id]), await world.sql.fetchrow(TIER, person.id, FRESH)
    assert [one.tier for one in of] in ([], [tier])
    return of[0] if of else None


async def listing_of(world: World, person: Person) -> Listing:
    one = await listed(world, person)
    assert one is not None
    return one


async def put_hours(world: World, person: Person, weekly: Any, *, paused: bool = False, until: Any = None) -> None:
    async with world.pool.acquire() as connection:
        await connection.execute(AVAILABILITY, person.id, weekly, paused, until)


class TestTier:
    async def test_hot_is_a_fresh_session_that_said_ready(self, world: World) -> None:
        assert (await listing_of(world, await world.volunteer())).tier is Tier.HOT

    async def test_cold_is_a_closed_app_that_can_be_woken_or_one_that_is_open(self, world: World) -> None:
        assert (await listing_of(world, await world.closed())).tier is Tier.COLD
        open_app = await world.volunteer(ready=False)
        assert await listed(world, open_app) is None
        await world.presence.attach(open_app.session, 1)
        assert (await listing_of(world, open_app)).tier is Tier.COLD

    async def test_whose_devices_were_not_seen_for_a_month_is_idle(self, world: World) -> None:
        person = await world.closed(idle=True)
        assert (await listing_of(world, person)).tier is Tier.IDLE
        await world.device(person, device_id="new phone")
        assert (await listing_of(world, person)).tier is Tier.COLD

    async def test_a_value_we_cannot_send_to_makes_nobody_reachable(self, world: World) -> None:
        person = await world.closed()
        await world.sql.execute("UPDATE push_values SET kind = 'apns_voip'")
        assert await listed(world, person) is None

    async def test_whose_values_were_all_refused_comes_back_when_one_may_be_tried_again(self, world: World) -> None:
        person = await world.closed()
        await world.device(person, device_id="tablet")
        values = await world.sql.fetch("SELECT id FROM push_values ORDER BY id")
        for minutes, value in enumerate(values, start=5):
            until = timedelta(minutes=minutes)
            await world.sql.execute(
                "UPDATE push_values SET quarantined_until = eyeline_now() + $2 WHERE id = $1", value["id"], until
            )
        now = (await world.book.now()).timestamp()
        [refused] = await world.listings.of([person.id])
        assert (refused.tier, round(refused.not_before - now)) == (Tier.COLD, 300)
        assert await world.sql.fetchval(TIER, person.id, FRESH) is None  # so no wave takes them before
        await world.pass_time(301)
        assert (await listing_of(world, person)).not_before < (await world.book.now()).timestamp()

    @pytest.mark.parametrize(("idle", "tier"), [(False, Tier.COLD), (True, Tier.IDLE)])
    async def test_who_was_refused_waits_in_the_tier_of_their_phone(self, world: World, idle: bool, tier: Tier) -> None:
        person = await world.closed(idle=idle)
        await world.sql.execute(REFUSED)
        [one] = await world.listings.of([person.id])
        assert one.tier is tier
        assert one.not_before > 0

    @pytest.mark.parametrize("ready", [True, False])
    async def test_whose_app_is_open_or_ready_needs_no_push_value(self, world: World, ready: bool) -> None:
        person = await world.closed()
        await world.sql.execute(REFUSED)
        if ready:
            await world.sql.execute("UPDATE sessions SET ready = true")
        else:
            await world.presence.attach(person.session, 1)
        one = await listing_of(world, person)
        assert (one.tier, one.not_before) == (Tier.HOT if ready else Tier.COLD, 0)

    async def test_a_phone_that_connects_is_in_use_again(self, world: World) -> None:
        person = await world.closed(idle=True)
        await world.presence.attach(person.session, 1)
        await world.sql.execute("UPDATE sessions SET ended_at = eyeline_now()")
        assert (await listing_of(world, person)).tier is Tier.COLD

    @pytest.mark.parametrize(
        "change", ["seen_at = eyeline_now() - interval '16 s'", "ready = false, ended_at = eyeline_now()"]
    )
    async def test_a_session_that_is_gone_is_not_hot(self, world: World, change: str) -> None:
        person = await world.volunteer()
        await world.sql.execute(f"UPDATE sessions SET {change}")
        assert await listed(world, person) is None

    async def test_one_ready_session_of_many_is_enough(self, world: World) -> None:
        person = await world.volunteer(ready=False)
        await world.sql.execute(
            "INSERT INTO sessions (user_id, device_id, platform, ready) VALUES ($1, 'tablet', 'web', true)", person.id
        )
        assert (await listing_of(world, person)).tier is Tier.HOT


class TestRelistings:
    """Whose change may not have reached the index."""

    async def left(self, world: World) -> list[UUID]:
        return [person_id for person_id, _ in await world.listings.to_relist(10)]

    async def settle(self, world: World) -> None:
        """All who were changed so far are listed."""
        await world.sql.execute("DELETE FROM relistings")

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE availability SET paused = true WHERE user_id = $1",
            "INSERT INTO availability (user_id) VALUES ($1) ON CONFLICT (user_id) DO UPDATE SET paused_until = NULL",
            "UPDATE users SET status = 'held' WHERE id = $1",
            "UPDATE users SET languages = '{sv}' WHERE id = $1",
            "UPDATE users SET time_zone = 'Asia/Kathmandu' WHERE id = $1",
        ],
    )
    async def test_a_change_is_there_until_it_was_listed(self, world: World, change: str) -> None:
        person = await world.closed()
        await self.settle(world)
        await world.sql.execute(change, person.id)
        assert await self.left(world) == []  # the node that made it is at it
        await world.pass_time(4)
        [(person_id, since)] = await world.listings.to_relist(10)
        assert person_id == person.id
        await world.listings.relisted(person_id, since)
        assert await self.left(world) == []

    async def test_a_new_phone_is_a_change(self, world: World) -> None:
        person = await world.volunteer()
        await self.settle(world)
        await world.device(person)
        await world.pass_time(4)
        assert await self.left(world) == [person.id]

    async def test_changed_once_more_they_stay(self, world: World) -> None:
        person = await world.closed()
        await world.pass_time(4)
        [(_, since)] = await world.listings.to_relist(10)
        await world.sql.execute("UPDATE availability SET paused = true WHERE user_id = $1", person.id)
        await world.listings.relisted(person.id, since)
        assert await self.left(world) == []
        await world.pass_time(8)
        assert await self.left(world) == [person.id]

    async def test_being_asked_and_requesters_are_none_of_it(self, world: World) -> None:
        person, asker = await world.volunteer(), await world.requester()
        await self.settle(world)
        await world.wave(await world.open(), [person])
        await world.sql.execute("UPDATE users SET languages = '{sv}' WHERE id = $1", asker.id)
        await world.pass_time(4)
        assert await self.left(world) == []


class TestWhoIsListed:
    @pytest.mark.parametrize(
        "change",
        ["status = 'suspended'", "status = 'held'", "role = 'requester'", "role = NULL", "index_languages = '{}'"],
    )
    async def test_who_cannot_be_asked_is_left_out(self, world: World, change: str) -> None:
        person, other = await world.volunteer(), await world.volunteer()
        await world.sql.execute(f"UPDATE users SET {change} WHERE id = $1", person.id)
        assert await listed(world, person) is None
        assert [one.person_id for one in await world.listings.of([person.id, other.id])] == [other.id]
        assert await world.listings.page(None, 10) == [other.id]

    async def test_pages_go_through_all_once(self, world: World) -> None:
        people = [person.id for person in await world.volunteers(7)]
        pages: list[list[UUID]] = []
        while not pages or pages[-1]:
            pages.append(await world.listings.page(pages[-1][-1] if pages else None, 3))
        assert pages == [people[:3], people[3:6], people[6:], []]

    async def test_those_who_speak_what_is_wanted_and_nothing_else(self, world: World) -> None:
        people = [(await world.volunteer()).id for _ in range(3)]
        for person, languages in zip(people, (["en"], ["da", "en"], ["da"]), strict=True):
            await world.sql.execute("UPDATE users SET index_languages = $2 WHERE id = $1", person, languages)
        found = await world.listings.of(people, speaking=["da"], besides=["en"])
        assert [one.person_id for one in found] == people[2:]

    async def test_nobody_is_listed_of_nobody(self, world: World) -> None:
        assert await world.listings.of([]) == []
        assert await world.listings.of([uuid4()]) == []


class TestHours:
    async def test_without_hours_there_is_no_window(self, world: World) -> None:
        one = await listing_of(world, await world.volunteer())
        assert (one.opens_at, one.closes_at) == (None, None)

    async def test_the_whole_week_never_closes(self, world: World) -> None:
        person = await world.volunteer()
        await put_hours(world, person, ALWAYS)
        one = await listing_of(world, person)
        assert one.opens_at is not None
        assert one.opens_at <= (await world.book.now()).timestamp()
        assert one.closes_at is None

    async def test_the_window_is_the_present_or_the_next_in_their_zone(self, world: World) -> None:
        person = await world.volunteer()
        await world.sql.execute("UPDATE users SET time_zone = 'Asia/Kolkata'")
        await put_hours(world, person, MORNINGS)
        one, now = await listing_of(world, person), (await world.book.now()).timestamp()
        assert one.opens_at is not None
        assert one.closes_at is not None
        assert one.closes_at - one.opens_at == 4 * 3600
        assert now < one.closes_at
        assert one.opens_at <= now + 24 * 3600
        assert one.opens_at % 86400 == 2.5 * 3600

    async def test_a_zone_that_is_no_more_keeps_nobody_else_out(self, world: World) -> None:
        lost, other = await world.volunteer(), await world.volunteer()
        for person in (lost, other):
            await put_hours(world, person, ALWAYS)
        await world.sql.execute("UPDATE users SET time_zone = 'Mars/Olympus' WHERE id = $1", lost.id)
        assert (await listing_of(world, lost)).opens_at is None
        assert (await listing_of(world, other)).opens_at is not None


class TestNotBefore:
    async def test_nothing_keeps_a_newcomer(self, world: World) -> None:
        one = await listing_of(world, await world.volunteer())
        assert one.not_before == 0.0
        assert 0 <= one.last_asked_at < 1

    async def test_a_pause_without_end_has_none(self, world: World) -> None:
        person = await world.volunteer()
        await put_hours(world, person, ALWAYS, paused=True)
        assert (await listing_of(world, person)).not_before == math.inf

    @pytest.mark.parametrize("paused", [True, False])
    async def test_a_pause_with_an_end_ends(self, world: World, paused: bool) -> None:
        person, until = await world.volunteer(), (await world.book.now()) + timedelta(minutes=5)
        await put_hours(world, person, ALWAYS, paused=paused, until=until)
        assert (await listing_of(world, person)).not_before == until.timestamp()
        assert await world.book.draw_ready(language="en", count=5, excluded=()) == []
        await world.pass_time(301)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now()")
        assert (await listing_of(world, person)).not_before <= (await world.book.now()).timestamp()
        assert await world.book.draw_ready(language="en", count=5, excluded=()) == [person.id]

    async def test_an_open_offer_keeps_them_until_it_ends(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        (offer,) = await world.book.open_offers(person.id)
        assert (await listing_of(world, person)).not_before == offer.offer.expires_at.timestamp()
        await world.cancel(request)
        assert (await listing_of(world, person)).not_before == 0.0

    async def test_after_no_comes_a_cooldown(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        decided = await world.decline(request, person)
        assert (await listing_of(world, person)).not_before == (decided.now + COOLDOWN).timestamp()

    async def test_after_silence_comes_a_cooldown(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        await world.pass_time(31)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now()")
        decided = await world.look(request)
        assert (await listing_of(world, person)).not_before == (decided.now + COOLDOWN).timestamp()

    async def test_a_call_has_no_end_yet_but_nobody_stays_away_for_ever(self, world: World) -> None:
        _, call, person = await world.in_call()
        away = (await listing_of(world, person)).not_before - (await world.book.now()).timestamp()
        assert 0 < away <= RETURN_FROM_CALL.total_seconds()
        ended = await world.end(call, EndReason.DONE, Side.REQUESTER)
        assert ended.ended_at is not None
        assert (await listing_of(world, person)).not_before == (ended.ended_at + WRAP_UP).timestamp()

    async def test_the_turn_is_when_they_were_last_asked(self, world: World) -> None:
        person = await world.volunteer()
        at = await world.sql.fetchval("UPDATE users SET last_asked_at = eyeline_now() RETURNING last_asked_at")
        assert (await listing_of(world, person)).last_asked_at == at.timestamp()


class TestPresence:
    async def test_only_a_volunteers_living_session_can_be_ready(self, world: World) -> None:
        volunteer, requester = await world.volunteer(ready=False), await world.requester()
        assert await world.presence.set_ready(volunteer.session, 0, True)
        assert (await listing_of(world, volunteer)).tier is Tier.HOT
        assert not await world.presence.set_ready(requester.session, 0, True)
        assert await world.presence.set_ready(volunteer.session, 0, False)
        assert await listed(world, volunteer) is None
        await world.sql.execute("UPDATE sessions SET ended_at = eyeline_now()")
        assert not await world.presence.set_ready(volunteer.session, 0, True)

    async def test_readiness_told_to_an_owner_that_is_none_any_more_is_void(self, world: World) -> None:
        person = await world.volunteer(ready=False)
        await world.presence.attach(person.session, 2)
        assert not await world.presence.set_ready(person.session, 1, True)
        assert (await listing_of(world, person)).tier is Tier.COLD
        assert await world.presence.set_ready(person.session, 2, True)
        assert (await listing_of(world, person)).tier is Tier.HOT

    async def test_saying_ready_is_being_seen(self, world: World) -> None:
        person = await world.volunteer(ready=False)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now() - interval '1 h'")
        await world.presence.set_ready(person.session, 0, True)
        assert (await listing_of(world, person)).tier is Tier.HOT

    async def test_sightings_are_written_together(self, world: World) -> None:
        people = await world.volunteers(5)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now() - interval '1 h'")
        for person in people[:4]:
            world.presence.seen(person.session)
        world.presence.seen(uuid4())
        await world.presence.flush()
        fresh = await world.sql.fetch("SELECT user_id FROM sessions WHERE seen_at > eyeline_now() - interval '1 m'")
        assert {row["user_id"] for row in fresh} == {person.id for person in people[:4]}

    async def test_an_ended_session_is_not_seen(self, world: World) -> None:
        person = await world.volunteer(ready=False)
        await world.sql.execute(
            "UPDATE sessions SET ended_at = eyeline_now(), seen_at = eyeline_now() - interval '1 h'"
        )
        world.presence.seen(person.session)
        await world.presence.flush()
        assert await world.sql.fetchval("SELECT seen_at < eyeline_now() - interval '59 m' FROM sessions")

    async def test_the_silent_are_forgotten_once_and_the_others_not(self, world: World) -> None:
        silent, fresh, unready = await world.volunteer(), await world.volunteer(), await world.volunteer(ready=False)
        await world.sql.execute(
            "UPDATE sessions SET seen_at = eyeline_now() - $1::interval WHERE user_id = ANY ($2)",
            FRESH + timedelta(seconds=1),
            [silent.id, unready.id],
        )
        assert await world.presence.forget_silent() == [(silent.session, silent.id)]
        assert await world.presence.forget_silent() == []
        ready = await world.sql.fetch("SELECT user_id FROM sessions WHERE ready")
        assert [row["user_id"] for row in ready] == [fresh.id]

    async def test_nobody_is_forgotten_while_nothing_could_be_written_nor_right_after(self, world: World) -> None:
        person = await world.volunteer()
        await world.presence.flush()
        await world.pass_time(60)  # in which Postgres, or every node, was away
        assert await world.presence.forget_silent() == []
        await world.presence.flush()
        await world.pass_time(65)
        await world.presence.flush()
        assert await world.presence.forget_silent() == []
        for seconds in (70, 75, 80):
            await world.pass_time(seconds)
            await world.presence.flush()
        assert await world.presence.forget_silent() == [(person.session, person.id)]

    async def test_a_clock_that_was_ahead_and_is_put_right_makes_nobody_immortal(self, world: World) -> None:
        person = await world.volunteer()
        await world.pass_time(3600)
        await world.presence.flush()
        await world.pass_time(0)
        for seconds in (0, 5, 10, 15, 20):
            await world.pass_time(seconds)
            await world.presence.flush()
        assert await world.presence.forget_silent() == [(person.session, person.id)]

    async def test_two_nodes_forget_each_once_and_wait_for_nobody(self, world: World) -> None:
        people = await world.volunteers(30)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now() - interval '1 m'")
        async with world.other() as holder, holder.transaction(), asyncio.timeout(1.5):
            await holder.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", people[0].session)
            forgotten = await asyncio.gather(*(world.presence.forget_silent() for _ in range(4)))
        named = [person_id for batch in forgotten for _, person_id in batch]
        assert sorted(named) == [person.id for person in people[1:]]
