"""The volunteer index at its full size: what ten million people cost, and whether finding some of them stays fast.

Each figure stands beside the same commands sent bare, in pipelines, to the same server in the same run.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from math import inf
from typing import Any, cast
from uuid import UUID

import asyncpg

from infra.postgres.listings import PostgresListings
from infra.postgres.pool import open_pool
from infra.postgres.request_book import BookLimits, PostgresRequestBook
from infra.valkey.connection import Server, open_valkey, pipelined_on
from infra.valkey.generation import Generation, IndexState, Rebuild
from infra.valkey.index import ValkeyIndex, pack
from infra.valkey.keys import Shards
from infra.valkey.library import Library
from matching.model import Listing, Tier
from server.memory import look_for_garbage_rarely
from server.rebirth import CHECK_S, PAGE, Rebirth
from tests.bench.figures import Figure, figure, quantile
from tests.bench.volunteers import HOUR_S, LANGUAGES, NOW, Crowd
from tests.support.engines import Engines

FEW = 10_000
"""The size a draw among many is compared with."""
WAVE = 10
DRAWS = 2_000
SAMPLE = 100_000
"""People the bare commands are measured with."""
AT_ONCE = 8
THROUGHPUT_S = 5.0
DRAW_EVERY_S = 0.02
SWEEP_PEOPLE = 250
LOAD_CHUNK = 200
LOAD_AT_ONCE = 4


async def run(engines: Engines, volunteers: int, in_postgres: int) -> dict[str, Figure]:
    """Fill the index from a database; then with so many people, and measure it.

    In this order: a server that was just emptied of millions of people frees memory for a while, a second at a time.
    """
    url = await engines.empty_valkey()
    figures = await rebuilt(engines, url, in_postgres)
    async with opened(url) as bench:
        return await measure(bench, volunteers) | figures


@dataclass(frozen=True, slots=True)
class Bench:
    """The index, and the server it is on."""

    client: Any
    library: Library
    index: ValkeyIndex
    rebuild: Rebuild
    shards: Shards

    async def memory(self) -> int:
        return int((await self.client.info("memory"))["used_memory"])


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Bench]:
    client = _patient(url)
    try:
        await client.flushall()
        library, shards = Library(client), Shards()
        rebuild = await Generation(library, shards).begin_rebuild("bench", 3600)
        assert rebuild is not None
        yield Bench(client, library, ValkeyIndex(library, shards), rebuild, shards)
    finally:
        await client.aclose()


def _patient(url: str) -> Server:
    """Unlike a node's, this client waits for a machine that has other things to do."""
    return open_valkey(url, answer_s=60.0)


async def measure(bench: Bench, volunteers: int) -> dict[str, Figure]:
    crowd = Crowd(volunteers)
    empty = await bench.memory()
    bare_s, bare_bytes = await bare_load(bench, crowd)
    await load(bench, crowd.records(0, FEW))
    await bench.rebuild.complete()
    few = await drawn(bench)
    loading_s = await seconds(lambda: load(bench, crowd.records(FEW, volunteers)))
    print(f"  {volunteers:,} people are in the index", flush=True)
    people_bytes = (await bench.memory() - empty) / volunteers
    many = await drawn(bench)
    bare = await drawn_bare(bench)
    pairs, bare_pairs = await pairs_per_second(bench, _pair), await pairs_per_second(bench, _bare_pair)
    print("  the hour is over", flush=True)
    calm, rolling, moved, took_s = await roll_over(bench, crowd)
    speed = (volunteers - FEW) / loading_s
    return {
        "matching_memory": figure(people_bytes * volunteers / 1e9, "GB", bare_bytes * volunteers / 1e9),
        "matching_bytes_a_person": figure(people_bytes, "bytes", bare_bytes),
        "matching_load": figure(speed, "people/s", SAMPLE / bare_s),
        "matching_load_time": figure(loading_s, "s"),
        "matching_draw_p50": milliseconds(many, 0.5, bare),
        "matching_draw_p99": milliseconds(many, 0.99, bare),
        "matching_draw_p99_against_10k": milliseconds(many, 0.99, few),
        "matching_draws_and_confirms": figure(pairs, "/s", bare_pairs),
        "matching_rollover_people": figure(moved, "people"),
        "matching_rollover_speed": figure(moved / took_s, "people/s"),
        "matching_rollover_draw_p99": milliseconds(rolling, 0.99, calm),
    }


