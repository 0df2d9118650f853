"""Volunteers in the shape the index wants, computed from Postgres: for `matching.ports.Listings` and rebuilds."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from infra.postgres.edges import EdgeCache
from infra.postgres.queries import queries
from matching.availability import is_open, weekly_windows
from matching.model import Listing, Tier

RETURN_FROM_CALL = timedelta(minutes=1)
RELIST_AFTER = timedelta(seconds=3)
"""Before this the node that made the change is at it."""
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

    async def of(
        self, people: Collection[UUID], *, speaking: Collection[str] | None = None, besides: Collection[str] = ()
    ) -> list[Listing]:
        """Those of these who can be asked, speak one of the languages `speaking` (None: any) and none of `besides`."""
        spoken = None if speaking is None else list(speaking)
        rows = await self._pool.fetch(_SQL["of"], list(people), self._fresh, RETURN_FROM_CALL, spoken, list(besides))
        return self._listings(rows)

    async def page(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next volunteers after this id, at most `limit`: for going through all of them."""
        return [row["id"] for row in await self._pool.fetch(_SQL["page"], after, limit)]

    def _listings(self, rows: Iterable[asyncpg.Record]) -> list[Listing]:
        edges_of = self._edges.of
        listings = []
        for person_id, languages, tier, zone, weekly, newcomer, asked, not_before, now in rows:
            opens_at, closes_at = edges_of(weekly, zone, now)
            listings.append(
                Listing(
                    person_id,
                    tuple(languages.split(",")),
                    _TIERS[tier],
                    opens_at,
                    closes_at,
                    not_before,
                    random.random() if asked is None else asked,
                    newcomer,
                )
            )
        return listings

    async def to_relist(self, limit: int) -> list[tuple[UUID, datetime]]:
        """People whose change may not have reached the index, the oldest first, and since when."""
        return [tuple(row) for row in await self._pool.fetch(_SQL["to_relist"], RELIST_AFTER, limit)]

    async def relisted(self, person_id: UUID, since: datetime) -> None:
        """What was changed until then has reached the index."""
        await self._pool.execute(_SQL["relisted"], person_id, since)

    async def wanted(self) -> list[list[str]]:
        """The languages requests wait for now, then those most asked for lately."""
        groups = await self._pool.fetch(_SQL["wanted"], WANTED_OF)
        return [group["languages"][:WANTED_MAX] for group in groups]


def may_be_woken(row: asyncpg.Record, now: datetime) -> bool:
    """Whether `now` is within the person's hours; `row` has `weekly` and `time_zone`."""
    try:
        return is_open(weekly_windows(row["weekly"] or []), row["time_zone"], now)
    except ValueError:
        return False
