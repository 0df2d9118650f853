"""What requests and calls refer to may be deleted without reading all of them."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql_beside(__file__)
