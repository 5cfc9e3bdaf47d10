"""Low-balance alerts: how each stands, and what is to be told to a webhook.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_watches",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("amount_microcredits", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("percent", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("is_above", sa.Boolean, nullable=False),
        sa.Column("period_starts_at", sa.BigInteger, nullable=False),
        sa.Column("others_most_microcredits", sa.BigInteger, nullable=False),
        sa.Column("fired_at", sa.BigInteger),
        sa.Column("waits_at_microcredits", sa.BigInteger),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("delivery_id", sa.String, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
    )
    op.create_index("alert_deliveries_by_due", "alert_deliveries", ["due_at"])


def downgrade() -> None:
    op.drop_table("alert_deliveries")
    op.drop_table("alert_watches")
