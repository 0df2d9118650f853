"""How calls go: what the volunteer sees, and one row of quality for each call."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_beside(__file__)
