"""Volunteers in the shape the index wants, computed from Postgres: for `matching.ports.Listings` and rebuilds."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from infra.postgres.edges import EdgeCache
from infra.postgres.queries import queries
from matching.availability import is_open, weekly_windows
from matching.model import Listing, Tier

FOR_EVER = datetime.max.year
RETURN_FROM_CALL = timedelta(minutes=1)
WANTED_OF = 2_000
"""So many requests tell which languages are wanted, and ..."""
WANTED_MAX = 8
"""... at most so many go first together: the more they are, the longer all of them take."""
_TIERS = {tier.value: tier for tier in Tier}
_SQL = queries("listings")


class PostgresListings:
    """Reads people with their hours, readiness and standing."""

    def __init__(self, pool: asyncpg.Pool, fresh: timedelta) -> None:
        """`fresh`: a ready session counts as hot while it was seen within this time."""
        self._pool = pool
        self._fresh = fresh
        self._edges = EdgeCache()

    async def of(self, people: Collection[UUID]) -> list[Listing]:
        now = await self._pool.fetchval(_SQL["clock"])
        rows = await self._pool.fetch(_SQL["of"], list(people), self._fresh)
        return [_listing(row, now, self._edges) for row in rows]

    async def page(
        self, after: UUID | None, limit: int, *, speaking: Collection[str] | None = None, besides: Collection[str] = ()
    ) -> tuple[list[Listing], UUID | None]:
        """Of the next `limit` volunteers after this id those who can be asked, speak one of the languages `speaking`
        (None: any) and none of `besides`: for filling an empty index. With them the id to go on after; None: that was
        the last."""
        now = await self._pool.fetchval(_SQL["clock"])
        spoken = None if speaking is None else list(speaking)
        people = [row["id"] for row in await self._pool.fetch(_SQL["page"], after, limit)]
        rows = await self._pool.fetch(_SQL["those_of"], people, self._fresh, spoken, list(besides))
        return [_listing(row, now, self._edges) for row in rows], people[-1] if len(people) == limit else None

    async def wanted(self) -> list[list[str]]:
        """The languages requests wait for now, then those most asked for lately."""
        groups = await self._pool.fetch(_SQL["wanted"], WANTED_OF)
        return [group["languages"][:WANTED_MAX] for group in groups]


def _listing(row: asyncpg.Record, now: datetime, edges: EdgeCache) -> Listing:
    opens_at, closes_at = edges.of(row["weekly"], row["time_zone"], now)
    asked = row["last_asked_at"]
    return Listing(
        row["id"],
        tuple(row["index_languages"]),
        _TIERS[row["tier"]],
        opens_at,
        closes_at,
        _not_before(row, now),
        random.random() if asked is None else asked.timestamp(),
        row["connected_at"] is None,
    )


def may_be_woken(row: asyncpg.Record, now: datetime) -> bool:
    """Whether `now` is within the person's hours; `row` has `weekly` and `time_zone`."""
    try:
        return is_open(weekly_windows(row["weekly"] or []), row["time_zone"], now)
    except ValueError:
        return False


def _not_before(row: asyncpg.Record, now: datetime) -> float:
    if row["paused"] and row["paused_until"] is None:
        return math.inf
    # Rung often enough this week: who says they are ready is asked all the same.
    week_full_until = None if row["tier"] == Tier.HOT else row["week_full_until"]
    busy_until = row["busy_until"]
    if busy_until is not None and busy_until.year >= FOR_EVER:
        # A call has no end yet ("infinity" reads as the last year). Its end frees the person; should that word be
        # lost, they still come back some time and are looked at again.
        busy_until = now + RETURN_FROM_CALL
    latest = 0.0
    for moment in (row["paused_until"], row["not_before"], week_full_until, busy_until):
        if moment is not None:
            latest = max(latest, moment.timestamp())
    return latest
