"""Keeps groups of trusted people and who is in them, and accepts invites (the server's `Groups` port)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from infra.postgres.desks import StoredDesk, StoredMember, desk_of, member_of
from infra.postgres.invites import make_invite
from infra.postgres.queries import queries
from infra.postgres.transactions import retried
from matching.availability import weekly_windows
from matching.desk_hours import DeskHours

_SQL, _DESKS = queries("groups"), queries("desks")


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A row of `groups`, for its owner."""

    id: UUID
    name: str
    direct: bool
    open_invites: int
    members: Sequence[StoredMember]


@dataclass(frozen=True, slots=True)
class StoredJoinedGroup:
    """The same, for a member."""

    id: UUID
    name: str
    direct: bool
    owner_name: str | None
    member_id: UUID
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAccepted:
    """What an invite led to."""

    group: StoredJoinedGroup | None = None
    desk: StoredDesk | None = None


class PostgresGroups:
    """One method, one transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def owns_group(self, requester_id: UUID, group_id: UUID) -> bool:
        return bool(await self._pool.fetchval(_SQL["owns_group"], group_id, requester_id))

    async def desk_hours(self, desk_id: UUID) -> DeskHours | None:
        row = await self._pool.fetchrow(_SQL["desk_hours"], desk_id)
        return None if row is None else DeskHours(weekly_windows(row["weekly"]), row["time_zone"])

    async def owned(self, requester_id: UUID) -> list[StoredGroup]:
        members: dict[UUID, list[StoredMember]] = {}
        async with self._pool.acquire() as connection:
            groups = await connection.fetch(_SQL["owned"], requester_id)
            for row in await connection.fetch(_SQL["members_of_owned"], requester_id):
                members.setdefault(row["group_id"], []).append(member_of(row))
        return [
            StoredGroup(row["id"], row["name"], row["direct"], row["open_invites"], members.get(row["id"], []))
            for row in groups
        ]

    async def joined(self, person_id: UUID) -> list[StoredJoinedGroup]:
        return [StoredJoinedGroup(*row) for row in await self._pool.fetch(_SQL["joined"], person_id, None)]

    async def make(self, requester_id: UUID, name: str, *, direct: bool, at_most: int) -> UUID | None:
        async def work(connection: asyncpg.Connection) -> UUID | None:
            await connection.execute(_SQL["lock_person"], requester_id)
            made: UUID | None = await connection.fetchval(_SQL["make"], requester_id, name, at_most, direct)
            return made

        return await retried(self._pool, work)

    async def change(self, requester_id: UUID, group_id: UUID, name: str, *, direct: bool | None) -> bool:
        async def work(connection: asyncpg.Connection) -> bool:
            if await connection.fetchval(_SQL["lock_own_group"], group_id, requester_id) is None:
                return False
            await connection.execute(_SQL["change"], group_id, name, direct)
            return True

        return await retried(self._pool, work)

    async def delete(self, requester_id: UUID, group_id: UUID) -> bool:
        return await self._pool.fetchval(_SQL["delete"], group_id, requester_id) is not None

    async def invite(
        self, requester_id: UUID, group_id: UUID, code_hash: bytes, *, life: timedelta, at_most: int
    ) -> datetime | Literal["not_found", "full"]:
        async def work(connection: asyncpg.Connection) -> datetime | Literal["not_found", "full"]:
            if await connection.fetchval(_SQL["lock_own_group"], group_id, requester_id) is None:
                return "not_found"
            return await make_invite(connection, code_hash, group_id, None, life, at_most)

        return await retried(self._pool, work)

    async def withdraw_invites(self, requester_id: UUID, group_id: UUID) -> bool:
        async def work(connection: asyncpg.Connection) -> bool:
            if await connection.fetchval(_SQL["lock_own_group"], group_id, requester_id) is None:
                return False
            await connection.execute(_SQL["withdraw_invites"], group_id, None)
            return True

        return await retried(self._pool, work)

    async def remove(self, caller_id: UUID, group_id: UUID, member_id: UUID) -> bool:
        return bool(await self._pool.fetchval(_SQL["remove"], group_id, member_id, caller_id))

    async def accept(
        self, volunteer_id: UUID, code_hash: bytes, *, members_max: int, agents_max: int
    ) -> StoredAccepted | Literal["not_found", "full"]:
        async def work(connection: asyncpg.Connection) -> StoredAccepted | Literal["not_found", "full"]:
            invite = await connection.fetchrow(_SQL["invite_of"], code_hash)
            if invite is None or not await _lock_inviting(connection, invite, volunteer_id):
                return "not_found"
            at_most = agents_max if invite["group_id"] is None else members_max
            refused = await _join(connection, code_hash, invite, volunteer_id, at_most)
            return refused or await _accepted(connection, invite, volunteer_id)

        return await retried(self._pool, work)


async def _lock_inviting(connection: asyncpg.Connection, invite: asyncpg.Record, volunteer_id: UUID) -> bool:
    """Before the invite itself, as where groups are deleted. False: nothing that this person may join."""
    if invite["group_id"] is None:
        return await connection.fetchval(_SQL["lock_desk"], invite["desk_id"]) is not None
    return await connection.fetchval(_SQL["lock_others_group"], invite["group_id"], volunteer_id) is not None


async def _join(
    connection: asyncpg.Connection, code_hash: bytes, invite: asyncpg.Record, volunteer_id: UUID, at_most: int
) -> Literal["not_found", "full"] | None:
    """Under the locks. Who is in already uses no invite up; who left does not come back by the one they used."""
    place = (invite["group_id"], invite["desk_id"], volunteer_id)
    state = await connection.fetchrow(_SQL["lock_invite"], code_hash)
    is_member = await connection.fetchval(_SQL["is_member"], *place)
    if state is None or state["accepted_by"] not in (None, volunteer_id):
        return "not_found"
    if state["accepted_by"] is not None:
        return None if is_member else "not_found"
    if state["expired"]:
        return "not_found"
    if is_member:
        return None
    if await connection.fetchval(_SQL["join"], *place, at_most) is None:
        return "full"
    await connection.execute(_SQL["accepted"], code_hash, volunteer_id)
    return None


async def _accepted(connection: asyncpg.Connection, invite: asyncpg.Record, volunteer_id: UUID) -> StoredAccepted:
    if invite["group_id"] is None:
        return StoredAccepted(
            desk=desk_of(await connection.fetchrow(_DESKS["listed"], volunteer_id, invite["desk_id"]))
        )
    return StoredAccepted(
        group=StoredJoinedGroup(*await connection.fetchrow(_SQL["joined"], volunteer_id, invite["group_id"]))
    )
