"""Connections to PostgreSQL: which server to connect to, and when a connection is replaced.

A connection that its server closed is replaced before it is used. The event loop saw it close, so the server need not be asked,
which would cost three round trips for each transaction. If a fault shows only in use, that transaction fails, and every
connection that was made before it is replaced: after a restart or a failover none of them works.

Every wait has a bound: for a connection, for a statement, for a place in the pool. The server bounds its side as well, so that
a host that vanishes in the middle of a transaction does not keep rows locked.
"""

from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from creditmeter.central.engine.addresses import servers_in
from creditmeter.central.engine.connections import AsyncEngine
from creditmeter.central.engine.faults import CentralUnavailable

POOL_SIZE = 5
CONNECT_TIMEOUT_SECONDS = 5
"""Longest wait for a connection to one server, and for a place in the pool."""

STATEMENT_TIMEOUT_SECONDS = 10
"""Longest time of a statement, and between two statements of a transaction. The server keeps this limit.

A server that does not answer at all is given up a little later, by the driver.
"""

_NO_ANSWER_SECONDS = 2

_LASTING_SQLSTATES = ("28", "3D", "3F", "42")
"""Classes of error codes that only an operator can remedy: authorization; no such database, schema or table; no privilege."""

_NEXT_SERVER_AFTER = (
    OSError,  # no server there, no such host name, no answer in time
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # starting, or shutting down
    asyncpg.InsufficientResourcesError,
    asyncpg.TargetServerAttributeNotMatched,  # a standby
)
_USELESS_AFTER = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,  # this server was the primary once
    asyncpg.InterfaceError,  # the driver cannot use it as it is
    asyncpg.InternalClientError,
)
_OTHERS_IN_THE_WAY = (asyncpg.QueryCanceledError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""A lock was not free in time, or others won a conflict. The server is well."""


class Servers:
    """The servers that an address names. One of them takes writes; after a failover it is another one.

    `postgresql://USER@HOST:PORT/NAME` names one server, `postgresql://USER@/NAME?host=HOST:PORT&host=HOST:PORT` several. A
    server that takes no writes is passed over, unless the address says `target_session_attrs=any`. The driver reads libpq's
    other settings, such as `sslmode`. Without `is_timed`, statements have no time limit.

    Raises:
        ValueError: a port or a host in the address is not valid.
    """

    def __init__(self, url: URL, *, is_timed: bool = True) -> None:
        self._is_timed = is_timed
        self._servers = servers_in(url)
        rest = {name: value for name, value in url.query.items() if name != "host"}
        query = {"target_session_attrs": "read-write"} | rest
        address = URL.create("postgresql", url.username, url.password, database=url.database, query=query)
        self._address = address.render_as_string(hide_password=False)

    async def connect(self) -> asyncpg.Connection:
        """Connect to a server that takes writes. The server that did so last is tried first.

        Raises:
            OSError: none takes writes, and the last one does not answer.
            asyncpg.PostgresError: a server refuses the login. Other servers are not tried then.
        """
        for server in self._servers[:-1]:
            try:
                return await self._connect_to(server)
            except _NEXT_SERVER_AFTER:
                continue
        return await self._connect_to(self._servers[-1])

    async def _connect_to(self, server: tuple[str | None, int | None]) -> asyncpg.Connection:
        host, port = server
        try:
            connection = await asyncpg.connect(
                self._address,
                host=host,
                port=port,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=STATEMENT_TIMEOUT_SECONDS + _NO_ANSWER_SECONDS if self._is_timed else None,
            )
        except ValueError as error:  # of a setting in the address or in libpq's environment, such as PGPORT
            raise asyncpg.ClientConfigurationError(str(error)) from error
        try:
            await connection.execute(_session(is_timed=self._is_timed))
        except BaseException:
            connection.terminate()
            raise
        self._servers = (server, *(each for each in self._servers if each != server))
        return connection


def create_engine(servers: Servers) -> AsyncEngine:
    """A pool of connections. Nothing is connected yet."""
    engine = AsyncEngine.of(
        "postgresql+asyncpg://",
        servers.connect,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        isolation_level="READ COMMITTED",  # whatever the server's own default is
    )
    event.listen(engine.sync_engine, "checkout", _replace_if_closed)
    event.listen(engine.sync_engine, "handle_error", _replace_if_useless)
    return engine


def unavailable(error: BaseException | None, reason: str) -> CentralUnavailable | None:
    """The fault of the store behind an error of the driver. None if the program passed a value that the database cannot take:
    trying again would fail in the same way.
    """
    driver = error and error.__cause__
    if isinstance(driver, asyncpg.DataError):
        return None
    return CentralUnavailable(reason, is_lasting=_is_lasting(driver), is_crowded=isinstance(driver, _OTHERS_IN_THE_WAY))


def _is_lasting(driver: BaseException | None) -> bool:
    """Whether an error will not pass by itself: no such user, database or table, or an unusable setting."""
    sqlstate = getattr(driver, "sqlstate", None) or ""
    return sqlstate.startswith(_LASTING_SQLSTATES) or isinstance(driver, asyncpg.ClientConfigurationError)


def _session(*, is_timed: bool) -> str:
    """The settings of a session.

    Statements are planned for the ids in them. A plan for any ids would compare each row of a busy account with each of
    hundreds of ids, for as long as the server has no statistics of a new table.
    """
    limit = f"{STATEMENT_TIMEOUT_SECONDS * 1_000 if is_timed else 0:.0f}"
    return (
        "SET plan_cache_mode = force_custom_plan;"
        f"SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}"
    )


def _replace_if_closed(connection: Any, entry: ConnectionPoolEntry, _use: object) -> None:
    """Replace a connection that was used before and was closed since."""
    if entry.info.get("used") and connection.driver_connection.is_closed():
        raise DisconnectionError
    entry.info["used"] = True


def _replace_if_useless(context: ExceptionContext) -> None:
    """Replace every connection that was made before this error, if the error says that they no longer work."""
    error = context.original_exception
    cause = error.__cause__ or error
    if isinstance(cause, _USELESS_AFTER) and not isinstance(cause, asyncpg.QueryCanceledError):
        context.is_disconnect = True
