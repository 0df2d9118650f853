"""The database's clock as a node knows it: its own clock and a measured offset. Postgres keeps time, nodes read it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import asyncpg

from infra.postgres.queries import queries

SLOW_ANSWER_S = 0.5
"""A measurement that took so long says too little about the offset."""

_SQL = queries("requests")


class DatabaseClock:
    """Callable: the database's time now, to within half a round trip of the last measurement."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.offset_s = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)

    async def measure(self) -> float:
        """Compare the clocks; gives the offset in seconds. A slow answer says little and is not believed."""
        before = time.time()
        moment: datetime = await self._pool.fetchval(_SQL["clock"])
        after = time.time()
        if after - before < SLOW_ANSWER_S:
            self.offset_s = moment.timestamp() - (before + after) / 2
        return self.offset_s
