"""Published rate cards, each with the price list that it was published with.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_cards",
        sa.Column("document_version", sa.String, primary_key=True),
        sa.Column("version", sa.String, nullable=False, unique=True),
        sa.Column("number", sa.BigInteger, nullable=False, unique=True),
        sa.Column("effective_from", sa.BigInteger, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("price_list", sa.LargeBinary),
    )


def downgrade() -> None:
    op.drop_table("rate_cards")
