"""Whoever waits for a practice call says so again and again."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql_beside(__file__)
