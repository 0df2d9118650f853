"""How fast the volunteer index draws, beside the bare command that any such draw needs at least."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from redis.asyncio import Redis

from infra.valkey.connection import open_valkey
from infra.valkey.generation import Generation
from infra.valkey.index import ValkeyIndex
from infra.valkey.keys import Shard
from infra.valkey.library import Library
from matching.model import Listing, Tier
from tests.bench.figures import Figure

PEOPLE = 10_000
DRAWS = 1_000
WAVE = 10


async def run(valkey_url: str) -> dict[str, Figure]:
    """Draw waves of 10 of 10,000 people, in turn with ZRANGE of 10 on the same connection. Empties the server first.

    Gives name -> {"value", "unit", "beside", "ratio"}; `beside` is the same figure of ZRANGE (for put, of one pipelined
    ZADD a person), `ratio` = value / beside.
    """
    client = open_valkey(valkey_url)
    try:
        await client.flushall()
        library = Library(client)
        index, generation = ValkeyIndex(library), Generation(library)
        rebuild = await generation.begin_rebuild("bench", 60)
        assert rebuild is not None
        people = _people()
        put_s = await _seconds(lambda: index.put(people, 0))
        zadd_s = await _seconds(lambda: _zadd(client, people))
        await rebuild.complete()

        ready = Shard(0).ready(Tier.HOT, "en")
        draws: list[float] = []
        bare: list[float] = []
        for turn in range(DRAWS):
            bare.append(await _seconds(lambda: client.zrange(ready, 0, WAVE - 1)))
            draws.append(await _seconds(lambda turn=turn: _draw(index, turn)))  # type: ignore[misc]
            await index.sweep(turn, 2 * WAVE)
    finally:
        await client.aclose()
    return {
        "index_draw_p50": _beside(_quantile(draws, 0.5), _quantile(bare, 0.5)),
        "index_draw_p99": _beside(_quantile(draws, 0.99), _quantile(bare, 0.99)),
        "index_put": {
            "value": round(PEOPLE / put_s),
            "unit": "people/s",
            "beside": round(PEOPLE / zadd_s),
            "ratio": round(zadd_s / put_s, 2),
        },
    }


async def _draw(index: ValkeyIndex, turn: int) -> None:
    """Everybody drawn comes back a turn later, so that the set keeps its size."""
    drawn = await index.draw(language="en", tier=Tier.HOT, count=WAVE, excluded=(), now=turn, lease_until=turn + 1)
    if len(drawn) != WAVE:
        raise RuntimeError(f"drew {len(drawn)} of {WAVE}")


async def _zadd(client: Redis, people: list[Listing]) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for listing in people:
            pipeline.zadd("bench", {listing.person_id.bytes: listing.last_asked_at})
        await pipeline.execute()


def _people() -> list[Listing]:
    return [
        Listing(
            UUID(int=(number * 2**64 // PEOPLE) << 64 | number), ("en", "da"), Tier.HOT, None, None, 0.0, float(number)
        )
        for number in range(PEOPLE)
    ]


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


def _quantile(seconds: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[int(share * (len(seconds) - 1))] * 1000


def _beside(value: float, beside: float) -> Figure:
    return {"value": round(value, 3), "unit": "ms", "beside": round(beside, 3), "ratio": round(value / beside, 2)}
