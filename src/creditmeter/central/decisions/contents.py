"""What decisions load of accounts: rows of their plans, leases, charges, refunds and recalls. It locks and saves none.

Only the rows that a `Ledger` may need are loaded: of many accounts with one statement for each table. `accounts` locks the
accounts' rows first, and `grant_loading` loads the grants.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, CompoundSelect, RowMapping, Select, and_, or_, select, tuple_, union_all

from creditmeter.central.decisions.grant_loading import load_grants
from creditmeter.central.decisions.running_sums import RunningSums, may_owe
from creditmeter.central.decisions.topics import Asked, Topic
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.listed import as_list, listed
from creditmeter.central.schema.rows import (
    Row,
    account_of,
    calendar_change_of,
    charge_of,
    lease_of,
    recall_of,
    refund_of,
)
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.ids import AccountId, PlanId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.ledger import Contents, PlanVersion

Found = TypeVar("Found")
ByAccount = Mapping[AccountId, tuple[Found, ...]]
"""What was found of each account; nothing for those of which there is nothing."""


async def load_contents(
    connection: AsyncConnection, topics: Sequence[tuple[RowMapping, Topic]], now: Instant
) -> list[tuple[Contents, RunningSums]]:
    """What a decision about each topic, taken at `now`, may need of the account of its row, and the account's running sums."""
    asked = [Asked(row, account_of(row), calendar_change_of(row), topic) for row, topic in topics]
    accounts = [each.account_id for each in asked]
    charges = await _charges(connection, asked)
    leases = await _of_accounts(connection, _open_leases(connection.dialect.name), accounts, lease_of)
    recalls = await _of_accounts(connection, _recalls(connection.dialect.name), accounts, recall_of)
    refunds = await _refunds(connection, asked)
    versions = await _plan_versions(connection, asked)
    loaded = await load_grants(connection, asked, charges, leases, now)
    return [
        (
            Contents(
                account=each.account,
                calendar_change=each.calendar_change,
                balance=each.row["balance_microcredits"],
                plan_versions=versions.get(each.account.plan_id, ()),
                plan_since=each.row["plan_since"],
                grants=grants.found,
                rest=grants.rest,
                waited=grants.waited,
                leases=leases.get(each.account_id, ()),
                charges=charges.get(each.account_id, ()),
                refunds=refunds.get(each.account_id, ()),
                recalls=recalls.get(each.account_id, ()),
            ),
            grants.sums,
        )
        for each, grants in zip(asked, loaded, strict=True)
    ]


async def _of_accounts(
    connection: AsyncConnection, query: Select[Any], accounts: Iterable[AccountId], read: Callable[[RowMapping], Found]
) -> ByAccount[Found]:
    rows = await connection.execute(query, as_list("accounts", ((each,) for each in accounts)))
    return _by_account(rows.mappings(), read)


def _by_account(rows: Iterable[RowMapping], read: Callable[[RowMapping], Found]) -> ByAccount[Found]:
    found: dict[AccountId, list[Found]] = defaultdict(list)
    for row in rows:
        found[row["account_id"]].append(read(row))
    return {account_id: tuple(each) for account_id, each in found.items()}


async def _plan_versions(
    connection: AsyncConnection, asked: Iterable[Asked]
) -> Mapping[PlanId | None, tuple[PlanVersion, ...]]:
    plans = {each.account.plan_id for each in asked if each.account.plan_id is not None}
    if not plans:
        return {}
    rows = await connection.execute(_plans(connection.dialect.name), as_list("plans", ((each,) for each in plans)))
    found: dict[PlanId | None, list[PlanVersion]] = defaultdict(list)
    for row in rows.mappings():
        plan = Plan(row["plan_id"], row["daily_microcredits"], row["monthly_microcredits"])
        found[plan.plan_id].append(PlanVersion(plan, row["effective_at"]))
    return {plan_id: tuple(each) for plan_id, each in found.items()}


