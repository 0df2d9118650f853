"""Whether sightings could be written: nobody is taken for gone who could not be seen."""

from infra.postgres.migrations.sql_file import run_sql_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql_beside(__file__)
