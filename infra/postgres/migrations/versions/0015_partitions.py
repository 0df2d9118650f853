"""Making and dropping partitions is in no reader's way, whatever their plans are."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql_beside(__file__)
