"""Many sidecars on one balance: recalls, the moments at which silent sidecars' leases are reclaimed, and when each was seen.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LEASE_TTL = 600_000_000
LONGEST_SILENCE = 4_265_000_000
"""What the default settings come to, in microseconds: leases that are open at the upgrade stay out so long if nobody speaks of
them any more.
"""


def upgrade() -> None:
    for name in ("trusted_until", "reclaim_at"):
        op.add_column("leases", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.execute(f"UPDATE leases SET trusted_until = renewed_at + {LEASE_TTL}, reclaim_at = renewed_at + {LONGEST_SILENCE}")
    unclosed = sa.text("NOT closed")
    op.create_index("leases_by_reclaim", "leases", ["reclaim_at"], sqlite_where=unclosed, postgresql_where=unclosed)
    for name in ("last_seen_at", "lease_ttl"):
        op.add_column("sidecars", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.execute(f"UPDATE sidecars SET last_seen_at = registered_at, lease_ttl = {LEASE_TTL}")
    op.create_table(
        "recalls",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("sidecar_id", sa.String, primary_key=True),
        sa.Column("purpose", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger, nullable=False),
        sa.Column("smallest_microcredits", sa.BigInteger, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("awaited", sa.Text, nullable=False),
        sa.Column("is_ripe", sa.Boolean, nullable=False),
    )
    op.create_index("recalls_by_deadline", "recalls", ["deadline"])


def downgrade() -> None:
    op.drop_table("recalls")
    for name in ("last_seen_at", "lease_ttl"):
        op.drop_column("sidecars", name)
    op.drop_index("leases_by_reclaim", "leases")
    for name in ("trusted_until", "reclaim_at"):
        op.drop_column("leases", name)
