"""Pruning: who looks for old rows next, when a message was answered, and indexes by which old rows are found.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chores",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
    )
    op.add_column("exchanges", sa.Column("answered_at", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        sa.text(
            "UPDATE exchanges SET answered_at ="
            " (SELECT decided_at FROM accounts WHERE accounts.account_id = exchanges.account_id)"
            " WHERE account_id IN (SELECT account_id FROM accounts)"
        )
    )
    closed = sa.text("closed IS 1") if op.get_bind().dialect.name == "sqlite" else sa.text("closed IS true")
    op.create_index("leases_closed", "leases", ["ends_at"], sqlite_where=closed, postgresql_where=closed)
    op.create_index("requests_by_time", "requests", ["created_at"])
    op.create_index("refused_calls_by_age", "refused_calls", ["refused_at"])


def downgrade() -> None:
    op.drop_index("refused_calls_by_age", "refused_calls")
    op.drop_index("requests_by_time", "requests")
    op.drop_index("leases_closed", "leases")
    op.drop_column("exchanges", "answered_at")
    op.drop_table("chores")
