"""The database's clock as a node knows it: its own clock and a measured offset. Postgres keeps time, nodes read it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import asyncpg

from infra.postgres.queries import queries

MOST_DRIFT_S = 1.0
"""A node whose own clock is further off is not ready: something is wrong with that machine."""

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
        if after - before < MOST_DRIFT_S / 2:
            self.offset_s = moment.timestamp() - (before + after) / 2
        return self.offset_s

    @property
    def in_step(self) -> bool:
        """Whether this node's clock is near enough to the database's."""
        return abs(self.offset_s) < MOST_DRIFT_S
