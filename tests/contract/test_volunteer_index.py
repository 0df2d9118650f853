"""One contract for every volunteer index: the obvious one in memory and the real one on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import chain
from math import inf
from typing import Any, ClassVar, Protocol
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from infra.embedded.valkey_cluster import EmbeddedCluster
from infra.memory.index import MemoryIndex
from infra.valkey.cluster import connect, on_primaries
from infra.valkey.generation import Generation, IndexState
from infra.valkey.index import ValkeyIndex
from infra.valkey.keys import Shard, Shards
from infra.valkey.library import Library
from matching.model import Listing, Tier
from matching.ports import IndexUnavailable, Swept, VolunteerIndex
from tests.support.engines import kill

HOT, COLD = Tier.HOT, Tier.COLD
SHARDS = 7
"""On a cluster of three, so that some servers have more of them than others."""
FAILOVER_S = 30.0
AGAIN_S = 0.05


class Index(VolunteerIndex, Protocol):
    async def restore(self, listings: Sequence[Listing], now: float) -> None: ...


class Subject(Protocol):
    """An index together with what happens to servers."""

    @property
    def index(self) -> Index: ...

    async def wipe(self) -> None: ...

    async def complete(self) -> None:
        """Say that everybody was put."""


class FakeSubject:
    def __init__(self) -> None:
        self.index = MemoryIndex()

    async def wipe(self) -> None:
        self.index.wipe()

    async def complete(self) -> None:
        self.index.complete()


class ValkeySubject:
    """On a server or a cluster."""

    def __init__(self, url: str, shards: int = 1) -> None:
        self.client = connect(url)
        library = Library(self.client)
        self.index = ValkeyIndex(library, Shards(shards))
        self.generation = Generation(library, Shards(shards))

    async def wipe(self) -> None:
        await on_primaries(self.client, "FLUSHALL")

    async def complete(self) -> None:
        rebuild = await self.generation.begin_rebuild("test", 60)
        if rebuild is not None:
            await rebuild.complete()


def person(number: int) -> UUID:
    """People whose order by id is that of their numbers."""
    return UUID(int=(7 << 76) | (2 << 62) | number)


def hot(number: int, *, languages: tuple[str, ...] = ("da",), not_before: float = 0.0, asked: float = 0.0) -> Listing:
    return Listing(person(number), languages, HOT, None, None, not_before, asked)


def cold(
    number: int,
    opens: float | None = 0.0,
    closes: float | None = None,
    *,
    languages: tuple[str, ...] = ("da",),
    not_before: float = 0.0,
    asked: float = 0.0,
) -> Listing:
    return Listing(person(number), languages, COLD, opens, closes, not_before, asked)


async def draw(
    subject: Subject,
    now: float,
    count: int = 10,
    *,
    tier: Tier = HOT,
    language: str = "da",
    excluded: tuple[int, ...] = (),
) -> list[int]:
    """Draw with a lease of 2 s; gives numbers of people."""
    drawn = await subject.index.draw(
        language=language,
        tier=tier,
        count=count,
        excluded=[person(number) for number in excluded],
        now=now,
        lease_until=now + 2,
    )
    return [person_id.int & 0xFFFF for person_id in drawn]


async def sweep(subject: Subject, now: float, limit: int = 100) -> tuple[list[int], list[int]]:
    """Gives the numbers of those woken and of those stale."""
    swept = await subject.index.sweep(now, limit)
    woken, stale = ([person_id.int & 0xFFFF for person_id in people] for people in (swept.woken, swept.stale))
    return sorted(woken), sorted(stale)


class Contract:
    """What every index does; subclasses say on what, by a fixture `subject`."""

    # -- fair turns

    async def test_the_longest_not_asked_comes_first(self, subject: Subject) -> None:
        await subject.index.put([hot(1, asked=30), hot(2, asked=0.7), hot(3, asked=20), hot(4, asked=0.2)], 100)
        assert await draw(subject, 100, 3) == [4, 2, 3]
        assert await draw(subject, 100, 3) == [1]
        assert await draw(subject, 100, 3) == []

    async def test_turns_go_round(self, subject: Subject) -> None:
        await subject.index.put([hot(number, asked=number / 10) for number in range(1, 7)], 100)
        asked = []
        for now in range(100, 112, 2):
            for number in await draw(subject, now, 2):
                asked.append(number)
                await subject.index.confirm([person(number)], asked_at=now, until=now + 1)
            await sweep(subject, now + 1.5)
        assert asked == [1, 2, 3, 4, 5, 6] * 2

    async def test_a_release_keeps_the_turn(self, subject: Subject) -> None:
        await subject.index.restore([hot(1, asked=1), hot(2, asked=2)], 100)
        assert await draw(subject, 100, 1) == [1]
        await subject.index.release([person(1)], at=100, now=100)
        assert await draw(subject, 100, 1) == [1]

    async def test_a_late_confirmation_does_not_turn_back_the_turn(self, subject: Subject) -> None:
        await subject.index.put([hot(1), hot(2, asked=60)], 100)
        await subject.index.confirm([person(1)], asked_at=90, until=95)
        await subject.index.confirm([person(1)], asked_at=50, until=55)
        await sweep(subject, 100)
        assert await draw(subject, 100, 2) == [2, 1]

    async def test_who_never_had_a_call_comes_as_if_asked_three_days_earlier(self, subject: Subject) -> None:
        day = 86_400.0
        old_hand = [hot(1, asked=10 * day), hot(2, asked=13.5 * day)]
        new = [replace(hot(number, asked=asked * day), newcomer=True) for number, asked in ((3, 12), (4, 14), (5, 0))]
        await subject.index.put([*old_hand, *new], 20 * day)
        assert await draw(subject, 20 * day, 1) == [5]
        await subject.index.confirm([person(5)], asked_at=20 * day, until=20 * day)
        await sweep(subject, 20 * day + 2)
        assert await draw(subject, 20 * day + 2) == [3, 1, 4, 2, 5]

    # -- who is drawn

    async def test_only_speakers_of_the_language_and_tier(self, subject: Subject) -> None:
        people = [
            hot(1),
            hot(2, languages=("en",)),
            hot(3, languages=("en", "da")),
            cold(4),
            cold(5, languages=("en",)),
        ]
        await subject.index.put(people, 100)
        assert await subject.index.counts() == {("da", HOT): 2, ("en", HOT): 2, ("da", COLD): 1, ("en", COLD): 1}
        assert await draw(subject, 100) == [1, 3]
        assert await draw(subject, 100, language="en") == [2]
        assert await draw(subject, 100, tier=COLD) == [4]
        assert await draw(subject, 100, language="sv") == []

    async def test_one_drawn_leaves_all_their_ready_sets(self, subject: Subject) -> None:
        await subject.index.put([hot(1, languages=("da", "en", "sv"))], 100)
        assert await draw(subject, 100, language="en") == [1]
        assert await draw(subject, 100) == []
        assert await subject.index.counts() == {}

    async def test_exclusions_are_skipped_and_keep_their_place(self, subject: Subject) -> None:
        await subject.index.put([hot(number, asked=number) for number in range(1, 101)], 200)
        excluded = tuple(range(1, 96))
        assert await draw(subject, 200, 3, excluded=excluded) == [96, 97, 98]
        assert await draw(subject, 200, 3, excluded=(*excluded, 300)) == [99, 100]
        assert await draw(subject, 200, 2) == [1, 2]

    async def test_a_draw_of_none(self, subject: Subject) -> None:
        await subject.index.put([hot(1)], 100)
        assert await draw(subject, 100, 0) == []
        assert await draw(subject, 100, 1) == [1]

    # -- leases

    async def test_the_crash_of_one_who_drew_gives_people_back(self, subject: Subject) -> None:
        await subject.index.restore([hot(1, asked=1), hot(2, asked=2)], 100)
        assert await draw(subject, 100, 1) == [1]
        assert await sweep(subject, 101.9) == ([], [])
        assert await sweep(subject, 102) == ([1], [])
        assert await draw(subject, 102, 1) == [1]

    async def test_a_confirmed_lease_lasts_until_its_moment(self, subject: Subject) -> None:
        await subject.index.put([hot(1)], 100)
        await draw(subject, 100)
        await subject.index.confirm([person(1)], asked_at=100, until=190)
        await subject.index.confirm([person(1)], asked_at=100, until=190)
        assert await sweep(subject, 189) == ([], [])
        assert await sweep(subject, 190) == ([1], [])

    async def test_a_late_confirmation_does_not_cut_a_hold_short(self, subject: Subject) -> None:
        await subject.index.put([hot(1)], 100)
        await draw(subject, 100)
        await subject.index.hold([person(1)], inf)
        await subject.index.confirm([person(1)], asked_at=100, until=190)
        assert await sweep(subject, 1e9) == ([], [])

    async def test_release_at_once_and_later(self, subject: Subject) -> None:
        await subject.index.put([hot(1), hot(2)], 100)
        await draw(subject, 100)
        await subject.index.release([person(1)], at=90, now=101)
        await subject.index.release([person(2)], at=105, now=101)
        assert await draw(subject, 101) == [1]
        assert await sweep(subject, 105) == ([1, 2], [])

    async def test_a_hold_without_end_lasts_until_released(self, subject: Subject) -> None:
        await subject.index.put([hot(1)], 100)
        await subject.index.hold([person(1)], inf)
        await subject.index.hold([person(1)], inf)
        assert await sweep(subject, 1e9) == ([], [])
        assert await draw(subject, 1e9) == []
        await subject.index.release([person(1)], at=0, now=2e9)
        assert await draw(subject, 2e9) == [1]

    async def test_two_who_draw_never_get_the_same_person(self, subject: Subject) -> None:
        await subject.index.put([hot(number) for number in range(1, 61)], 100)
        draws = await asyncio.gather(*(draw(subject, 100, 4) for _ in range(20)))
        everybody = [number for drawn in draws for number in drawn]
        assert sorted(everybody) == list(range(1, 61))

    # -- windows

    async def test_a_cold_person_is_in_ready_from_opening_to_closing(self, subject: Subject) -> None:
        await subject.index.put([cold(1, 100, 200)], 50)
        assert await draw(subject, 99, tier=COLD) == []
        assert await sweep(subject, 99.9) == ([], [])
        assert await sweep(subject, 100) == ([1], [])
        assert await draw(subject, 199.9, tier=COLD) == [1]

    async def test_a_late_sweep_never_rings_anyone_outside_their_window(self, subject: Subject) -> None:
        await subject.index.put([cold(1, 100, 200), cold(2, 100, 300)], 150)
        assert await draw(subject, 200, tier=COLD) == [2]
        assert await sweep(subject, 200) == ([], [1])

    async def test_thousands_whose_window_just_ended_hide_nobody(self, subject: Subject) -> None:
        closing = [cold(number, 100, 200, asked=number) for number in range(1, 1501)]
        await subject.index.put([*closing, cold(2000, 100, 300, asked=2000)], 150)
        assert await draw(subject, 200, tier=COLD) == [2000]

    async def test_a_hot_person_is_rung_whatever_their_window(self, subject: Subject) -> None:
        await subject.index.put([Listing(person(1), ("da",), HOT, 100, 200)], 300)
        assert await sweep(subject, 301) == ([], [])
        assert await draw(subject, 301) == [1]

    async def test_turning_cold_brings_the_window_back(self, subject: Subject) -> None:
        await subject.index.put([hot(1)], 50)
        await subject.index.put([cold(1, 100, 200)], 50)
        assert await draw(subject, 50) == []
        assert await draw(subject, 50, tier=COLD) == []
        await subject.index.put([Listing(person(1), ("da",), HOT, 100, 200)], 50)
        assert await draw(subject, 50) == [1]

    async def test_the_end_of_a_window_is_told_until_new_edges_are_put(self, subject: Subject) -> None:
        await subject.index.put([cold(1, 100, 200)], 150)
        assert await sweep(subject, 199) == ([], [])
        assert await sweep(subject, 200) == ([], [1])
        assert await subject.index.counts() == {}
        assert await sweep(subject, 205) == ([], [])
        assert await sweep(subject, 211) == ([], [1])
        await subject.index.put([cold(1, 1000, 1100)], 211)
        assert await sweep(subject, 999) == ([], [])
        assert await sweep(subject, 1000) == ([1], [])

    async def test_a_lease_that_outlasts_the_window_ends_in_new_edges(self, subject: Subject) -> None:
        await subject.index.put([cold(1, 100, 200)], 150)
        assert await draw(subject, 199, tier=COLD) == [1]
        await subject.index.confirm([person(1)], asked_at=199, until=260)
        assert await sweep(subject, 259) == ([], [])
        assert await sweep(subject, 260) == ([], [1])

    async def test_open_all_week_never_closes(self, subject: Subject) -> None:
        await subject.index.put([cold(1, 0, None)], 100)
        assert await sweep(subject, 1e9) == ([], [])
        assert await draw(subject, 1e9, tier=COLD) == [1]

    async def test_without_a_window_a_cold_person_never_returns(self, subject: Subject) -> None:
        await subject.index.put([cold(1, None, None)], 100)
        assert await sweep(subject, 1e12) == ([], [])
        assert await draw(subject, 1e12, tier=COLD) == []

    # -- put, remove, sweep

    async def test_not_before_waits_in_wake(self, subject: Subject) -> None:
        await subject.index.put(
            [hot(1, not_before=150), hot(2, not_before=inf), cold(3, 100, 300, not_before=160)], 120
        )
        assert await subject.index.counts() == {}
        assert await sweep(subject, 150) == ([1], [])
        assert await sweep(subject, 1e9) == ([], [3])

    async def test_put_replaces_everything(self, subject: Subject) -> None:
        await subject.index.put([hot(1, languages=("da", "en"), asked=5), hot(2, asked=3)], 100)
        await subject.index.put([hot(1, languages=("sv", "da"), asked=1), hot(1, languages=("da",), asked=1)], 100)
        assert await subject.index.counts() == {("da", HOT): 2}
        assert await draw(subject, 100) == [1, 2]

    async def test_those_who_are_known_may_be_left_as_they_are(self, subject: Subject) -> None:
        await subject.index.put([hot(1, asked=5)], 100)
        await subject.index.hold([person(1)], 150)
        await subject.index.restore([hot(1, asked=1), hot(2, asked=2)], 100)
        assert await draw(subject, 100) == [2]

    async def test_put_of_many(self, subject: Subject) -> None:
        await subject.index.put([hot(number, asked=number) for number in range(1, 2501)], 3000)
        assert await subject.index.counts() == {("da", HOT): 2500}
        assert await draw(subject, 3000, 3) == [1, 2, 3]

    async def test_removed_people_are_gone_for_good(self, subject: Subject) -> None:
        await subject.index.put([hot(1), cold(2, 100, 200), hot(3)], 150)
        await subject.index.hold([person(3)], 160)
        await subject.index.remove([person(number) for number in (1, 2, 3, 4)])
        everybody = [person(number) for number in (1, 2, 3, 4)]
        await subject.index.confirm(everybody, asked_at=150, until=155)
        await subject.index.release(everybody, at=150, now=150)
        await subject.index.hold(everybody, 155)
        assert await sweep(subject, 1000) == ([], [])
        assert await subject.index.counts() == {}

    async def test_a_sweep_moves_no_more_than_asked(self, subject: Subject) -> None:
        await subject.index.put([hot(number, not_before=100 + number) for number in range(1, 8)], 100)
        woken = [(await sweep(subject, 200, 3))[0] for _ in range(3)]
        assert [len(some) for some in woken] == [3, 3, 1]
        assert sorted(chain.from_iterable(woken)) == [1, 2, 3, 4, 5, 6, 7]

    async def test_nobody_is_nobody(self, subject: Subject) -> None:
        await subject.index.put([], 100)
        await subject.index.remove([])
        await subject.index.confirm([], asked_at=1, until=2)
        await subject.index.release([], at=1, now=2)
        await subject.index.hold([], 1)
        assert await draw(subject, 100) == []

    # -- a wiped store

    async def test_a_wiped_index_never_says_nobody(self, subject: Subject) -> None:
        await subject.index.put([hot(1)], 100)
        await draw(subject, 100)
        await subject.wipe()
        await subject.index.confirm([person(1)], asked_at=100, until=190)
        await subject.index.release([person(1)], at=100, now=100)
        await subject.index.hold([person(1)], inf)
        await subject.index.remove([person(1)])
        await subject.index.put([hot(1)], 100)
        for question in (draw(subject, 100), sweep(subject, 100), subject.index.counts()):
            with pytest.raises(IndexUnavailable):
                await question

    async def test_people_put_while_it_is_rebuilt_are_there_afterwards(self, subject: Subject) -> None:
        await subject.wipe()
        await subject.index.put([hot(1)], 100)
        await subject.complete()
        assert await draw(subject, 100) == [1]


class TestFakeIndex(Contract):
    @pytest.fixture
    async def subject(self) -> Subject:
        subject = FakeSubject()
        await subject.complete()
        return subject


class TestOneShard(Contract):
    @pytest.fixture
    async def subject(self, valkey_url: str) -> AsyncIterator[Subject]:
        async with begun(ValkeySubject(valkey_url)) as subject:
            yield subject


class TestSeveralShards(Contract):
    @pytest.fixture
    async def subject(self, valkey_url: str) -> AsyncIterator[Subject]:
        async with begun(ValkeySubject(valkey_url, SHARDS)) as subject:
            yield subject


class TestCluster(Contract):
    @pytest.fixture
    async def subject(self, cluster_url: str) -> AsyncIterator[Subject]:
        async with begun(ValkeySubject(cluster_url, SHARDS)) as subject:
            yield subject

    async def test_a_primary_that_dies_in_the_middle_costs_nobody_their_place(
        self, cluster_url: str, cluster: EmbeddedCluster
    ) -> None:
        """Its replica takes over, what it had is put anew, and then everybody is drawn once."""
        people = [hot(number, asked=number) for number in range(1, 301)]
        async with begun(ValkeySubject(cluster_url, SHARDS)) as subject:
            await subject.index.put(people, 1000)
            life = await life_of(subject)
            async with asyncio.timeout(FAILOVER_S), drawn_meanwhile(subject, 1000):
                kill(cluster.primary_of(Shard(0).prefix.decode()))
                while await life_of(subject) in (None, life):  # noqa: ASYNC110
                    await asyncio.sleep(AGAIN_S)
                await restored(subject, people, 1100)
            await sweep(subject, 1100, 1000)
            assert subject.generation.states == dict.fromkeys(Shards(SHARDS).all(), IndexState.COMPLETE)
            everybody = [await draw(subject, 2000) for _ in range(31)]
            assert everybody.pop() == []
            assert sorted(chain.from_iterable(everybody)) == list(range(1, 301))
            assert await sweep(subject, 2002, 1000) == (list(range(1, 301)), [])


async def life_of(subject: ValkeySubject) -> str | None:
    """None while no shard can be reached."""
    with suppress(IndexUnavailable):
        await subject.generation.poll()
        return subject.generation.current
    return None


@asynccontextmanager
async def drawn_meanwhile(subject: ValkeySubject, now: float) -> AsyncIterator[None]:
    """Somebody draws all the time, and gives back whom they got."""
    over = asyncio.Event()

    async def draw_on() -> None:
        while not over.is_set():
            try:
                drawn = await draw(subject, now, 3)
                await subject.index.release([person(number) for number in drawn], at=now, now=now)
            except IndexUnavailable:
                await asyncio.sleep(AGAIN_S)

    drawing = asyncio.create_task(draw_on())
    try:
        yield
    finally:
        over.set()
        await drawing


async def restored(subject: ValkeySubject, people: list[Listing], now: float) -> None:
    """Rebuild, as often as it takes, while the cluster settles."""
    while await subject.generation.poll() is not IndexState.COMPLETE:
        with suppress(IndexUnavailable):
            rebuild = await subject.generation.begin_rebuild("heir", 0)
            if rebuild is not None:
                await subject.index.restore(rebuild.wanted(people), now)
                await rebuild.complete()
        await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def begun(subject: ValkeySubject) -> AsyncIterator[ValkeySubject]:
    try:
        await subject.complete()
        yield subject
    finally:
        await subject.client.aclose()


# -- the real one does what the obvious one does, whatever comes in whatever order ------------------------------------

NUMBERS = st.integers(1, 5)
PEOPLE = st.lists(NUMBERS, min_size=1, max_size=3).map(lambda numbers: [person(number) for number in numbers])
NOBODY: st.SearchStrategy[list[UUID]] = st.just([])
LANGUAGES = st.sampled_from([("da",), ("da", "en"), ("en",)])
SPANS = st.sampled_from([0.0, 1.0, 2.0, 5.0, 12.0])


class RealAgainstObvious(RuleBasedStateMachine):
    """Does everything to both. Time only moves forward, as the database's clock does."""

    url: ClassVar[str]
    shards: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.real = ValkeySubject(self.url, self.shards)
        self.fake = FakeSubject()
        self.now = 1000.0

    def both(self, call: str, *args: Any, **named: Any) -> None:
        """Call both, expect the same: the same reply, or the same refusal."""
        replies = [self.runner.run(self._reply(subject, call, args, named)) for subject in (self.fake, self.real)]
        assert replies[1] == replies[0]

    async def _reply(self, subject: Subject, call: str, args: tuple[Any, ...], named: dict[str, Any]) -> object:
        try:
            reply = await getattr(subject.index, call)(*args, **named)
        except IndexUnavailable:
            return IndexUnavailable
        return (sorted(reply.woken), sorted(reply.stale)) if isinstance(reply, Swept) else reply

    @initialize(tiers=st.lists(st.sampled_from(Tier), min_size=5, max_size=5))
    def begin(self, tiers: list[Tier]) -> None:
        self.lose_everything()
        self.complete()
        for number, tier in enumerate(tiers, 1):
            self.put([number], ("da", "en"), tier, 0.0, 5.0, 0.0, 0.5)

    def lose_everything(self) -> None:
        self.runner.run(self.fake.wipe())
        self.runner.run(self.real.wipe())

    def complete(self) -> None:
        self.runner.run(self.fake.complete())
        self.runner.run(self.real.complete())

    @rule(
        numbers=st.lists(NUMBERS, min_size=1, max_size=5),
        languages=LANGUAGES,
        tier=st.sampled_from(Tier),
        opens=st.sampled_from([0.0, -1.0, 0.0, -1.0, 2.0, -20.0, None]),
        lasts=st.sampled_from([2.0, 5.0, 20.0, 1.0, None]),
        not_before=st.sampled_from([0.0, -1.0, 0.0, 3.0, inf]),
        asked=st.floats(0, 1, width=16),
        newcomer=st.booleans(),
    )
    def put(
        self,
        numbers: list[int],
        languages: tuple[str, ...],
        tier: Tier,
        opens: float | None,
        lasts: float | None,
        not_before: float,
        asked: float,
        newcomer: bool = False,
    ) -> None:
        opens_at = None if opens is None else self.now + opens
        closes_at = None if lasts is None or opens_at is None else opens_at + lasts
        people = [
            Listing(person(number), languages, tier, opens_at, closes_at, self.now + not_before, asked, newcomer)
            for number in numbers
        ]
        self.both("put", people, self.now)

    @rule(number=NUMBERS)
    def remove(self, number: int) -> None:
        self.both("remove", [person(number)])

    @rule(language=st.sampled_from(["da", "en"]), count=st.integers(1, 3), people=NOBODY | PEOPLE, span=SPANS)
    def draw(self, language: str, count: int, people: list[UUID], span: float) -> None:
        self.now += span
        for tier in Tier:
            self.both(
                "draw",
                language=language,
                tier=tier,
                count=count,
                excluded=people,
                now=self.now,
                lease_until=self.now + 2,
            )

    @rule(people=PEOPLE, ago=SPANS, span=SPANS)
    def confirm(self, people: list[UUID], ago: float, span: float) -> None:
        self.both("confirm", people, asked_at=self.now - ago, until=self.now + span)

    @rule(people=PEOPLE, span=st.sampled_from([0.0, -1.0, 1.0, 3.0]))
    def release(self, people: list[UUID], span: float) -> None:
        self.both("release", people, at=self.now + span, now=self.now)

    @rule(people=PEOPLE, span=st.sampled_from([3.0, 0.0, inf]))
    def hold(self, people: list[UUID], span: float) -> None:
        self.both("hold", people, self.now + span)

    @rule(limit=st.integers(1, 10), span=SPANS)
    def sweep(self, limit: int, span: float) -> None:
        self.now += span
        # Of a few the one takes the earliest of all, of several shards each takes its own.
        self.both("sweep", self.now, limit if self.shards == 1 else 1000)

    @rule(luck=st.integers(0, 20))
    def a_bad_day(self, luck: int) -> None:
        if luck == 0:
            self.lose_everything()
        else:
            self.complete()

    @invariant()
    def as_many_may_be_asked(self) -> None:
        self.both("counts")

    def teardown(self) -> None:
        self.runner.run(self.real.client.aclose())
        self.runner.close()


@pytest.mark.parametrize("count", [1, 3])
def test_the_real_one_does_what_the_obvious_one_does(valkey_url: str, count: int) -> None:
    class Here(RealAgainstObvious):
        url = valkey_url
        shards = count

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Here, settings=settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=checks)
    )
