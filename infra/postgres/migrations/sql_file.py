"""Runs the plain SQL file that lies beside a revision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import op


def run_sql_beside(revision_file: str) -> None:
    """Execute `<revision>.sql` next to `<revision>.py` (pass `__file__`): any number of statements, no parameters."""
    script = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    connection: Any = op.get_bind().connection.dbapi_connection
    # SQLAlchemy prepares each statement, and a prepared statement is only one; the driver's own execute takes a script.
    connection.run_async(lambda driver: driver.execute(script))
