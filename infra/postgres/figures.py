"""Reads the admin page's figures from Postgres (the server's `Figures` port)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from infra.postgres.queries import queries


@dataclass(frozen=True, slots=True)
class FiguresNow:
    """One reading. Waits and answer times are seconds; percentiles are None when nobody was answered."""

    now: datetime
    waiting: tuple[tuple[str, int, float], ...]
    """(language, requests, longest wait), the longest waiting first."""
    offers_open: int
    calls_connecting: int
    calls_live: int
    answers: int
    answer_p50_s: float | None
    answer_p95_s: float | None


class PostgresFigures:
    """Four short statements on one connection; no transaction, the figures need not agree to the millisecond."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = queries("figures")

    async def read(self) -> FiguresNow:
        async with self._pool.acquire() as connection:
            now = await connection.fetchval(self._sql["now"])
            waiting = await connection.fetch(self._sql["waiting_by_language"])
            counts = await connection.fetchrow(self._sql["counts"])
            answers = await connection.fetchrow(self._sql["answer_time"])
        return FiguresNow(
            now=now,
            waiting=tuple((row["language"], row["count"], row["oldest_wait_s"]) for row in waiting),
            offers_open=counts["offers_open"],
            calls_connecting=counts["calls_connecting"],
            calls_live=counts["calls_live"],
            answers=answers["count"],
            answer_p50_s=answers["p50_s"],
            answer_p95_s=answers["p95_s"],
        )
