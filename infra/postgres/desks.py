"""Keeps desks of organisations and their agents (the server's `Desks` port)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg

from infra.postgres.invites import make_invite
from infra.postgres.queries import queries
from infra.postgres.transactions import retried
from matching.availability import weekly_windows
from matching.desk_hours import DeskHours, Opening
from matching.languages import index_languages

_SQL, _GROUPS = queries("desks"), queries("groups")

Weekly = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class StoredMember:
    """A row of `memberships`, with what others may see of its person."""

    member_id: UUID
    display_name: str | None
    joined_at: datetime
    active: bool


@dataclass(frozen=True, slots=True)
class StoredDesk:
    """A row of `desks`, for whoever asks now."""

    id: UUID
    name: str
    languages: Sequence[str]
    opening: Opening
    member_id: UUID | None


@dataclass(frozen=True, slots=True)
class StoredDeskDetails:
    """The same, for an admin."""

    desk: StoredDesk
    time_zone: str
    weekly: Weekly
    created_at: datetime
    open_invites: int
    agents: Sequence[StoredMember]


class PostgresDesks:
    """One method, one transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def listed(self, person_id: UUID) -> list[StoredDesk]:
        return [desk_of(row) for row in await self._pool.fetch(_SQL["listed"], person_id, None)]

    async def leave(self, person_id: UUID, desk_id: UUID, member_id: UUID) -> bool:
        return await self._pool.fetchval(_SQL["leave"], member_id, desk_id, person_id) is not None

    async def make(self, *, name: str, languages: Sequence[str], time_zone: str, weekly: Weekly) -> UUID:
        made: UUID = await self._pool.fetchval(_SQL["make"], *_columns(name, languages, time_zone, weekly))
        return made

    async def change(
        self, desk_id: UUID, *, name: str, languages: Sequence[str], time_zone: str, weekly: Weekly
    ) -> bool:
        columns = _columns(name, languages, time_zone, weekly)
        return await self._pool.fetchval(_SQL["change"], desk_id, *columns) is not None

    async def retire(self, desk_id: UUID) -> bool:
        async def work(connection: asyncpg.Connection) -> bool:
            if await connection.fetchval(_SQL["retire"], desk_id) is None:
                return False
            for step in ("forget_agents", "forget_invites"):
                await connection.execute(_SQL[step], desk_id)
            return True

        return await retried(self._pool, work)

    async def details(self, desk_id: UUID) -> StoredDeskDetails | None:
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_SQL["details"], desk_id)
            if row is None:
                return None
            agents = [member_of(agent) for agent in await connection.fetch(_SQL["agents"], desk_id)]
        return StoredDeskDetails(
            desk_of(row), row["time_zone"], row["weekly"], row["created_at"], row["open_invites"], agents
        )

    async def invite(
        self, desk_id: UUID, code_hash: bytes, *, life: timedelta, at_most: int
    ) -> datetime | Literal["not_found", "full"]:
        async def work(connection: asyncpg.Connection) -> datetime | Literal["not_found", "full"]:
            if await connection.fetchval(_GROUPS["lock_desk"], desk_id) is None:
                return "not_found"
            return await make_invite(connection, code_hash, None, desk_id, life, at_most)

        return await retried(self._pool, work)

    async def withdraw_invites(self, desk_id: UUID) -> bool:
        async def work(connection: asyncpg.Connection) -> bool:
            if await connection.fetchval(_GROUPS["lock_desk"], desk_id) is None:
                return False
            await connection.execute(_GROUPS["withdraw_invites"], None, desk_id)
            return True

        return await retried(self._pool, work)

    async def remove(self, desk_id: UUID, member_id: UUID) -> bool:
        return bool(await self._pool.fetchval(_SQL["remove"], desk_id, member_id))


def desk_of(row: asyncpg.Record) -> StoredDesk:
    hours = DeskHours(weekly_windows(row["weekly"]), row["time_zone"])
    return StoredDesk(row["id"], row["name"], tuple(row["languages"]), hours.at(row["now"]), row["member_id"])


def member_of(row: asyncpg.Record) -> StoredMember:
    return StoredMember(row["member_id"], row["display_name"], row["joined_at"], row["active"])


def _columns(name: str, languages: Sequence[str], time_zone: str, weekly: Weekly) -> tuple[object, ...]:
    return name, list(languages), list(index_languages(languages)), time_zone, list(weekly)
