"""People, requests and calls on a real Postgres, and ways to stand in their way: what the tests beside this share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from infra.postgres.call_book import PostgresCallBook
from infra.postgres.listings import PostgresListings
from infra.postgres.news import PostgresNews
from infra.postgres.pool import open_pool
from infra.postgres.presence import PostgresPresence
from infra.postgres.quality import PostgresQuality
from infra.postgres.request_book import BookLimits, PostgresRequestBook
from matching.model import Request, RequestState
from matching.ports import Decided, NewRequest, WavePlan
from matching.request_rules import Acceptance, Case, Change, RequestLimits, accept, cancel, decline, look
from server.consequences import request_follows_call
from signaling import call_rules
from signaling.call_rules import CallLimits
from signaling.model import Call, EndReason, Media, Side

FRESH = timedelta(seconds=15)
WRAP_UP = timedelta(seconds=5)
COOLDOWN = timedelta(seconds=60)
LIMITS = RequestLimits()
RUNNING = Media("connected", sends_audio=True, receives_audio=True, sends_video=True, receives_video=True)

PERSON = """
WITH person AS (
    INSERT INTO users (role, languages, index_languages) VALUES ($1, $2, $2) RETURNING id
), signed_in AS (
    INSERT INTO sessions (user_id, device_id, platform, ready) SELECT id, 'phone', 'web', $3 FROM person
    RETURNING id, user_id
)
SELECT user_id, id FROM signed_in
"""
DEVICE = """
WITH device AS (
    INSERT INTO devices (user_id, device_id, platform, seen_at) VALUES ($1, $2, $3, eyeline_now() - $4::interval)
    ON CONFLICT (user_id, device_id) DO UPDATE SET seen_at = excluded.seen_at
    RETURNING user_id, device_id
)
INSERT INTO push_values (kind, value, user_id, device_id) SELECT $5, $6, user_id, device_id FROM device RETURNING id
"""
ALL_WEEK = """
INSERT INTO availability (user_id, weekly)
SELECT id, '[{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]' FROM unnest($1::uuid[]) AS people (id)
ON CONFLICT (user_id) DO UPDATE SET weekly = excluded.weekly
"""
WAITING_FOR_LOCKS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone signed in once."""

    id: UUID
    session: UUID


