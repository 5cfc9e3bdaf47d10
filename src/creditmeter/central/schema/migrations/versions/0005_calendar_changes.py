"""The last change of each account's calendar, by which its running day and month last longer.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("calendar_change", sa.Text))


def downgrade() -> None:
    op.drop_column("accounts", "calendar_change")
