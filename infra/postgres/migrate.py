"""Brings a database to the newest schema, by Alembic over asyncpg; many nodes may call it at the same moment.

Revisions live in `migrations/versions/`; each is a plain SQL file with a few lines of Python beside it that order it.
All of an upgrade is one transaction under an advisory lock: a second caller waits, then finds nothing to do.
"""

from __future__ import annotations

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from infra.postgres.schema import MIGRATIONS

_LOCK = 0x657965_6C696E65
"""Any fixed number does; this one spells the project's name."""
CONNECT_TIMEOUT_S = 10.0
UPGRADE_TIMEOUT_S = 300.0


def migrate_config() -> Config:
    """Alembic's configuration, made here instead of in an `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


async def migrate(database_url: str) -> None:
    """Upgrade the database to the newest revision. Does nothing when it is there already."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=UPGRADE_TIMEOUT_S,
            server_settings={"application_name": "eyeline migrate"},
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = migrate_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
