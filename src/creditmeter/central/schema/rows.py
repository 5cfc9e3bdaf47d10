"""Between the core's values and the tables' rows."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import RowMapping

from creditmeter.central.schema import tables
from creditmeter.central.schema.reading import reads
from creditmeter.core.credit.accounts import Account, AccountState, Alert
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.credit.history import Entry, EntryType
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.schedule import CalendarChange
from creditmeter.core.ids import AccountId, account_key
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.alert_thresholds import Watch
from creditmeter.core.settlement.recalls import Purpose, Recall
from creditmeter.forms.accounts import AHEAD, ALERTS, CALENDAR_CHANGE
from creditmeter.forms.charges import CHARGE, REFUND
from creditmeter.forms.grants import DRAWS
from creditmeter.forms.labels import LABELS
from creditmeter.forms.leases import ANSWERED, AWAITED

Row = dict[str, Any]


KIND_BITS = {GrantKind.DAILY: 1, GrantKind.MONTHLY: 2, GrantKind.PERMANENT: 4}
"""How a set of kinds is stored: as the sum of these. They never change."""

SOURCE_BITS = {
    GrantSource.PLAN: 1,
    GrantSource.REFERRAL: 2,
    GrantSource.PROMOTION: 4,
    GrantSource.BONUS: 8,
    GrantSource.PURCHASE: 16,
    GrantSource.GOODWILL: 32,
}
"""How a set of sources is stored: as the sum of these. They never change."""


def bits_of_kinds(kinds: Iterable[GrantKind]) -> int:
    """A set of kinds as it is stored."""
    return sum(KIND_BITS[each] for each in kinds)


def bits_of_sources(sources: Iterable[GrantSource]) -> int:
    """A set of sources as it is stored."""
    return sum(SOURCE_BITS[each] for each in sources)


def account_row(account: Account) -> Row:
    """The columns of an account that its owner agreed to."""
    return {
        "account_id": account.account_id,
        "account_key": account_key(account.account_id),
        "plan_id": account.plan_id,
        "time_zone": account.time_zone,
        "anchor_day": account.anchor_day,
        "state": account.state.value,
        "overdraft_limit_microcredits": account.overdraft_limit,
        "max_open_reservations": account.max_open_reservations,
        "max_reservation_microcredits": account.max_reservation,
        "offline_allowance_microcredits": account.offline_allowance,
        "alerts": ALERTS.encode_text(account.alerts),
        "created_at": account.created_at,
    }


@reads(tables.accounts)
def account_of(row: RowMapping) -> Account:
    """An account from its row."""
    return Account(
        account_id=row["account_id"],
        created_at=row["created_at"],
        plan_id=row["plan_id"],
        time_zone=row["time_zone"],
        anchor_day=row["anchor_day"],
        state=AccountState(row["state"]),
        overdraft_limit=row["overdraft_limit_microcredits"],
        max_open_reservations=row["max_open_reservations"],
        max_reservation=row["max_reservation_microcredits"],
        offline_allowance=row["offline_allowance_microcredits"],
        alerts=ALERTS.decode(row["alerts"]),
    )


@reads(tables.accounts)
def calendar_change_of(row: RowMapping) -> CalendarChange | None:
    """The last change of an account's calendar from its row; None if there was none."""
    body = row["calendar_change"]
    return None if body is None else CALENDAR_CHANGE.decode(body)


def grant_row(account_id: AccountId, grant: Grant, now: Instant) -> Row:
    """A grant as a row that is saved at `now`."""
    return {
        "account_id": account_id,
        "grant_id": grant.grant_id,
        "kind": grant.kind.value,
        "source": grant.source.value,
        "period_key": grant.period_key,
        "effective_at": grant.effective_at,
        "expires_at": grant.expires_at,
        "created_at": grant.created_at,
        "charge_id": grant.charge_id,
        "note": grant.note,
        "amount_microcredits": grant.amount,
        "remaining_microcredits": grant.remaining,
        "drawn_microcredits": grant.drawn,
        "refunded_microcredits": grant.refunded,
        "lapsed_microcredits": grant.lapsed,
        "voided_microcredits": grant.voided,
        "voided_at": grant.voided_at,
        "begins_later": grant.effective_at > now,
    }


