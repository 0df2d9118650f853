"""What probes leave behind is forgotten after a day, and nothing of anybody else."""

from __future__ import annotations

from infra.postgres.probes import PostgresProbes
from signaling.model import EndReason, Side
from tests.integration.postgres.world import World

PROBES = "INSERT INTO identities (provider, subject, user_id) SELECT 'probe', id, id FROM unnest($1::uuid[]) AS p (id)"


async def call_over(world: World, *, probe: bool) -> None:
    """A call that has ended, and with it the sessions of both."""
    request, call, _ = await world.in_call(media=True)
    people = [call.requester.person_id, call.volunteer.person_id]
    if probe:
        await world.sql.execute(PROBES, people)
        await world.sql.execute("UPDATE requests SET languages = '{qaa}' WHERE id = $1", request.id)
    await world.end(call, EndReason.DONE, Side.REQUESTER)
    await world.sql.execute(
        "UPDATE sessions SET ended_at = eyeline_now(), ready = false WHERE user_id = ANY ($1)", people
    )


async def test_after_a_day_probes_leave_nothing_behind(world: World) -> None:
    await call_over(world, probe=True)
    await call_over(world, probe=False)
    await world.pass_time(36 * 3600)
    await call_over(world, probe=True)
    await PostgresProbes(world.pool).forget()
    for table, left in (("requests", 2), ("calls", 2), ("offers", 2), ("sessions", 4), ("users", 6)):
        assert await world.sql.fetchval(f"SELECT count(*) FROM {table}") == left, table
