"""How Alembic runs: on the connection, and in the transaction, that it is given."""

from alembic import context

from creditmeter.central.schema.partial_indexes import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("migrations run from the program: start `creditmeter serve` with --central")
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
