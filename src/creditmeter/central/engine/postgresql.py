"""The driver's side of a central store on PostgreSQL: which server to speak to, and when a connection is of no more use.

A connection that its server ended is replaced before it is used, without asking the server: the event loop saw it close. (To
ask each time costs three round trips a transaction.) What shows only in use fails that transaction, and every connection that
was made before is replaced too: after a restart or a failover none of them is of use.

Nothing waits without bound: not for a connection, a statement or a place in the pool. The server bounds its side as well, so
that a host that vanishes in the middle of a transaction does not keep rows locked.
"""

import re
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

POOL_SIZE = 5
CONNECT_TIMEOUT_SECONDS = 5
"""For each server, and for a place in the pool."""

STATEMENT_TIMEOUT_SECONDS = 10
"""Kept by the server, also between the statements of a transaction. A server that does not keep it does not answer at all:
that is given up a little later.
"""

_NO_ANSWER_SECONDS = 2

_MAX_PORT = 65_535
_PORT = re.compile(r"[0-9]{1,5}")

_LASTING_SQLSTATES = ("28", "3D", "3F", "42")
"""Classes of error codes that an operator has to see to: authorization, no such database or schema, no such table or not
allowed to use it.
"""

_NEXT_SERVER_AFTER = (
    OSError,  # not there, no such name, no answer in time
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


class Servers:
    """The servers that an address names: one of them takes writes, after a failover another one than before.

    `postgresql://USER@HOST:PORT/NAME` names one, `postgresql://USER@/NAME?host=HOST:PORT&host=HOST:PORT` several. A server
    that takes no writes is passed over, unless the address says `target_session_attrs=any`. Other settings of libpq, such as
    `sslmode`, are the driver's to read. Without `is_timed` statements take as long as they need.

    Raises:
        ValueError: a port is none, or a host.
    """

    def __init__(self, url: URL, *, is_timed: bool = True) -> None:
        self._is_timed = is_timed
        self._servers = servers_in(url)
        rest = {name: value for name, value in url.query.items() if name != "host"}
        query = {"target_session_attrs": "read-write"} | rest
        address = URL.create("postgresql", url.username, url.password, database=url.database, query=query)
        self._address = address.render_as_string(hide_password=False)

    async def connect(self) -> asyncpg.Connection:
        """Connect to one that takes writes, first to the one that did so last.

        Raises:
            OSError: the last one does not answer.
            asyncpg.PostgresError: a server does not let us in; that is not tried elsewhere.
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
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=servers.connect,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        isolation_level="READ COMMITTED",  # whatever the server's own default is
    )
    event.listen(engine.sync_engine, "checkout", _replace_if_closed)
    event.listen(engine.sync_engine, "handle_error", _replace_if_useless)
    return engine


def is_lasting(error: BaseException | None) -> bool:
    """Whether an error will not pass by itself: no such user or database, no such table, a setting that cannot be used."""
    driver = error and error.__cause__
    sqlstate = getattr(driver, "sqlstate", None) or ""
    return sqlstate.startswith(_LASTING_SQLSTATES) or isinstance(driver, asyncpg.ClientConfigurationError)


def is_crowded(error: BaseException | None) -> bool:
    """Whether others were in the way: a lock was not to be had in time, or theirs was chosen. The server is there and well."""
    return isinstance(error and error.__cause__, _OTHERS_IN_THE_WAY)


def is_fault_of_program(error: BaseException | None) -> bool:
    """Whether a value was given that the database cannot take: it is well, and would say so again."""
    return isinstance(error and error.__cause__, asyncpg.DataError)


def servers_in(url: URL) -> tuple[tuple[str | None, int | None], ...]:
    """The hosts and ports that an address names, in its order.

    Raises:
        ValueError: a port is none, or a host has an @ in it: that is the rest of a password, which cut the address short.
    """
    for each in _texts(url, "port"):
        _port(each)  # the driver's to read
    hosts = _texts(url, "host")
    servers = tuple(map(_host_and_port, hosts)) if hosts else ((url.host, None if url.port is None else _port(str(url.port))),)
    if any("@" in (host or "") for host, _ in servers):
        raise ValueError("a host has an @ in it")
    return servers


def _texts(url: URL, name: str) -> list[str]:
    """What an address says of a setting: it may be repeated, and each be several with commas."""
    found = url.query.get(name, ())
    return [each for text in ((found,) if isinstance(found, str) else found) for each in text.split(",")]


def _host_and_port(text: str) -> tuple[str, int | None]:
    """`HOST`, `HOST:PORT` or a directory with a socket. An address of IPv6 stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), None
    return host.strip("[]"), _port(port)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= _MAX_PORT:
        raise ValueError("a port is none")
    return int(text)


def _session(*, is_timed: bool) -> str:
    """What holds for a session.

    Statements are planned for the ids that they name. A plan for any ids compares each row of a busy account with each of
    hundreds of ids, for as long as the server has no statistics of a young table.
    """
    limit = f"{STATEMENT_TIMEOUT_SECONDS * 1_000 if is_timed else 0:.0f}"
    return (
        "SET plan_cache_mode = force_custom_plan;"
        f"SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}"
    )


def _replace_if_closed(connection: Any, entry: ConnectionPoolEntry, _use: object) -> None:
    """Have a connection that was used before, and was closed since, replaced by a new one."""
    if entry.info.get("used") and connection.driver_connection.is_closed():
        raise DisconnectionError
    entry.info["used"] = True


def _replace_if_useless(context: ExceptionContext) -> None:
    """Have no connection used any more that was made before this error, if it says that none of them is of use."""
    error = context.original_exception
    cause = error.__cause__ or error
    if isinstance(cause, _USELESS_AFTER) and not isinstance(cause, asyncpg.QueryCanceledError):
        context.is_disconnect = True
