"""Calls with the server's own phone, to try camera, microphone and network."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql_beside(__file__)
