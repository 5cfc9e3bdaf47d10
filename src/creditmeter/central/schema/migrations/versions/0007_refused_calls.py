"""Calls that were refused for lack of credit.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refused_calls",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("request_id", sa.String, primary_key=True),
        sa.Column("refused_at", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("required_microcredits", sa.BigInteger, nullable=False),
    )
    op.create_index("refused_calls_by_time", "refused_calls", ["account_id", "refused_at"])


def downgrade() -> None:
    op.drop_table("refused_calls")
