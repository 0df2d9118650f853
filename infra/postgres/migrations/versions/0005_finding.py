"""Finding the right person: turns, chances, groups and desks, standing by, and word when someone is free."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql_beside(__file__)
