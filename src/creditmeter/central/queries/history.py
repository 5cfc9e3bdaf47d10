"""Queries for charges, refunds, grants and history.

A page costs no more in a large store than in a small one: every query uses an index that begins with the account. A page of
history looks at `MAX_LINES_LOOKED_AT` lines at most. If a range of time has no more lines than that, they are found by the
index of times. Otherwise the page is searched from the newest line on, as with any other filter. A page that was not filled by
then says at which line the next page goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, cast, func, select, tuple_

from creditmeter.central.decisions.accounts import account_with_key
from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import bits_of_kinds, bits_of_sources, charge_of, entry_of, grant_of, refund_of
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.grants import Grant, GrantCursor
from creditmeter.core.credit.history import Entry, HistoryFilter, LabelFilter
from creditmeter.core.ids import AccountId, AccountKey, ChargeId, RefundId, origin_of
from creditmeter.core.refusals import AccountNotFound

MAX_LINES_LOOKED_AT = 50_000
"""Most lines of history that are looked at for one page."""

PART = 1_000
"""Most lines that one query fetches by their numbers."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A page of history, newest first.

    The next page has the lines with numbers below `next_before`; None: there is no next page. `posted` are the charges, of
    those that the caller named as waiting, that were posted when the page was read.
    """

    entries: list[Entry]
    next_before: int | None
    posted: frozenset[ChargeId] = frozenset()


class HistoryReader:
    """Reads what was posted. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, touching: Touching) -> None:
        self._database = database
        self._touching = touching

    async def find_charge(self, charge_id: ChargeId) -> Charge | None:
        """The posted charge with this id; None if there is none."""
        charges = tables.charges
        row = await self._find(select(charges).where(charges.c.charge_id == charge_id), charges.c.account_id, charge_id)
        return None if row is None else charge_of(row)

    async def find_refund(self, refund_id: RefundId) -> Refund | None:
        """The posted refund with this id; None if there is none."""
        refunds = tables.refunds
        row = await self._find(select(refunds).where(refunds.c.refund_id == refund_id), refunds.c.account_id, refund_id)
        return None if row is None else refund_of(row)

    async def account_with_key(self, key: AccountKey) -> AccountId | None:
        """The account whose key this is; None if there is none."""
        async with self._database.read() as connection:
            return await account_with_key(connection, key)

    async def _find(self, query: Select[Any], account: ColumnElement[str], made_id: str) -> RowMapping | None:
        """The row of an id that carries its account's key; None if there is none."""
        origin = origin_of(made_id)
        if origin is None:
            return None
        async with self._database.read() as connection:
            account_id = await account_with_key(connection, origin.account_key)
            rows = await connection.execute(query.where(account == account_id))
            found: RowMapping | None = rows.mappings().one_or_none()
            return found

    async def list_history(
        self,
        account_id: AccountId,
        wanted: HistoryFilter,
        limit: int,
        before: int | None = None,
        waiting: Sequence[ChargeId] = (),
    ) -> Lines | AccountNotFound:
        """At most `limit` lines of an account's history, newest first, with numbers below `before`.

        Of the charges that were `waiting` to be posted, it names those that are posted in the same snapshot.
        """
        accounts = tables.accounts
        async with self._touching.read(account_id) as connection:
            known = select(accounts.c.last_entry).where(accounts.c.account_id == account_id)
            last = (await connection.execute(known)).scalar_one_or_none()
            if last is None:
                return AccountNotFound(account_id)
            posted = await _posted(connection, account_id, waiting)
            page = _Page(connection, account_id, _conditions(wanted, is_sqlite=self._database.is_sqlite), limit + 1)
            before = last + 1 if before is None else before
            if _in_time(wanted) and await _are_few(connection, account_id, wanted):
                first, found = 1, await page.of_time(wanted, before)
            else:
                first = max(1, before - MAX_LINES_LOOKED_AT)
                found = await page.walked(first, before)
        if len(found) > limit:
            return Lines(found[:limit], found[limit - 1].number, posted)
        return Lines(found, first if first > 1 else None, posted)

    async def list_grants(
        self, account_id: AccountId, limit: int, after: GrantCursor | None = None
    ) -> list[Grant] | AccountNotFound:
        """At most `limit` grants of an account, newest first, those after `after`. Ended grants are among them."""
        grants, accounts = tables.grants, tables.accounts
        place = grants.c.created_at, grants.c.grant_id
        query = select(grants).where(grants.c.account_id == account_id).order_by(*(column.desc() for column in place))
        if after is not None:
            query = query.where(tuple_(*place) < tuple_(after.created_at, after.grant_id))
        async with self._touching.read(account_id) as connection:
            known = select(accounts.c.account_id).where(accounts.c.account_id == account_id)
            if (await connection.execute(known)).one_or_none() is None:
                return AccountNotFound(account_id)
            return [grant_of(row) for row in (await connection.execute(query.limit(limit))).mappings()]


