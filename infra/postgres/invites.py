"""What invites to groups and to desks share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from infra.postgres.queries import queries

_SQL = queries("groups")


async def make_invite(
    connection: asyncpg.Connection,
    code_hash: bytes,
    group_id: UUID | None,
    desk_id: UUID | None,
    life: timedelta,
    at_most: int,
) -> datetime | Literal["full"]:
    """Within a transaction that has locked the group or desk: when the invite expires."""
    await connection.execute(_SQL["forget_expired_invites"])
    expires_at: datetime | None = await connection.fetchval(_SQL["invite"], code_hash, group_id, desk_id, life, at_most)
    return expires_at or "full"
