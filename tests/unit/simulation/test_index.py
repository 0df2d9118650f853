"""The index of simulations does what the obvious one does; those of other policies keep other turns."""

from __future__ import annotations

import asyncio
from math import inf
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from infra.memory.index import MemoryIndex
from infra.simulation.index import LongestIdleIndex, RandomIndex, TurnIndex
from matching.model import Listing, Tier
from tests.support.fakes.cases import person

PEOPLE = st.lists(st.integers(1, 6).map(person), min_size=1, max_size=3)
WAITS = st.sampled_from([0.0, 1.0, 3.0, 20.0, inf])
LISTINGS = st.builds(
    Listing,
    person_id=st.integers(1, 6).map(person),
    languages=st.sampled_from([("da",), ("da", "en"), ("en",)]),
    tier=st.sampled_from(Tier),
    opens_at=st.sampled_from([None, 0.0, 105.0]),
    closes_at=st.sampled_from([None, 110.0, 130.0]),
    not_before=st.sampled_from([0.0, 104.0, inf]),
    last_asked_at=st.sampled_from([0.2, 0.7, 99.0]),
    newcomer=st.booleans(),
)


class FastAgainstObvious(RuleBasedStateMachine):
    """Everything is done to both, which say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.obvious = MemoryIndex()
        self.obvious.complete()
        self.fast = TurnIndex()
        self.now = 100.0

    def both(self, call: str, *args: Any, **named: Any) -> None:
        replies = [asyncio.run(getattr(index, call)(*args, **named)) for index in (self.obvious, self.fast)]
        assert replies[1] == replies[0]

    @rule(by=st.sampled_from([0.0, 0.5, 2.0, 10.0]))
    def time_passes(self, by: float) -> None:
        self.now += by

    @rule(listings=st.lists(LISTINGS, min_size=1, max_size=4))
    def put(self, listings: list[Listing]) -> None:
        self.both("put", listings, self.now)

    @rule(people=PEOPLE)
    def remove(self, people: list[UUID]) -> None:
        self.both("remove", people)

    @rule(language=st.sampled_from(["da", "en"]), tier=st.sampled_from(Tier), count=st.integers(0, 4), excluded=PEOPLE)
    def draw(self, language: str, tier: Tier, count: int, excluded: list[UUID]) -> None:
        lease_until = self.now + 2
        self.both(
            "draw",
            language=language,
            tier=tier,
            count=count,
            excluded=excluded[1:],
            now=self.now,
            lease_until=lease_until,
        )

    @rule(people=PEOPLE, wait=WAITS)
    def confirm(self, people: list[UUID], wait: float) -> None:
        self.both("confirm", people, asked_at=self.now, until=self.now + wait)

    @rule(people=PEOPLE, wait=WAITS)
    def release(self, people: list[UUID], wait: float) -> None:
        self.both("release", people, at=self.now + wait, now=self.now)

    @rule(people=PEOPLE, wait=WAITS)
    def hold(self, people: list[UUID], wait: float) -> None:
        self.both("hold", people, self.now + wait)

    @rule(limit=st.integers(1, 4))
    def sweep(self, limit: int) -> None:
        self.both("sweep", self.now, limit)

    @rule()
    def count(self) -> None:
        self.both("counts")


TestFastAgainstObvious = FastAgainstObvious.TestCase
TestFastAgainstObvious.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def listing(number: int, asked: float = 0.0) -> Listing:
    return Listing(person(number), ("en",), Tier.HOT, None, None, last_asked_at=asked)


async def draw(index: TurnIndex, count: int, now: float = 100) -> list[UUID]:
    return await index.draw(language="en", tier=Tier.HOT, count=count, excluded=[], now=now, lease_until=now + 2)


async def test_drawing_at_random_draws_everybody_once_in_no_order() -> None:
    index = RandomIndex(Random(1))
    await index.put([listing(number) for number in range(50)], 100)
    drawn = await draw(index, 30) + await draw(index, 30)
    assert sorted(drawn) == [person(number) for number in range(50)]
    assert drawn != sorted(drawn)


async def test_the_longest_idle_is_asked_again_however_often_they_were() -> None:
    index = LongestIdleIndex()
    await index.put([listing(1, 0.1), listing(2, 0.2)], 100)
    for now in (100, 110):
        assert await draw(index, 1, now) == [person(1)]
        await index.confirm([person(1)], asked_at=now, until=now)
        await index.sweep(now + 5, 10)
    await index.hold([person(1)], 120)
    await index.sweep(120, 10)
    assert await draw(index, 2, 120) == [person(2), person(1)]


async def test_somebody_is_free_who_may_be_asked_and_is_not_excluded() -> None:
    index = TurnIndex()
    await index.put([listing(1)], 100)
    assert index.somebody_free("en", set())
    assert not index.somebody_free("en", {person(1)})
    assert not index.somebody_free("da", set())
