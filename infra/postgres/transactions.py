"""Runs a transaction again when Postgres undid it for the sake of others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

TRIES = 3
PAUSE_S = (0.05, 0.15)

T = TypeVar("T")


async def retried(pool: asyncpg.Pool, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Do `work` in a transaction of its own. After a deadlock or a serialisation failure nothing of it has happened,
    so it is done again, in all `TRIES` times; whatever else it raises passes through."""
    for _ in range(1, TRIES):
        try:
            return await _once(pool, work)
        except asyncpg.TransactionRollbackError:
            # Whoever was waiting for us goes first, or we meet again.
            await asyncio.sleep(random.uniform(*PAUSE_S))
    return await _once(pool, work)


async def _once(pool: asyncpg.Pool, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    async with pool.acquire() as connection, connection.transaction():
        return await work(connection)
