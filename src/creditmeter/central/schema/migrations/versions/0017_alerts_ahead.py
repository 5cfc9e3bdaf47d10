"""When alerts fired by a clock that was ahead, so that they fire once in each real period.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert_watches", sa.Column("ahead", sa.Text, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("alert_watches", "ahead")
