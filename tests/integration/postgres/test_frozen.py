"""A node that freezes in the middle of a transaction holds nobody for longer than two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
import pytest

from infra.postgres.pool import open_pool
from infra.postgres.queries import queries
from matching.model import Request, RequestState
from tests.integration.postgres.world import LIMITS, World, new_request

SQL = queries("requests")
T = TypeVar("T")

MOST_S = 3.5
"""Two seconds, and room for a busy machine."""


@asynccontextmanager
async def frozen(world: World, *statements: tuple[str, tuple[object, ...]]) -> AsyncIterator[float]:
    """A node's connection that did these in a transaction and then nothing any more; when it froze."""
    pool = await open_pool(world.url, 1)
    connection: asyncpg.Connection = await pool.acquire()
    try:
        await connection.execute("BEGIN")
        for statement, arguments in statements:
            await connection.execute(statement, *arguments)
        yield time.monotonic()
    finally:
        await pool.release(connection)
        await pool.close()


def taking(request: Request) -> tuple[str, tuple[object, ...]]:
    return SQL["lock"], (request.id,)


def flat(statement: tuple[str, tuple[object, ...]]) -> tuple[object, ...]:
    return statement[0], *statement[1]


class TestFrozen:
    async def test_others_go_on_with_its_request_after_two_seconds(self, world: World) -> None:
        request, (person, _) = await world.offered(2)
        async with frozen(world, taking(request)) as since:
            decided = await persist(lambda: world.accept(request, person))
            took = time.monotonic() - since
        assert decided.case.request.state is RequestState.CONNECTING
        assert 1.5 < took < MOST_S

    async def test_also_when_it_froze_between_two_messages_of_one_statement(self, world: World) -> None:
        """To Postgres such a session is at work, not idle."""
        request, (person, _) = await world.offered(2)
        pool = await open_pool(world.url, 1)
        try:
            connection = await pool.acquire()
            await connection.execute("BEGIN")
            await connection.fetch(*flat(taking(request)))
            since = time.monotonic()
            await connection.prepare("SELECT 'parsed and described, never executed'")
            decided = await persist(lambda: world.accept(request, person))
            took = time.monotonic() - since
        finally:
            pool.terminate()
        assert decided.case.request.state is RequestState.CONNECTING
        assert 1.5 < took < MOST_S

    async def test_what_it_did_is_undone(self, world: World) -> None:
        request, people = await world.open(), await world.volunteers(2)
        taken = ("INSERT INTO busy VALUES ($1, 'infinity', $2, 'call')", (people[0].id, request.id))
        async with frozen(world, taking(request), taken):
            other = await world.open()
            asking = await persist(lambda: world.wave(other, people))
            assert set(asking or ()) == {person.id for person in people}

    async def test_other_requests_do_not_wait_at_all(self, world: World) -> None:
        held, (request, (person,)) = await world.open(), await world.offered(1)
        async with frozen(world, taking(held)), asyncio.timeout(1.5):
            await world.accept(request, person)
            assert (await world.now(request)).state is RequestState.CONNECTING
            await world.book.look_at_all()
            await world.book.due(10)
            world.news.told_request(request.id, 1)
            world.news.told_request(held.id, 1)
            await world.news.flush()

    async def test_an_opening_that_froze_holds_its_key_two_seconds(self, world: World) -> None:
        who = await world.requester()
        new = new_request(who, idempotency_key="one")
        values = (who.id, who.session, ["en"], ["en"], None, "video", "one", bytes(32), LIMITS.deadline, *[None] * 5)
        async with frozen(world, (SQL["insert"], values)) as since:
            opened = await persist(lambda: world.book.open(new, LIMITS.deadline))
            assert time.monotonic() - since < MOST_S
        assert opened.created

    async def test_whoever_waits_gets_an_outage_rather_than_hangs(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        async with world.locked(request), asyncio.timeout(MOST_S):
            with pytest.raises(asyncpg.LockNotAvailableError):
                await world.accept(request, person)
        assert await world.offers(request) == {person.id: None}


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """As a client told 503 does: once more."""
    try:
        return await work()
    except asyncpg.LockNotAvailableError:
        return await work()
