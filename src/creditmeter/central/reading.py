"""Reading charges, refunds, grants and history from the central store.

A page costs no more in a large store than in a small one: all go by an index that leads with the account. A filtered page of
history looks at so many lines and no more; if that was not enough to fill it, it says where to go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central import tables
from creditmeter.central.database import Database
from creditmeter.central.rows import bits_of_kinds, bits_of_sources, charge_of, entry_of, grant_of, refund_of
from creditmeter.core.charges import Charge, Refund
from creditmeter.core.grants import Grant, GrantKind, GrantSource
from creditmeter.core.history import Entry, EntryType
from creditmeter.core.ids import AccountId, AccountKey, ChargeId, GrantId, RefundId, origin_of
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import AccountNotFound

MAX_LINES_LOOKED_AT = 50_000
"""As many lines of history are looked at for one page."""


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """Which labels to look for: a key with this value, or (None) with any."""

    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which lines of history to show: those that match every filter that is set. `[start, end)` is on `occurred_at`."""

    types: tuple[EntryType, ...] = ()
    kinds: tuple[GrantKind, ...] = ()
    source: GrantSource | None = None
    label: LabelFilter | None = None
    action: str = ""
    model: str = ""
    tool: str = ""
    start: Instant | None = None
    end: Instant | None = None

    def conditions(self, *, is_sqlite: bool) -> list[ColumnElement[bool]]:
        """The filter as SQL."""
        columns = tables.history.c
        found: list[ColumnElement[bool]] = []
        if self.types:
            found.append(columns.type.in_([each.value for each in self.types]))
        if self.kinds:
            found.append(columns.kinds.bitwise_and(bits_of_kinds(set(self.kinds))) != 0)
        if self.source is not None:
            found.append(columns.sources.bitwise_and(bits_of_sources([self.source])) != 0)
        if self.label is not None:
            found.append(_has_label(self.label, is_sqlite=is_sqlite))
        if self.start is not None:
            found.append(columns.occurred_at >= self.start)
        if self.end is not None:
            found.append(columns.occurred_at < self.end)
        words = {columns.action: self.action, columns.model: self.model, columns.tool: self.tool}
        return found + [column == word for column, word in words.items() if word]

    def has(self, pending: Charge) -> bool:
        """Whether a charge that waits to be posted is known to be among the lines that will be there.

        Which grants it will draw on is not: where kinds or a source are asked for, it is not.
        """
        usage = pending.usage
        model = (usage.response_model or usage.request_model) if usage else ""
        tool = usage.tool if usage else ""
        words = ((self.action, pending.action), (self.model, model), (self.tool, tool))
        return (
            (not self.types or EntryType.CHARGED in self.types)
            and not self.kinds
            and self.source is None
            and (self.label is None or _carries(pending.labels, self.label))
            and (self.start is None or self.start <= pending.committed_at)
            and (self.end is None or pending.committed_at < self.end)
            and all(wanted in ("", word) for wanted, word in words)
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """A page of history, newest first. `next_before` is the number below which the next one goes on; None: there is no more."""

    entries: list[Entry]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class GrantCursor:
    """Where a page of grants ended."""

    created_at: Instant
    grant_id: GrantId


class Reader:
    """Reads what was posted. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_charge(self, charge_id: ChargeId) -> Charge | None:
        """A posted charge."""
        charges = tables.charges
        row = await self._find(select(charges).where(charges.c.charge_id == charge_id), charges.c.account_id, charge_id)
        return None if row is None else charge_of(row)

    async def find_refund(self, refund_id: RefundId) -> Refund | None:
        """A posted refund."""
        refunds = tables.refunds
        row = await self._find(select(refunds).where(refunds.c.refund_id == refund_id), refunds.c.account_id, refund_id)
        return None if row is None else refund_of(row)

    async def _find(self, query: Select[Any], account: ColumnElement[str], made_id: str) -> RowMapping | None:
        """One row by an id that carries its account's key."""
        origin = origin_of(made_id)
        if origin is None:
            return None
        async with self._database.read() as connection:
            account_id = await account_with_key(connection, origin.account_key)
            rows = await connection.execute(query.where(account == account_id))
            found: RowMapping | None = rows.mappings().one_or_none()
            return found

    async def list_history(
        self, account_id: AccountId, wanted: HistoryFilter, limit: int, before: int | None = None
    ) -> Lines | AccountNotFound:
        """Lines of an account's history, newest first, at most `limit`, those numbered below `before`.

        Lines are numbered without gaps, so that a range of numbers bounds how many are looked at.
        """
        history, accounts = tables.history, tables.accounts
        async with self._database.read() as connection:
            known = select(accounts.c.last_entry).where(accounts.c.account_id == account_id)
            last = (await connection.execute(known)).scalar_one_or_none()
            if last is None:
                return AccountNotFound(account_id)
            before = last + 1 if before is None else before
            first = max(1, before - MAX_LINES_LOOKED_AT)
            conditions = wanted.conditions(is_sqlite=self._database.is_sqlite)
            query = (
                select(history)
                .where(history.c.account_id == account_id, history.c.number >= first, history.c.number < before, *conditions)
                .order_by(history.c.number.desc())
                .limit(limit + 1)
            )
            found = [entry_of(row) for row in (await connection.execute(query)).mappings()]
        if len(found) > limit:
            return Lines(found[:limit], found[limit - 1].number)
        return Lines(found, first if first > 1 else None)

    async def list_grants(
        self, account_id: AccountId, limit: int, after: GrantCursor | None = None
    ) -> list[Grant] | AccountNotFound:
        """All grants of an account as they are stored, ended ones too, newest first, at most `limit`, those after `after`.

        What the plan gives for a period is there once something touched the account in it.
        """
        grants, accounts = tables.grants, tables.accounts
        place = grants.c.created_at, grants.c.grant_id
        query = select(grants).where(grants.c.account_id == account_id).order_by(*(column.desc() for column in place))
        if after is not None:
            query = query.where(tuple_(*place) < tuple_(after.created_at, after.grant_id))
        async with self._database.read() as connection:
            known = select(accounts.c.account_id).where(accounts.c.account_id == account_id)
            if (await connection.execute(known)).one_or_none() is None:
                return AccountNotFound(account_id)
            return [grant_of(row) for row in (await connection.execute(query.limit(limit))).mappings()]


async def account_with_key(connection: AsyncConnection, key: AccountKey) -> AccountId | None:
    """The account that ids with this key belong to."""
    query = select(tables.accounts.c.account_id).where(tables.accounts.c.account_key == key)
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else AccountId(found)


def _has_label(label: LabelFilter, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether a line has a label. The JSON is read, not searched as text: no value can look like another label."""
    stored = tables.history.c.labels
    if is_sqlite:
        each = func.json_each(stored).table_valued("key", "value")
        found = select(each.c.key).where(each.c.key == label.key)
        if label.value is not None:
            found = found.where(each.c.value == label.value)
        return found.correlate(tables.history).exists()
    value = func.jsonb_extract_path_text(cast(stored, JSONB), label.key)
    return value.is_not(None) if label.value is None else value == label.value


def _carries(labels: Mapping[str, str], label: LabelFilter) -> bool:
    return label.key in labels and label.value in (None, labels[label.key])
