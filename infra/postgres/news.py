"""What was decided and not told yet: implements `matching.ports.NewsBook` and `signaling.ports.CallNews`.

What was told is marked in batches, without waiting for the disk: a mark that is lost is a message told twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import IntFlag
from typing import TypeVar
from uuid import UUID

import asyncpg
import structlog

from infra.postgres.pool import OUTAGES
from infra.postgres.queries import queries
from infra.postgres.rows import call_of, offer_of, request_of
from matching.model import Offer
from matching.ports import OfferNews, OpenOffer, RequestNews
from signaling.model import Call

GATHER_S = 0.03
"""How long marks gather before they are written together."""
MOST_MARKS = 10_000
"""Beyond so many unwritten marks new ones are forgotten; looks tell those again."""

OfferKey = tuple[UUID, UUID, int, int]


class Told(IntFlag):
    """What somebody was told of an offer; also both, before the first was written down."""

    NOTHING = 0
    BEGIN = 1
    END = 2


K = TypeVar("K")
V = TypeVar("V")

log = structlog.get_logger()
_REQUESTS, _CALLS = queries("requests"), queries("calls")


class PostgresNews:
    """Reads news at once and writes marks behind; `run` is the task that writes.

    Marks that are not written yet already count, so that a look right after a telling does not tell again.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._requests: dict[UUID, int] = {}
        self._calls: dict[UUID, tuple[int, UUID]] = {}
        self._offers: dict[OfferKey, Told] = {}
        self._free: set[UUID] = set()
        self._any = asyncio.Event()

    async def request_news(self, request_id: UUID) -> RequestNews | None:
        row = await self._pool.fetchrow(_REQUESTS["untold_request"], request_id)
        if row is None:
            return None
        told = max(row["told_version"], self._requests.get(request_id, 0))
        return RequestNews(
            request=request_of(row),
            sessions=tuple(row["sessions"]),
            untold=told < row["version"],
            of_calls=row["of_calls"],
            of_offers=row["of_offers"],
            of_wakes=row["of_wakes"],
            now=row["now"],
            free_until=None if request_id in self._free else row["free_until"],
        )

    async def offer_news(self, request_id: UUID) -> list[OfferNews]:
        rows = await self._pool.fetch(_REQUESTS["untold_offers"], request_id)
        news = [
            OfferNews(OpenOffer(offer_of(r), r["topic"], r["mode"], r["waiting_since"]), tuple(r["sessions"]))
            for r in rows
        ]
        return [one for one in news if not self._is_marked(one.open.offer)]

    async def call_news(self, request_id: UUID) -> list[Call]:
        calls = [call_of(row) for row in await self._pool.fetch(_CALLS["untold"], request_id)]
        return [call for call in calls if self._calls.get(call.id, (0, call.id))[0] < call.version]

    def told_request(self, request_id: UUID, version: int) -> None:
        if len(self._requests) < MOST_MARKS:
            self._requests[request_id] = max(version, self._requests.get(request_id, 0))
            self._any.set()

    def told_offer(self, offer: Offer) -> None:
        if len(self._offers) < MOST_MARKS:
            key = _key(offer)
            told = Told.BEGIN if offer.outcome is None else Told.END
            self._offers[key] = self._offers.get(key, Told.NOTHING) | told
            self._any.set()

    def told_free(self, request_id: UUID) -> None:
        if len(self._free) < MOST_MARKS:
            self._free.add(request_id)
            self._any.set()

    def told_call(self, call: Call) -> None:
        if len(self._calls) < MOST_MARKS:
            self._calls[call.id] = (max(call.version, self._calls.get(call.id, (0, call.id))[0]), call.request_id)
            self._any.set()

    def _is_marked(self, offer: Offer) -> bool:
        told = self._offers.get(_key(offer), Told.NOTHING)
        return Told.END in told or (Told.BEGIN in told and offer.outcome is None)

    async def run(self) -> None:
        """Write marks as they gather, until cancelled. When Postgres fails, what was told is told again."""
        while True:
            await self._any.wait()
            await asyncio.sleep(GATHER_S)
            self._any.clear()
            try:
                await self.flush()
            except OUTAGES as error:
                log.warning("marks lost", error=type(error).__name__)

    async def flush(self) -> None:
        """Write the marks gathered so far, in one transaction, but those of requests that somebody is deciding on."""
        of_calls, of_offers = (r for _, r in self._calls.values()), (key[0] for key in self._offers)
        touched = sorted({*self._requests, *self._free, *of_calls, *of_offers})
        if not touched:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            # The requests' locks first, as everywhere, or marks and decisions could wait for each other.
            free = {row["id"] for row in await connection.fetch(_REQUESTS["lock_free"], touched)}
            marks = Marks(
                {id: version for id, version in self._requests.items() if id in free},
                {id: mark for id, mark in self._calls.items() if mark[1] in free},
                {key: told for key, told in self._offers.items() if key[0] in free},
                self._free & free,
            )
            try:
                await marks.write(connection)
                await connection.execute(_REQUESTS["rest_when_told"], list(free))
            finally:
                _forget(self._requests, marks.requests)
                _forget(self._calls, marks.calls)
                _forget(self._offers, marks.offers)
                self._free -= marks.free
        if self._requests or self._calls or self._offers or self._free:
            self._any.set()


@dataclass(frozen=True, slots=True)
class Marks:
    """What was told, by what it was: request -> version, call -> (version, request), offer -> begin or end; and the
    requests of which it was told that somebody is free."""

    requests: dict[UUID, int]
    calls: dict[UUID, tuple[int, UUID]]
    offers: dict[OfferKey, Told]
    free: set[UUID]

    async def write(self, connection: asyncpg.Connection) -> None:
        """Inside a transaction that holds the requests' locks."""
        if self.requests:
            await connection.execute(_REQUESTS["mark_requests"], list(self.requests), list(self.requests.values()))
        if self.calls:
            versions = [version for version, _ in self.calls.values()]
            await connection.execute(_REQUESTS["mark_calls"], list(self.calls), versions)
        if self.offers:
            columns = [[key[i] for key in self.offers] for i in range(4)]
            over = [Told.END in told for told in self.offers.values()]
            await connection.execute(_REQUESTS["mark_offers"], *columns, over)
            asked = sorted({key[1] for key, told in self.offers.items() if Told.BEGIN in told})
            await connection.execute(_REQUESTS["mark_asked"], asked)
        if self.free:
            await connection.execute(_REQUESTS["mark_free"], list(self.free))


def _key(offer: Offer) -> OfferKey:
    return (offer.request_id, offer.person_id, offer.epoch, offer.wave)


def _forget(marks: dict[K, V], written: dict[K, V]) -> None:
    """Drop the marks that were written, but not those that rose meanwhile."""
    for key, value in written.items():
        if marks.get(key) == value:
            del marks[key]