def milliseconds(values: Sequence[float], share: float, beside: Sequence[float]) -> Figure:
    return figure(quantile(values, share) * 1000, "ms", quantile(beside, share) * 1000)


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


# -- loading -----------------------------------------------------------------------------------------------------------


async def load(bench: Bench, records: Iterator[tuple[bytes, bytes]]) -> None:
    """Put people by pipelines, a few on their way at once; never more than these are in memory here."""
    prefix = bench.shards.all()[0].prefix

    async def feed() -> None:
        while some := list(islice(records, LOAD_CHUNK)):
            args = [part for record in some for part in record]
            await bench.library.call("index_put", [prefix], [bench.shards.count, NOW, 0, *args])

    await asyncio.gather(*(feed() for _ in range(LOAD_AT_ONCE)))


async def bare_load(bench: Bench, crowd: Crowd) -> tuple[float, float]:
    """Seconds for the sample, and bytes a person: a hash of records, and the sorted sets they are in."""
    before = await bench.memory()
    commands = [command for person in crowd.people(SAMPLE) for command in _bare_put(person)]
    begun = time.perf_counter()
    for at in range(0, len(commands), 1000):
        await pipelined_on(bench.client, commands[at : at + 1000])
    took_s = time.perf_counter() - begun
    used = await bench.memory() - before
    for key in ("people", "wake", "close", *LANGUAGES):
        await bench.client.unlink(f"bare:{key}")
    return took_s, used / SAMPLE


def _bare_put(one: Listing) -> list[tuple[bytes | str | float, ...]]:
    opens = inf if one.opens_at is None else one.opens_at
    record: tuple[bytes | str | float, ...] = ("HSET", "bare:people", one.person_id.bytes, pack(one))
    if one.tier is not Tier.HOT and opens > NOW:
        return [record, ("ZADD", "bare:wake", opens, one.person_id.bytes)]
    ready = [("ZADD", f"bare:{language}", one.last_asked_at, one.person_id.bytes) for language in one.languages]
    closes = [] if one.closes_at is None else [("ZADD", "bare:close", one.closes_at, one.person_id.bytes)]
    return [record, *ready, *closes]


# -- drawing -----------------------------------------------------------------------------------------------------------


def _kinds(count: int) -> Iterator[tuple[str, Tier]]:
    """Languages as often as people speak them, mostly people with the app closed."""
    dice = random.Random(11)
    names = dice.choices(list(LANGUAGES), list(LANGUAGES.values()), k=count)
    return iter([(name, Tier.HOT if dice.random() < 0.02 else Tier.COLD) for name in names])


async def drawn(bench: Bench, draws: int = DRAWS) -> list[float]:
    """Seconds that draws of 10 took; everybody goes back at once."""
    took: list[float] = []
    for language, tier in _kinds(draws):
        begun = time.perf_counter()
        people = await _draw(bench, language, tier)
        took.append(time.perf_counter() - begun)
        await bench.index.release(people, at=0, now=NOW)
    return took


async def _draw(bench: Bench, language: str, tier: Tier, now: float = NOW) -> list[UUID]:
    return await bench.index.draw(language=language, tier=tier, count=WAVE, excluded=(), now=now, lease_until=now + 2)


async def drawn_bare(bench: Bench) -> list[float]:
    """The same commands without functions: who is first, their records, out of ready, into wake."""
    took: list[float] = []
    for language, tier in _kinds(DRAWS):
        begun = time.perf_counter()
        ids = await _bare_draw(bench, tier, language)
        took.append(time.perf_counter() - begun)
        await bench.index.release([UUID(bytes=one) for one in ids], at=0, now=NOW)
    return took


