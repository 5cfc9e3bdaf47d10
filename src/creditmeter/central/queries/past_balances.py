"""Balances in the past, from the row of a day and the lines of history that follow it.

A decision that is the first of a later day leaves a row with what was left of each kind as the day began (`begin_day`). So a
balance is read from the last row before the moment and the lines of one day. Where rows are missing, because an older program
wrote the history, the lines of several days are read, and the rows that they lack are put on the way, a page at a time: a
reading that breaks off leaves less to read for the next one. History only grows, so a row is the same whoever puts it, and none
changes.

If the clock was ahead for a while, lines are not in the order of their moments. Then those between two rows that are in order
are all read, and no row is put.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, select

from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.queries.turns import Turns
from creditmeter.central.schema import tables
from creditmeter.central.schema.balance_days import IS_DAY, IS_IN_ORDER, KIND_COLUMNS, balance_day_row, put_balance_days
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.rows import Row
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import AccountNotFound, InvalidRequest, Overloaded
from creditmeter.core.reports.past_balance import PastBalance, day_of
from creditmeter.forms.grants import DRAWS

PAGE = 2_000
"""Lines of history that are read at a time, in a transaction of their own."""

_history = tables.history.c
_LINES = (
    select(
        *(_history.number, _history.type, _history.amount_microcredits, _history.balance_after_microcredits),
        *(_history.posted_at, _history.kind, _history.draws),
    )
    .where(_history.account_id == bindparam("account"), _history.number > bindparam("after"))
    .where(_history.number <= bindparam("last"))
    .order_by(_history.number)
    .limit(bindparam("page"))
)
_STATED = select(_history.balance_after_microcredits, _history.posted_at).where(
    _history.account_id == bindparam("account"), _history.number == bindparam("number")
)
_days = tables.balance_days.c
_LAST_DAY = (
    select(tables.balance_days)
    .where(_days.account_id == bindparam("account"), _days.starts_at <= bindparam("at"), IS_IN_ORDER)
    .order_by(_days.starts_at.desc())
    .limit(1)
)
_LAST_LINE = select(func.min(_days.last_entry)).where(
    _days.account_id == bindparam("account"), _days.starts_at > bindparam("at"), IS_IN_ORDER
)
_SETTING_BACK = select(_days.starts_at).where(_days.account_id == bindparam("account"), ~IS_DAY).limit(1)
_NO_END = 2**63 - 1
_YET_TO_COME = InvalidRequest((("at", "must not be later than now, by the central store's clock"),))


class PastBalances:
    """Reads balances in the past, one at a time. Raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, clock: StoreClock, touching: Touching, turns: Turns) -> None:
        self._database = database
        self._clock = clock
        self._touching = touching
        self._turns = turns

    async def read(self, account_id: AccountId, at: Instant) -> PastBalance | AccountNotFound | InvalidRequest | Overloaded:
        """The balance of an account at a moment; nothing before it had any history. A moment to come is refused."""
        return await self._turns.read(lambda: self._read(account_id, at))

    async def _read(self, account_id: AccountId, at: Instant) -> PastBalance | AccountNotFound | InvalidRequest:
        known = select(func.count()).where(tables.accounts.c.account_id == account_id)
        async with self._touching.read(account_id) as connection:
            if not (await connection.execute(known)).scalar_one():
                return AccountNotFound(account_id)
            if at > await self._clock.now(connection):
                return _YET_TO_COME
            found, day = await _start(connection, account_id, at)
            of_account = {"account": account_id, "at": at}
            if (await connection.execute(_SETTING_BACK, of_account)).first() is not None:
                return await _sum_of_all(connection, of_account, found)
        while True:
            async with self._database.read() as connection:
                values = {"account": account_id, "after": found.last_entry, "last": _NO_END, "page": PAGE}
                lines = (await connection.execute(_LINES, values)).mappings().all()
                with reading(account_id, "a line of history"):
                    until = [line for line in lines if line["posted_at"] <= at]
                    begun, day = _added(account_id, found, until, day)
            if begun:
                async with self._database.write() as connection:
                    await put_balance_days(connection, begun)
            if len(until) < PAGE:
                return found


async def _start(connection: AsyncConnection, account_id: AccountId, at: Instant) -> tuple[PastBalance, Instant]:
    """The balance as the last day before the moment began that has a row, and this day; nothing, if none has."""
    row = (await connection.execute(_LAST_DAY, {"account": account_id, "at": at})).mappings().one_or_none()
    if row is None:
        return PastBalance(), Instant(0)
    values = {"account": account_id, "number": row["last_entry"]}
    line = (await connection.execute(_STATED, values)).one_or_none()
    by_kind = {kind: row[name] for kind, name in KIND_COLUMNS.items()}
    stated = None if line is None else line.balance_after_microcredits
    return PastBalance(row["last_entry"], by_kind, stated), Instant(row["starts_at"])


async def _sum_of_all(connection: AsyncConnection, of_account: Mapping[str, Any], found: PastBalance) -> PastBalance:
    """Add the lines until the moment that follow, in whatever order they are, up to the next row that is in order."""
    last = (await connection.execute(_LAST_LINE, of_account)).scalar_one_or_none()
    after: int = found.last_entry
    while True:
        values = {"account": of_account["account"], "after": after, "last": _NO_END if last is None else last, "page": PAGE}
        lines = (await connection.execute(_LINES, values)).mappings().all()
        with reading(of_account["account"], "a line of history"):
            for line in lines:
                if line["posted_at"] <= of_account["at"]:
                    _add_line(found, line)
        found.stated = None  # a line states the sum of all before it, those of later moments too
        if len(lines) < PAGE:
            return found
        after = lines[-1]["number"]


def _added(account_id: AccountId, found: PastBalance, lines: Sequence[RowMapping], day: Instant) -> tuple[list[Row], Instant]:
    """Add lines to the balance. Returns the rows of the days that begin among them, and the day of the last line."""
    begun: list[Row] = []
    for line in lines:
        day_of_line = day_of(line["posted_at"])
        if day_of_line > day:
            if found.last_entry:
                begun.append(balance_day_row(account_id, day_of_line, found))
            day = day_of_line
        _add_line(found, line)
    return begun, day


def _add_line(found: PastBalance, line: Mapping[Any, Any]) -> None:
    kind = None if line["kind"] is None else GrantKind(line["kind"])
    found.add(line["number"], EntryType(line["type"]), line["amount_microcredits"], kind, DRAWS.decode(line["draws"]))
    found.stated = line["balance_after_microcredits"]
