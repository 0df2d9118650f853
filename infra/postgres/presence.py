"""When sessions were last seen, and which of them said ready.

Sightings are written in batches.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import asyncpg

from infra.postgres.queries import queries

_SQL = queries("listings")
BATCH = 1000


class PostgresPresence:
    """`seen` is cheap and synchronous; `flush` writes what gathered since the last time."""

    def __init__(self, pool: asyncpg.Pool, fresh: timedelta) -> None:
        """`fresh`: a ready session unseen for longer is no longer hot."""
        self._pool = pool
        self._fresh = fresh
        self._sighted: set[UUID] = set()

    def seen(self, session_id: UUID) -> None:
        """The session showed itself now. Bounded by the number of this node's sessions."""
        self._sighted.add(session_id)

    async def flush(self) -> list[tuple[UUID, bool]]:
        """Write the sightings, and that they can be written; those that failed are kept for the next time.

        Gives sessions that were seen although they have ended, and whether their person is suspended.
        """
        over: list[tuple[UUID, bool]] = []
        while self._sighted:
            some = sorted(self._sighted)[:BATCH]
            over += await self._sighting(some)
            self._sighted.difference_update(some)
        await self._pool.execute(_SQL["watch"])
        return over

    async def _sighting(self, sessions: Collection[UUID]) -> list[tuple[UUID, bool]]:
        status: str = await self._pool.execute(_SQL["seen"], sessions)
        if int(status.split()[-1]) == len(sessions):
            return []
        rows = await self._pool.fetch(_SQL["seen_though_over"], sessions)
        return [(row["id"], row["suspended"]) for row in rows]

    async def attach(self, session_id: UUID, owner_epoch: int) -> None:
        """The session's socket is here, under this owner epoch of its mailbox."""
        await self._pool.execute(_SQL["attach"], session_id, owner_epoch)

    async def detach(self, session_id: UUID, owner_epoch: int) -> bool:
        """Losing the socket takes readiness; False, and nothing is changed, when a later owner has a socket."""
        status: str = await self._pool.execute(_SQL["detach"], session_id, owner_epoch)
        return status != "UPDATE 0"

    async def set_ready(self, session_id: UUID, owner_epoch: int, ready: bool) -> bool:
        """Write readiness at once, as it decides who is rung.

        False, and nothing is changed, when the session cannot be ready, or a later owner has its socket.
        """
        status: str = await self._pool.execute(_SQL["set_ready"], session_id, ready, owner_epoch)
        return status != "UPDATE 0"

    async def forget_silent(self) -> list[tuple[UUID, UUID]]:
        """Take readiness from sessions unseen for long (their node died); these, with the people concerned.

        From nobody while sightings cannot be written by any node, nor right after that.
        """
        rows = await self._pool.fetch(_SQL["forget_silent"], self._fresh)
        return [(row["id"], row["user_id"]) for row in rows]

    async def keep_partitions(self) -> None:
        """Make the coming days' partitions of offers and drop those long past."""
        await self._pool.execute(_SQL["keep_partitions"])
