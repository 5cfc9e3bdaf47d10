"""Notifying sidecars that they should send a message about an account: loads rows of recalls, and locks and saves none.

A notified sidecar gives credit back, or asks for it again. On PostgreSQL, NOTIFY does it: each sidecar has a channel of its
own, and a notification is sent when its transaction is committed. On engines without NOTIFY, such as SQLite, sidecars poll the
rows of recalls.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

from sqlalchemy import or_, select, text

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.schema import tables
from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.ids import AccountId, SidecarId

POLL_INTERVAL_SECONDS = 0.02
"""Seconds between polls of SQLite while it is written to, if the sidecar is concerned: an asker hears soon that credit came
back.
"""

LOOK_INTERVAL_SECONDS = 0.1
"""Seconds between polls of other engines, where each poll is a transaction, and of a SQLite file that nobody writes to: short
enough for credit to return while a request waits for it.
"""

REST_SECONDS = 5.0
"""Seconds between looks at a SQLite file that nobody writes to, if the sidecar is not concerned. It becomes so by a write of
its own, which ends the rest.
"""

_MAX_RECALLS_PER_POLL = 1_000
_NOTIFY = text("SELECT pg_notify(:channel, :account_id)")


def always() -> bool:
    """A sidecar may be notified at any time."""
    return True


class Notifications(Protocol):
    """The notifications of a sidecar."""

    def listen(self, sidecar_id: SidecarId, is_concerned: Callable[[], bool] = always) -> AsyncIterator[AccountId]:
        """The accounts about which a sidecar should send a message, as they come up. An account may come more than once.

        `is_concerned`: whether any may come up at all, because the sidecar has credit, or waits for some. While
        it is not, there is more time to find out.

        Raises:
            CentralUnavailable: the store does not answer any more. What comes up meanwhile comes with the next `listen`, as
                long as it still matters.
        """
        ...


class ChangePoll:
    """Polls the recalls. On SQLite it polls only when the file has changed."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def listen(self, sidecar_id: SidecarId, is_concerned: Callable[[], bool] = always) -> AsyncIterator[AccountId]:
        """See `Notifications`. An account comes again and again until the sidecar has sent its message."""
        async with _changes(self._database) as changes:
            found: list[AccountId] = []
            while True:
                if found or await changes.any():
                    found = await self.look(sidecar_id)
                for account_id in found:
                    yield account_id
                await changes.pause(is_hurried=is_concerned())

    async def look(self, sidecar_id: SidecarId) -> list[AccountId]:
        """The accounts about which a sidecar should send a message now."""
        recalls = tables.recalls
        is_awaited = recalls.c.awaited.contains(f'"{sidecar_id}"', autoescape=True)
        may_ask_again = (recalls.c.sidecar_id == sidecar_id) & recalls.c.is_ripe
        async with self._database.read() as connection:
            now = await self._clock.now(connection)
            is_of_use = is_awaited & (recalls.c.deadline > now - REPEAT_GRACE)
            query = select(recalls.c.account_id).where(or_(is_of_use, may_ask_again & (recalls.c.deadline > now)))
            found = await connection.execute(query.distinct().limit(_MAX_RECALLS_PER_POLL))
            return [AccountId(each) for each in found.scalars()]


class _Changes:
    """Whether the recalls may have changed, where there is an observer to say so, which costs less than a poll."""

    def __init__(self, observer: sqlite.Observer | None, *, are_rare: bool) -> None:
        self._observer = observer
        self._are_rare = are_rare

    async def pause(self, *, is_hurried: bool) -> None:
        """Wait until it is time to look again."""
        if self._observer is not None and self._observer.is_quiet:
            await self._observer.rest(LOOK_INTERVAL_SECONDS if is_hurried else REST_SECONDS)
        else:
            await asyncio.sleep(LOOK_INTERVAL_SECONDS if self._are_rare or not is_hurried else POLL_INTERVAL_SECONDS)

    async def any(self) -> bool:
        """Whether there may have been one since the last call that left any recalls. Most of the time there are none."""
        observer = self._observer
        try:
            return observer is None or (await observer.has_changed() and await observer.has_rows(tables.recalls.name))
        except sqlite3.Error as error:
            raise CentralUnavailable(str(error)) from error


@contextlib.asynccontextmanager
async def _changes(database: Database) -> AsyncIterator[_Changes]:
    """The changes of the database while the block runs."""
    if database.connect_observer is None:
        yield _Changes(None, are_rare=not database.is_sqlite)
        return
    try:
        observer = await database.connect_observer()
    except (OSError, sqlite3.Error) as error:
        raise CentralUnavailable(str(error)) from error
    database.on_write.append(observer.end_rest)
    try:
        yield _Changes(observer, are_rare=False)
    finally:
        database.on_write.remove(observer.end_rest)
        await observer.close()


async def notify(connection: AsyncConnection, account_id: AccountId, sidecars: Iterable[SidecarId]) -> None:
    """Notify sidecars that they should send a message about an account, once this transaction is committed.

    Nothing is sent if it is rolled back. Where there is no NOTIFY, sidecars find out by polling.
    """
    if connection.dialect.name == "postgresql" and _notifies(connection):
        for sidecar_id in sorted(sidecars):
            await connection.execute(_NOTIFY, {"channel": channel_of(sidecar_id), "account_id": account_id})


def _notifies(connection: AsyncConnection) -> bool:
    return bool(connection.sync_connection.get_execution_options().get("notifies", True))


def channel_of(sidecar_id: SidecarId) -> str:
    """The channel of a sidecar's notifications."""
    return f"creditmeter_{sidecar_id}"