@dataclass(frozen=True, slots=True)
class _Page:
    """Searches up to `limit` lines of an account, newest first, that meet the conditions."""

    connection: AsyncConnection
    account_id: AccountId
    conditions: list[ColumnElement[bool]]
    limit: int

    async def walked(self, first: int, before: int) -> list[Entry]:
        """The lines with numbers in `[first, before)`. Numbers have no gaps, so this bounds how many lines are looked at."""
        number = tables.history.c.number
        return await self._fetch(self.limit, number >= first, number < before)

    async def of_time(self, wanted: HistoryFilter, before: int) -> list[Entry]:
        """The lines with numbers below `before` in a range of time that has few lines."""
        at_once = self.limit if len(self.conditions) == len(_in_time(wanted)) else PART
        found: list[Entry] = []
        while len(found) < self.limit:
            numbers = await self._numbers(wanted, before, at_once)
            found += await self._fetch(self.limit - len(found), tables.history.c.number.in_(numbers))
            if len(numbers) < at_once:
                break
            before = numbers[-1]
        return found

    async def _numbers(self, wanted: HistoryFilter, before: int, at_once: int) -> Sequence[int]:
        """The highest numbers below `before` in the range of time.

        The limit of the subquery keeps engines from searching by number instead of by time.
        """
        few = _numbers_in_time(self.account_id, wanted).limit(MAX_LINES_LOOKED_AT).subquery()
        highest = select(few.c.number).where(few.c.number < before).order_by(few.c.number.desc()).limit(at_once)
        return (await self.connection.execute(highest)).scalars().all()

    async def _fetch(self, limit: int, *numbered: ColumnElement[bool]) -> list[Entry]:
        history = tables.history
        query = select(history).where(history.c.account_id == self.account_id, *numbered, *self.conditions)
        rows = await self.connection.execute(query.order_by(history.c.number.desc()).limit(limit))
        return [entry_of(row) for row in rows.mappings()]


def _conditions(wanted: HistoryFilter, *, is_sqlite: bool) -> list[ColumnElement[bool]]:
    """The conditions of a filter, in SQL."""
    columns = tables.history.c
    found: list[ColumnElement[bool]] = []
    if wanted.types:
        found.append(columns.type.in_([each.value for each in wanted.types]))
    if wanted.kinds:
        found.append(columns.kinds.bitwise_and(bits_of_kinds(set(wanted.kinds))) != 0)
    if wanted.source is not None:
        found.append(columns.sources.bitwise_and(bits_of_sources([wanted.source])) != 0)
    if wanted.label is not None:
        found.append(_has_label(wanted.label, is_sqlite=is_sqlite))
    words = {columns.action: wanted.action, columns.model: wanted.model, columns.tool: wanted.tool}
    return found + [column == word for column, word in words.items() if word] + _in_time(wanted)


def _in_time(wanted: HistoryFilter) -> list[ColumnElement[bool]]:
    """The conditions on time of a filter, in SQL; empty if it has none."""
    at, start, end = tables.history.c.occurred_at, wanted.start, wanted.end
    bounds = None if start is None else at >= start, None if end is None else at < end
    return [each for each in bounds if each is not None]


def _numbers_in_time(account_id: AccountId, wanted: HistoryFilter) -> Select[tuple[int]]:
    """A query for the numbers of the lines in a range of time, in the order of the index of times."""
    history = tables.history.c
    query = select(history.number).where(history.account_id == account_id, *_in_time(wanted))
    return query.order_by(history.occurred_at, history.number)


async def _are_few(connection: AsyncConnection, account_id: AccountId, wanted: HistoryFilter) -> bool:
    """Whether a range of time has at most `MAX_LINES_LOOKED_AT` lines."""
    too_many = _numbers_in_time(account_id, wanted).offset(MAX_LINES_LOOKED_AT).limit(1)
    return (await connection.execute(too_many)).one_or_none() is None


async def _posted(connection: AsyncConnection, account_id: AccountId, waiting: Sequence[ChargeId]) -> frozenset[ChargeId]:
    """The charges among `waiting` that are posted."""
    if not waiting:
        return frozenset()
    charges = tables.charges.c
    query = select(charges.charge_id).where(charges.account_id == account_id, charges.charge_id.in_(waiting))
    return frozenset(ChargeId(each) for each in (await connection.execute(query)).scalars())


def _has_label(label: LabelFilter, *, is_sqlite: bool) -> ColumnElement[bool]:
    """The condition that a line has a label. The JSON is decoded and not searched as text, so no value is taken for a label."""
    stored = tables.history.c.labels
    if is_sqlite:
        each = func.json_each(stored).table_valued("key", "value")
        found = select(each.c.key).where(each.c.key == label.key)
        if label.value is not None:
            found = found.where(each.c.value == label.value)
        return found.correlate(tables.history).exists()
    from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415 - an embedded store does without PostgreSQL's dialect

    value = func.jsonb_extract_path_text(cast(stored, JSONB), label.key)
    return value.is_not(None) if label.value is None else value == label.value
