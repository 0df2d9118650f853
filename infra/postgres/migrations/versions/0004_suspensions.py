"""Who was suspended, and what keeps a new account of theirs out."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_beside(__file__)