class World:
    """The books of one node over a pool of their own, and a connection behind them."""

    def __init__(self, url: str, pool: asyncpg.Pool, sql: asyncpg.Connection) -> None:
        self.url = url
        self.pool = pool
        self.sql = sql
        self.book = PostgresRequestBook(pool, BookLimits(LIMITS, fresh=FRESH))
        self.calls = PostgresCallBook(pool, request_follows_call(LIMITS), CallLimits(), WRAP_UP, PostgresQuality(pool))
        self.news = PostgresNews(pool)
        self.listings = PostgresListings(pool, FRESH)
        self.presence = PostgresPresence(pool, FRESH)

    # -- people -------------------------------------------------------------------------------------------------------

    async def requester(self) -> Person:
        return Person(*await self.sql.fetchrow(PERSON, "requester", ["en"], False))

    async def volunteer(self, *languages: str, ready: bool = True) -> Person:
        return Person(*await self.sql.fetchrow(PERSON, "volunteer", list(languages or ["en"]), ready))

    async def volunteers(self, count: int) -> list[Person]:
        """In the order of their ids, which is the order in which books lock them."""
        return sorted([await self.volunteer() for _ in range(count)], key=lambda person: person.id)

    async def device(
        self,
        person: Person,
        *,
        device_id: str = "phone",
        kind: str = "fcm",
        platform: str = "android",
        idle: bool = False,
    ) -> UUID:
        """One push value of one device of theirs; gives its id."""
        unseen = timedelta(days=31 if idle else 0)
        value: UUID = await self.sql.fetchval(DEVICE, person.id, device_id, platform, unseen, kind, f"value {uuid4()}")
        return value

    async def at_any_time(self, *people: Person) -> None:
        """Their hours are all week."""
        await self.sql.execute(ALL_WEEK, [person.id for person in people])

    async def closed(self, *languages: str, idle: bool = False) -> Person:
        """A volunteer with the app closed, a phone, and hours all week."""
        person = await self.volunteer(*languages, ready=False)
        await self.at_any_time(person)
        await self.device(person, idle=idle)
        return person

    # -- requests -----------------------------------------------------------------------------------------------------

    async def open(self, requester: Person | None = None, **changes: Any) -> Request:
        """A new request of this requester, or of somebody new."""
        return (
            await self.book.open(new_request(requester or await self.requester(), **changes), LIMITS.deadline)
        ).request

    async def wave(self, request: Request, people: Sequence[Person], **changes: Any) -> tuple[UUID, ...] | None:
        """Plan for the request as it is given, and commit."""
        plan = WavePlan(
            request.id, request.epoch, request.wave, tuple(p.id for p in people), "en", LIMITS.offer, hungry=False
        )
        return await self.book.commit_wave(replace(plan, **changes))

    async def offered(self, count: int = 1) -> tuple[Request, list[Person]]:
        """A request with so many open offers."""
        request, people = await self.open(), await self.volunteers(count)
        assert len(await self.wave(request, people) or ()) == count
        return await self.now(request), people

    async def now(self, request: Request | UUID) -> Request:
        """The request as it is now."""
        found = await self.book.get(request if isinstance(request, UUID) else request.id)
        assert found is not None
        return found

    async def accept(self, request: Request, person: Person, epoch: int | None = None) -> Decided:
        yes = Acceptance(person.id, person.session, epoch or request.epoch)
        return await self.book.decide(request.id, lambda case, now: accept(case, yes, now, LIMITS))

    async def decline(self, request: Request, person: Person) -> Decided:
        return await self.book.decide(request.id, lambda case, _now: decline(case, person.id, request.epoch))

    async def cancel(self, request: Request) -> Decided:
        """As the help desk does: only while it waits."""

        def rule(case: Case, now: datetime) -> Change:
            waits = case.request.state is RequestState.WAITING
            return cancel(case, now, LIMITS) if waits else Change(case.request)

        return await self.book.decide(request.id, rule)

    async def look(self, request: Request, limits: RequestLimits = LIMITS) -> Decided:
        return await self.book.decide(request.id, lambda case, now: look(case, now, limits))

    # -- calls --------------------------------------------------------------------------------------------------------

    async def in_call(self, *, media: bool = False) -> tuple[Request, Call, Person]:
        """A request somebody answered, with media both ways if wanted."""
        request, (person,) = await self.offered(1)
        decided = await self.accept(request, person)
        assert decided.change.winner is not None
        if media:
            await self.connect(request)
        return await self.now(request), await self.call_of(request), person

    async def call_of(self, request: Request) -> Call:
        """The call of the request's present epoch."""
        call = await self.calls.of_epoch(request.id, (await self.now(request)).epoch)
        assert call is not None
        return call

    async def connect(self, request: Request) -> None:
        """Both sides say that media runs."""
        call = await self.call_of(request)
        for side in Side:
            await self.calls.change(call.id, lambda c, now, side=side: call_rules.media(c, side, RUNNING, now))  # type: ignore[misc]

    async def end(self, call: Call, reason: EndReason, by: Side | None = None) -> Call:
        return (await self.calls.change(call.id, lambda c, now: call_rules.end(c, reason, by, now))).after

    # -- behind the books ---------------------------------------------------------------------------------------------

    async def offers(self, request: Request) -> dict[UUID, str | None]:
        """Outcome by person."""
        rows = await self.sql.fetch("SELECT person_id, outcome FROM offers WHERE request_id = $1", request.id)
        return {row["person_id"]: row["outcome"] for row in rows}

    async def busy(self) -> dict[UUID, str]:
        """What people are taken for, whether or not that is over."""
        return {row["person_id"]: row["what"] for row in await self.sql.fetch("SELECT * FROM busy")}

    async def not_before(self, person: Person) -> datetime | None:
        moment: datetime | None = await self.sql.fetchval("SELECT not_before FROM users WHERE id = $1", person.id)
        return moment

    async def pass_time(self, seconds: float) -> None:
        """Move the clock of every connection to come, as many seconds from the real time."""
        name = self.url.rpartition("/")[2]
        await self.sql.execute(f"ALTER DATABASE {name} SET eyeline.clock_offset = '{seconds} s'")
        await self.sql.execute(f"SET eyeline.clock_offset = '{seconds} s'")
        await self.pool.expire_connections()

    async def waiters(self, count: int) -> None:
        """Until so many connections wait for a lock."""
        async with asyncio.timeout(10):
            while await self.sql.fetchval(WAITING_FOR_LOCKS) < count:  # noqa: ASYNC110 - Postgres has no event for it
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def other(self) -> AsyncIterator[asyncpg.Connection]:
        """Another connection, without any limits on it."""
        connection = await asyncpg.connect(self.url, timeout=10, command_timeout=20)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def locked(self, request: Request) -> AsyncIterator[asyncpg.Connection]:
        """Somebody else has the request's row until the end of the block, then commits."""
        async with self.other() as connection, connection.transaction():
            await connection.execute("SELECT FROM requests WHERE id = $1 FOR UPDATE", request.id)
            yield connection


def new_request(requester: Person, **changes: Any) -> NewRequest:
    """A request for help in English, without a key."""
    new = NewRequest(
        requester_id=requester.id,
        session_id=requester.session,
        languages=("en",),
        index_languages=("en",),
        topic=None,
        mode="video",
        idempotency_key=None,
        body_hash=bytes(32),
    )
    return replace(new, **changes)


def key() -> str:
    return str(uuid4())


@asynccontextmanager
async def open_world(url: str, size: int = 10) -> AsyncIterator[World]:
    """A node's books, closed at the end."""
    pool = await open_pool(url, size)
    sql = await asyncpg.connect(url, timeout=10, command_timeout=20)
    try:
        yield World(url, pool, sql)
    finally:
        await sql.close()
        await pool.close()
