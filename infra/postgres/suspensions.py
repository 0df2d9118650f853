"""Suspends people, for good or until somebody lifts it, and whoever comes back with the same device or push value."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import asyncpg

from infra.postgres.queries import queries
from infra.postgres.transactions import retried

_SQL = queries("suspensions")


class PostgresSuspensions:
    """One method, one transaction: the server's `Suspensions` port."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def admin_roles(self, user_id: UUID) -> tuple[str, ...] | None:
        roles = await self._pool.fetchval(_SQL["roles"], user_id)
        return None if roles is None else tuple(roles)

    async def suspend(self, user_id: UUID, by: UUID | None, reason: str | None) -> list[UUID] | None:
        return await retried(self._pool, lambda connection: suspend(connection, user_id, by=by, reason=reason))

    async def restore(self, user_id: UUID) -> bool:
        return await retried(self._pool, lambda connection: _restore(connection, user_id))


async def suspend(
    connection: asyncpg.Connection,
    user_id: UUID,
    *,
    by: UUID | None = None,
    reason: str | None = None,
    follows: UUID | None = None,
) -> list[UUID] | None:
    """Within a transaction: the sessions that ended by it; None when there is no such person."""
    person = await connection.fetchrow(_SQL["lock"], user_id)
    if person is None:
        return None
    if person["status"] == "suspended":
        await connection.execute(_SQL["stand_alone"], user_id, by, reason)
    else:
        await connection.execute(_SQL["mark"], user_id)
        await connection.execute(_SQL["record"], user_id, by, reason, follows, person["status"])
    for step in ("ban_devices", "ban_values", "forget_values"):
        await connection.execute(_SQL[step], user_id)
    return [row["id"] for row in await connection.fetch(_SQL["end_sessions"], user_id)]


async def suspend_if_banned(connection: asyncpg.Connection, user_id: UUID, shown: Collection[tuple[str, str]]) -> bool:
    """Within a transaction: suspend who shows what a suspended person used: (`device`, id), (kind, push value).

    Whether they are suspended now. What the transaction writes about them afterwards a suspension sees, or came before.
    Owners are let in: nobody suspends one by suspending somebody else.
    """
    person = await connection.fetchrow(_SQL["lock"], user_id)
    if person["status"] == "suspended":
        return True
    whats, values = [what for what, _ in shown], [value for _, value in shown]
    follows = await connection.fetchval(_SQL["ban_of"], user_id, whats, values)
    if follows is None or "owner" in person["admin_roles"]:
        return False
    await suspend(connection, user_id, follows=follows)
    return True


async def _restore(connection: asyncpg.Connection, user_id: UUID) -> bool:
    return bool(await connection.fetch(_SQL["lift"], user_id))
