"""When a grant was voided, so that what returns to it is taken back; and what of a refund had not been paid after all.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

IS_VOIDED_WITH_CREDIT = sa.text("voided_at IS NOT NULL AND remaining_microcredits > 0")


def upgrade() -> None:
    op.add_column("grants", sa.Column("voided_at", sa.BigInteger))
    op.create_index(
        "grants_voided",
        "grants",
        ["account_id"],
        sqlite_where=IS_VOIDED_WITH_CREDIT,
        postgresql_where=IS_VOIDED_WITH_CREDIT,
    )
    op.add_column("refunds", sa.Column("never_paid_microcredits", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("refunds", "never_paid_microcredits")
    op.drop_index("grants_voided", "grants")
    op.drop_column("grants", "voided_at")
