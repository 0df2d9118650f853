"""Only who joins a group that connects directly is connected so."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql_beside(__file__)
