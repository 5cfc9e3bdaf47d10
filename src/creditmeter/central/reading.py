"""Reading charges, refunds and history from the central store."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central import tables
from creditmeter.central.database import Database
from creditmeter.central.rows import charge_of, entry_of, refund_of
from creditmeter.core.charges import Charge, Refund
from creditmeter.core.history import Entry, EntryType
from creditmeter.core.ids import AccountId, AccountKey, ChargeId, RefundId, origin_of
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import AccountNotFound


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which lines of history to show: those that match every filter that is set. `[start, end)` is on `occurred_at`."""

    types: tuple[EntryType, ...] = ()
    action: str = ""
    model: str = ""
    tool: str = ""
    start: Instant | None = None
    end: Instant | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL."""
        columns = tables.history.c
        found: list[ColumnElement[bool]] = []
        if self.types:
            found.append(columns.type.in_([each.value for each in self.types]))
        if self.start is not None:
            found.append(columns.occurred_at >= self.start)
        if self.end is not None:
            found.append(columns.occurred_at < self.end)
        words = {columns.action: self.action, columns.model: self.model, columns.tool: self.tool}
        return found + [column == word for column, word in words.items() if word]

    def has(self, pending: Charge) -> bool:
        """Whether a charge that waits to be posted will be among the lines."""
        usage = pending.usage
        model = (usage.response_model or usage.request_model) if usage else ""
        tool = usage.tool if usage else ""
        words = ((self.action, pending.action), (self.model, model), (self.tool, tool))
        return (
            (not self.types or EntryType.CHARGED in self.types)
            and (self.start is None or self.start <= pending.committed_at)
            and (self.end is None or pending.committed_at < self.end)
            and all(wanted in ("", word) for wanted, word in words)
        )


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
    ) -> list[Entry] | AccountNotFound:
        """Lines of an account's history, newest first, at most `limit`, those numbered below `before`."""
        history = tables.history
        query = select(history).where(history.c.account_id == account_id, *wanted.conditions())
        if before is not None:
            query = query.where(history.c.number < before)
        async with self._database.read() as connection:
            known = select(tables.accounts.c.account_id).where(tables.accounts.c.account_id == account_id)
            if (await connection.execute(known)).one_or_none() is None:
                return AccountNotFound(account_id)
            rows = await connection.execute(query.order_by(history.c.number.desc()).limit(limit))
            return [entry_of(row) for row in rows.mappings()]


async def account_with_key(connection: AsyncConnection, key: AccountKey) -> AccountId | None:
    """The account that ids with this key belong to."""
    query = select(tables.accounts.c.account_id).where(tables.accounts.c.account_key == key)
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else AccountId(found)
