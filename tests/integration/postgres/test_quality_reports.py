"""How a call went is summed up by all that was reported of it."""

from __future__ import annotations

import asyncio

from infra.postgres.quality import PostgresQuality
from signaling.model import Side
from signaling.quality import Measured, Quality
from tests.integration.postgres.world import World


async def test_a_report_that_is_being_written_when_its_call_ends_counts(world: World) -> None:
    _, call, _ = await world.in_call(media=True)
    quality = PostgresQuality(world.pool)
    quality.reported(call.id, Side.VOLUNTEER, 1, Quality(samples=1, round_trip=Measured(0.25, 0.25)))
    async with world.other() as in_the_way, in_the_way.transaction():
        await in_the_way.execute("LOCK TABLE call_reports IN EXCLUSIVE MODE")
        flushing = asyncio.create_task(quality.flush())
        await world.waiters(1)
        async with world.pool.acquire() as connection:
            await quality.seal(connection, call.id)
    await flushing
    kept = await world.sql.fetchrow("SELECT * FROM call_quality WHERE call_id = $1", call.id)
    assert kept["requester"] is None
    assert "0.25" in str(kept["volunteer"])
