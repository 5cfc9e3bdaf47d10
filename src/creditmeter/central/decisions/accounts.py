"""Loading an account into a `Ledger` and saving what it decided, within one transaction.

Loading locks the account's row, so decisions about one account are taken one after another, whichever sidecar asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    RowMapping,
    Select,
    Table,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central.decisions.deliveries import delivery_row
from creditmeter.central.decisions.notifications import notify
from creditmeter.central.engine.database import announce
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import (
    Row,
    account_of,
    calendar_change_of,
    charge_of,
    charge_row,
    entry_row,
    grant_of,
    grant_row,
    lease_of,
    lease_row,
    recall_of,
    recall_row,
    refund_of,
    refund_row,
    watch_of,
    watch_row,
)
from creditmeter.central.schema.sums import sum_of, whole
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, Plan
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.grants import NO_REST, Grant, GrantKind, Rest
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId, AccountKey, ChargeId, GrantId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.alerting import watch
from creditmeter.core.settlement.ledger import Changes, Contents, Ledger, PlanVersion
from creditmeter.core.settlement.loading import DrawBound, covers_draws, draw_bound
from creditmeter.core.settlement.recalling import mark_ready
from creditmeter.core.settlement.recalls import Recall


@dataclass(frozen=True, slots=True)
class Topic:
    """What a decision is about, beside the account itself: what it posts, and what else it may name. With `listed` the first so
    many grants in the order of deduction are to be shown.
    """

    posts: tuple[Charge, ...] = ()
    listed: int = 0
    charges: frozenset[ChargeId] = frozenset()
    requests: frozenset[RequestId] = frozenset()
    reservations: frozenset[ReservationId] = frozenset()
    refunded_charges: frozenset[ChargeId] = frozenset()
    refund_requests: frozenset[RequestId] = frozenset()
    grants: frozenset[GrantId] = frozenset()


NOTHING_ELSE = Topic()

FIRST_GRANTS = 8
"""As many permanent grants are looked at first: nearly always they are enough."""

_MORE_GRANTS = 8
"""How many times as many are looked at where they are not."""


class OpenLedger:
    """A ledger together with the row it came from, so that it can be saved."""

    def __init__(self, ledger: Ledger, last_entry: int) -> None:
        self.ledger = ledger
        self._last_entry = last_entry

    async def save(self, connection: AsyncConnection) -> None:
        """Write what the ledger decided. Whoever waits for credit is told if that brought it. What nothing needs any more after
        the decision is written off with it, so that nothing is left to be done for whoever reads next.
        """
        self.ledger.lapse()
        mark_ready(self.ledger)
        if self.ledger.account.alerts:
            await _watch_alerts(connection, self.ledger, self._last_entry)
        ledger, changes = self.ledger, self.ledger.changes
        account_id = ledger.account.account_id
        await upsert(connection, tables.grants, [grant_row(account_id, each) for each in changes.grants.values()])
        await upsert(connection, tables.leases, [lease_row(account_id, each) for each in changes.leases.values()])
        await upsert(connection, tables.charges, [charge_row(each) for each in changes.charges.values()])
        if changes.refunds:  # a refund is made once and never changes
            await connection.execute(tables.refunds.insert(), [refund_row(each) for each in changes.refunds.values()])
        await _save_recalls(connection, account_id, changes)
        entries = [
            entry_row(account_id, number, entry) for number, entry in enumerate(changes.entries, start=self._last_entry + 1)
        ]
        if entries:
            await connection.execute(tables.history.insert(), entries)
        await connection.execute(
            update(tables.accounts)
            .where(tables.accounts.c.account_id == account_id)
            .values(
                balance_microcredits=ledger.balance,
                last_entry=self._last_entry + len(entries),
                decided_at=ledger.now,
            )
        )


async def open_ledger(
    connection: AsyncConnection, account_id: AccountId, now: Instant, topic: Topic = NOTHING_ELSE, *, lock: bool = True
) -> OpenLedger | None:
    """Load an account, None if there is no such. Its `now` never goes back, whoever's clock asks.

    With `lock` the account stays locked until the transaction ends.
    """
    query = _LOCKED_ACCOUNT if lock else _ACCOUNT
    row = (await connection.execute(query, {"account_id": account_id})).mappings().one_or_none()
    if row is None:
        return None
    account, change = account_of(row), calendar_change_of(row)
    now = max(now, row["decided_at"])
    charges = await _charges(connection, account_id, topic)
    leases = await _open_leases(connection, account_id)
    bound = draw_bound(topic.posts, charges, {each.lease_id: each for each in leases}, now)
    running = _running(Schedule(account.calendar, change), now)
    grants, is_all = await _grants(connection, account_id, running, now, topic, charges, bound)
    contents = Contents(
        account=account,
        calendar_change=change,
        balance=row["balance_microcredits"],
        plan_versions=await _plan_versions(connection, account),
        plan_since=row["plan_since"],
        grants=grants,
        rest=NO_REST if is_all else await _rest(connection, row, grants, now, is_shown=topic.listed > 0),
        leases=leases,
        charges=charges,
        refunds=await _refunds(connection, account_id, topic),
        recalls=await _recalls(connection, account_id),
    )
    return OpenLedger(Ledger(contents, now), row["last_entry"])


async def account_with_key(connection: AsyncConnection, key: AccountKey) -> AccountId | None:
    """The account that ids with this key belong to."""
    query = select(tables.accounts.c.account_id).where(tables.accounts.c.account_key == key)
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else AccountId(found)


def insert_into(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT in the engine's own dialect, which knows ON CONFLICT."""
    return _insert_into(table, connection.dialect.name)


