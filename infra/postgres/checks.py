"""What a node asks of Postgres before it may be given work. Each gives None when all is well, else what is not."""

from __future__ import annotations

import time

import asyncpg

from infra.postgres.schema import is_migrated

DRIFT_S_MAX = 1.0


class DatabaseChecks:
    """Readiness checks over the node's own pool: a pool that is used up is not ready either."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def answers(self) -> str | None:
        await self._pool.fetchval("SELECT 1")
        return None

    async def migrated(self) -> str | None:
        return None if await is_migrated(self._pool) else "the schema is not the one this version expects"

    async def clock(self) -> str | None:
        """The node's clock against the database's, with the way there and back taken off."""
        before = time.time()
        theirs = float(await self._pool.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        drift_s = max(before - theirs, theirs - time.time(), 0.0)
        return None if drift_s < DRIFT_S_MAX else f"the clock is off by {drift_s:.1f} s"
