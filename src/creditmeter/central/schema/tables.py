"""The central store's tables.

The primary key of every table that belongs to accounts begins with `account_id`. Amounts are microcredits, and moments are
microseconds since 1970 in UTC; both have 64 bits. What no query searches or sorts by is JSON in text columns.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    func,
    literal_column,
)

metadata = MetaData()

FIXED = {"fixed": True}
"""Marks columns that never change once their row is inserted. Columns of a primary key need no mark."""


def changing(table: Table) -> list[Column[Any]]:
    """The columns of a table that may change after their row is inserted."""
    return [column for column in table.columns if not column.primary_key and not column.info.get("fixed")]


accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("account_key", String, nullable=False, unique=True),
    Column("plan_id", String),
    Column("plan_since", BigInteger, nullable=False),
    Column("time_zone", String, nullable=False),
    Column("anchor_day", Integer, nullable=False),
    Column("calendar_change", Text),
    Column("state", String, nullable=False),
    Column("overdraft_limit_microcredits", BigInteger, nullable=False),
    Column("max_open_reservations", Integer, nullable=False),
    Column("max_reservation_microcredits", BigInteger, nullable=False),
    Column("offline_allowance_microcredits", BigInteger, nullable=False),
    Column("alerts", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("balance_microcredits", BigInteger, nullable=False),
    Column("last_entry", BigInteger, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("summed_entry", BigInteger, nullable=False, server_default="-1"),
    Column("debt_microcredits", BigInteger, nullable=False, server_default="0"),
    Column("to_come_microcredits", BigInteger, nullable=False, server_default="0"),
)

plans = Table(
    "plans",
    metadata,
    Column("plan_id", String, primary_key=True),
    Column("effective_at", BigInteger, primary_key=True),
    Column("daily_microcredits", BigInteger, nullable=False),
    Column("monthly_microcredits", BigInteger, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("grant_id", String, primary_key=True),
    Column("kind", String, nullable=False, info=FIXED),
    Column("source", String, nullable=False, info=FIXED),
    Column("period_key", String, info=FIXED),
    Column("effective_at", BigInteger, nullable=False, info=FIXED),
    Column("expires_at", BigInteger, info=FIXED),
    Column("created_at", BigInteger, nullable=False, info=FIXED),
    Column("charge_id", String, info=FIXED),
    Column("note", Text, nullable=False, info=FIXED),
    Column("amount_microcredits", BigInteger, nullable=False, info=FIXED),
    Column("remaining_microcredits", BigInteger, nullable=False),
    Column("drawn_microcredits", BigInteger, nullable=False),
    Column("refunded_microcredits", BigInteger, nullable=False),
    Column("lapsed_microcredits", BigInteger, nullable=False),
    Column("voided_microcredits", BigInteger, nullable=False),
    Column("voided_at", BigInteger),
    Column("begins_later", Boolean, nullable=False, server_default=false()),
)
Index("grants_by_period", grants.c.account_id, grants.c.period_key)
Index("grants_by_creation", grants.c.account_id, grants.c.created_at, grants.c.grant_id)
HAS_CREDIT = grants.c.remaining_microcredits > literal_column("0")
"""A grant has credit left. The 0 is literal and not a parameter, so that engines can use the partial indexes."""

GRANT_END = func.coalesce(grants.c.expires_at, literal_column(str(2**63 - 1)))
"""When a grant ends, for the order of deduction. Engines differ in where they sort NULL, so no end is the largest int64."""

IS_OPEN = HAS_CREDIT & grants.c.begins_later.is_(False)
"""A grant has credit left and is not marked as one that has not begun."""

IS_TO_COME = HAS_CREDIT & grants.c.begins_later.is_(True)
"""A grant has credit left and had not begun when its account was last saved."""

IS_VOIDED_WITH_CREDIT = grants.c.voided_at.is_not(None) & HAS_CREDIT
"""A voided grant has credit left, which is out on leases."""

leases = Table(
    "leases",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("lease_id", String, primary_key=True),
    Column("sidecar_id", String, nullable=False, info=FIXED),
    Column("opened_at", BigInteger, nullable=False, info=FIXED),
    Column("ends_at", BigInteger, nullable=False, info=FIXED),
    Column("renewed_at", BigInteger, nullable=False),
    Column("trusted_until", BigInteger, nullable=False, server_default="0"),
    Column("reclaim_at", BigInteger, nullable=False, server_default="0"),
    Column("lost_after", BigInteger),
    Column("lost_after_renewal", BigInteger),
    Column("limit_microcredits", BigInteger, nullable=False),
    Column("posted_microcredits", BigInteger, nullable=False),
    Column("held_microcredits", BigInteger, nullable=False),
    Column("unposted_microcredits", BigInteger, nullable=False),
    Column("closed", Boolean, nullable=False),
)

IS_COUNTED = leases.c.closed.is_(False) & (leases.c.lost_after_renewal == leases.c.renewed_at)
"""An open lease says at which elapsed time it is lost, and it says so of its last renewal."""

IS_UNCOUNTED = leases.c.closed.is_(False) & leases.c.lost_after_renewal.is_distinct_from(leases.c.renewed_at)
"""An open lease was last renewed by an older program, which knows of no elapsed time."""

charges = Table(
    "charges",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("charge_id", String, primary_key=True),
    Column("request_id", String, nullable=False, info=FIXED),
    Column("reservation_id", String, info=FIXED),
    Column("committed_at", BigInteger, nullable=False, info=FIXED),
    Column("posted_at", BigInteger, nullable=False, info=FIXED),
    Column("cost_microcredits", BigInteger, nullable=False, info=FIXED),
    Column("covered_microcredits", BigInteger, nullable=False),
    Column("debt_microcredits", BigInteger, nullable=False),
    Column("uncovered_microcredits", BigInteger, nullable=False),
    Column("refunded_microcredits", BigInteger, nullable=False),
    Column("duplicate_of", String, info=FIXED),
    Column("body", Text, nullable=False),
)
Index("charges_by_request", charges.c.account_id, charges.c.request_id)
Index("charges_by_reservation", charges.c.account_id, charges.c.reservation_id)
Index("charges_by_commit", charges.c.account_id, charges.c.committed_at, charges.c.charge_id)
OWES_DEBT = charges.c.debt_microcredits > literal_column("0")
"""A charge owes debt. The 0 is literal, as in `HAS_CREDIT`."""

refunds = Table(
    "refunds",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("refund_id", String, primary_key=True),
    Column("charge_id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("posted_at", BigInteger, nullable=False),
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("restored_microcredits", BigInteger, nullable=False),
    Column("lapsed_microcredits", BigInteger, nullable=False),
    Column("never_paid_microcredits", BigInteger, nullable=False, server_default="0"),
    Column("body", Text, nullable=False),
)
Index("refunds_by_charge", refunds.c.account_id, refunds.c.charge_id)
Index("refunds_by_request", refunds.c.account_id, refunds.c.request_id)

history = Table(
    "history",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("balance_after_microcredits", BigInteger, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("posted_at", BigInteger, nullable=False),
    Column("kind", String),
    Column("grant_id", String),
    Column("charge_id", String),
    Column("refund_id", String),
    Column("action", String, nullable=False),
    Column("model", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("rate_card_version", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("draws", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("kinds", Integer, nullable=False, server_default="0"),
    Column("sources", Integer, nullable=False, server_default="0"),
)
Index("history_by_time", history.c.account_id, history.c.occurred_at, history.c.number)

balance_days = Table(
    "balance_days",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("starts_at", BigInteger, primary_key=True, autoincrement=False),
    Column("last_entry", BigInteger, nullable=False),
    Column("daily_microcredits", BigInteger, nullable=False),
    Column("monthly_microcredits", BigInteger, nullable=False),
    Column("permanent_microcredits", BigInteger, nullable=False),
)
"""What was left of each kind of credit as a day in UTC began, and the last line of history before it. Rows may be missing."""

requests = Table(
    "requests",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("rpc", String, nullable=False),
    Column("request", Text, nullable=False),
    Column("reply", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
Index("requests_by_time", requests.c.created_at)

refused_calls = Table(
    "refused_calls",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("refused_at", BigInteger, nullable=False),
    Column("action", String, nullable=False),
    Column("required_microcredits", BigInteger, nullable=False),
)
Index("refused_calls_by_time", refused_calls.c.account_id, refused_calls.c.refused_at)
Index("refused_calls_by_age", refused_calls.c.refused_at)

exchanges = Table(
    "exchanges",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("sidecar_id", String, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Column("answered_at", BigInteger, nullable=False, server_default="0"),
)

sidecars = Table(
    "sidecars",
    metadata,
    Column("sidecar_id", String, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("nonce", String, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False, server_default="0"),
    Column("lease_ttl", BigInteger, nullable=False, server_default="0"),
)

rate_cards = Table(
    "rate_cards",
    metadata,
    Column("document_version", String, primary_key=True),
    Column("version", String, nullable=False, unique=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("effective_from", BigInteger, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("price_list", LargeBinary),
)

recalls = Table(
    "recalls",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("sidecar_id", String, primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("smallest_microcredits", BigInteger, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("awaited", Text, nullable=False),
    Column("is_ripe", Boolean, nullable=False),
    Column("answered", Text, nullable=False, server_default="[]"),
)
Index("recalls_by_deadline", recalls.c.deadline)

alert_watches = Table(
    "alert_watches",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("amount_microcredits", BigInteger, primary_key=True, autoincrement=False),
    Column("percent", Integer, primary_key=True, autoincrement=False),
    Column("is_above", Boolean, nullable=False),
    Column("period_starts_at", BigInteger, nullable=False),
    Column("others_most_microcredits", BigInteger, nullable=False),
    Column("fired_at", BigInteger),
    Column("waits_at_microcredits", BigInteger),
    Column("ahead", Text, nullable=False, server_default="[]"),
    Column("ahead_since", BigInteger),
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("delivery_id", String, primary_key=True),
    Column("body", Text, nullable=False, info=FIXED),
    Column("created_at", BigInteger, nullable=False, info=FIXED),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
)
Index("alert_deliveries_by_due", alert_deliveries.c.due_at)

chores = Table(
    "chores",
    metadata,
    Column("name", String, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("place", Text, nullable=False),
)
"""Work on the whole store that one sidecar at a time does: when it is due, and where it goes on."""

elapsed_time = Table(
    "elapsed_time",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("elapsed", BigInteger, nullable=False),
)
"""How much time surely passed, in microseconds: one row."""
