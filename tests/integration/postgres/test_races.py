"""Decisions that meet: of two that exclude each other one happens, whole, and nobody deadlocks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from matching.model import Request, RequestState
from matching.ports import Decided
from signaling.model import EndReason, Side
from tests.integration.postgres.world import Person, World, open_world

TWO_LIVE_OFFERS = """
SELECT person_id FROM offers WHERE outcome IS NULL AND expires_at > eyeline_now() GROUP BY person_id HAVING count(*) > 1
"""
LEFT_OPEN = """
SELECT o.request_id FROM offers o JOIN requests r ON r.id = o.request_id
WHERE o.outcome IS NULL AND (r.state <> 'waiting' OR r.epoch <> o.epoch)
"""
TAKEN_FOR_NOTHING = """
SELECT b.person_id FROM busy b WHERE b.until > eyeline_now() AND CASE b.what
    WHEN 'offer' THEN NOT EXISTS (SELECT FROM offers o WHERE o.request_id = b.request_id AND o.person_id = b.person_id
                                  AND o.outcome IS NULL)
    ELSE NOT EXISTS (SELECT FROM calls c WHERE c.request_id = b.request_id AND c.state <> 'ended'
                     AND b.person_id IN (c.requester_id, c.volunteer_id)) END
"""
FREE_BUT_ASKED = """
SELECT o.person_id FROM offers o WHERE o.outcome IS NULL AND o.expires_at > eyeline_now()
AND NOT EXISTS (SELECT FROM busy b WHERE b.person_id = o.person_id AND b.request_id = o.request_id)
"""
FREE_IN_CALL = """
SELECT c.id FROM calls c WHERE c.state <> 'ended' AND 2 <> (
    SELECT count(*) FROM busy b WHERE b.person_id IN (c.requester_id, c.volunteer_id) AND b.what = 'call'
    AND b.request_id = c.request_id AND b.until = 'infinity')
"""


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[World]:
    """Another node's books over the same database."""
    async with open_world(database_url) as world:
        yield world


async def nothing_wrong(world: World) -> None:
    """What holds whoever was first."""
    for query in (TWO_LIVE_OFFERS, LEFT_OPEN, TAKEN_FOR_NOTHING, FREE_BUT_ASKED, FREE_IN_CALL):
        assert await world.sql.fetch(query) == [], query


