"""Leases are kept by the store's elapsed time, which its sidecars count, and not by what clocks showed.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "elapsed_time",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("elapsed", sa.BigInteger, nullable=False),
    )
    for name in ("lost_after", "lost_after_renewal"):
        op.add_column("leases", sa.Column(name, sa.BigInteger))
    op.drop_index("leases_by_reclaim", "leases")
    op.create_index(
        "leases_by_loss",
        "leases",
        ["lost_after"],
        sqlite_where=sa.text("closed IS 0 AND lost_after_renewal = renewed_at"),
        postgresql_where=sa.text("closed IS false AND lost_after_renewal = renewed_at"),
    )
    op.create_index(
        "leases_uncounted",
        "leases",
        ["reclaim_at"],
        sqlite_where=sa.text("closed IS 0 AND lost_after_renewal IS NOT renewed_at"),
        postgresql_where=sa.text("closed IS false AND lost_after_renewal IS DISTINCT FROM renewed_at"),
    )
    op.drop_table("clock_runs")


def downgrade() -> None:
    op.create_table(
        "clock_runs",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
    )
    for name in ("leases_uncounted", "leases_by_loss"):
        op.drop_index(name, "leases")
    for name in ("lost_after_renewal", "lost_after"):
        op.drop_column("leases", name)
    unclosed = sa.text("NOT closed")
    op.create_index("leases_by_reclaim", "leases", ["reclaim_at"], sqlite_where=unclosed, postgresql_where=unclosed)
    op.drop_table("elapsed_time")
