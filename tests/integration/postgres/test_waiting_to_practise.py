"""Who waits for a practice call waits as long as they want one, and no longer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infra.postgres.practice_book import PostgresPracticeBook
from signaling.model import Side
from tests.integration.postgres.world import Person, World

LIFE = timedelta(minutes=2)
LEASE = timedelta(seconds=10)


@pytest.fixture
def practices(world: World) -> PostgresPracticeBook:
    return PostgresPracticeBook(world.pool, timedelta(seconds=15))


async def ask(practices: PostgresPracticeBook, who: Person, side: Side = Side.REQUESTER) -> None:
    assert await practices.ask(who.id, who.session, side, "en")


async def test_who_asked_for_help_meanwhile_waits_no_more(world: World, practices: PostgresPracticeBook) -> None:
    who = await world.requester()
    await ask(practices, who)
    await world.cancel(await world.open(who))
    assert await practices.place(who.id) == 0
    assert await practices.begin(LIFE, LEASE) is None


async def test_nor_does_who_answered_somebody(world: World, practices: PostgresPracticeBook) -> None:
    who = await world.volunteer()
    await ask(practices, who, Side.VOLUNTEER)
    request = await world.open()
    await world.wave(request, [who])
    assert (await world.accept(await world.now(request), who)).change.winner is not None
    assert await practices.place(who.id) == 0


async def test_whoever_says_nothing_for_long_is_passed_over_until_they_ask_again(
    world: World, practices: PostgresPracticeBook
) -> None:
    silent, other = await world.requester(), await world.requester()
    await ask(practices, silent)
    await ask(practices, other)
    await world.sql.execute(
        "UPDATE practice_calls SET wanted_at = wanted_at - interval '40 seconds' WHERE person_id = $1", silent.id
    )
    begun = await practices.begin(LIFE, LEASE)
    assert begun is not None
    assert begun.requester.person_id == other.id
    assert await practices.begin(LIFE, LEASE) is None
    await ask(practices, silent)
    begun = await practices.begin(LIFE, LEASE)
    assert begun is not None
    assert begun.requester.person_id == silent.id
