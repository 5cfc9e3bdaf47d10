"""What a decision loads of an account: rows of its plan, grants, leases, charges, refunds and recalls. It locks and saves none.

Only the rows that a `Ledger` may need are loaded. `accounts` locks the account's row first.
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
    bindparam,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from creditmeter.central.decisions.running_sums import RunningSums, may_owe, running_sums
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import (
    Row,
    account_of,
    calendar_change_of,
    charge_of,
    grant_of,
    lease_of,
    recall_of,
    refund_of,
)
from creditmeter.central.schema.sums import sum_of, whole
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, Plan
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.grants import NO_REST, Grant, GrantKind, Rest
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId, ChargeId, GrantId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.ledger import Contents, PlanVersion
from creditmeter.core.settlement.loading import DrawBound, covers_draws, draw_bound
from creditmeter.core.settlement.recalls import Recall


@dataclass(frozen=True, slots=True)
class Topic:
    """What a decision is about, beside the account itself.

    `posts` are the charges that it posts; the sets name what else it may read. `listed` is how many grants, the first in the
    order of deduction, are to be shown.
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
"""Permanent grants of the first load: nearly always enough."""

_MORE_GRANTS = 8
"""Growth of the limit when the first load is too small."""


async def load_contents(
    connection: AsyncConnection, row: RowMapping, now: Instant, topic: Topic
) -> tuple[Contents, RunningSums]:
    """What a decision about `topic`, taken at `now`, may need of the account of this row, and the account's running sums."""
    account, change = account_of(row), calendar_change_of(row)
    account_id = account.account_id
    charges = await _charges(connection, account_id, topic, may_owe=may_owe(row))
    leases = await _open_leases(connection, account_id)
    bound = draw_bound(topic.posts, charges, {each.lease_id: each for each in leases}, now)
    running = _running(Schedule(account.calendar, change), now)
    found = await _grants(connection, account_id, running, now, topic, charges, bound)
    sums = await running_sums(connection, row, found.grants, found.marked, now)
    left = sum(each.remaining for each in found.grants if each.effective_at <= now) + sums.to_come
    assert not found.is_all or left == row["balance_microcredits"], "the balance is not what is left of the grants"
    contents = Contents(
        account=account,
        calendar_change=change,
        balance=row["balance_microcredits"],
        plan_versions=await _plan_versions(connection, account),
        plan_since=row["plan_since"],
        grants=found.grants,
        rest=NO_REST if found.is_all else await _rest(connection, row, found.grants, sums, now, is_shown=topic.listed > 0),
        leases=leases,
        charges=charges,
        refunds=await _refunds(connection, account_id, topic),
        recalls=await _recalls(connection, account_id),
    )
    return contents, sums


