"""Alembic's entry point: runs the revisions on the connection `infra.postgres.migrate` gives, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
