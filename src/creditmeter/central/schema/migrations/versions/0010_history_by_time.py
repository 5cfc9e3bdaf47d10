"""The lines of a range of time are found by number in the index alone.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("history_by_time", "history")
    op.create_index("history_by_time", "history", ["account_id", "occurred_at", "number"])


def downgrade() -> None:
    op.drop_index("history_by_time", "history")
    op.create_index("history_by_time", "history", ["account_id", "occurred_at"])
