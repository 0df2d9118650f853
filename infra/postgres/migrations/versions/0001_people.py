"""People: accounts, sign-in sessions, devices, availability, pairs that avoid each other; and the clock."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql_beside(__file__)
