"""What Postgres says happened: the invariants that hold under every crash, asked while it happens and afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
from asyncpg.exceptions import InternalClientError

ASK_EVERY_S = 0.1
REST_S = 20.0

RUNG_TWICE = """
SELECT person_id, count(*) FROM offers
WHERE outcome IS NULL AND expires_at > eyeline_now() GROUP BY person_id HAVING count(*) > 1
"""
RUNG_IN_CALL = """
SELECT o.person_id FROM offers o JOIN calls c ON o.person_id IN (c.requester_id, c.volunteer_id)
WHERE o.outcome IS NULL AND o.expires_at > eyeline_now() AND c.state <> 'ended'
"""
TWO_CALLS = """
SELECT p.person_id FROM calls c, LATERAL (VALUES (c.requester_id), (c.volunteer_id)) AS p (person_id)
WHERE c.state <> 'ended' GROUP BY p.person_id HAVING count(*) > 1
"""
NO_LOOK = "SELECT id FROM requests WHERE state <> 'ended' AND next_look_at IS NULL"
TWO_WINNERS = "SELECT request_id FROM offers WHERE outcome = 'won' GROUP BY request_id, epoch HAVING count(*) > 1"
WRONGS = {
    "rung twice at once": RUNG_TWICE,
    "rung while in a call": RUNG_IN_CALL,
    "in two calls": TWO_CALLS,
    "nobody will look": NO_LOOK,
    "two winners": TWO_WINNERS,
}

UNTOLD = """
SELECT * FROM (
    SELECT r.id, r.state, r.version - r.told_version AS untold, r.next_look_at,
           (SELECT count(*) FROM offers o
            WHERE o.request_id = r.id AND (o.outcome IS NULL OR o.end_told_at IS NULL)) AS offers,
           (SELECT count(*) FROM calls c
            WHERE c.request_id = r.id AND (c.state <> 'ended' OR c.told_version < c.version)) AS calls,
           (SELECT count(*) FROM busy b WHERE b.request_id = r.id AND b.until > eyeline_now()) AS busy
    FROM requests r WHERE r.id = $1) AS open
WHERE state <> 'ended' OR untold > 0 OR next_look_at IS NOT NULL OR offers > 0 OR calls > 0 OR busy > 0
"""
FACTS = """
SELECT r.id, r.state, r.outcome, r.epoch, r.version, r.asked, r.call_id,
       ARRAY (SELECT row(o.person_id, o.epoch, o.wave, o.outcome, o.reason)::text FROM offers o
              WHERE o.request_id = r.id ORDER BY 1) AS offers,
       ARRAY (SELECT row(c.id, c.attempt, c.state, c.end_reason, c.version)::text FROM calls c
              WHERE c.request_id = r.id ORDER BY 1) AS calls
FROM requests r ORDER BY r.id
"""


class Ledger:
    """One look behind the nodes at a time."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self.wrongs: set[str] = set()

    async def rows(self, query: str, *args: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._url, timeout=10, command_timeout=10)
        try:
            found: list[asyncpg.Record] = await connection.fetch(query, *args)
        finally:
            await connection.close(timeout=5)
        return found

    async def facts(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """What was decided about this request, or all of them, without what was told of it."""
        return [dict(row) for row in await self.rows(FACTS) if request_id in (None, str(row["id"]))]

    async def at_rest(self, request_id: str) -> None:
        """Until the request has ended and everything about it was told; fails naming what is left."""
        left: list[asyncpg.Record] = []
        try:
            async with asyncio.timeout(REST_S):
                while left := await self.rows(UNTOLD, UUID(request_id)):  # noqa: ASYNC110 - Postgres tells nobody
                    await asyncio.sleep(ASK_EVERY_S)
        except TimeoutError:
            facts = await self.facts(request_id)
            raise AssertionError(f"never at rest: {[dict(row) for row in left]} of {facts}") from None

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask again and again whether an invariant is broken; fails at the end if one ever was."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        assert not self.wrongs, sorted(self.wrongs)

    async def _watch(self) -> None:
        """Outages of Postgres are the test's doing and no wrong of anybody."""
        while True:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, InternalClientError):
                await self._ask_while_it_answers()
            await asyncio.sleep(ASK_EVERY_S)

    async def _ask_while_it_answers(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=2, command_timeout=2)
        try:
            while True:
                for wrong, query in WRONGS.items():
                    if found := await connection.fetch(query):
                        self.wrongs.add(f"{wrong}: {[tuple(row) for row in found]}")
                await asyncio.sleep(ASK_EVERY_S)
        finally:
            connection.terminate()