async def _bare_draw(bench: Bench, tier: Tier, language: str) -> list[bytes]:
    shard = bench.shards.all()[0]
    ids: list[bytes]
    [ids] = await pipelined_on(bench.client, [("ZRANGE", shard.ready(tier, language), 0, WAVE - 1)])
    records = await pipelined_on(bench.client, [("HGET", shard.people, one) for one in ids])
    commands = [command for pair in zip(ids, records, strict=True) for command in _bare_take(shard, tier, *pair)]
    await pipelined_on(bench.client, commands)
    return ids


def _until(record: bytes, moment: float) -> bytes:
    return record[:17] + struct.pack(">d", moment) + record[25:]


def _bare_take(shard: Any, tier: Tier, one: bytes, record: bytes) -> list[tuple[bytes | str | float, ...]]:
    return [
        ("HSET", shard.people, one, _until(record, NOW + 2)),
        ("ZADD", shard.wake, NOW + 2, one),
        *(("ZREM", shard.ready(tier, language), one) for language in record[33:].decode().split(",")),
        ("ZREM", shard.close, one),
    ]


async def pairs_per_second(bench: Bench, pair: Callable[[Bench, str, Tier, float], Awaitable[int]]) -> float:
    """Draws of 10, each confirmed, by a few callers of one process at once. Nobody comes back meanwhile."""
    kinds, done = _kinds(100_000), 0
    begun = time.perf_counter()

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < begun + THROUGHPUT_S:
            people = await pair(bench, *next(kinds), NOW + time.perf_counter() - begun)
            done += people == WAVE

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - begun)


async def _pair(bench: Bench, language: str, tier: Tier, now: float) -> int:
    people = await _draw(bench, language, tier, now)
    await bench.index.confirm(people, asked_at=now, until=now + 60)
    return len(people)


async def _bare_pair(bench: Bench, language: str, tier: Tier, now: float) -> int:
    """The commands of both without functions, and without anybody's word that nobody else drew the same people."""
    shard = bench.shards.all()[0]
    ids = await _bare_draw(bench, tier, language)
    records = await pipelined_on(bench.client, [("HGET", shard.people, one) for one in ids])
    changed = [part for one, record in zip(ids, records, strict=True) for part in (one, _until(record, now + 60))]
    scores = [part for one in ids for part in (now + 60, one)]
    if ids:
        await pipelined_on(bench.client, [("HSET", shard.people, *changed), ("ZADD", shard.wake, *scores)])
    return len(ids)


# -- the full hour -----------------------------------------------------------------------------------------------------


