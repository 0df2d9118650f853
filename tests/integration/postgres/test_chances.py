"""What is learned of how people answer: each request counted once, by whichever node, and slowly forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from infra.postgres.chances import PostgresChances
from matching.chances import AnswerDelay, Chances, Priors
from matching.model import Tier
from signaling.model import EndReason, Side
from tests.integration.postgres.world import World

HALF_LIFE = timedelta(days=14)
SETTLED_S = 16.0
PRIORS = Priors(hot=0.3, weight=2.0)


@pytest.fixture
def book(world: World) -> PostgresChances:
    return PostgresChances(world.pool, AnswerDelay(), PRIORS, HALF_LIFE)


async def answered(world: World) -> None:
    """A request that rang at four people, one of whom answered, is over."""
    request, people = await world.offered(4)
    await world.book.note_delivered(people[0].id, [(request.id, 1)])
    for person in people[1:]:
        await world.book.note_delivered(person.id, [(request.id, 1)])
    await world.accept(request, people[0])
    await world.sql.execute(
        "UPDATE offers SET offered_at = offered_at - interval '20 seconds' WHERE request_id = $1", request.id
    )
    await world.end(await world.call_of(request), EndReason.CANCELLED, Side.REQUESTER)


async def tallies(world: World) -> tuple[float, float]:
    """Answers and exposure of everybody."""
    row = await world.sql.fetchrow("SELECT sum(answers) AS answers, sum(exposure) AS exposure FROM answer_tallies")
    return row["answers"] or 0.0, row["exposure"] or 0.0


async def count_all(book: PostgresChances, believed: Chances) -> None:
    while await book.count(believed):
        pass


class TestCounting:
    async def test_counts_each_request_once(self, world: World, book: PostgresChances) -> None:
        await answered(world)
        await world.pass_time(SETTLED_S)
        await count_all(book, Chances(priors=PRIORS))
        once = await tallies(world)
        assert once[0] == 1
        assert 3 < once[1] < 6
        await count_all(book, Chances(priors=PRIORS))
        assert await tallies(world) == once

    async def test_by_two_nodes_at_once_it_is_counted_once(self, world: World, book: PostgresChances) -> None:
        for _ in range(5):
            await answered(world)
        await world.pass_time(SETTLED_S)
        other = PostgresChances(world.pool, AnswerDelay(), PRIORS, HALF_LIFE)
        await asyncio.gather(*(count_all(node, Chances(priors=PRIORS)) for node in (book, other, book)))
        await count_all(book, Chances(priors=PRIORS))
        assert (await tallies(world))[0] == 5

    async def test_what_ended_just_now_waits(self, world: World, book: PostgresChances) -> None:
        await answered(world)
        await count_all(book, Chances(priors=PRIORS))
        assert await tallies(world) == (0.0, 0.0)

    async def test_is_done_in_pieces(
        self, world: World, book: PostgresChances, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("infra.postgres.chances.REQUESTS_AT_ONCE", 2)
        for _ in range(5):
            await answered(world)
        await world.pass_time(SETTLED_S)
        rounds = 1
        while await book.count(Chances(priors=PRIORS)):
            rounds += 1
        assert rounds == 2
        assert (await tallies(world))[0] == pytest.approx(5, rel=1e-3)


class TestWhatIsKnown:
    async def test_moves_from_what_was_believed_to_what_was_seen(self, world: World, book: PostgresChances) -> None:
        assert (await book.load()).chance(Tier.HOT, "en", None) == pytest.approx(0.3)
        for _ in range(8):
            await answered(world)
        await world.pass_time(SETTLED_S)
        await count_all(book, Chances(priors=PRIORS))
        assert 0.15 < (await book.load()).chance(Tier.HOT, "en", None) < 0.3
        assert (await book.load()).chance(Tier.COLD, "en", None) == pytest.approx(PRIORS.cold)

    async def test_counts_half_after_a_half_life(self, world: World, book: PostgresChances) -> None:
        await answered(world)
        await world.pass_time(SETTLED_S)
        await count_all(book, Chances(priors=PRIORS))
        before = sum(tally.exposure for tally in (await book.load()).tallies.values())
        await world.pass_time(SETTLED_S + HALF_LIFE.total_seconds())
        after = sum(tally.exposure for tally in (await book.load()).tallies.values())
        assert after == pytest.approx(before / 2, rel=0.01)
