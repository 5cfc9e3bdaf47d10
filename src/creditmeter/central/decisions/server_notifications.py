"""Receiving PostgreSQL's notifications (`notifications.py`). Only a store that has them imports this: it loads the driver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg

from creditmeter.central.decisions.notifications import ChangePoll, always, channel_of
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.engine.postgresql import Servers
from creditmeter.core.ids import AccountId, SidecarId

SILENCE_SECONDS = 30.0
"""Seconds without a notification after which the connection is checked."""


class ServerNotifications:
    """Receives what `notify` sends, on a connection of its own. What was sent before it listened is found by one poll."""

    def __init__(self, servers: Servers, earlier: ChangePoll) -> None:
        self._servers = servers
        self._earlier = earlier

    async def listen(
        self,
        sidecar_id: SidecarId,
        is_concerned: Callable[[], bool] = always,  # noqa: ARG002 - the server tells at once
    ) -> AsyncIterator[AccountId]:
        """See `Notifications`."""
        inbox = _Inbox()
        connection = await _connected(self._servers)
        try:
            connection.add_termination_listener(inbox.close)
            await _listening(connection, channel_of(sidecar_id), inbox.put)
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
