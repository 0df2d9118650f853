"""People of the probe sign in by a provider of their own."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql_beside(__file__)
