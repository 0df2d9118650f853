"""Calls in Postgres: implements `signaling.ports.CallBook`.

A call is changed under its request's row lock, and what the change does to the request is written in the same
transaction, by a pure rule of matching that the composition root wires in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from infra.postgres.quality import PostgresQuality
from infra.postgres.queries import queries
from infra.postgres.rows import call_of, media_row, request_of, request_row
from infra.postgres.transactions import retried
from matching.model import Request, RequestState
from signaling.call_rules import CallLimits, next_look
from signaling.model import Call, CallState
from signaling.ports import Changed, NoSuchCall

Consequence = Callable[[Request, Call, Call, datetime], Request]
"""What a call's change (before, after) does to its request."""

_SQL = queries("calls")
_REQUESTS = queries("requests")


class PostgresCallBook:
    """One method, one transaction."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        consequence: Consequence,
        limits: CallLimits,
        wrap_up: timedelta,
        quality: PostgresQuality,
    ) -> None:
        self._pool = pool
        self._consequence = consequence
        self._limits = limits
        self._wrap_up = wrap_up
        self._quality = quality

    async def get(self, call_id: UUID) -> Call | None:
        row = await self._pool.fetchrow(_SQL["get"], call_id)
        return call_of(row) if row else None

    async def of_epoch(self, request_id: UUID, epoch: int) -> Call | None:
        row = await self._pool.fetchrow(_SQL["of_epoch"], request_id, epoch)
        return call_of(row) if row else None

    async def live_of_person(self, person_id: UUID) -> Call | None:
        row = await self._pool.fetchrow(_SQL["live_of_person"], person_id)
        return call_of(row) if row else None

    async def change(self, call_id: UUID, rule: Callable[[Call, datetime], Call]) -> Changed:
        return await retried(self._pool, lambda connection: self._change(connection, call_id, rule))

    async def _change(
        self, connection: asyncpg.Connection, call_id: UUID, rule: Callable[[Call, datetime], Call]
    ) -> Changed:
        request_row = await connection.fetchrow(_SQL["lock_request"], call_id)
        if request_row is None:
            raise NoSuchCall
        row = await connection.fetchrow(_SQL["get"], call_id)
        before, now = call_of(row), row["now"]
        after = rule(before, now)
        if after != before:
            await self._write(connection, after)
            await self._follow(connection, request_of(request_row), before, after, now)
        return Changed(before, after, now)

    async def _write(self, connection: asyncpg.Connection, call: Call) -> None:
        await connection.execute(
            _SQL["write"],
            call.id,
            call.attempt,
            call.state,
            call.requester.session_id,
            media_row(call.requester.media),
            call.requester.away_since,
            call.volunteer.session_id,
            media_row(call.volunteer.media),
            call.volunteer.away_since,
            call.connect_by,
            call.connected_at,
            call.reconnecting_since,
            call.ended_at,
            call.end_reason,
            call.ended_by,
            call.version,
            call.picture,
            call.picture_since,
        )

    async def _follow(
        self, connection: asyncpg.Connection, before: Request, old: Call, new: Call, now: datetime
    ) -> None:
        """Move the request with its call, free people and sum it up when it ended, see that somebody looks in time."""
        if new.state is CallState.ENDED:
            pair = sorted([new.requester.person_id, new.volunteer.person_id])
            await connection.fetch(_REQUESTS["lock_busy"], new.request_id, pair)
            await connection.execute(_SQL["free_both"], new.request_id, pair)
            rest_until = now + self._wrap_up
            await connection.execute(_SQL["leave_alone"], new.volunteer.person_id, rest_until, new.connected_at)
            await self._quality.seal(connection, new.id)
        request = self._consequence(before, old, new, now)
        if request != before:
            soon = now if request.state is RequestState.WAITING else now + timedelta(seconds=1)
            await connection.execute(_REQUESTS["write"], *request_row(request, now, hungry=True, look_at=soon))
        elif new.version != old.version:
            await connection.execute(_SQL["next_look"], new.request_id, next_look(new, now, self._limits))