async def roll_over(bench: Bench, crowd: Crowd) -> tuple[list[float], list[float], int, float]:
    """Draws before and while the windows of a zone end and those of another begin: (calm, rolling, moved, seconds)."""
    now = (NOW // HOUR_S + 1) * HOUR_S
    calm = await drawn(bench, DRAWS // 4)
    rolling: list[float] = []
    drawing = asyncio.create_task(_draw_steadily(bench, now, rolling))
    begun, moved = time.perf_counter(), 0
    try:
        while True:
            swept = await bench.index.sweep(now, SWEEP_PEOPLE)
            await bench.index.put([crowd.listing(person_id, now) for person_id in swept.stale], now)
            moved += len(swept.woken) + len(swept.stale)
            if max(len(swept.woken), len(swept.stale)) < SWEEP_PEOPLE:
                return calm, rolling, moved, time.perf_counter() - begun
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def _draw_steadily(bench: Bench, now: float, took: list[float]) -> None:
    for language, tier in _kinds(100_000):
        begun = time.perf_counter()
        people = await _draw(bench, language, tier, now)
        took.append(time.perf_counter() - begun)
        await bench.index.confirm(people, asked_at=now, until=now + HOUR_S)
        await asyncio.sleep(DRAW_EVERY_S)


# -- rebuilding from Postgres ------------------------------------------------------------------------------------------


async def rebuilt(engines: Engines, url: str, people: int) -> dict[str, Figure]:
    """How fast everybody is streamed back from a database; beside: reading the pages only."""
    database_url = await engines.new_database()
    pool, client = await open_pool(database_url, 4), _patient(url)
    try:
        await client.flushall()
        await _settle(database_url, people)
        library, shards = Library(client), Shards()
        fresh = timedelta(seconds=15)
        census = PostgresListings(pool, fresh)
        book = PostgresRequestBook(pool, cast(BookLimits, None))
        index, generation = ValkeyIndex(library, shards), Generation(library, shards)
        rebirth = Rebirth(generation, cast(Any, None), book, index, census)
        look_for_garbage_rarely()
        reading_s = await seconds(lambda: _read_all(census))
        took_s = await seconds(lambda: _until_rebuilt(rebirth, generation))
        assert await client.hlen(shards.all()[0].people) == people
    finally:
        await client.aclose()
        await pool.close()
        await engines.drop_database(database_url)
    return {"matching_rebuild": figure(people / took_s, "people/s", people / reading_s)}


async def _until_rebuilt(rebirth: Rebirth, generation: Generation) -> None:
    """As nodes do: what is given up is begun again, half a second later."""
    while await generation.poll() is not IndexState.COMPLETE:
        await rebirth.rebuild()
        await asyncio.sleep(0 if await generation.poll() is IndexState.COMPLETE else CHECK_S)


async def _read_all(census: PostgresListings) -> None:
    people = await census.page(None, PAGE)
    while people:
        await census.of(people)
        people = await census.page(people[-1], PAGE)


async def _settle(database_url: str, people: int) -> None:
    """Volunteers with closed apps, by SQL."""
    connection = await asyncpg.connect(database_url)
    try:
        for first in range(0, people, 10_000):
            await connection.execute(_SETTLE, min(10_000, people - first), list(LANGUAGES), _ZONES, _HOURS)
        await connection.execute("ANALYZE users, availability, devices, push_values")
    finally:
        await connection.close()


_ZONES = [
    "Europe/Copenhagen", "Europe/London", "America/New_York", "America/Chicago", "America/Los_Angeles", "Asia/Kolkata",
    "Asia/Tokyo", "America/Sao_Paulo", "Europe/Berlin", "Australia/Sydney", "Africa/Nairobi", "Asia/Jakarta",
]  # fmt: skip
_HOURS = [
    json.dumps([{"days": [1, 2, 3, 4, 5, 6, 7], "from": start, "to": end}])
    for start, end in (("08:00", "21:00"), ("09:00", "22:00"), ("17:00", "23:00"), ("00:00", "24:00"))
]
_SETTLE = """
WITH new AS (
    INSERT INTO users (role, display_name, languages, index_languages, time_zone, last_asked_at)
    SELECT 'volunteer', 'V', l, l, ($3::text[])[1 + floor(random() * cardinality($3))::int],
           CASE WHEN random() < 0.5 THEN eyeline_now() - random() * interval '90 days' END
    FROM (SELECT CASE WHEN random() < 0.4
                      THEN ARRAY['en', ($2::text[])[2 + floor(random() * (cardinality($2) - 1))::int]]
                      ELSE ARRAY[($2::text[])[1 + floor(random() ^ 3 * cardinality($2))::int]] END AS l
          FROM generate_series(1, $1)) AS drawn
    RETURNING id
), hours AS (
    INSERT INTO availability (user_id, weekly)
    SELECT id, (($4::text[])[1 + floor(random() * cardinality($4))::int])::jsonb FROM new
), phones AS (
    INSERT INTO devices (user_id, device_id, platform, seen_at) SELECT id, 'd', 'android', eyeline_now() FROM new
)
INSERT INTO push_values (user_id, device_id, kind, value) SELECT id, 'd', 'fcm', id::text FROM new
"""
