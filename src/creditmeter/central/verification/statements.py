"""What verification asks of the database. Each statement is made once, since to make one takes longer than to run it: `account`
is the account that is looked at.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Table,
    bindparam,
    case,
    func,
    literal,
    select,
)

from creditmeter.central.schema import tables
from creditmeter.central.schema.balance_days import IS_DAY
from creditmeter.core.credit.history import EntryType

_ACCOUNT: BindParameter[Any] = bindparam("account")
_accounts, _charges, _refunds = tables.accounts.c, tables.charges.c, tables.refunds.c
_days, _history = tables.balance_days.c, tables.history.c

COUNT_OF_ACCOUNTS = select(func.count()).select_from(tables.accounts)

ACCOUNT_IDS = (
    select(_accounts.account_id)
    .where(_accounts.account_id > bindparam("after"))
    .order_by(_accounts.account_id)
    .limit(bindparam("rows", type_=Integer))
)
"""So many accounts `after` one."""

DEBT = select(func.coalesce(func.sum(_charges.debt_microcredits), 0)).where(_charges.account_id == _ACCOUNT, tables.OWES_DEBT)


@cache
def rows_of_nobody(table: Table) -> CompoundSelect[Any]:
    """The accounts that have rows in a table and do not exist."""
    return select(table.c.account_id).distinct().except_(select(_accounts.account_id)).order_by(table.c.account_id)


@cache
def rows_of(table: Table) -> Select[Any]:
    """The account's rows of a table."""
    return select(table).where(table.c.account_id == _ACCOUNT)


@cache
def first_page(table: Table) -> Select[Any]:
    """The first `rows` of the account in a table, in the order of the primary key."""
    return rows_of(table).order_by(key_of(table)).limit(bindparam("rows", type_=Integer))


@cache
def next_page(table: Table) -> Select[Any]:
    """The next ones, whose keys come `after` one."""
    return first_page(table).where(key_of(table) > bindparam("after"))


@cache
def key_of(table: Table) -> ColumnElement[Any]:
    """What tells the rows of one account from each other."""
    key: ColumnElement[Any] = list(table.primary_key.columns)[1]
    return key


BODIES = select(_charges.charge_id, _charges.body).where(
    _charges.account_id == _ACCOUNT, _charges.charge_id.in_(bindparam("charges", expanding=True))
)
"""Some `charges`."""


def _wrong_days() -> Select[Any]:
    balance = _days.daily_microcredits + _days.monthly_microcredits + _days.permanent_microcredits
    before = (_history.account_id == _days.account_id) & (_history.number == _days.last_entry)
    stated = _history.balance_after_microcredits
    return (
        select(_days.starts_at, balance, _days.last_entry, stated)
        .join_from(tables.balance_days, tables.history, before, isouter=True)
        .where(_days.account_id == _ACCOUNT)
        .where(stated.is_(None) | (balance != stated) | (IS_DAY & (_history.posted_at >= _days.starts_at)))
        .order_by(_days.starts_at)
    )


WRONG_DAYS = _wrong_days()
"""Days that do not begin with what the line of history before them says, or not after it."""


def _sums_of_refunds() -> Select[Any]:
    back = _refunds.restored_microcredits + _refunds.lapsed_microcredits
    paid = func.coalesce(_charges.duplicate_of, _charges.charge_id)
    return (
        select(paid, func.sum(back), func.sum(_refunds.amount_microcredits - back - _refunds.never_paid_microcredits))
        .join_from(tables.refunds, tables.charges, _charges.charge_id == _refunds.charge_id)
        .where(_refunds.account_id == _ACCOUNT, _charges.account_id == _ACCOUNT)
        .where(paid.in_(bindparam("charges", expanding=True)))
        .group_by(paid)
    )


SUMS_OF_REFUNDS = _sums_of_refunds()
"""For some `charges`, what refunds of them or of a duplicate returned, and the debt that they cancelled."""


def _moved_otherwise() -> Select[Any]:
    is_lost = _history.type.in_((EntryType.LAPSED.value, EntryType.VOIDED.value))
    lapsed = case((is_lost, -_history.amount_microcredits), else_=0)
    moved = (
        select(_history.refund_id, func.sum(_history.amount_microcredits).label("back"), func.sum(lapsed).label("lapsed"))
        .where(_history.account_id == _ACCOUNT, _history.refund_id.is_not(None))
        .group_by(_history.refund_id)
        .subquery()
    )
    its_own = (_refunds.account_id == _ACCOUNT) & (_refunds.refund_id == moved.c.refund_id)
    differs = (moved.c.back != _refunds.restored_microcredits) | (moved.c.lapsed != _refunds.lapsed_microcredits)
    return (
        select(moved.c.refund_id, moved.c.back, moved.c.lapsed, _refunds.restored_microcredits, _refunds.lapsed_microcredits)
        .join_from(moved, tables.refunds, its_own, isouter=True)
        .where(_refunds.refund_id.is_(None) | differs)
        .order_by(moved.c.refund_id)
    )


MOVED_OTHERWISE = _moved_otherwise()
"""Refunds whose lines of history return, or let lapse, other amounts than the refund says, with both."""


def _not_as_often_as(wanted: ColumnElement[int], table: Table, key: str, type_: EntryType) -> Select[str, int]:
    """The rows of a table that have not as many lines of a type as `wanted`, with the number that they have."""
    lines = (
        select(_history[key].label("name"), func.count().label("lines"))
        .where(_history.account_id == _ACCOUNT, _history.type == type_.value)
        .group_by(_history[key])
        .subquery()
    )
    count = func.coalesce(lines.c.lines, 0)
    return (
        select(table.c[key], count)
        .join_from(table, lines, lines.c.name == table.c[key], isouter=True)
        .where(table.c.account_id == _ACCOUNT, count != wanted)
        .order_by(table.c[key])
    )


CHARGES_NOT_IN_HISTORY = _not_as_often_as(
    case((_charges.duplicate_of.is_(None), 1), else_=0), tables.charges, "charge_id", EntryType.CHARGED
)
"""Charges that are not in history once, or not never if they are duplicates, with how often they are."""

REFUNDS_NOT_IN_HISTORY = _not_as_often_as(literal(1), tables.refunds, "refund_id", EntryType.REFUNDED)
"""Refunds that are not in history once, with how often they are."""