async def upsert(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    """Insert rows; where a row of the same primary key is there already, replace its columns that change."""
    if rows:
        await connection.execute(_upsert_into(table, connection.dialect.name), rows)


@cache  # two for each table: to make such a statement takes longer than to run it
def _upsert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    insert = _insert_into(table, dialect)
    keys = list(table.primary_key.columns)
    others = {column.name: insert.excluded[column.name] for column in tables.changing(table)}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


def _insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


async def _plan_versions(connection: AsyncConnection, account: Account) -> tuple[PlanVersion, ...]:
    if account.plan_id is None:
        return ()
    rows = await connection.execute(_PLANS, {"plan_id": account.plan_id})
    return tuple(
        PlanVersion(Plan(row["plan_id"], row["daily_microcredits"], row["monthly_microcredits"]), row["effective_at"])
        for row in rows.mappings()
    )


async def _grants(
    connection: AsyncConnection,
    account_id: AccountId,
    running: list[str],
    now: Instant,
    topic: Topic,
    charges: Iterable[Charge],
    bound: DrawBound,
) -> tuple[tuple[Grant, ...], bool]:
    """The grants that a decision may need, and whether they are all that are usable now.

    Those of the running periods, DAILY, MONTHLY and voided ones with credit left, those that a refund may give back to (which
    charge it is of may turn out only when its own is posted, so all that are loaded count), and of the PERMANENT ones with
    credit left as many of the first in the order of deduction as are enough.
    """
    named = set(topic.grants)
    for charge in charges if topic.refunded_charges else ():
        if charge.posting is not None:
            named.update(draw.grant_id for draw in charge.posting.draws)
    values: Row = {"account_id": account_id, "running": running, "now": now}
    if named:
        values["grants"] = sorted(named)
    limit = FIRST_GRANTS + topic.listed
    while True:
        rows = (await connection.execute(_grants_query(some_are_named=bool(named)), values | {"limit": limit})).mappings().all()
        first = [grant_of(row) for row in rows if row["in_order"]]
        is_all = len(first) < limit
        if is_all or covers_draws(first, bound, now, topic.listed):
            others = (grant_of(row) for row in rows if not row["in_order"])
            return tuple({each.grant_id: each for each in (*others, *first)}.values()), is_all
        limit *= _MORE_GRANTS


async def _rest(
    connection: AsyncConnection, account: RowMapping, loaded: Iterable[Grant], now: Instant, *, is_shown: bool
) -> Rest:
    """What the permanent grants have that are usable now and were not loaded. What they gave no decision rests on: unless it is
    to be shown, it is taken for what is left.
    """
    values = {"account_id": account["account_id"], "now": now}
    to_come = int((await connection.execute(_TO_COME, values)).scalar_one())
    known = [each for each in loaded if each.effective_at <= now or each.kind is not GrantKind.PERMANENT]
    remaining = Microcredits(account["balance_microcredits"] - sum(each.remaining for each in known) - to_come)
    if not is_shown:
        return Rest(given=remaining, remaining=remaining)
    given = whole((await connection.execute(_GIVEN, values)).mappings().one(), "given")
    of_loaded = sum(each.given for each in known if each.kind is GrantKind.PERMANENT and each.remaining)
    return Rest(given=Microcredits(given - of_loaded), remaining=remaining)


def _running(schedule: Schedule, now: Instant) -> list[str]:
    """The keys of the running periods."""
    return [schedule.day_at(now).key, schedule.month_at(now).key]


async def _open_leases(connection: AsyncConnection, account_id: AccountId) -> tuple[OutLease, ...]:
    rows = await connection.execute(_OPEN_LEASES, {"account_id": account_id})
    return tuple(lease_of(row) for row in rows.mappings())


async def _recalls(connection: AsyncConnection, account_id: AccountId) -> tuple[Recall, ...]:
    rows = await connection.execute(_RECALLS, {"account_id": account_id})
    return tuple(recall_of(row) for row in rows.mappings())


async def _charges(connection: AsyncConnection, account_id: AccountId, topic: Topic) -> tuple[Charge, ...]:
    """Charges that owe debt, those that the decision is about, and those that stand for a duplicate that is refunded."""
    asked = {
        "charges": topic.charges | topic.refunded_charges,
        "refunded": topic.refunded_charges,
        "requests": topic.requests,
        "reservations": topic.reservations,
    }
    named = {name: sorted(ids) for name, ids in asked.items() if ids}
    rows = await connection.execute(_charges_query(frozenset(named)), {"account_id": account_id} | named)
    return tuple(charge_of(row) for row in rows.mappings())


async def _refunds(connection: AsyncConnection, account_id: AccountId, topic: Topic) -> tuple[Refund, ...]:
    """Refunds of the charges that are refunded, and those that were made for the same requests."""
    if not topic.refunded_charges:
        return ()
    named = {"charges": sorted(topic.refunded_charges), "requests": sorted(topic.refund_requests)}
    rows = await connection.execute(_REFUNDS, {"account_id": account_id} | named)
    return tuple(refund_of(row) for row in rows.mappings())


async def _save_recalls(connection: AsyncConnection, account_id: AccountId, changes: Changes) -> None:
    """Write recalls, and have those told who should speak: once this transaction is committed, not before."""
    recalls = tables.recalls
    await upsert(connection, recalls, [recall_row(account_id, each) for each in changes.recalls.values() if each is not None])
    for (sidecar_id, purpose), each in changes.recalls.items():
        if each is None:
            place = recalls.c.account_id == account_id, recalls.c.sidecar_id == sidecar_id, recalls.c.purpose == purpose.value
            await connection.execute(delete(recalls).where(*place))
    await notify(connection, account_id, changes.notified)


async def _watch_alerts(connection: AsyncConnection, ledger: Ledger, last_entry: int) -> None:
    """Look at the account's alerts. What fires becomes a line of the ledger's history, and is left for a webhook to be told."""
    account_id = ledger.account.account_id
    before = dict(watch_of(row) for row in (await connection.execute(_WATCHES, {"account_id": account_id})).mappings())
    watched = watch(ledger, before, last_entry)
    await upsert(connection, tables.alert_watches, [watch_row(account_id, *each) for each in watched.changed.items()])
    if watched.fired:
        await connection.execute(tables.alert_deliveries.insert(), [delivery_row(each) for each in watched.fired])
    for each in watched.fired:
        announce(connection, each)


# The queries. To put one together takes longer than to run it.


def _any_of(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    return column.in_(bindparam(name, expanding=True))


_ACCOUNT_ID: BindParameter[str] = bindparam("account_id")
_ACCOUNT = select(tables.accounts).where(tables.accounts.c.account_id == _ACCOUNT_ID)
_LOCKED_ACCOUNT = _ACCOUNT.with_for_update()
_PLANS = select(tables.plans).where(tables.plans.c.plan_id == bindparam("plan_id")).order_by(tables.plans.c.effective_at)
_OPEN_LEASES = select(tables.leases).where(tables.leases.c.account_id == _ACCOUNT_ID, tables.leases.c.closed.is_(False))
_RECALLS = select(tables.recalls).where(tables.recalls.c.account_id == _ACCOUNT_ID)
_WATCHES = select(tables.alert_watches).where(tables.alert_watches.c.account_id == _ACCOUNT_ID)
_REFUNDS = select(tables.refunds).where(
    tables.refunds.c.account_id == _ACCOUNT_ID,
    or_(_any_of(tables.refunds.c.charge_id, "charges"), _any_of(tables.refunds.c.request_id, "requests")),
)


_PERMANENT = tables.grants.c.account_id == _ACCOUNT_ID, tables.grants.c.kind == GrantKind.PERMANENT.value, tables.HAS_CREDIT
_TO_COME = select(func.coalesce(func.sum(tables.grants.c.remaining_microcredits), 0)).where(
    *_PERMANENT, tables.grants.c.effective_at > bindparam("now")
)
_GIVEN = select(*sum_of("given", tables.grants.c.amount_microcredits - tables.grants.c.voided_microcredits)).where(
    *_PERMANENT, tables.grants.c.effective_at <= bindparam("now")
)


@cache
def _grants_query(*, some_are_named: bool) -> CompoundSelect[Any]:
    """A query for each way in which a grant can matter: a single condition with all of them would have every grant of the
    account read.
    """
    grants = tables.grants
    others = select(grants, literal(0).label("in_order")).where(grants.c.account_id == _ACCOUNT_ID)
    lasting = select(grants, literal(1).label("in_order")).where(
        *_PERMANENT,
        grants.c.effective_at + literal_column("0") <= bindparam("now"),  # so that no engine sorts what begins before then
    )
    order = tables.GRANT_END, grants.c.effective_at, grants.c.grant_id
    first = lasting.order_by(*order).limit(bindparam("limit")).subquery()
    found = [
        others.where(grants.c.kind.in_((GrantKind.DAILY.value, GrantKind.MONTHLY.value)), tables.HAS_CREDIT),
        others.where(tables.IS_VOIDED_WITH_CREDIT),
        others.where(_any_of(grants.c.period_key, "running")),
        *([others.where(_any_of(grants.c.grant_id, "grants"))] if some_are_named else []),
        select(first),
    ]
    return union_all(*found)


@cache
def _charges_query(named: frozenset[str]) -> Select[Any]:
    charges, duplicates = tables.charges, tables.charges.alias()
    originals = select(duplicates.c.duplicate_of).where(
        duplicates.c.account_id == _ACCOUNT_ID,
        _any_of(duplicates.c.charge_id, "refunded"),
        duplicates.c.duplicate_of.is_not(None),
    )
    by_name = {
        "charges": _any_of(charges.c.charge_id, "charges"),
        "refunded": charges.c.charge_id.in_(originals),
        "requests": _any_of(charges.c.request_id, "requests"),
        "reservations": _any_of(charges.c.reservation_id, "reservations"),
    }
    conditions = [tables.OWES_DEBT, *(by_name[name] for name in sorted(named))]
    return select(charges).where(charges.c.account_id == _ACCOUNT_ID, or_(*conditions))
