"""Brings a database to the newest schema, by Alembic over asyncpg; many nodes may call it at the same moment.

Revisions live in `migrations/versions/`; each is a plain SQL file with a few lines of Python beside it that order it.
All of an upgrade is one transaction under an advisory lock: a second caller waits, then finds nothing to do. Nodes of
the version before may run meanwhile. They wait behind whoever waits for a table of theirs: so that is given up soon,
and tried again.
"""

from __future__ import annotations

import asyncio

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from infra.postgres.schema import MIGRATIONS

_LOCK = 0x657965_6C696E65
"""Any fixed number does; this one spells the project's name."""
CONNECT_TIMEOUT_S = 10.0
UPGRADE_TIMEOUT_S = 300.0
LOCK_TIMEOUT = "5s"
TRIES = 10
PAUSE_S = 3.0
_IN_THE_WAY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)


def migrate_config() -> Config:
    """Alembic's configuration, made here instead of in an `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


async def migrate(database_url: str) -> None:
    """Upgrade the database to the newest revision. Does nothing when it is there already.

    Raises the driver's errors, and SQLAlchemy's around them.
    """

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=UPGRADE_TIMEOUT_S,
            server_settings={"application_name": "eyeline migrate"},
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        for _ in range(1, TRIES):
            try:
                return await _upgrade_once(engine)
            except (DBAPIError, *_IN_THE_WAY) as error:
                if not _is_in_the_way(error):
                    raise
            await asyncio.sleep(PAUSE_S)
        await _upgrade_once(engine)
    finally:
        await engine.dispose()


async def _upgrade_once(engine: AsyncEngine) -> None:
    """All of it or nothing."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        await connection.run_sync(_upgrade)


def _is_in_the_way(error: Exception) -> bool:
    """Whether others had locks. Our SQL files are run by the driver itself, what Alembic runs is told by SQLAlchemy."""
    return isinstance(error, _IN_THE_WAY) or (
        isinstance(error, DBAPIError) and error.orig is not None and isinstance(error.orig.__cause__, _IN_THE_WAY)
    )


def _upgrade(connection: Connection) -> None:
    config = migrate_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
