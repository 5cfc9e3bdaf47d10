"""Of each account a row for each day on which something was decided: its balance as the day began, by kind.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "balance_days",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("starts_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("last_entry", sa.BigInteger, nullable=False),
        sa.Column("daily_microcredits", sa.BigInteger, nullable=False),
        sa.Column("monthly_microcredits", sa.BigInteger, nullable=False),
        sa.Column("permanent_microcredits", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("balance_days")
