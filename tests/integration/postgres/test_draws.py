"""Who is drawn from Postgres itself, who goes first, and who waits for whom."""

from __future__ import annotations

from uuid import UUID

import pytest

from signaling.model import EndReason, Side
from tests.integration.postgres.world import Person, World


async def drawn(world: World, *, count: int = 10, language: str = "en", excluded: tuple[UUID, ...] = ()) -> list[UUID]:
    return await world.book.draw_ready(language=language, count=count, excluded=excluded)


async def asked_ago(world: World, person: Person, seconds: float) -> None:
    await world.sql.execute(
        "UPDATE users SET last_asked_at = eyeline_now() - make_interval(secs => $2) WHERE id = $1", person.id, seconds
    )


class TestDrawing:
    async def test_the_never_asked_come_first_and_then_the_longest_unasked(self, world: World) -> None:
        people = await world.volunteers(6)
        for seconds, person in zip((10, 500, 60, 400), people, strict=False):
            await asked_ago(world, person, seconds)
        found = await drawn(world)
        assert set(found[:2]) == {people[4].id, people[5].id}
        assert found[2:] == [people[n].id for n in (1, 3, 2, 0)]
        assert await drawn(world, count=3) != []

    async def test_newcomers_come_in_no_fixed_order(self, world: World) -> None:
        await world.volunteers(8)
        assert len({(await drawn(world, count=1))[0] for _ in range(40)}) > 1

    async def test_only_those_of_the_language_are_drawn(self, world: World) -> None:
        danish, _, both = await world.volunteer("da"), await world.volunteer("en"), await world.volunteer("en", "da")
        assert set(await drawn(world, language="da")) == {danish.id, both.id}

    async def test_the_excluded_are_not(self, world: World) -> None:
        people = await world.volunteers(3)
        assert await drawn(world, excluded=(people[0].id, people[2].id)) == [people[1].id]

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE users SET status = 'suspended' WHERE id = $1",
            "UPDATE users SET not_before = eyeline_now() + interval '1 m' WHERE id = $1",
            "UPDATE sessions SET ready = false WHERE user_id = $1",
            "UPDATE sessions SET seen_at = eyeline_now() - interval '16 s' WHERE user_id = $1",
            "INSERT INTO busy VALUES ($1, eyeline_now() + interval '1 m', uuidv7(), 'offer')",
            "INSERT INTO busy VALUES ($1, 'infinity', uuidv7(), 'call')",
            "INSERT INTO availability (user_id, paused) VALUES ($1, true)",
            "INSERT INTO availability (user_id, paused_until) VALUES ($1, eyeline_now() + interval '1 m')",
        ],
    )
    async def test_who_may_not_be_asked_now_is_not(self, world: World, change: str) -> None:
        person, other = await world.volunteer(), await world.volunteer()
        await world.sql.execute(change, person.id)
        assert await drawn(world) == [other.id]

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE users SET not_before = eyeline_now() - interval '1 s' WHERE id = $1",
            "INSERT INTO busy VALUES ($1, eyeline_now() - interval '1 s', uuidv7(), 'offer')",
            "INSERT INTO availability (user_id, paused_until) VALUES ($1, eyeline_now() - interval '1 s')",
        ],
    )
    async def test_who_may_again_is(self, world: World, change: str) -> None:
        person = await world.volunteer()
        await world.sql.execute(change, person.id)
        assert await drawn(world) == [person.id]


