"""What probes leave behind in Postgres is forgotten after a day."""

from __future__ import annotations

import asyncpg

from infra.postgres.queries import queries

AT_ONCE = 500

_SQL = queries("probes")


class PostgresProbes:
    """Requests, calls and sign-ins of `eyeline probe`, a few every minute for as long as it runs."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def forget(self) -> None:
        """Those that ended more than a day ago."""
        await self._pool.execute(_SQL["forget_requests"], AT_ONCE)
        await self._pool.execute(_SQL["forget_sessions"], AT_ONCE)
