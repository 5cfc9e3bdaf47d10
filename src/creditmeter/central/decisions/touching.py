"""Touching an account before it is read: loads its row without a lock, and opens, locks and saves it only if something is due.

What midnight brought is saved before it is shown. Credit lapses and a plan gives when the account is touched, and every reader
touches it. So history, grants and balance agree whenever they are read, and each figure is explained by lines of history.
Mostly nothing is due. The reader learns that from the account's row, which it loads without a lock, and then reads on in the
same snapshot. If something is due, the account is opened, locked and saved as by any decision.
"""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy import bindparam, select

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import account_of, calendar_change_of
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId
from creditmeter.core.settlement.setting_back import decided_now, is_set_back

_ACCOUNT = select(tables.accounts).where(tables.accounts.c.account_id == bindparam("account_id"))


class Touching:
    """Touches accounts before they are read."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    @contextlib.asynccontextmanager
    async def read(self, account_id: AccountId) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, in one snapshot in which nothing is due for the account. The account may not exist.

        Raises:
            CentralUnavailable: the store did not answer, or something was due and could not be saved.
        """
        async with self._database.read() as connection:
            if not await self._is_due(connection, account_id):
                yield connection
                return
        await self._touch(account_id)
        async with self._database.read() as connection:
            yield connection

    async def _is_due(self, connection: AsyncConnection, account_id: AccountId) -> bool:
        """Whether touching the account would write anything.

        Credit ends and is given at midnight only, and every decision about an account touches it. So nothing is due on a day on
        which something was decided, unless that was decided by a clock that was wrong. Otherwise the account is touched in
        memory to find out.
        """
        row = (await connection.execute(_ACCOUNT, {"account_id": account_id})).mappings().one_or_none()
        if row is None:
            return False
        schedule = Schedule(account_of(row).calendar, calendar_change_of(row))
        now = await self._clock.now(connection)
        if is_set_back(now, row["decided_at"]):
            return True
        now = decided_now(now, row["decided_at"])
        if row["last_entry"] and schedule.day_at(now).starts_at <= row["decided_at"]:
            return False
        opened = await open_ledger(connection, account_id, now, lock=False)
        assert opened is not None, "the account is there in this snapshot"
        opened.ledger.touch()
        return bool(opened.ledger.changes.entries)

    async def _touch(self, account_id: AccountId) -> None:
        """Save what is due. That is nothing if another reader was faster."""
        async with self._database.write() as connection:
            opened = await open_ledger(connection, account_id, await self._clock.now(connection))
            assert opened is not None, "an account is never deleted"
            opened.ledger.touch()
            if opened.ledger.changes.entries or opened.is_set_back:
                opened.ledger.repay_debt()
                await opened.save(connection)
