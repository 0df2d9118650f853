"""What was decided and not told yet: implements `matching.ports.NewsBook` and `signaling.ports.CallNews`.

What was told is marked in batches, without waiting for the disk: a mark that is lost is a message told twice.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg

from infra.postgres.queries import queries
from infra.postgres.rows import call_of, offer_of, request_of
from matching.model import Offer
from matching.ports import OfferNews, OpenOffer, RequestNews
from signaling.model import Call

GATHER_S = 0.03
"""How long marks gather before they are written together."""
MOST_MARKS = 10_000
"""Beyond so many unwritten marks new ones are forgotten; looks tell those again."""

_REQUESTS, _CALLS = queries("requests"), queries("calls")


class PostgresNews:
    """Reads news at once and writes marks behind; `run` is the task that writes."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._requests: dict[UUID, int] = {}
        self._calls: dict[UUID, tuple[int, UUID]] = {}
        self._offers: dict[tuple[UUID, UUID, int, int], bool] = {}
        self._any = asyncio.Event()

    async def request_news(self, request_id: UUID) -> RequestNews | None:
        row = await self._pool.fetchrow(_REQUESTS["untold_request"], request_id)
        if row is None:
            return None
        untold = row["told_version"] < row["version"]
        return RequestNews(request_of(row), tuple(row["sessions"]), untold, row["now"])

    async def offer_news(self, request_id: UUID) -> list[OfferNews]:
        rows = await self._pool.fetch(_REQUESTS["untold_offers"], request_id)
        return [
            OfferNews(OpenOffer(offer_of(r), r["topic"], r["mode"], r["waiting_since"]), tuple(r["sessions"]))
            for r in rows
        ]

    async def call_news(self, request_id: UUID) -> list[Call]:
        return [call_of(row) for row in await self._pool.fetch(_CALLS["untold"], request_id)]

    def told_request(self, request_id: UUID, version: int) -> None:
        if len(self._requests) < MOST_MARKS:
            self._requests[request_id] = max(version, self._requests.get(request_id, 0))
            self._any.set()

    def told_offer(self, offer: Offer) -> None:
        if len(self._offers) < MOST_MARKS:
            key = (offer.request_id, offer.person_id, offer.epoch, offer.wave)
            self._offers[key] = self._offers.get(key, False) or offer.outcome is not None
            self._any.set()

    def told_call(self, call: Call) -> None:
        if len(self._calls) < MOST_MARKS:
            self._calls[call.id] = (max(call.version, self._calls.get(call.id, (0, call.id))[0]), call.request_id)
            self._any.set()

    async def run(self, on_failure: asyncio.Event | None = None) -> None:
        """Write marks as they gather, until cancelled. Raises nothing of Postgres: what failed is told again."""
        while True:
            await self._any.wait()
            await asyncio.sleep(GATHER_S)
            self._any.clear()
            try:
                await self.flush()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                if on_failure is not None:
                    on_failure.set()

    async def flush(self) -> None:
        """Write all marks gathered so far, in one transaction; in the order of ids, as other batches do."""
        requests, self._requests = self._requests, {}
        calls, self._calls = self._calls, {}
        offers, self._offers = sorted(self._offers.items()), {}
        touched = sorted({*requests, *(r for _, r in calls.values()), *(key[0] for key, _ in offers)})
        if not touched:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            if requests:
                await connection.execute(_REQUESTS["mark_requests"], list(requests), list(requests.values()))
            if calls:
                versions = [version for version, _ in calls.values()]
                await connection.execute(_REQUESTS["mark_calls"], list(calls), versions)
            if offers:
                columns = [[key[i] for key, _ in offers] for i in range(4)]
                await connection.execute(_REQUESTS["mark_offers"], *columns, [over for _, over in offers])
                await connection.execute(_REQUESTS["mark_asked"], sorted({k[1] for k, over in offers if not over}))
            await connection.execute(_REQUESTS["rest_when_told"], touched)