@reads(tables.grants)
def grant_of(row: RowMapping) -> Grant:
    """A grant from its row; one that does not add up raises AssertionError."""
    return Grant(
        grant_id=row["grant_id"],
        kind=GrantKind(row["kind"]),
        amount=row["amount_microcredits"],
        remaining=row["remaining_microcredits"],
        effective_at=row["effective_at"],
        expires_at=row["expires_at"],
        source=GrantSource(row["source"]),
        created_at=row["created_at"],
        note=row["note"],
        period_key=row["period_key"],
        charge_id=row["charge_id"],
        drawn=row["drawn_microcredits"],
        refunded=row["refunded_microcredits"],
        lapsed=row["lapsed_microcredits"],
        voided=row["voided_microcredits"],
        voided_at=row["voided_at"],
    )


def lease_row(account_id: AccountId, lease: OutLease) -> Row:
    """A lease as a row."""
    return {
        "account_id": account_id,
        "lease_id": lease.lease_id,
        "sidecar_id": lease.sidecar_id,
        "opened_at": lease.opened_at,
        "ends_at": lease.ends_at,
        "renewed_at": lease.renewed_at,
        "trusted_until": lease.trusted_until,
        "reclaim_at": lease.reclaim_at,
        "lost_after": lease.lost_after,
        "lost_after_renewal": None if lease.lost_after is None else lease.renewed_at,
        "limit_microcredits": lease.limit,
        "posted_microcredits": lease.posted,
        "held_microcredits": lease.held,
        "unposted_microcredits": lease.unposted,
        "closed": lease.closed,
    }


@reads(tables.leases)
def lease_of(row: RowMapping) -> OutLease:
    """A lease from its row."""
    return OutLease(
        lease_id=row["lease_id"],
        sidecar_id=row["sidecar_id"],
        opened_at=row["opened_at"],
        ends_at=row["ends_at"],
        limit=row["limit_microcredits"],
        posted=row["posted_microcredits"],
        held=row["held_microcredits"],
        unposted=row["unposted_microcredits"],
        renewed_at=row["renewed_at"],
        trusted_until=row["trusted_until"],
        reclaim_at=row["reclaim_at"],
        lost_after=row["lost_after"] if row["lost_after_renewal"] == row["renewed_at"] else None,
        closed=row["closed"],
    )


def recall_row(account_id: AccountId, recall: Recall) -> Row:
    """A recall as a row."""
    return {
        "account_id": account_id,
        "sidecar_id": recall.sidecar_id,
        "purpose": recall.purpose.value,
        "number": recall.number,
        "amount_microcredits": recall.amount,
        "smallest_microcredits": recall.smallest,
        "asked_at": recall.asked_at,
        "deadline": recall.deadline,
        "awaited": AWAITED.encode_text(recall.awaited),
        "is_ripe": recall.is_ready,
        "answered": ANSWERED.encode_text(recall.answered),
    }


@reads(tables.recalls)
def recall_of(row: RowMapping) -> Recall:
    """A recall from its row."""
    return Recall(
        sidecar_id=row["sidecar_id"],
        purpose=Purpose(row["purpose"]),
        number=row["number"],
        amount=row["amount_microcredits"],
        smallest=row["smallest_microcredits"],
        asked_at=row["asked_at"],
        deadline=row["deadline"],
        awaited=AWAITED.decode(row["awaited"]),
        is_ready=row["is_ripe"],
        answered=ANSWERED.decode(row["answered"]),
    )


def watch_row(account_id: AccountId, alert: Alert, watch: Watch) -> Row:
    """How an alert stands, as a row."""
    return {
        "account_id": account_id,
        "amount_microcredits": alert.amount,
        "percent": alert.percent,
        "is_above": watch.is_above,
        "period_starts_at": watch.period_starts_at,
        "others_most_microcredits": watch.others_most,
        "fired_at": watch.fired_at,
        "waits_at_microcredits": watch.waits_at,
        "ahead": AHEAD.encode_text(watch.ahead),
        "ahead_since": watch.ahead_since,
    }


