"""Of each account what it owes and what has not begun, so that a decision looks for neither where there is none.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

HAS_CREDIT = sa.text("remaining_microcredits > 0")
END = sa.text("coalesce(expires_at, 9223372036854775807)")
ORDER: list[str | sa.TextClause] = ["account_id", "kind", END, "effective_at", "grant_id"]


def _has_credit_and(condition: str) -> sa.TextClause:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    words = {"sqlite": ("0", "1"), "postgresql": ("false", "true")}["sqlite" if is_sqlite else "postgresql"]
    return sa.text(f"remaining_microcredits > 0 AND {condition.format(*words)}")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("summed_entry", sa.BigInteger, nullable=False, server_default="-1"))
    op.add_column("accounts", sa.Column("debt_microcredits", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("accounts", sa.Column("to_come_microcredits", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("grants", sa.Column("begins_later", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(
        sa.text(
            "UPDATE grants SET begins_later = true WHERE remaining_microcredits > 0 AND effective_at >"
            " (SELECT decided_at FROM accounts WHERE accounts.account_id = grants.account_id)"
        )
    )
    begun, later = _has_credit_and("begins_later IS {0}"), _has_credit_and("begins_later IS {1}")
    op.drop_index("grants_with_credit", "grants")
    op.create_index("grants_with_credit", "grants", ORDER, sqlite_where=begun, postgresql_where=begun)
    place = ["account_id", "effective_at"]
    op.create_index("grants_to_come", "grants", place, sqlite_where=later, postgresql_where=later)


def downgrade() -> None:
    op.drop_index("grants_to_come", "grants")
    op.drop_index("grants_with_credit", "grants")
    op.drop_column("grants", "begins_later")
    op.create_index("grants_with_credit", "grants", ORDER, sqlite_where=HAS_CREDIT, postgresql_where=HAS_CREDIT)
    for name in ("to_come_microcredits", "debt_microcredits", "summed_entry"):
        op.drop_column("accounts", name)
