"""What a wipe, a restart and a frozen server look like to the nodes, and one node at a time rebuilding after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from redis.exceptions import ResponseError

from infra.valkey.connection import Server, open_valkey
from infra.valkey.generation import Generation, IndexState, Rebuild
from infra.valkey.index import ValkeyIndex
from infra.valkey.keys import Shard, Shards
from infra.valkey.library import Library, LibraryCode
from infra.valkey.outages import UnavailableAs
from matching.model import Listing, Tier
from matching.ports import IndexUnavailable
from tests.support.engines import Engines, freeze, kill

SOMEONE = Listing(UUID(int=1), ("da",), Tier.HOT, None, None)


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Server]:
    client = open_valkey(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def library(client: Server) -> Library:
    return Library(client)


async def draw(index: ValkeyIndex) -> list[UUID]:
    return await index.draw(language="da", tier=Tier.HOT, count=1, excluded=(), now=100, lease_until=102)


async def rebuilt(library: Library) -> tuple[Generation, ValkeyIndex]:
    """A complete index that knows one person."""
    generation, index = Generation(library), ValkeyIndex(library)
    rebuild = await begun(generation)
    await index.put([SOMEONE], 100)
    await rebuild.complete()
    await generation.poll()
    return generation, index


async def begun(generation: Generation, owner: str = "me", lease_s: float = 60) -> Rebuild:
    rebuild = await generation.begin_rebuild(owner, lease_s)
    assert rebuild is not None
    return rebuild


class TestTheLifeOfTheData:
    async def test_all_nodes_give_it_one_name(self, library: Library) -> None:
        nodes = [Generation(library) for _ in range(5)]
        await asyncio.gather(*(node.poll() for node in nodes))
        assert len({node.current for node in nodes}) == 1

    async def test_a_wipe_begins_another_and_raises_no_error(self, library: Library, client: Server) -> None:
        generation, _ = await rebuilt(library)
        before = generation.current
        await client.flushall()
        assert await generation.poll() is IndexState.ABSENT
        assert generation.current != before

    async def test_a_rebuild_does_not_change_it(self, library: Library) -> None:
        generation = Generation(library)
        assert await generation.poll() is IndexState.ABSENT
        before = generation.current
        await rebuilt(library)
        assert await generation.poll() is IndexState.COMPLETE
        assert generation.current == before

    async def test_who_waits_for_a_change_hears_of_it(self, library: Library, client: Server) -> None:
        generation = Generation(library, poll_s=0.02)
        watching = asyncio.create_task(generation.watch())
        try:
            async with asyncio.timeout(5):
                first = await generation.changed_from(None)
                await client.flushall()
                assert await generation.changed_from(first) != first
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def test_a_restart_is_another_life_and_loads_the_functions_again(
        self, library: Library, engines: Engines
    ) -> None:
        generation, index = await rebuilt(library)
        before = generation.current
        kill(engines.valkey)
        with pytest.raises(IndexUnavailable):
            await generation.poll()
        engines.restore()
        with pytest.raises(IndexUnavailable, match="not rebuilt"):
            await draw(index)
        assert await generation.poll() is IndexState.ABSENT
        assert generation.current != before

    async def test_data_that_outlived_its_server_is_not_believed(self, library: Library, client: Server) -> None:
        generation, index = await rebuilt(library)
        await client.hset(Shard(0).generation, "server", "of another process")
        with pytest.raises(IndexUnavailable, match="not rebuilt"):
            await draw(index)
        assert await generation.poll() is IndexState.ABSENT
        assert await (await begun(generation)).complete()
        assert await draw(index) == []

    async def test_a_frozen_server_is_unavailable_and_the_same_life_afterwards(
        self, library: Library, engines: Engines
    ) -> None:
        generation, index = await rebuilt(library)
        before = generation.current
        freeze(engines.valkey)
        begun = time.monotonic()
        with pytest.raises(IndexUnavailable):
            await draw(index)
        assert time.monotonic() - begun < 2
        engines.restore()
        assert await generation.poll() is IndexState.COMPLETE
        assert generation.current == before
        # It did the draw after all, for nobody: the lease gives them back.
        assert await draw(index) == []
        assert (await index.sweep(102, 10)).woken == (SOMEONE.person_id,)


class TestRebuilding:
    async def test_one_at_a_time(self, library: Library) -> None:
        generation = Generation(library)
        taken = await asyncio.gather(*(generation.begin_rebuild(f"node {number}", 60) for number in range(5)))
        assert [rebuild is not None for rebuild in taken].count(True) == 1
        assert await generation.poll() is IndexState.REBUILDING

    async def test_only_its_owner_completes_it(self, library: Library) -> None:
        generation, index = Generation(library), ValkeyIndex(library)
        rebuild = await begun(generation)
        someone_else = Rebuild(library, Shards(), "someone else", Shards().all())
        assert not await someone_else.complete()
        assert not await someone_else.extend(60)
        assert not await someone_else.put(["da"])
        with pytest.raises(IndexUnavailable):
            await draw(index)
        assert await rebuild.extend(60)
        assert await rebuild.complete()
        assert await draw(index) == []
        assert await generation.begin_rebuild("me", 60) is None

    async def test_one_that_died_is_taken_over(self, library: Library) -> None:
        generation, index = Generation(library), ValkeyIndex(library)
        died = await begun(generation, "who dies", 0)
        await index.put([SOMEONE], 100)
        assert await generation.poll() is IndexState.ABSENT
        heir = await begun(generation, "heir")
        assert not await died.extend(60)
        assert not await died.complete()
        assert await heir.complete()
        assert await draw(index) == [SOMEONE.person_id]

    async def test_a_lease_run_out_that_nobody_took_goes_on(self, library: Library) -> None:
        generation = Generation(library)
        rebuild = await begun(generation, lease_s=0)
        assert await rebuild.extend(60)
        assert await generation.begin_rebuild("heir", 60) is None
        assert await rebuild.complete()

    async def test_a_wipe_in_the_middle_ends_it(self, library: Library, client: Server) -> None:
        generation = Generation(library)
        rebuild = await begun(generation)
        await client.flushall()
        assert not await rebuild.extend(60)
        assert not await rebuild.complete()
        await begun(generation)

    async def test_a_language_is_answered_for_as_soon_as_all_who_speak_it_are_back(self, library: Library) -> None:
        generation, index = Generation(library), ValkeyIndex(library)
        rebuild = await begun(generation, lease_s=0)
        await index.put([SOMEONE], 100)
        with pytest.raises(IndexUnavailable):
            await index.sweep(100, 10)
        assert await rebuild.put(["da", "sv"])
        assert await draw(index) == [SOMEONE.person_id]
        assert (await index.sweep(102, 10)).woken == (SOMEONE.person_id,)
        with pytest.raises(IndexUnavailable):
            await index.draw(language="en", tier=Tier.HOT, count=1, excluded=(), now=100, lease_until=102)
        with pytest.raises(IndexUnavailable):
            await index.counts()
        # Who takes over does not take it back.
        heir = await begun(generation, "heir")
        assert await draw(index) == [SOMEONE.person_id]
        assert await heir.complete()
        assert await index.counts() == {}


class TestShards:
    async def test_each_has_a_life_and_a_lease_of_its_own(self, library: Library, client: Server) -> None:
        shards = Shards(4)
        generation, index = Generation(library, shards), ValkeyIndex(library, shards)
        await (await begun(generation)).complete()
        assert await generation.poll() is IndexState.COMPLETE
        before = generation.current
        lost, other = shards.of(SOMEONE.person_id), shards.of(UUID(int=2))
        assert lost != other
        await client.delete(lost.generation, lost.people, lost.ready(Tier.HOT, "da"))
        assert await generation.poll() is IndexState.ABSENT
        assert generation.current != before
        rebuild = await begun(generation)
        assert rebuild.wanted([SOMEONE, replace(SOMEONE, person_id=UUID(int=2))]) == [SOMEONE]
        assert await rebuild.complete()
        assert await generation.poll() is IndexState.COMPLETE
        assert await draw(index) == []

    async def test_with_some_away_others_are_drawn_from_but_never_said_to_be_all(
        self, library: Library, client: Server
    ) -> None:
        shards = Shards(2)
        generation, index = Generation(library, shards), ValkeyIndex(library, shards)
        await (await begun(generation)).complete()
        people = [replace(SOMEONE, person_id=UUID(int=number), last_asked_at=number) for number in range(1, 9)]
        here = [one.person_id for one in people if shards.of(one.person_id) == Shard(0)]
        await index.put(people, 100)
        await client.hset(Shard(1).generation, "server", "of another process")
        assert await draw(index) == here[:1]
        with pytest.raises(IndexUnavailable):
            await index.draw(language="da", tier=Tier.HOT, count=8, excluded=(), now=100, lease_until=102)
        # Those it had taken come back when their lease is over.
        assert set((await index.sweep(102, 100)).woken) == set(here)

    @pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2)])
    async def test_another_number_of_them_begins_anew_and_leaves_nothing_behind(
        self, library: Library, client: Server, before: int, after: int
    ) -> None:
        people = [replace(SOMEONE, person_id=UUID(int=number)) for number in range(1, 20)]
        old = Generation(library, Shards(before)), ValkeyIndex(library, Shards(before))
        await (await begun(old[0])).complete()
        await old[1].put(people, 100)
        new = Generation(library, Shards(after)), ValkeyIndex(library, Shards(after))
        with pytest.raises(IndexUnavailable):
            await draw(new[1])
        rebuild = await begun(new[0])
        await new[1].put(people[:5], 100)
        await rebuild.complete()
        assert await new[1].counts() == {("da", Tier.HOT): 5}
        records = [await client.hlen(Shard(number).people) for number in range(max(before, after))]
        assert (sum(records[:after]), sum(records[after:])) == (5, 0)
        with pytest.raises(IndexUnavailable):
            await old[1].put(people, 100)


class TestTheLibrary:
    async def test_two_versions_work_side_by_side(self, client: Server) -> None:
        old, new = (Library(client, LibraryCode({"answer": f"return {number}"})) for number in (1, 2))
        assert await old.call("answer", ["k"]) == 1
        assert await new.call("answer", ["k"]) == 2
        assert await old.call("answer", ["k"]) == 1

    async def test_it_comes_back_by_itself(self, client: Server) -> None:
        library = Library(
            client, LibraryCode({"answer": "return help(ARGV[1])"}, ["local function help(x) return x end"])
        )
        for _ in range(2):
            await client.execute_command("FUNCTION", "FLUSH")  # type: ignore[no-untyped-call]
            assert await library.call("answer", ["k"], ["a"]) == b"a"
            await client.execute_command("FUNCTION", "FLUSH")  # type: ignore[no-untyped-call]
            assert await library.call_many("answer", [(["k"], ["a"]), (["k"], ["b"])]) == [b"a", b"b"]

    async def test_many_nodes_may_load_it_at_once(self, client: Server) -> None:
        library = Library(client, LibraryCode({"answer": "return 3"}))
        assert await asyncio.gather(*(library.call("answer", ["k"]) for _ in range(8))) == [3] * 8

    async def test_a_mistake_of_ours_is_not_called_unavailable(self, client: Server) -> None:
        library = Library(client, LibraryCode({"wrong": "return redis.call('NONSENSE')"}))
        with pytest.raises(ResponseError), UnavailableAs(IndexUnavailable):
            await library.call("wrong", ["k"])
        with pytest.raises(ResponseError), UnavailableAs(IndexUnavailable):
            await library.call_many("wrong", [(["k"], [])])

    async def test_a_server_nobody_listens_at_is_unavailable(self) -> None:
        client = open_valkey("redis://127.0.0.1:1")
        with pytest.raises(IndexUnavailable):
            await draw(ValkeyIndex(Library(client)))
        await client.aclose()