async def side_by_side(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All at once; an exception of any is the test's."""
    async with asyncio.timeout(60):
        return await asyncio.gather(*work)


def winners(decided: Iterable[Decided]) -> list[UUID]:
    return [d.change.winner.person_id for d in decided if d.change.winner is not None and not d.refused_busy]


class TestAccepting:
    async def test_of_fifty_at_once_one_wins_and_the_others_are_free(self, world: World, second: World) -> None:
        request, people = await world.offered(50)
        nodes = [world, second] * 25
        decided = await side_by_side(*(node.accept(request, p) for node, p in zip(nodes, people, strict=True)))
        (winner,) = winners(decided)
        outcomes = await world.offers(request)
        assert outcomes == {person.id: "won" if person.id == winner else "lost" for person in people}
        assert await world.busy() == {winner: "call", request.requester_id: "call"}
        assert await world.sql.fetchval("SELECT count(*) FROM calls") == 1
        await nothing_wrong(world)

    async def test_again_and_again_of_twelve_one_wins(self, world: World, second: World) -> None:
        people = await world.volunteers(12)
        for _ in range(15):
            request = await world.open()
            assert len(await world.wave(request, people) or ()) == 12
            shuffled = random.sample(people, len(people))
            decided = await side_by_side(*((world, second)[i % 2].accept(request, p) for i, p in enumerate(shuffled)))
            assert len(winners(decided)) == 1
            await world.end(await world.call_of(request), EndReason.DONE, Side.REQUESTER)
            assert await world.busy() == {}

    async def test_the_same_person_at_once_wins_once(self, world: World, second: World) -> None:
        request, (person,) = await world.offered(1)
        decided = await side_by_side(*(node.accept(request, person) for node in [world, second] * 5))
        assert winners(decided) == [person.id]
        assert (await world.call_of(request)).volunteer.session_id == person.session

    async def test_of_accept_and_cancel_one_happens(self, world: World, second: World) -> None:
        met = set()
        for _ in range(20):
            request, (person, _) = await world.offered(2)
            both: list[Coroutine[Any, Any, Decided]] = [world.accept(request, person), second.cancel(request)]
            random.shuffle(both)
            await side_by_side(*both)
            state = (await world.now(request)).state
            met.add(state)
            outcomes = set((await world.offers(request)).values())
            assert outcomes == ({"won", "lost"} if state is RequestState.CONNECTING else {"withdrawn"})
            await nothing_wrong(world)
        assert met <= {RequestState.CONNECTING, RequestState.ENDED}

    async def test_of_accept_and_decline_by_one_person_one_happens(self, world: World, second: World) -> None:
        for _ in range(10):
            request, (person,) = await world.offered(1)
            both: list[Coroutine[Any, Any, Decided]] = [world.accept(request, person), second.decline(request, person)]
            random.shuffle(both)
            await side_by_side(*both)
            won = (await world.now(request)).state is RequestState.CONNECTING
            assert await world.offers(request) == {person.id: "won" if won else "declined"}
            await nothing_wrong(world)

    async def test_an_accept_that_waited_does_not_win_on_an_offer_that_ran_out_meanwhile(self, world: World) -> None:
        """The clock is read after the lock: nobody but time has touched the offer."""
        request, (person,) = await world.offered(1)
        await world.sql.execute("UPDATE offers SET expires_at = eyeline_now() + interval '300 ms'")
        async with world.locked(request) as holder:
            accepting = asyncio.create_task(world.accept(request, person))
            await world.waiters(1)
            await holder.execute("SELECT pg_sleep_until((SELECT expires_at FROM offers))")
        assert winners([await accepting]) == []
        assert (await world.now(request)).state is RequestState.WAITING

    async def test_an_accept_that_waited_does_not_win_on_an_offer_somebody_ended_meanwhile(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        async with world.locked(request) as holder:
            accepting = asyncio.create_task(world.accept(request, person))
            await world.waiters(1)
            await holder.execute("UPDATE offers SET outcome = 'expired', reason = 'expired', ended_at = eyeline_now()")
        assert winners([await accepting]) == []
        assert await world.offers(request) == {person.id: "expired"}

    async def test_of_accept_and_the_look_that_lets_the_offer_expire_one_happens(
        self, world: World, second: World
    ) -> None:
        for _ in range(10):
            request, (person,) = await world.offered(1)
            await world.sql.execute("UPDATE offers SET expires_at = eyeline_now() + interval '5 ms'")
            await side_by_side(world.accept(request, person), *(second.look(request) for _ in range(4)))
            await world.sql.fetch("SELECT pg_sleep_until(max(expires_at)) FROM offers")
            await world.look(request)
            won = (await world.now(request)).state is RequestState.CONNECTING
            assert await world.offers(request) == {person.id: "won" if won else "expired"}
            await nothing_wrong(world)
            await world.sql.execute("DELETE FROM requests; DELETE FROM busy")

    async def test_who_is_taken_by_another_call_does_not_win(self, world: World) -> None:
        """Their own row ran out, another request asked them, and they answered that one first."""
        first, (person, other) = await world.offered(2)
        await world.sql.execute("UPDATE busy SET until = eyeline_now() - interval '1 s'")
        later = await world.open()
        await world.wave(later, [person])
        await world.accept(later, person)
        decided = await world.accept(first, person)
        assert decided.refused_busy
        assert (await world.now(first)).state is RequestState.WAITING
        assert await world.offers(first) == {person.id: None, other.id: None}
        assert winners([await world.accept(first, other)]) == [other.id]
        assert (await world.busy())[person.id] == "call"


class TestWaves:
    async def test_of_two_waves_planned_for_one_number_one_happens(self, world: World, second: World) -> None:
        request = await world.open()
        some, others = await world.volunteers(3), await world.volunteers(3)
        taken = await side_by_side(world.wave(request, some), second.wave(request, others))
        assert sorted(len(people) if people is not None else -1 for people in taken) == [-1, 3]
        after = await world.now(request)
        assert (after.wave, after.asked) == (1, 3)
        assert len(await world.offers(request)) == 3

    async def test_nobody_asked_by_two_requests_has_two_live_offers(self, world: World, second: World) -> None:
        people = await world.volunteers(12)
        requests = [await world.open() for _ in range(8)]
        waves = [
            node.wave(request, random.sample(people, 8))
            for node, request in zip([world, second] * 4, requests, strict=True)
        ]
        taken = [set(people or ()) for people in await side_by_side(*waves)]
        assert sum(map(len, taken)) == len(set().union(*taken))
        await nothing_wrong(world)

    async def test_a_wave_and_a_cancel_leave_no_offer_open(self, world: World, second: World) -> None:
        for _ in range(15):
            request, people = await world.open(), await world.volunteers(4)
            both: list[Coroutine[Any, Any, Any]] = [world.wave(request, people), second.cancel(request)]
            random.shuffle(both)
            await side_by_side(*both)
            assert set((await world.offers(request)).values()) <= {"withdrawn"}
            assert await world.busy() == {}

    @pytest.mark.parametrize("meanwhile", ["wave = wave + 1", "epoch = epoch + 1"])
    async def test_a_plan_that_waited_out_its_moment_is_dropped(self, world: World, meanwhile: str) -> None:
        request, people = await world.open(), await world.volunteers(2)
        async with world.locked(request) as holder:
            asking = asyncio.create_task(world.wave(request, people))
            await world.waiters(1)
            await holder.execute(f"UPDATE requests SET {meanwhile}")
        assert await asking is None
        assert (await world.offers(request), await world.busy()) == ({}, {})

    async def test_a_plan_for_a_request_that_is_answered_or_gone_is_dropped(self, world: World) -> None:
        request, _, _ = await world.in_call()
        people = await world.volunteers(1)
        assert await world.wave(request, people) is None
        await world.sql.execute("DELETE FROM requests")
        assert await world.wave(request, people) is None

    async def test_a_plan_that_waited_past_the_deadline_rings_nobody(self, world: World) -> None:
        request, people = await world.open(), await world.volunteers(2)
        async with world.locked(request) as holder:
            asking = asyncio.create_task(world.wave(request, people))
            await world.waiters(1)
            await holder.execute("UPDATE requests SET deadline = eyeline_now()")
        assert not await asking
        assert (await world.offers(request), (await world.now(request)).asked) == ({}, 0)

    async def test_offers_do_not_outlive_the_request(self, world: World) -> None:
        request, people = await world.open(), await world.volunteers(1)
        await world.sql.execute("UPDATE requests SET deadline = eyeline_now() + interval '10 s'")
        await world.wave(request, people)
        assert await world.sql.fetchval(
            "SELECT o.expires_at = r.deadline AND b.until = r.deadline FROM offers o, requests r, busy b"
        )

    async def test_what_ran_out_blocks_nobody(self, world: World) -> None:
        """Neither a row of busy nor an offer that nobody has ended yet."""
        old, people = await world.offered(3)
        await world.pass_time(31)
        await world.sql.execute("UPDATE sessions SET seen_at = eyeline_now()")
        new = await world.open()
        assert set(await world.wave(new, people) or ()) == {person.id for person in people}
        await world.look(old)
        assert set((await world.offers(old)).values()) == {"expired"}
        assert await world.busy() == {person.id: "offer" for person in people}
        assert winners([await world.accept(new, people[0])]) == [people[0].id]
        await nothing_wrong(world)

    async def test_only_those_who_may_be_asked_are(self, world: World) -> None:
        """The index may be out of date about each of them."""
        request = await world.open()
        names = ("fit", "suspended", "held", "paused", "snoozed", "not ready", "unseen", "signed out", "avoided")
        people = {name: await world.volunteer() for name in names} | {"asking too": await world.requester()}
        changes = {
            "suspended": "UPDATE users SET status = 'suspended' WHERE id = $1",
            "held": "UPDATE users SET status = 'held' WHERE id = $1",
            "paused": "INSERT INTO availability (user_id, paused) VALUES ($1, true)",
            "snoozed": "INSERT INTO availability (user_id, paused_until) VALUES ($1, eyeline_now() + interval '1 m')",
            "not ready": "UPDATE sessions SET ready = false WHERE user_id = $1",
            "unseen": "UPDATE sessions SET seen_at = eyeline_now() - interval '16 s' WHERE user_id = $1",
            "signed out": "UPDATE sessions SET ready = false, ended_at = eyeline_now() WHERE user_id = $1",
            "asking too": "UPDATE sessions SET ready = true WHERE user_id = $1",
        }
        for name, change in changes.items():
            await world.sql.execute(change, people[name].id)
        await world.book.avoid(people["avoided"].id, request.requester_id)
        assert await world.wave(request, list(people.values())) == (people["fit"].id,)
        assert set(await world.busy()) == {people["fit"].id}

    async def test_a_pause_that_is_over_blocks_nobody(self, world: World) -> None:
        request, person = await world.open(), await world.volunteer()
        await world.sql.execute(
            "INSERT INTO availability (user_id, paused, paused_until)"
            " VALUES ($1, true, eyeline_now() - interval '1 s')",
            person.id,
        )
        assert await world.book.draw_ready(language="en", count=5, excluded=()) == [person.id]
        assert await world.wave(request, [person]) == (person.id,)


class TestDeadlocks:
    async def test_crossing_waves_accepts_and_ends_never_surface_one(self, world: World, second: World) -> None:
        """Few people, many requests, all in each other's way; offers that run out at once let rows change hands."""
        people = await world.volunteers(10)
        requests = [await world.open() for _ in range(6)]
        await side_by_side(*(self._life(node, requests, people, seed) for seed, node in enumerate([world, second] * 5)))
        await nothing_wrong(world)

    async def _life(self, node: World, requests: list[Request], people: list[Person], seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(25):
            request = await node.now(dice.choice(requests))
            person = dice.choice(people)
            match dice.randrange(6):
                case 0 | 1:
                    await node.wave(
                        request, dice.sample(people, 6), offer=timedelta(seconds=dice.choice([0.01, 0.05, 30]))
                    )
                case 2:
                    decided = await node.accept(request, person)
                    if decided.change.winner is not None and not decided.refused_busy:
                        call = await node.call_of(request)
                        await node.end(call, EndReason.TECHNICAL)
                case 3:
                    await node.decline(request, person)
                case 4:
                    await node.look(request)
                case _:
                    for one in await node.news.offer_news(request.id):
                        node.news.told_offer(one.open.offer)
                    await node.news.flush()

    async def test_two_accepts_whose_rows_cross_with_a_wave(self, world: World, second: World) -> None:
        """A asks 1 and 2, B asks 3 and 4; all rows have run out; C takes all four while A and B are answered."""
        for _ in range(10):
            people = await world.volunteers(4)
            first, other, third = [await world.open() for _ in range(3)]
            await world.wave(first, [people[0], people[2]])
            await world.wave(other, [people[1], people[3]])
            await world.sql.execute("UPDATE busy SET until = eyeline_now() - interval '1 ms'")
            await side_by_side(
                second.wave(third, people), world.accept(first, people[2]), second.accept(other, people[1])
            )
            await nothing_but_old_offers_wrong(world)
            await world.sql.execute("DELETE FROM requests; DELETE FROM busy")

    async def test_a_deadlock_forced_on_a_decision_is_undone_and_tried_again(self, world: World) -> None:
        """Somebody who locks in the wrong order costs a second, no error."""
        request, people = await world.offered(2)
        async with world.other() as foe:
            await foe.execute("SET deadlock_timeout = '10 s'")  # so that the book is the one to be undone
            transaction = foe.transaction()
            await transaction.start()
            await foe.execute("SELECT FROM busy WHERE person_id = $1 FOR UPDATE", people[1].id)
            accepting = asyncio.create_task(world.accept(request, people[0]))
            await world.waiters(1)
            await foe.execute("SELECT FROM requests WHERE id = $1 FOR UPDATE", request.id)
            await transaction.commit()
        assert winners([await accepting]) == [people[0].id]
        await nothing_wrong(world)

    async def test_a_deadlock_forced_on_a_wave_is_undone_and_tried_again(self, world: World) -> None:
        request, people = await world.open(), await world.volunteers(2)
        async with world.other() as foe:
            await foe.execute("SET deadlock_timeout = '10 s'")
            transaction = foe.transaction()
            await transaction.start()
            await foe.execute(
                "INSERT INTO busy VALUES ($1, eyeline_now() - interval '1 s', uuidv7(), 'offer')", people[1].id
            )
            asking = asyncio.create_task(world.wave(request, people))
            await world.waiters(1)
            await foe.execute("SELECT FROM requests WHERE id = $1 FOR UPDATE", request.id)
            await transaction.commit()
        assert set(await asking or ()) == {person.id for person in people}
        await nothing_wrong(world)


async def nothing_but_old_offers_wrong(world: World) -> None:
    """As `nothing_wrong`, where the test itself made rows of busy run out before their offers."""
    for query in (LEFT_OPEN, FREE_IN_CALL):
        assert await world.sql.fetch(query) == [], query