async def _charges(connection: AsyncConnection, asked: Iterable[Asked]) -> ByAccount[Charge]:
    """Charges that owe debt, of accounts of which any may; charges that the decisions are about; and the first charges of
    duplicates that are refunded. Where none of these can be there, nothing is read.
    """
    named: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for each in asked:
        topic, account_id = each.topic, each.account_id
        named["charges"] += ((account_id, name) for name in topic.charges | topic.refunded_charges)
        named["refunded"] += ((account_id, name) for name in topic.refunded_charges)
        named["requests"] += ((account_id, name) for name in topic.requests)
        named["reservations"] += ((account_id, name) for name in topic.reservations)
        named["owing"] += [(account_id,)] if may_owe(each.row) else []
    lists = {name: rows for name, rows in named.items() if rows}
    if not lists:
        return {}
    query = _charges_query(connection.dialect.name, frozenset(lists))
    rows = await connection.execute(query, {name: text for each in lists for name, text in as_list(each, lists[each]).items()})
    unlike = {(row["account_id"], row["charge_id"]): row for row in rows.mappings()}  # several lists may name a charge
    return _by_account(unlike.values(), charge_of)


async def _refunds(connection: AsyncConnection, asked: Iterable[Asked]) -> ByAccount[Refund]:
    """Earlier refunds of the charges that are refunded, and refunds that were made for the same requests."""
    refunding = [each for each in asked if each.topic.refunded_charges]
    if not refunding:
        return {}
    named: Row = as_list("charges", ((each.account_id, name) for each in refunding for name in each.topic.refunded_charges))
    named |= as_list("requests", ((each.account_id, name) for each in refunding for name in each.topic.refund_requests))
    return _by_account((await connection.execute(_refunds_query(connection.dialect.name), named)).mappings(), refund_of)


# The queries, built once for each engine: building one takes longer than running it.


@cache
def _plans(dialect: str) -> Select[Any]:
    plans = tables.plans
    return select(plans).where(plans.c.plan_id.in_(listed(dialect, "plans").rows())).order_by(plans.c.effective_at)


@cache
def _open_leases(dialect: str) -> Select[Any]:
    leases = tables.leases
    return select(leases).where(leases.c.account_id.in_(listed(dialect, "accounts").rows()), leases.c.closed.is_(False))


@cache
def _recalls(dialect: str) -> Select[Any]:
    return select(tables.recalls).where(tables.recalls.c.account_id.in_(listed(dialect, "accounts").rows()))


@cache
def _refunds_query(dialect: str) -> Select[Any]:
    refunds = tables.refunds.c
    by_charge = tuple_(refunds.account_id, refunds.charge_id).in_(listed(dialect, "charges", 2).rows())
    by_request = tuple_(refunds.account_id, refunds.request_id).in_(listed(dialect, "requests", 2).rows())
    return select(tables.refunds).where(or_(by_charge, by_request))


@cache
def _charges_query(dialect: str, named: frozenset[str]) -> CompoundSelect[Any]:
    """A union with one query for each way in which a charge can matter, so that each uses its index."""
    charges, duplicates = tables.charges, tables.charges.alias()
    refunded = tuple_(duplicates.c.account_id, duplicates.c.charge_id).in_(listed(dialect, "refunded", 2).rows())
    originals = select(duplicates.c.account_id, duplicates.c.duplicate_of).where(refunded)
    columns = {"charges": charges.c.charge_id, "requests": charges.c.request_id, "reservations": charges.c.reservation_id}
    ways: dict[str, ColumnElement[bool]] = {
        name: tuple_(charges.c.account_id, column).in_(listed(dialect, name, 2).rows()) for name, column in columns.items()
    }
    ways["refunded"] = tuple_(charges.c.account_id, charges.c.charge_id).in_(originals)
    ways["owing"] = and_(tables.OWES_DEBT, charges.c.account_id.in_(listed(dialect, "owing").rows()))
    return union_all(*(select(charges).where(ways[name]) for name in sorted(named)))
