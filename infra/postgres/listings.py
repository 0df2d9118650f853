"""Volunteers in the shape the index wants, computed from Postgres: for `matching.ports.Listings` and rebuilds."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from infra.postgres.queries import queries
from matching.availability import is_open, next_window, weekly_windows
from matching.model import Listing, Tier

FOR_EVER = datetime.max.year
RETURN_FROM_CALL = timedelta(minutes=1)
WANTED_OF = 2_000
"""So many requests tell which languages are wanted, and ..."""
WANTED_MAX = 8
"""... at most so many go first together: the more they are, the longer all of them take."""
_SQL = queries("listings")


class PostgresListings:
    """Reads people with their hours, readiness and standing."""

    def __init__(self, pool: asyncpg.Pool, fresh: timedelta) -> None:
        """`fresh`: a ready session counts as hot while it was seen within this time."""
        self._pool = pool
        self._fresh = fresh

    async def of(self, people: Collection[UUID]) -> list[Listing]:
        now = await self._pool.fetchval(_SQL["clock"])
        return [_listing(row, now) for row in await self._pool.fetch(_SQL["of"], list(people), self._fresh)]

    async def page(
        self, after: UUID | None, limit: int, *, speaking: Collection[str] | None = None, besides: Collection[str] = ()
    ) -> tuple[list[Listing], UUID | None]:
        """Of the next `limit` volunteers after this id those who can be asked, speak one of the languages `speaking`
        (None: any) and none of `besides`: for filling an empty index. With them the id to go on after; None: that was
        the last."""
        now = await self._pool.fetchval(_SQL["clock"])
        spoken = None if speaking is None else list(speaking)
        rows = await self._pool.fetch(_SQL["page"], after, limit, self._fresh, spoken, list(besides))
        listings = [_listing(row, now) for row in rows if row["id"] is not None]
        return listings, rows[0]["last_id"] if rows[0]["people"] == limit else None

    async def wanted(self) -> list[list[str]]:
        """The languages requests wait for now, then those most asked for lately."""
        groups = await self._pool.fetch(_SQL["wanted"], WANTED_OF)
        return [group["languages"][:WANTED_MAX] for group in groups]


def _listing(row: asyncpg.Record, now: datetime) -> Listing:
    opens_at, closes_at = _edges(row, now)
    return Listing(
        person_id=row["id"],
        languages=tuple(row["index_languages"]),
        tier=Tier(row["tier"]),
        opens_at=opens_at,
        closes_at=closes_at,
        not_before=_not_before(row, now),
        last_asked_at=row["last_asked_at"].timestamp() if row["last_asked_at"] else random.random(),
        newcomer=row["connected_at"] is None,
    )


def may_be_woken(row: asyncpg.Record, now: datetime) -> bool:
    """Whether `now` is within the person's hours; `row` has `weekly` and `time_zone`."""
    try:
        return is_open(weekly_windows(row["weekly"] or []), row["time_zone"], now)
    except ValueError:
        return False


def _edges(row: asyncpg.Record, now: datetime) -> tuple[float | None, float | None]:
    try:
        window = next_window(weekly_windows(row["weekly"] or []), row["time_zone"], now)
    except ValueError:
        # A zone that no longer exists must not keep everybody else out of the index.
        return None, None
    if window is None:
        return None, None
    opens, closes = window
    return opens.timestamp(), closes.timestamp() if closes is not None else None


def _not_before(row: asyncpg.Record, now: datetime) -> float:
    if row["paused"] and row["paused_until"] is None:
        return math.inf
    moments = [row["paused_until"], row["not_before"]]
    if row["tier"] != Tier.HOT:  # rung often enough this week; who says they are ready is asked all the same
        moments.append(row["week_full_until"])
    if row["busy_until"] is not None:
        # A call has no end yet ("infinity" reads as the last year). Its end frees the person; should that word be
        # lost, they still come back some time and are looked at again.
        in_call = row["busy_until"].year >= FOR_EVER
        moments.append(now + RETURN_FROM_CALL if in_call else row["busy_until"])
    return max((moment.timestamp() for moment in moments if moment is not None), default=0.0)
