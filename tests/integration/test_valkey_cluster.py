"""What only a cluster does: slots that move or are on their way, servers without our functions, one that is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.exceptions import ResponseError

from infra.embedded.valkey_cluster import PRIMARIES, EmbeddedCluster, Member
from infra.valkey.checks import valkey_answers
from infra.valkey.cluster import Cluster, connect, execute, pipelined
from infra.valkey.library import Library, LibraryCode
from infra.valkey.limits import ValkeyLimits
from infra.valkey.negotiations import ValkeyNegotiations
from infra.valkey.outages import UnavailableAs, is_unavailable
from infra.valkey.push_budget import ValkeyPushBudget
from matching.ports import IndexUnavailable
from signaling.negotiation import Negotiation

KEYS = [f"{{{number}}}:k" for number in range(40)]
"""On all servers."""


@pytest.fixture
async def client(cluster_url: str) -> AsyncIterator[Cluster]:
    client = connect(cluster_url)
    assert isinstance(client, Cluster)
    yield client
    await client.aclose()


@dataclass(frozen=True, slots=True)
class Limit:
    name: str = "trial"
    every_s: float = 60.0
    burst: int = 1


async def put(client: Cluster, keys: Sequence[str] = KEYS) -> None:
    assert await pipelined(client, [("SET", key, key) for key in keys]) == [b"OK"] * len(keys)


async def read(client: Cluster, keys: Sequence[str] = KEYS) -> list[Any]:
    return await pipelined(client, [("GET", key) for key in keys])


class TestWhereKeysAre:
    async def test_each_command_goes_to_the_server_that_has_its_key(self, client: Cluster) -> None:
        await put(client)
        assert await read(client) == [key.encode() for key in KEYS]
        assert [await execute(client, "GET", key) for key in KEYS] == [key.encode() for key in KEYS]
        assert await client.on_primaries("PING") == [b"PONG"] * PRIMARIES
        assert await valkey_answers(client) is None

    async def test_an_answer_that_is_an_error_stands_in_its_place(self, client: Cluster) -> None:
        await put(client)
        good, bad = await pipelined(client, [("GET", KEYS[0]), ("INCR", KEYS[1])])
        assert good == KEYS[0].encode()
        assert isinstance(bad, ResponseError)
        assert not is_unavailable(bad)

    @pytest.mark.parametrize("alone", [True, False])
    async def test_a_slot_that_moved_is_followed(self, client: Cluster, cluster: EmbeddedCluster, alone: bool) -> None:
        await execute(client, "PING")  # so that it knows the layout before
        key = KEYS[0]
        source, target = two_primaries(cluster, key)
        slot = source.ask("CLUSTER", "KEYSLOT", key)
        try:
            move(cluster, slot, target)
            if alone:
                assert await execute(client, "SET", key, "v") == b"OK"
            else:
                await put(client)
            assert target.ask("EXISTS", key) == 1
        finally:
            target.ask("DEL", key)
            move(cluster, slot, source)

    @pytest.mark.parametrize("alone", [True, False])
    async def test_a_key_on_its_way_is_asked_for_where_it_is(
        self, client: Cluster, cluster: EmbeddedCluster, alone: bool
    ) -> None:
        key = KEYS[0]
        source, target = two_primaries(cluster, key)
        slot = source.ask("CLUSTER", "KEYSLOT", key)
        try:
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))
            if alone:
                assert await execute(client, "SET", key, "v") == b"OK"
            else:
                await put(client)
            assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
            assert source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        finally:
            for member in (source, target):
                member.ask("CLUSTER", "SETSLOT", slot, "STABLE")
            target.ask("FLUSHALL")


class TestWhatIsAway:
    async def test_a_cluster_nobody_answers_for_is_unavailable(self) -> None:
        client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
        library = Library(client)
        with pytest.raises(IndexUnavailable), UnavailableAs(IndexUnavailable):
            await library.call("limit_take", ["k"], [1, 1])
        [reply] = await pipelined(client, [("GET", "k")])
        assert is_unavailable(reply)
        await client.aclose()

    async def test_one_server_that_is_there_is_enough_to_begin_with(
        self, cluster: EmbeddedCluster, cluster_url: str
    ) -> None:
        before, _, there = cluster_url.rpartition(",")
        client = connect(f"{before.rpartition('@')[0]}@127.0.0.1:1,{there}")
        assert await execute(client, "SET", "k", "v") == b"OK"
        await client.aclose()


class TestOurs:
    async def test_functions_come_to_each_server_by_themselves(self, client: Cluster) -> None:
        library = Library(client, LibraryCode({"put": "return redis.call('SET', KEYS[1], ARGV[1])"}))
        for _ in range(2):
            await client.on_primaries("FUNCTION", "FLUSH")
            assert await library.call_many("put", [([key], ["v"]) for key in KEYS]) == [b"OK"] * len(KEYS)
            await client.on_primaries("FUNCTION", "FLUSH")
            assert await library.call("put", [KEYS[0]], ["v"]) == b"OK"

    async def test_only_what_was_not_done_is_done_again(self, client: Cluster, cluster: EmbeddedCluster) -> None:
        library = Library(client, LibraryCode({"count": "return redis.call('INCR', KEYS[1])"}))
        await library.load()
        cluster.primary_of(KEYS[0]).ask("FUNCTION", "FLUSH")
        assert await library.call_many("count", [([key], []) for key in KEYS]) == [1] * len(KEYS)

    async def test_limits_budget_and_negotiations(self, client: Cluster) -> None:
        library = Library(client)
        limits, limit = ValkeyLimits(library), Limit()
        for subject in KEYS[:5]:
            assert await limits.wait_s(limit, subject) == 0
            assert await limits.wait_s(limit, subject) > 0
        budget = ValkeyPushBudget(library, per_minute=60)
        assert await budget.take(1) == 0
        assert await budget.take(1) > 0
        negotiations, call = ValkeyNegotiations(client, library), uuid4()
        assert await negotiations.load(call, 1) == (Negotiation(), 0)
        assert await negotiations.store(call, 1, Negotiation(), 0)
        assert await negotiations.load(call, 1) == (Negotiation(), 1)


def two_primaries(cluster: EmbeddedCluster, key: str) -> tuple[Member, Member]:
    """The one that has the key, and another."""
    source = cluster.primary_of(key)
    others = [cluster.primary_of(f"{{{UUID(int=number)}}}") for number in range(50)]
    return source, next(one for one in others if one is not source)


def move(cluster: EmbeddedCluster, slot: int, to: Member) -> None:
    """An empty slot changes hands, and everybody knows."""
    home = to.ask("CLUSTER", "MYID")
    # Of two who claim a slot the later epoch is believed; else gossip could give it back.
    to.ask("CLUSTER", "BUMPEPOCH")
    for member in [to, *(one for one in cluster.members if one is not to)]:
        if member.ask("ROLE")[0] == "master":
            member.ask("CLUSTER", "SETSLOT", slot, "NODE", home)
