"""A statement says by itself that its commit need not wait for the disk."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql_beside(__file__)
