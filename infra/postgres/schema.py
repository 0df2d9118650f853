"""Which schema this code expects, and whether a database has it: asked by every node, so without Alembic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import asyncpg

MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def newest() -> str:
    """The revision this code expects: each file of a revision begins with its name, and they are numbered."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.sql"))


async def is_migrated(pool: asyncpg.Pool) -> bool:
    """Whether the database is at this code's revision (a readiness check)."""
    try:
        current = await pool.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return False
    return bool(current == newest())