@dataclass(frozen=True, slots=True)
class _FoundGrants:
    """The loaded grants, those of them that are marked as not begun, and whether every usable grant is among them."""

    grants: tuple[Grant, ...]
    marked: tuple[Grant, ...]
    is_all: bool


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
) -> _FoundGrants:
    """The grants that a decision may need.

    They are: the grants of the running periods; DAILY, MONTHLY and voided grants that have credit left; those that have begun
    since the last decision; the grants that a refund may give credit back to; and, of the PERMANENT grants that have credit
    left, the first in the order of deduction, as many as cover the draws. Grants that have not begun are left out. Which charge
    a refund is of may turn out only when its own charge is posted, so the grants of all loaded charges count.
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
        found = [grant_of(row) for row in rows]
        first = [grant for grant, row in zip(found, rows, strict=True) if row["in_order"]]
        is_all = len(first) < limit
        if is_all or covers_draws(first, bound, now, topic.listed):
            grants = {each.grant_id: each for each in found}
            marked = {row["grant_id"] for row in rows if row["begins_later"]}
            return _FoundGrants(tuple(grants.values()), tuple(grants[name] for name in marked), is_all)
        limit *= _MORE_GRANTS


async def _rest(
    connection: AsyncConnection,
    account: RowMapping,
    loaded: Iterable[Grant],
    sums: RunningSums,
    now: Instant,
    *,
    is_shown: bool,
) -> Rest:
    """The sums of the permanent grants that are usable now and were not loaded.

    `given` is only for display. Unless it `is_shown`, it is not read, and is what is left.
    """
    known = [each for each in loaded if each.effective_at <= now]
    remaining = Microcredits(account["balance_microcredits"] - sum(each.remaining for each in known) - sums.to_come)
    if not is_shown:
        return Rest(given=remaining, remaining=remaining)
    values = {"account_id": account["account_id"], "now": now}
    given = whole((await connection.execute(_GIVEN, values)).mappings().one(), "given")
    of_loaded = sum(each.given for each in known if each.kind is GrantKind.PERMANENT and each.remaining)
    return Rest(given=Microcredits(given - of_loaded), remaining=remaining)


def _running(schedule: Schedule, now: Instant) -> list[str]:
    """The keys of the running day and the running month."""
    return [schedule.day_at(now).key, schedule.month_at(now).key]


async def _open_leases(connection: AsyncConnection, account_id: AccountId) -> tuple[OutLease, ...]:
    rows = await connection.execute(_OPEN_LEASES, {"account_id": account_id})
    return tuple(lease_of(row) for row in rows.mappings())


async def _recalls(connection: AsyncConnection, account_id: AccountId) -> tuple[Recall, ...]:
    rows = await connection.execute(_RECALLS, {"account_id": account_id})
    return tuple(recall_of(row) for row in rows.mappings())


async def _charges(connection: AsyncConnection, account_id: AccountId, topic: Topic, *, may_owe: bool) -> tuple[Charge, ...]:
    """Charges that owe debt, if any may, charges that the decision is about, and the first charges of duplicates that are
    refunded. Where none of these can be there, nothing is read.
    """
    asked = {
        "charges": topic.charges | topic.refunded_charges,
        "refunded": topic.refunded_charges,
        "requests": topic.requests,
        "reservations": topic.reservations,
    }
    named = {name: sorted(ids) for name, ids in asked.items() if ids}
    if not named and not may_owe:
        return ()
    query = _charges_query(frozenset(named), may_owe=may_owe)
    rows = await connection.execute(query, {"account_id": account_id} | named)
    return tuple(charge_of(row) for row in rows.mappings())


async def _refunds(connection: AsyncConnection, account_id: AccountId, topic: Topic) -> tuple[Refund, ...]:
    """Earlier refunds of the charges that are refunded, and refunds that were made for the same requests."""
    if not topic.refunded_charges:
        return ()
    named = {"charges": sorted(topic.refunded_charges), "requests": sorted(topic.refund_requests)}
    rows = await connection.execute(_REFUNDS, {"account_id": account_id} | named)
    return tuple(refund_of(row) for row in rows.mappings())


# The queries, built once: building one takes longer than running it.


def _any_of(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    return column.in_(bindparam(name, expanding=True))


_ACCOUNT_ID: BindParameter[str] = bindparam("account_id")
_PLANS = select(tables.plans).where(tables.plans.c.plan_id == bindparam("plan_id")).order_by(tables.plans.c.effective_at)
_OPEN_LEASES = select(tables.leases).where(tables.leases.c.account_id == _ACCOUNT_ID, tables.leases.c.closed.is_(False))
_RECALLS = select(tables.recalls).where(tables.recalls.c.account_id == _ACCOUNT_ID)
_REFUNDS = select(tables.refunds).where(
    tables.refunds.c.account_id == _ACCOUNT_ID,
    or_(_any_of(tables.refunds.c.charge_id, "charges"), _any_of(tables.refunds.c.request_id, "requests")),
)


_PERMANENT = tables.grants.c.account_id == _ACCOUNT_ID, tables.grants.c.kind == GrantKind.PERMANENT.value, tables.HAS_CREDIT
_GIVEN = select(*sum_of("given", tables.grants.c.amount_microcredits - tables.grants.c.voided_microcredits)).where(
    *_PERMANENT, tables.grants.c.effective_at <= bindparam("now")
)


@cache
def _grants_query(*, some_are_named: bool) -> CompoundSelect[Any]:
    """A union with one query for each way in which a grant can matter. One condition for all would read every grant of the
    account.
    """
    grants = tables.grants
    others = select(grants, literal(0).label("in_order")).where(grants.c.account_id == _ACCOUNT_ID)
    # "+ 0" keeps engines from using the index of beginnings: they would have to sort what it finds
    has_begun = grants.c.effective_at + literal_column("0") <= bindparam("now")
    lasting = select(grants, literal(1).label("in_order")).where(*_PERMANENT, tables.IS_OPEN, has_begun)
    order = tables.GRANT_END, grants.c.effective_at, grants.c.grant_id
    first = lasting.order_by(*order).limit(bindparam("limit")).subquery()
    found = [
        others.where(grants.c.kind.in_((GrantKind.DAILY.value, GrantKind.MONTHLY.value)), tables.IS_OPEN, has_begun),
        others.where(tables.IS_TO_COME, grants.c.effective_at <= bindparam("now")),
        others.where(tables.IS_VOIDED_WITH_CREDIT),
        others.where(_any_of(grants.c.period_key, "running")),
        *([others.where(_any_of(grants.c.grant_id, "grants"))] if some_are_named else []),
        select(first),
    ]
    return union_all(*found)


@cache
def _charges_query(named: frozenset[str], *, may_owe: bool) -> Select[Any]:
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
    conditions = [*([tables.OWES_DEBT] if may_owe else []), *(by_name[name] for name in sorted(named))]
    return select(charges).where(charges.c.account_id == _ACCOUNT_ID, or_(*conditions))
