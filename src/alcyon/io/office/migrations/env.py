"""What Alembic runs: the versions beside this file, in the transaction that it is given."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    # SQLite can, where the driver does not commit by itself; ours does not.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
