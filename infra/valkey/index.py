"""The volunteer index on Valkey: who may be asked next, found in constant time and drawn atomically."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from math import inf
from typing import Any
from uuid import UUID

from infra.valkey.connection import answer_within
from infra.valkey.keys import Shard, all_shards, by_shard
from infra.valkey.library import Argument, Call, Library
from matching.model import Listing, Tier
from matching.ports import IndexUnavailable, Swept

DEADLINE_S = 1.5
"""How long any one step may take before the caller is better served by Postgres."""
PUT_CHUNK = 100
"""People per function call: some 3 ms of the server's time."""
PUT_PIPELINE = 10
"""Function calls on their way at once."""
PEOPLE_CHUNK = 500
SWEEP_CHUNK = 250
DRAW_SLACK = 200
"""Entries a draw may find and put away (their window ended since the last sweep) beyond those wanted and excluded."""
DRAW_ROUNDS = 10
"""Steps of one draw while thousands of windows have ended since the last sweep."""
STALE_AGAIN_S = 10.0
"""After this long without new edges a person whose window ended is reported again."""


def pack(listing: Listing) -> bytes:
    """The compact record: tier, opens_at, closes_at, not_before, last_asked_at (big-endian doubles), languages.

    A missing moment is +inf: a window that never opens, or never closes. `lua/_index.lua` reads and writes the same.
    """
    tier = listing.tier.value[0].encode()
    opens_at = inf if listing.opens_at is None else listing.opens_at
    closes_at = inf if listing.closes_at is None else listing.closes_at
    moments = struct.pack(">cdddd", tier, opens_at, closes_at, listing.not_before, listing.last_asked_at)
    return moments + ",".join(listing.languages).encode()


class ValkeyIndex:
    """Implements `matching.ports.VolunteerIndex`; every step is one atomic function per shard (`lua/index_*.lua`)."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        latest = {listing.person_id: listing for listing in listings}
        for shard, people in by_shard(latest).items():
            calls: Iterator[Call] = (
                ([shard.prefix], [now, *_records(latest[person_id] for person_id in chunk)])
                for chunk in _chunks(people, PUT_CHUNK)
            )
            while batch := list(islice(calls, PUT_PIPELINE)):
                async with answer_within(DEADLINE_S, IndexUnavailable):
                    await self._library.call_many("index_put", batch)

    async def remove(self, people: Collection[UUID]) -> None:
        await self._each("index_remove", people)

    async def draw(
        self, *, language: str, tier: Tier, count: int, excluded: Collection[UUID], now: float, lease_until: float
    ) -> list[UUID]:
        drawn: list[UUID] = []
        kept_out = b"".join(person_id.bytes for person_id in excluded)
        for shard in all_shards():
            for _ in range(DRAW_ROUNDS):
                args = [language, tier.value, count - len(drawn), now, lease_until, kept_out, DRAW_SLACK]
                ids, more = await self._ask(shard, "index_draw", args)
                drawn += _ids(ids)
                if not more:
                    break
        return drawn

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        await self._each("index_confirm", people, asked_at, until)

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> None:
        await self._each("index_release", people, at, now)

    async def hold(self, people: Collection[UUID], until: float) -> None:
        await self._each("index_hold", people, until)

    async def sweep(self, now: float, limit: int) -> Swept:
        woken: list[UUID] = []
        stale: list[UUID] = []
        for shard in all_shards():
            for done in range(0, limit, SWEEP_CHUNK):
                chunk = min(SWEEP_CHUNK, limit - done)
                found = await self._ask(shard, "index_sweep", [now, chunk, now + STALE_AGAIN_S])
                woken += _ids(found[0])
                stale += _ids(found[1])
                if max(len(found[0]), len(found[1])) < chunk:
                    break
        return Swept(tuple(woken), tuple(stale))

    async def counts(self) -> dict[tuple[str, Tier], int]:
        totals: dict[tuple[str, Tier], int] = {}
        for shard in all_shards():
            found = iter(await self._ask(shard, "index_counts", []))
            for language, *numbers in zip(found, *[found] * len(Tier), strict=True):
                for tier, number in zip(Tier, numbers, strict=True):
                    key = (language.decode(), tier)
                    totals[key] = totals.get(key, 0) + number
        return {key: number for key, number in totals.items() if number}

    async def _ask(self, shard: Shard, name: str, args: Sequence[Argument]) -> Any:
        """Call a function that answers only when the shard is complete."""
        async with answer_within(DEADLINE_S, IndexUnavailable):
            reply = await self._library.call(name, [shard.prefix], args)
        if reply is None:
            raise IndexUnavailable("not rebuilt yet")
        return reply

    async def _each(self, name: str, people: Collection[UUID], *args: float) -> None:
        """Call a function that ends in a list of ids, for people of all shards, in bounded chunks."""
        for shard, members in by_shard(people).items():
            for chunk in _chunks(members, PEOPLE_CHUNK):
                async with answer_within(DEADLINE_S, IndexUnavailable):
                    await self._library.call(name, [shard.prefix], [*args, *(person.bytes for person in chunk)])


def _records(listings: Iterator[Listing]) -> Iterator[bytes]:
    for listing in listings:
        yield listing.person_id.bytes
        yield pack(listing)


def _chunks(people: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    return (people[at : at + size] for at in range(0, len(people), size))


def _ids(packed: Sequence[bytes]) -> list[UUID]:
    return [UUID(bytes=raw) for raw in packed]
