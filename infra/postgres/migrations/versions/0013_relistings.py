"""What was changed about a volunteer reaches the index, although the node that did it dies or Valkey is away."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql_beside(__file__)
