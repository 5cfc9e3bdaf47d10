"""Reading an account as it stands now: what midnight brought is written down before any of it is shown.

Credit lapses and a plan gives when something touches the account, and a reader does so too. So history, grants and balance
agree whenever they are read, and no figure is shown that no line of history explains. Most readings find nothing to write: they
learn that from the account's row and stay readings, in one snapshot.
"""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import account_of, calendar_change_of
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant

_ACCOUNT = select(tables.accounts).where(tables.accounts.c.account_id == bindparam("account_id"))


class Touching:
    """Touches accounts that are read."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    @contextlib.asynccontextmanager
    async def read(self, account_id: AccountId) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, from one snapshot in which all that was due for the account is written down. It need
        not be there.

        Raises:
            CentralUnavailable: the store did not answer, or could not be written although something was due.
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

        Credit ends and is given at midnight only, and whatever is decided about an account touches it. So nothing is due on a
        day on which anything was; otherwise the account is touched in memory to see.
        """
        row = (await connection.execute(_ACCOUNT, {"account_id": account_id})).mappings().one_or_none()
        if row is None:
            return False
        now = Instant(max(await self._clock.now(connection), row["decided_at"]))
        schedule = Schedule(account_of(row).calendar, calendar_change_of(row))
        if row["last_entry"] and schedule.day_at(now).starts_at <= row["decided_at"]:
            return False
        opened = await open_ledger(connection, account_id, now, lock=False)
        assert opened is not None, "the account is there in this snapshot"
        opened.ledger.touch()
        return bool(opened.ledger.changes.entries)

    async def _touch(self, account_id: AccountId) -> None:
        """Write what is due; nothing if another reader was faster."""
        async with self._database.write() as connection:
            opened = await open_ledger(connection, account_id, await self._clock.now(connection))
            assert opened is not None, "an account is never deleted"
            opened.ledger.touch()
            if opened.ledger.changes.entries:
                opened.ledger.repay_debt()
                await opened.save(connection)
