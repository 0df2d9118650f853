"""Keeps people, their sessions and devices in Postgres (the server's `Accounts` port)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import asyncpg

from infra.postgres.queries import queries
from infra.postgres.suspensions import suspend_if_banned
from matching.languages import index_languages

REUSE_GRACE = timedelta(seconds=60)
"""How long after its first use a refresh token may be shown again, if its reply seems to have been lost."""

Role = Literal["requester", "volunteer"]
Status = Literal["active", "held", "suspended"]
Platform = Literal["ios", "android", "web"]
PushKind = Literal["fcm", "webpush", "apns_voip"]
AdminRole = Literal["observer", "moderator", "owner"]


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """A row of `users`."""

    id: UUID
    role: Role | None
    display_name: str | None
    languages: tuple[str, ...]
    time_zone: str
    status: Status
    admin_roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A row of `sessions` that has not ended."""

    id: UUID
    device_id: str
    platform: Platform
    created_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAvailability:
    """A row of `availability`."""

    weekly: Sequence[Mapping[str, Any]]
    paused: bool
    paused_until: datetime | None


@dataclass(frozen=True, slots=True)
class StoredRotation:
    """What showing a refresh token came to; see the port."""

    session_id: UUID | None
    ended: bool = False


class Verdict(Enum):
    """What to do about a refresh token that was shown."""

    ROTATE = "rotate"
    REPLACE_LOST = "replace lost"
    END = "end"


def judge(*, rotated_at: datetime | None, retired_at: datetime | None, successor_used: bool, now: datetime) -> Verdict:
    """The rule of refresh: a token works once, and once more when the answer to it must have been lost."""
    if retired_at is not None:
        return Verdict.END
    if rotated_at is None:
        return Verdict.ROTATE
    if successor_used or now - rotated_at > REUSE_GRACE:
        return Verdict.END
    return Verdict.REPLACE_LOST


