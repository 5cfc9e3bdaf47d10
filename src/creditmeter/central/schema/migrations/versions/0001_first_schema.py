"""The first schema: accounts, plans, grants, leases, charges, refunds, history.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("account_key", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=True),
        sa.Column("plan_since", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("anchor_day", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("overdraft_limit_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("max_open_reservations", sa.Integer(), nullable=False),
        sa.Column("max_reservation_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("offline_allowance_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("alerts", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("balance_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("last_entry", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
        sa.UniqueConstraint("account_key"),
    )
    op.create_table(
        "charges",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("charge_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("reservation_id", sa.String(), nullable=True),
        sa.Column("committed_at", sa.BigInteger(), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("cost_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("covered_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("debt_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("uncovered_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("refunded_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("duplicate_of", sa.String(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "charge_id"),
    )
    op.create_index("charges_by_reservation", "charges", ["account_id", "reservation_id"], unique=False)
    op.create_index("charges_by_request", "charges", ["account_id", "request_id"], unique=False)
    op.create_index(
        "charges_with_debt",
        "charges",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("debt_microcredits > 0"),
        postgresql_where=sa.text("debt_microcredits > 0"),
    )
    op.create_table(
        "exchanges",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "sidecar_id"),
    )
    op.create_table(
        "grants",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("period_key", sa.String(), nullable=True),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("charge_id", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("remaining_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("drawn_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("refunded_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("lapsed_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("voided_microcredits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "grant_id"),
    )
    op.create_index("grants_by_period", "grants", ["account_id", "period_key"], unique=False)
    op.create_index(
        "grants_with_credit",
        "grants",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("remaining_microcredits > 0"),
        postgresql_where=sa.text("remaining_microcredits > 0"),
    )
    op.create_table(
        "history",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("balance_after_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("grant_id", sa.String(), nullable=True),
        sa.Column("charge_id", sa.String(), nullable=True),
        sa.Column("refund_id", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("rate_card_version", sa.String(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("draws", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number"),
    )
    op.create_index("history_by_time", "history", ["account_id", "occurred_at"], unique=False)
    op.create_table(
        "leases",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("lease_id", sa.String(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at", sa.BigInteger(), nullable=False),
        sa.Column("limit_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("posted_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("held_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("unposted_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "lease_id"),
    )
    op.create_index(
        "leases_open",
        "leases",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("closed IS 0"),
        postgresql_where=sa.text("closed IS false"),
    )
    op.create_index(
        "leases_open_by_sidecar",
        "leases",
        ["sidecar_id"],
        unique=False,
        sqlite_where=sa.text("closed IS 0"),
        postgresql_where=sa.text("closed IS false"),
    )
    op.create_table(
        "plans",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("daily_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("monthly_microcredits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "effective_at"),
    )
    op.create_table(
        "refunds",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("charge_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("restored_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("lapsed_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "refund_id"),
    )
    op.create_index("refunds_by_charge", "refunds", ["account_id", "charge_id"], unique=False)
    op.create_table(
        "requests",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("rpc", sa.String(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "request_id"),
    )
    op.create_table(
        "sidecars",
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sidecar_id"),
    )
