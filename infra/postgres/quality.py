"""How calls go, in Postgres: last reports gathered and written in batches, and what is kept of calls that ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec

from infra.postgres.queries import queries
from signaling.model import Side
from signaling.quality import Quality, summary

BATCH = 1000
MOST_REPORTS = 50_000
"""Beyond so many unwritten ones new ones are forgotten: whoever sent them sends another in 5 s."""
KEPT = timedelta(days=35)
"""As long as offers."""

_SQL = queries("calls")
ReportKey = tuple[UUID, str, int]


class PostgresQuality:
    """`reported` is cheap and synchronous; `flush` writes what gathered since the last time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._reports: dict[ReportKey, Quality] = {}
        self._writing: dict[ReportKey, Quality] = {}
        """Those of the flush that goes on: not yet to be read in Postgres, perhaps."""

    def reported(self, call_id: UUID, side: Side, attempt: int, report: Quality) -> None:
        """The newest report of this connection."""
        key = (call_id, side.value, attempt)
        if key in self._reports or len(self._reports) < MOST_REPORTS:
            self._reports[key] = report

    async def flush(self) -> None:
        """Write the reports; those that cannot be written are forgotten, newer ones will come."""
        self._writing, self._reports = self._reports, {}
        gathered = list(self._writing.items())
        try:
            for start in range(0, len(gathered), BATCH):
                await self._write(gathered[start : start + BATCH])
        finally:
            self._writing = {}

    async def _write(self, some: Sequence[tuple[ReportKey, Quality]]) -> None:
        calls, sides, attempts = zip(*(key for key, _ in some), strict=True)
        reports = [msgspec.to_builtins(report) for _, report in some]
        await self._pool.execute(_SQL["report"], calls, sides, attempts, reports)

    async def seal(self, connection: asyncpg.Connection, call_id: UUID) -> None:
        """Sum up how the call went, in the transaction that ends it; also by what this node has not written yet."""
        # Before Postgres is asked: what is written meanwhile would be in neither.
        unwritten = {
            key[1:]: report
            for held in (self._writing, self._reports)
            for key, report in held.items()
            if key[0] == call_id
        }
        rows = await connection.fetch(_SQL["reports_of"], call_id)
        last = {(row["side"], row["attempt"]): msgspec.convert(row["report"], Quality) for row in rows} | unwritten
        sides = (summary({attempt: last[name, attempt] for name, attempt in last if name == side}) for side in Side)
        await connection.execute(_SQL["seal"], call_id, *(msgspec.to_builtins(side) for side in sides))

    async def forget(self) -> None:
        """Reports of calls that ended, and the quality of calls long past."""
        await self._pool.execute(_SQL["forget_reports"])
        await self._pool.execute(_SQL["forget_quality"], KEPT)
