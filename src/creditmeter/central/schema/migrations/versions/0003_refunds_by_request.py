"""One refund for one request, through whichever sidecars it comes.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("refunds_by_request", "refunds", ["account_id", "request_id"])


def downgrade() -> None:
    op.drop_index("refunds_by_request", "refunds")
