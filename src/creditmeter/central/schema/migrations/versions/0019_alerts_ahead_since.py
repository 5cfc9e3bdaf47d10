"""How much elapsed time the firings of a clock that was ahead are remembered for.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert_watches", sa.Column("ahead_since", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("alert_watches", "ahead_since")
