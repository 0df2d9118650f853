"""Keeps groups of trusted people, who is in them, and invites to groups and desks (the server's `Groups` port)."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from infra.postgres.queries import queries
from matching.availability import weekly_windows
from matching.desk_hours import DeskHours

_SQL = queries("groups")


class PostgresGroups:
    """One method, one transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def owns_group(self, requester_id: UUID, group_id: UUID) -> bool:
        return bool(await self._pool.fetchval(_SQL["owns_group"], group_id, requester_id))

    async def desk_hours(self, desk_id: UUID) -> DeskHours | None:
        row = await self._pool.fetchrow(_SQL["desk_hours"], desk_id)
        return None if row is None else DeskHours(weekly_windows(row["weekly"]), row["time_zone"])