class PostgresAccounts:
    """The `Accounts` port over one pool. Raises the driver's errors (`infra.postgres.pool.OUTAGES`)."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = queries("accounts")

    async def sign_in(
        self,
        *,
        provider: str,
        subject: str,
        display_name: str | None,
        device_id: str,
        platform: Platform,
        refresh_hash: bytes,
    ) -> UUID:
        async with self._transaction() as connection:
            user_id = await connection.fetchval(self._sql["identity_of"], provider, subject)
            await connection.execute(self._sql["make_person"], user_id, display_name)
            # Before the session: whoever is suspended may still sign in, to read that they are.
            await suspend_if_banned(connection, user_id, [("device", device_id)])
            session_id: UUID = await connection.fetchval(self._sql["open_session"], user_id, device_id, platform)
            await connection.execute(self._sql["keep_refresh_token"], refresh_hash, session_id, None)
        return session_id

    async def rotate(self, *, shown_hash: bytes, successor_hash: bytes, device_id: str | None) -> StoredRotation:
        async with self._transaction() as connection:
            session_id = await connection.fetchval(self._sql["session_of_refresh_token"], shown_hash)
            session = await connection.fetchrow(self._sql["lock_session"], session_id)
            if session is None:
                return StoredRotation(None)
            token = await connection.fetchrow(self._sql["refresh_token"], shown_hash)
            if token is None:  # forgotten while the lock was waited for
                return StoredRotation(None)
            verdict = _judge_row(token)
            if verdict is Verdict.END or device_id not in (None, session["device_id"]):
                await self._end(connection, session["user_id"], session_id)
                return StoredRotation(session_id, ended=True)
            if verdict is Verdict.REPLACE_LOST:
                await connection.execute(self._sql["retire"], token["successor"])
            await connection.execute(self._sql["rotated"], shown_hash)
            await connection.execute(self._sql["keep_refresh_token"], successor_hash, session_id, shown_hash)
            await connection.execute(self._sql["forget_old_refresh_tokens"], session_id)
        return StoredRotation(session_id)

    async def by_session(self, session_id: UUID) -> tuple[StoredSession, StoredAccount] | None:
        row = await self._pool.fetchrow(self._sql["session_and_person"], session_id)
        return None if row is None else (_session(row), _account(row))

    async def sessions(self, user_id: UUID) -> list[StoredSession]:
        return [_session(row) for row in await self._pool.fetch(self._sql["sessions_of"], user_id)]

    async def end_session(self, user_id: UUID, session_id: UUID) -> bool:
        async with self._transaction() as connection:
            return await self._end(connection, user_id, session_id)

    async def change(self, user_id: UUID, changes: Mapping[str, Any]) -> StoredAccount | None:
        row = await self._pool.fetchrow(
            self._sql["change_person"],
            user_id,
            changes.get("role"),
            "display_name" in changes,
            changes.get("display_name"),
            changes.get("languages"),
            changes.get("time_zone"),
            list(index_languages(changes["languages"])) if "languages" in changes else None,
        )
        return None if row is None else _account(row)

    async def availability(self, user_id: UUID) -> StoredAvailability | None:
        row = await self._pool.fetchrow(self._sql["availability_of"], user_id)
        return None if row is None else StoredAvailability(row["weekly"], row["paused"], row["paused_until"])

    async def put_availability(
        self, user_id: UUID, weekly: Sequence[Mapping[str, Any]], *, paused: bool, paused_until: datetime | None
    ) -> None:
        await self._pool.execute(self._sql["put_availability"], user_id, list(weekly), paused, paused_until)

    async def put_device(
        self, user_id: UUID, device_id: str, platform: Platform, push: Mapping[tuple[PushKind, str], object]
    ) -> bool:
        async with self._transaction() as connection:
            if await suspend_if_banned(connection, user_id, sorted(push)):
                return False
            await connection.execute(self._sql["put_device"], user_id, device_id, platform)
            kinds, values = [kind for kind, _ in push], [value for _, value in push]
            await connection.execute(self._sql["drop_push_values"], user_id, device_id, kinds, values)
            # In one order everywhere, so that two devices that swap values wait for each other instead of deadlocking.
            for kind, value in sorted(push):
                keys = push[kind, value]
                await connection.execute(self._sql["put_push_value"], kind, value, keys, user_id, device_id)
        return True

    async def delete_device(self, user_id: UUID, device_id: str) -> bool:
        return await self._pool.fetchval(self._sql["delete_device"], user_id, device_id) is not None

    async def find(self, who: str) -> UUID | None:
        """The person with this id or name of a `dev` sign-in; an id is not looked up."""
        return _uuid(who) or await self._pool.fetchval(self._sql["user_by_dev_name"], who)

    async def grant(self, who: str, role: AdminRole) -> UUID | None:
        user_id = await self.find(who)
        granted: UUID | None = await self._pool.fetchval(self._sql["grant"], user_id, role)
        return granted

    async def _end(self, connection: asyncpg.Connection, user_id: UUID, session_id: UUID) -> bool:
        ended = await connection.fetchrow(self._sql["end_session"], session_id, user_id)
        if ended is None:
            return False
        await connection.execute(self._sql["forget_push_values"], ended["user_id"], ended["device_id"])
        return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection


def _judge_row(token: asyncpg.Record) -> Verdict:
    return judge(
        rotated_at=token["rotated_at"],
        retired_at=token["retired_at"],
        # No successor at all: it was forgotten, so it is long ago.
        successor_used=token["successor"] is None or token["successor_rotated_at"] is not None,
        now=token["now"],
    )


def _account(row: asyncpg.Record) -> StoredAccount:
    return StoredAccount(
        id=row["id"],
        role=row["role"],
        display_name=row["display_name"],
        languages=tuple(row["languages"]),
        time_zone=row["time_zone"],
        status=row["status"],
        admin_roles=tuple(row["admin_roles"]),
    )


def _session(row: asyncpg.Record) -> StoredSession:
    return StoredSession(
        id=row["session_id"],
        device_id=row["device_id"],
        platform=row["platform"],
        created_at=row["created_at"],
        seen_at=row["seen_at"],
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