class TestExclusions:
    async def test_declined_won_and_open_offers_and_avoided_pairs_are_excluded(self, world: World) -> None:
        request, people = await world.offered(4)
        no, winner, lost, lost_too = people
        await world.decline(request, no)
        await world.accept(request, winner)
        await world.end(await world.call_of(request), EndReason.LEFT, Side.VOLUNTEER)
        returned = await world.now(request)
        asked, avoided, avoiding = await world.volunteers(3)
        await world.wave(returned, [asked])
        await world.book.avoid(request.requester_id, avoided.id)
        await world.book.avoid(avoiding.id, request.requester_id)
        await world.book.avoid(avoiding.id, request.requester_id)
        assert await world.book.exclusions(request.id) == {no.id, winner.id, asked.id, avoided.id, avoiding.id}
        assert {lost.id, lost_too.id}.isdisjoint(await world.book.exclusions(request.id))

    async def test_who_let_it_expire_may_be_asked_again(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        await world.sql.execute("UPDATE offers SET expires_at = eyeline_now()")
        await world.look(request)
        assert await world.book.let_expire(request.id) == {person.id}
        assert await world.book.exclusions(request.id) == frozenset()
        assert await world.wave(await world.now(request), [person]) == (person.id,)
        assert await world.book.exclusions(request.id) == {person.id}


class TestTurns:
    async def test_older_hungry_requests_of_the_language_come_oldest_first(self, world: World) -> None:
        first, second, full, danish, silent = [await world.open() for _ in range(5)]
        asking = await world.open()
        younger = await world.open()
        await world.sql.execute("UPDATE requests SET hungry = false WHERE id = $1", full.id)
        await world.sql.execute("UPDATE requests SET index_languages = '{da}' WHERE id = $1", danish.id)
        await world.sql.execute(
            "UPDATE sessions SET seen_at = eyeline_now() - interval '11 s' WHERE id = $1", silent.session_id
        )
        assert await world.book.older_hungry(asking, "en", 10) == [first.id, second.id]
        assert await world.book.older_hungry(asking, "en", 1) == [first.id]
        assert await world.book.older_hungry(younger, "en", 10) == [first.id, second.id, asking.id]
        assert await world.book.older_hungry(first, "en", 10) == []

    async def test_one_that_went_back_to_waiting_keeps_its_place(self, world: World) -> None:
        first, call, _ = await world.in_call()
        later = await world.open()
        assert await world.book.older_hungry(later, "en", 10) == []
        await world.end(call, EndReason.TECHNICAL, Side.REQUESTER)
        assert await world.book.older_hungry(later, "en", 10) == [first.id]

    async def test_a_free_person_goes_to_the_oldest_that_may_have_them(self, world: World) -> None:
        person = await world.volunteer()
        avoided, declined, full, silent, late, fit, _ = [await world.open() for _ in range(7)]
        await world.book.avoid(person.id, avoided.requester_id)
        await world.wave(declined, [person])
        await world.decline(declined, person)
        await world.sql.execute("UPDATE requests SET hungry = false WHERE id = $1", full.id)
        await world.sql.execute(
            "UPDATE sessions SET seen_at = eyeline_now() - interval '11 s' WHERE id = $1", silent.session_id
        )
        await world.sql.execute("UPDATE requests SET deadline = eyeline_now() WHERE id = $1", late.id)
        assert await world.book.oldest_waiting_for(person.id) == fit.id

    async def test_nobody_waits_for_one_of_other_languages(self, world: World) -> None:
        await world.open()
        person = await world.volunteer("da", "sv")
        assert await world.book.oldest_waiting_for(person.id) is None

    async def test_a_wave_that_got_fewer_than_it_wanted_leaves_the_request_hungry(self, world: World) -> None:
        _, (taken,) = await world.offered(1)
        request, free = await world.open(), await world.volunteer()
        await world.sql.execute("UPDATE requests SET hungry = false")
        await world.wave(request, [taken, free])
        assert await world.sql.fetchval("SELECT hungry FROM requests WHERE id = $1", request.id)


class TestOffers:
    async def test_those_open_for_a_person_are_found_and_no_others(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        (found,) = await world.book.open_offers(person.id)
        assert (found.offer.request_id, found.offer.epoch, found.mode) == (request.id, 1, "video")
        assert found.waiting_since == request.created_at
        await world.sql.execute("UPDATE offers SET expires_at = eyeline_now()")
        assert await world.book.open_offers(person.id) == []

    async def test_the_latest_of_an_epoch_is_found(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        await world.sql.execute("UPDATE offers SET expires_at = eyeline_now()")
        await world.look(request)
        await world.sql.execute("DELETE FROM busy")
        await world.wave(await world.now(request), [person])
        latest = await world.book.offer_for(request.id, person.id, 1)
        assert latest is not None
        assert (latest.wave, latest.outcome) == (2, None)
        assert await world.book.offer_for(request.id, person.id, 2) is None
