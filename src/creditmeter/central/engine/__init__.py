"""The engine: connections and transactions on SQLite and PostgreSQL, and the store's clock."""
