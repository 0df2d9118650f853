"""Opens the pool of Postgres connections every adapter shares, with a limit on everything that could hang.

A node that freezes must not hold anyone: locks are waited for 2 s, an idle transaction lives 2 s, a statement 2.25 s,
any transaction 2.5 s, and a caller waits 5 s for a free connection. Times are in UTC; `json` and `jsonb` are Python
objects on both sides.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

LOCK_TIMEOUT_MS = 2_000
IDLE_IN_TRANSACTION_MS = 2_000
TRANSACTION_MS = 2_500
"""A transaction's whole life. Idleness alone does not catch a node that froze between two messages of one statement:
its session counts as active, for ever. Frozen or not, locks are free before the 3 s in which a request must be served.
"""
STATEMENT_TIMEOUT_MS = 2_250
"""Longer than a lock is waited for, which says more; shorter than a transaction, whose end costs the connection."""
COMMAND_TIMEOUT_S = 6.0
"""Longer than the server's own limits, so that a living server answers first."""
CONNECT_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 5.0

OUTAGES: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, while another takes over
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke between two messages of one statement
    ConnectionError,
    TimeoutError,
    OSError,
)
"""What a database that is away, restarting or overloaded raises: worth trying again, and not our bug."""


class BoundedPool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg ships no types
    """A pool whose callers wait at most `ACQUIRE_TIMEOUT_S` for a connection unless they say otherwise."""

    __slots__ = ()

    def acquire(self, *, timeout: float | None = None) -> Any:  # asyncpg's own signature
        return super().acquire(timeout=ACQUIRE_TIMEOUT_S if timeout is None else timeout)


async def open_pool(database_url: str, size: int, *, application_name: str = "eyeline") -> asyncpg.Pool:
    """Connect to Postgres and keep up to `size` connections.

    Raises what the driver raises (`OSError`, `asyncpg.PostgresError`, `TimeoutError`) when no connection can be made.
    """
    pool = BoundedPool(
        database_url,
        min_size=1,
        max_size=size,
        max_queries=1_000_000,
        max_inactive_connection_lifetime=300.0,
        max_cached_statement_lifetime=0,  # for as long as the connection: its plan is made once
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        loop=None,
        init=_speak_json,
        reset=_nothing_to_reset,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings={
            "application_name": application_name,
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
            "transaction_timeout": str(TRANSACTION_MS),
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "timezone": "UTC",
            # Every statement is short: compiling it, or planning it anew for its values, costs more than running it.
            # That the hot ones' plans are good for any values is what tests/integration/postgres/test_plans.py sees to.
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
        },
    )
    return await pool


async def _speak_json(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=_encode_json, decoder=msgspec.json.decode, format="text"
        )


def _encode_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def _nothing_to_reset(connection: asyncpg.Connection) -> None:
    """No code changes a connection's settings, so the driver's RESET ALL on every release is a round trip saved.

    An open transaction is still rolled back by the driver before this.
    """
