"""When each sidecar last answered a recall, so that a need that is asked for again finds what was answered meanwhile.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recalls", sa.Column("answered", sa.Text, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("recalls", "answered")