@reads(tables.alert_watches)
def watch_of(row: RowMapping) -> tuple[Alert, Watch]:
    """An alert and how it stands, from its row."""
    watch = Watch(
        is_above=row["is_above"],
        period_starts_at=row["period_starts_at"],
        others_most=row["others_most_microcredits"],
        fired_at=row["fired_at"],
        waits_at=row["waits_at_microcredits"],
        ahead=AHEAD.decode(row["ahead"]),
        ahead_since=row["ahead_since"],
    )
    return Alert(row["amount_microcredits"], row["percent"]), watch


def charge_row(charge: Charge) -> Row:
    """A posted charge as a row: all of it in `body`, and beside it what queries ask for."""
    assert charge.posting is not None, "the central store keeps posted charges"
    return {
        "account_id": charge.account_id,
        "charge_id": charge.charge_id,
        "request_id": charge.request_id,
        "reservation_id": charge.reservation_id,
        "committed_at": charge.committed_at,
        "posted_at": charge.posting.posted_at,
        "cost_microcredits": charge.cost,
        "covered_microcredits": charge.posting.covered,
        "debt_microcredits": charge.posting.debt,
        "uncovered_microcredits": charge.posting.uncovered,
        "refunded_microcredits": charge.posting.refunded,
        "duplicate_of": charge.posting.duplicate_of,
        "body": CHARGE.encode_text(charge),
    }


@reads(tables.charges)
def charge_of(row: RowMapping) -> Charge:
    """A charge from its row."""
    return CHARGE.decode(row["body"])


def refund_row(refund: Refund) -> Row:
    """A posted refund as a row."""
    assert refund.posting is not None, "the central store keeps posted refunds"
    return {
        "account_id": refund.account_id,
        "refund_id": refund.refund_id,
        "charge_id": refund.charge_id,
        "request_id": refund.request_id,
        "posted_at": refund.posting.posted_at,
        "amount_microcredits": refund.amount,
        "restored_microcredits": refund.posting.restored,
        "lapsed_microcredits": refund.posting.lapsed,
        "never_paid_microcredits": refund.posting.never_paid,
        "body": REFUND.encode_text(refund),
    }


@reads(tables.refunds)
def refund_of(row: RowMapping) -> Refund:
    """A refund from its row."""
    return REFUND.decode(row["body"])


def entry_row(account_id: AccountId, number: int, entry: Entry) -> Row:
    """A line of history as a row."""
    return {
        "account_id": account_id,
        "number": number,
        "type": entry.type.value,
        "amount_microcredits": entry.amount,
        "balance_after_microcredits": entry.balance_after,
        "occurred_at": entry.occurred_at,
        "posted_at": entry.posted_at,
        "kind": entry.kind.value if entry.kind else None,
        "grant_id": entry.grant_id,
        "charge_id": entry.charge_id,
        "refund_id": entry.refund_id,
        "action": entry.action,
        "model": entry.model,
        "tool": entry.tool,
        "quantity": entry.quantity,
        "rate_card_version": entry.rate_card_version,
        "labels": LABELS.encode_text(entry.labels),
        "draws": DRAWS.encode_text(entry.draws),
        "note": entry.note,
        "kinds": bits_of_kinds(entry.kinds),
        "sources": bits_of_sources(entry.sources),
    }


@reads(tables.history)
def entry_of(row: RowMapping) -> Entry:
    """A line of history from its row."""
    return Entry(
        type=EntryType(row["type"]),
        amount=row["amount_microcredits"],
        balance_after=row["balance_after_microcredits"],
        occurred_at=row["occurred_at"],
        posted_at=row["posted_at"],
        kind=GrantKind(row["kind"]) if row["kind"] else None,
        grant_id=row["grant_id"],
        charge_id=row["charge_id"],
        refund_id=row["refund_id"],
        draws=DRAWS.decode(row["draws"]),
        action=row["action"],
        model=row["model"],
        tool=row["tool"],
        quantity=row["quantity"],
        labels=LABELS.decode(row["labels"]),
        rate_card_version=row["rate_card_version"],
        note=row["note"],
        number=row["number"],
        sources=frozenset(source for source, bit in SOURCE_BITS.items() if row["sources"] & bit),
    )
