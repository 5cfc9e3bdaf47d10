"""SQLAlchemy's engines and connections in an event loop, without its object-relational mapper.

SQLAlchemy's own engine for event loops (`sqlalchemy.ext.asyncio`) imports the mapper, which this program does not use: 7 MB of
a sidecar's memory for as long as it runs, and a tenth of a second of each start. What is here is the part of it that is used.
Each call runs by `greenlet_spawn`, which waits in the event loop wherever a driver waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeVar, TypeVarTuple, overload

from sqlalchemy import Insert, Update
from sqlalchemy.engine import URL, Connection, CursorResult, Dialect, Engine, create_engine
from sqlalchemy.engine.interfaces import DBAPIModule
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util import greenlet_spawn

from creditmeter.central.engine.row_statements import row_statement

_Columns = TypeVarTuple("_Columns")
_Given = TypeVarTuple("_Given")
_Result = TypeVar("_Result")


class AsyncConnection:
    """A connection. `sync_connection` is SQLAlchemy's own, which only `run_sync` may use."""

    def __init__(self, sync_connection: Connection) -> None:
        self.sync_connection = sync_connection

    @property
    def dialect(self) -> Dialect:
        """What SQLAlchemy knows of the engine."""
        return self.sync_connection.dialect

    @property
    def info(self) -> dict[Any, Any]:
        """What was noted about the driver's connection, for as long as that is open."""
        return self.sync_connection.info

    @overload
    async def execute(self, statement: TypedReturnsRows[*_Columns], parameters: Any = None) -> CursorResult[*_Columns]: ...

    @overload
    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]: ...

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement, once for each set of parameters. All of its rows are fetched."""
        return await greenlet_spawn(self.sync_connection.execute, statement, parameters)

    async def execute_for_each(self, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement for each row, which has the statement's parameters. The statement is one that stays."""
        for sql, values in row_statement(statement, self.dialect).calls(rows):
            await greenlet_spawn(self.sync_connection.exec_driver_sql, sql, values)

    async def exec_driver_sql(self, sql: str, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a text in the words of the engine."""
        return await greenlet_spawn(self.sync_connection.exec_driver_sql, sql, parameters)

    async def run_sync(self, function: Callable[[Connection, *_Given], _Result], *given: *_Given) -> _Result:
        """Call a function with `sync_connection`, and with what is given besides."""
        return await greenlet_spawn(function, self.sync_connection, *given)


class AsyncEngine:
    """A pool of connections."""

    def __init__(self, sync_engine: Engine) -> None:
        self.sync_engine = sync_engine

    @classmethod
    def of(cls, url: str | URL, connect: Callable[[], Awaitable[Any]], **options: Any) -> Self:
        """An engine whose driver's connections `connect` makes. `options` are SQLAlchemy's. Nothing is connected yet."""

        def creator() -> Any:
            driver: DBAPIModule | Any = engine.dialect.dbapi
            return driver.connect(async_creator_fn=connect)

        engine = create_engine(url, creator=creator, **options)
        return cls(engine)

    def execution_options(self, **options: Any) -> "AsyncEngine":
        """The same pool, for transactions with these options of SQLAlchemy's."""
        return AsyncEngine(self.sync_engine.execution_options(**options))

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction. It is committed when the block ends, and rolled back when the block raises."""
        async with self.connect() as connection:
            transaction = await greenlet_spawn(connection.sync_connection.begin)
            transaction.__enter__()
            try:
                yield connection
            except BaseException as error:
                await greenlet_spawn(transaction.__exit__, type(error), error, error.__traceback__)
                raise
            await greenlet_spawn(transaction.__exit__, None, None, None)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for as long as the block runs. It goes back to the pool also if the task is cancelled meanwhile."""
        connection = await greenlet_spawn(self.sync_engine.connect)
        try:
            yield AsyncConnection(connection)
        finally:
            await asyncio.shield(asyncio.create_task(greenlet_spawn(connection.close)))

    async def dispose(self, *, close: bool = True) -> None:
        """Close the connections that nobody uses, or forget them without `close`. The engine makes new ones."""
        await greenlet_spawn(self.sync_engine.dispose, close=close)
