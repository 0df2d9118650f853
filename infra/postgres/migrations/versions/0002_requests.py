"""Requests for help, the offers made for them, the calls they lead to, and who is taken."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_beside(__file__)
