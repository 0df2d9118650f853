"""Groups whose people may be connected directly, and the calls that are."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql_beside(__file__)
