"""Notifying sidecars that they should send a message about an account: loads rows of recalls, and locks and saves none.

A notified sidecar gives credit back, or asks for it again. On PostgreSQL, NOTIFY does it: each sidecar has a channel of its
own, and a notification is sent when its transaction is committed. On engines without NOTIFY, such as SQLite, sidecars poll the
rows of recalls.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import asyncpg
from sqlalchemy import or_, select, text

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.engine.postgresql import Servers
from creditmeter.central.schema import tables
from creditmeter.core.ids import AccountId, SidecarId

POLL_INTERVAL_SECONDS = 0.02
"""Seconds between polls of SQLite while it is written to: an asker hears soon that credit came back."""

LOOK_INTERVAL_SECONDS = 0.1
"""Seconds between polls of other engines, where each poll is a transaction, and of a SQLite file that nobody writes to: short
enough for credit to return while a request waits for it.
"""

SILENCE_SECONDS = 30.0
"""Seconds without a notification after which the connection is checked."""

_MAX_RECALLS_PER_POLL = 1_000
_NOTIFY = text("SELECT pg_notify(:channel, :account_id)")


class Notifications(Protocol):
    """The notifications of a sidecar."""

    def listen(self, sidecar_id: SidecarId) -> AsyncIterator[AccountId]:
        """The accounts about which a sidecar should send a message, as they come up. An account may come more than once.

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

    async def listen(self, sidecar_id: SidecarId) -> AsyncIterator[AccountId]:
        """See `Notifications`. An account comes again and again until the sidecar has sent its message."""
        async with _changes(self._database) as changes:
            found: list[AccountId] = []
            while True:
                if found or await changes.any():
                    found = await self.look(sidecar_id)
                for account_id in found:
                    yield account_id
                await asyncio.sleep(LOOK_INTERVAL_SECONDS if changes.are_rare else POLL_INTERVAL_SECONDS)

    async def look(self, sidecar_id: SidecarId) -> list[AccountId]:
        """The accounts about which a sidecar should send a message now."""
        recalls = tables.recalls
        is_awaited = recalls.c.awaited.contains(f'"{sidecar_id}"', autoescape=True)
        may_ask_again = (recalls.c.sidecar_id == sidecar_id) & recalls.c.is_ripe
        async with self._database.read() as connection:
            now = await self._clock.now(connection)
            query = select(recalls.c.account_id).where(recalls.c.deadline > now, or_(is_awaited, may_ask_again))
            found = await connection.execute(query.distinct().limit(_MAX_RECALLS_PER_POLL))
            return [AccountId(each) for each in found.scalars()]


class _Changes:
    """Whether the database may have changed, where there is an observer to say so, which costs less than a poll."""

    def __init__(self, observer: sqlite.Observer | None, *, are_rare: bool) -> None:
        self._observer = observer
        self._are_rare = are_rare

    @property
    def are_rare(self) -> bool:
        """Whether nothing is lost by looking for them less often."""
        return self._are_rare if self._observer is None else self._observer.is_quiet

    async def any(self) -> bool:
        """Whether there may have been one since the last call."""
        try:
            return self._observer is None or await self._observer.has_changed()
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
    try:
        yield _Changes(observer, are_rare=False)
    finally:
        await observer.close()


class ServerNotifications:
    """Receives what `notify` sends, on a connection of its own. What was sent before it listened is found by one poll."""

    def __init__(self, servers: Servers, earlier: ChangePoll) -> None:
        self._servers = servers
        self._earlier = earlier

    async def listen(self, sidecar_id: SidecarId) -> AsyncIterator[AccountId]:
        """See `Notifications`."""
        inbox = _Inbox()
        connection = await _connected(self._servers)
        try:
            connection.add_termination_listener(inbox.close)
            await _listening(connection, _channel(sidecar_id), inbox.put)
            for account_id in await self._earlier.look(sidecar_id):
                yield account_id
            while True:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        taken = await inbox.take()
                except TimeoutError:
                    await _still_there(connection)
                    continue
                for account_id in taken:
                    yield account_id
        finally:
            connection.terminate()


class _Inbox:
    """The notifications that were received and not taken yet. Each account is in it once, which bounds it."""

    def __init__(self) -> None:
        self._accounts: set[AccountId] = set()
        self._is_closed = False
        self._changed = asyncio.Event()

    def put(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        self._accounts.add(AccountId(payload))
        self._changed.set()

    def close(self, _connection: object) -> None:
        self._is_closed = True
        self._changed.set()

    async def take(self) -> list[AccountId]:
        """Wait for notifications, and take them all. Raises CentralUnavailable if the connection was lost."""
        await self._changed.wait()
        self._changed.clear()
        if self._is_closed:
            raise CentralUnavailable("the connection for notifications was lost")
        taken, self._accounts = sorted(self._accounts), set()
        return taken


async def notify(connection: AsyncConnection, account_id: AccountId, sidecars: Iterable[SidecarId]) -> None:
    """Notify sidecars that they should send a message about an account, once this transaction is committed.

    Nothing is sent if it is rolled back. Where there is no NOTIFY, sidecars find out by polling.
    """
    if connection.dialect.name == "postgresql" and _notifies(connection):
        for sidecar_id in sorted(sidecars):
            await connection.execute(_NOTIFY, {"channel": _channel(sidecar_id), "account_id": account_id})


def _notifies(connection: AsyncConnection) -> bool:
    return bool(connection.sync_connection.get_execution_options().get("notifies", True))


def _channel(sidecar_id: SidecarId) -> str:
    return f"creditmeter_{sidecar_id}"


async def _connected(servers: Servers) -> Any:
    try:
        return await servers.connect()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CentralUnavailable(str(error) or type(error).__name__) from error


async def _still_there(connection: Any) -> None:
    """Check the connection: a host that vanished is as silent as one that has nothing to send."""
    try:
        await connection.execute("SELECT 1")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CentralUnavailable(str(error) or type(error).__name__) from error


async def _listening(connection: Any, channel: str, receive: Any) -> None:
    try:
        await connection.add_listener(channel, receive)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CentralUnavailable(str(error) or type(error).__name__) from error
