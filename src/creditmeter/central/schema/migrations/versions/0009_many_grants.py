"""Accounts with thousands of permanent grants: the first ones to draw on are found by an index.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

HAS_CREDIT = sa.text("remaining_microcredits > 0")
END = sa.text(f"coalesce(expires_at, {2**63 - 1})")


def upgrade() -> None:
    op.drop_index("grants_with_credit", "grants")
    _create_index("grants_with_credit", ["account_id", "kind", END, "effective_at", "grant_id"])
    _create_index("grants_by_beginning", ["account_id", "kind", "effective_at", "remaining_microcredits"])


def downgrade() -> None:
    op.drop_index("grants_by_beginning", "grants")
    op.drop_index("grants_with_credit", "grants")
    _create_index("grants_with_credit", ["account_id"])


def _create_index(name: str, columns: list[str | sa.TextClause]) -> None:
    op.create_index(name, "grants", columns, sqlite_where=HAS_CREDIT, postgresql_where=HAS_CREDIT)
