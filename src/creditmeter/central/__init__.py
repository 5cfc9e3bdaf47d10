"""The central store: the truth for accounts, grants, leases, charges and history, across all sidecars.

It has one implementation, on SQLAlchemy Core, for SQLite (embedded) and PostgreSQL. Each decision is one transaction about one
account: it locks the account's row, loads what is needed, lets the core decide, and saves what changed.
"""
