"""Waking people whose app is closed: who can be woken, which devices ring, and what is still to be said to them."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_beside(__file__)
