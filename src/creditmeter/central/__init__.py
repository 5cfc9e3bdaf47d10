"""The central store: the truth for accounts, grants, leases, charges and history, across all sidecars.

One implementation on SQLAlchemy Core for SQLite (embedded) and PostgreSQL. It loads, lets the core decide, and saves: one
transaction a decision, each about one account, with the account's row locked first.
"""
