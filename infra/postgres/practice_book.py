"""Practice calls in Postgres: implements `server.practice.PracticeBook`, and its part of `signaling.ports.CallBook`.

A call in a row of its own: there is no request, and nobody but one person to be taken and freed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from infra.postgres.call_book import PostgresCallBook
from infra.postgres.queries import queries
from infra.postgres.rows import media_row
from infra.postgres.transactions import retried
from signaling.model import Call, CallState, End, EndReason, Media, Practice, Side
from signaling.ports import Changed, NoSuchCall

_SQL = queries("practice")
DUE_AT_ONCE = 64


class PostgresPracticeBook:
    """One method, one transaction."""

    def __init__(self, pool: asyncpg.Pool, connecting: timedelta) -> None:
        self._pool = pool
        self._connecting = connecting

    # -- waiting ------------------------------------------------------------------------------------------------------

    async def ask(self, person_id: UUID, session_id: UUID, side: Side, language: str) -> bool:
        async def write(connection: asyncpg.Connection) -> bool:
            if await connection.fetchval(_SQL["is_taken"], person_id):
                return False
            await connection.execute(_SQL["ask"], person_id, session_id, side, language)
            return True

        return await retried(self._pool, write)

    async def waiting(self) -> int:
        await self._pool.execute(_SQL["forget_old"])
        count: int = await self._pool.fetchval(_SQL["waiting"])
        return count

    async def place(self, person_id: UUID) -> int:
        place: int = await self._pool.fetchval(_SQL["place"], person_id)
        return place

    async def leave(self, person_id: UUID) -> None:
        await self._pool.execute(_SQL["leave"], person_id)

    async def begin(self, life: timedelta, lease: timedelta) -> Call | None:
        async def write(connection: asyncpg.Connection) -> Call | None:
            first = await connection.fetchrow(_SQL["next_waiting"])
            if first is None:
                return None
            if await connection.fetchval(_SQL["take"], first["person_id"], first["id"]) is None:
                return None
            await connection.execute(_SQL["lock_person"], first["person_id"])
            if await connection.fetchval(_SQL["asks"], first["person_id"]):
                await connection.execute(_SQL["free"], first["person_id"], first["id"])
                return None
            await connection.execute(_SQL["begin"], first["id"], life, self._connecting, lease)
            return practice_call_of(await connection.fetchrow(_SQL["get"], first["id"]))

        return await retried(self._pool, write)

    # -- the call -----------------------------------------------------------------------------------------------------

    async def get(self, call_id: UUID) -> Call | None:
        row = await self._pool.fetchrow(_SQL["get"], call_id)
        return practice_call_of(row) if row else None

    async def live_of_person(self, person_id: UUID) -> Call | None:
        row = await self._pool.fetchrow(_SQL["live_of_person"], person_id)
        return practice_call_of(row) if row else None

    async def change(self, call_id: UUID, rule: Callable[[Call, datetime], Call]) -> Changed:
        return await retried(self._pool, lambda connection: self._change(connection, call_id, rule))

    async def _change(
        self, connection: asyncpg.Connection, call_id: UUID, rule: Callable[[Call, datetime], Call]
    ) -> Changed:
        if await connection.fetchrow(_SQL["lock"], call_id) is None:
            raise NoSuchCall
        row = await connection.fetchrow(_SQL["get"], call_id)
        before, now = practice_call_of(row), row["now"]
        after = rule(before, now)
        if after != before:
            await self._write(connection, after, Side(row["side"]))
            if after.state is CallState.ENDED:
                await connection.execute(_SQL["free"], row["person_id"], call_id)
        return Changed(before, after, now)

    async def _write(self, connection: asyncpg.Connection, call: Call, side: Side) -> None:
        person, phone = call.end(side), call.end(side.other)
        await connection.execute(
            _SQL["write"],
            call.id,
            call.attempt,
            call.state,
            person.session_id,
            media_row(person.media),
            person.away_since,
            media_row(phone.media),
            call.connect_by,
            call.connected_at,
            call.reconnecting_since,
            call.ended_at,
            call.end_reason,
            call.ended_by,
            call.version,
        )

    # -- looking and telling ------------------------------------------------------------------------------------------

    async def renew(self, call_ids: Collection[UUID], lease: timedelta) -> None:
        await self._pool.execute(_SQL["renew"], list(call_ids), lease)

    async def due(self) -> list[UUID]:
        return [row["id"] for row in await self._pool.fetch(_SQL["due"], DUE_AT_ONCE)]

    async def untold(self, call_id: UUID) -> tuple[Call, datetime] | None:
        row = await self._pool.fetchrow(_SQL["get"], call_id)
        if row is None or row["told_version"] >= row["version"]:
            return None
        return practice_call_of(row), row["now"]

    async def told(self, call: Call) -> None:
        await self._pool.execute(_SQL["mark_told"], call.id, call.version)


class AllCalls:
    """Calls of two people and practice calls as one `signaling.ports.CallBook`: whoever is in one hardly sees which."""

    def __init__(self, between_people: PostgresCallBook, practice: PostgresPracticeBook) -> None:
        self._between_people = between_people
        self._practice = practice

    async def get(self, call_id: UUID) -> Call | None:
        return await self._between_people.get(call_id) or await self._practice.get(call_id)

    async def of_epoch(self, request_id: UUID, epoch: int) -> Call | None:
        return await self._between_people.of_epoch(request_id, epoch)

    async def live_of_person(self, person_id: UUID) -> Call | None:
        return await self._between_people.live_of_person(person_id) or await self._practice.live_of_person(person_id)

    async def change(self, call_id: UUID, rule: Callable[[Call, datetime], Call]) -> Changed:
        try:
            return await self._between_people.change(call_id, rule)
        except NoSuchCall:
            return await self._practice.change(call_id, rule)


def practice_call_of(row: asyncpg.Record) -> Call:
    """A row of `practice_calls` that no longer waits, joined with its session and person."""
    side, call_id = Side(row["side"]), row["id"]
    person = End(
        person_id=row["person_id"],
        session_id=row["session_id"],
        media=msgspec.convert(row["media"], Media),
        away_since=row["away_since"],
        seen_at=row["seen_at"],
        owner_epoch=row["owner_epoch"],
        suspended=row["suspended"],
    )
    # Always just seen: whether it is there says its lease.
    phone = End(call_id, call_id, msgspec.convert(row["phone_media"], Media), away_since=None, seen_at=row["now"])
    return Call(
        id=call_id,
        request_id=call_id,
        epoch=1,
        attempt=row["attempt"],
        state=CallState(row["state"]),
        mode="video",
        language=row["language"],
        created_at=row["began_at"],
        connect_by=row["connect_by"],
        connected_at=row["connected_at"],
        reconnecting_since=row["reconnecting_since"],
        ended_at=row["ended_at"],
        end_reason=EndReason(row["end_reason"]) if row["end_reason"] else None,
        ended_by=Side(row["ended_by"]) if row["ended_by"] else None,
        requester=person if side is Side.REQUESTER else phone,
        volunteer=phone if side is Side.REQUESTER else person,
        version=row["version"],
        practice=Practice(ends_at=row["ends_at"], phone_until=row["phone_until"]),
        watched_since=row["watched_since"],
    )
