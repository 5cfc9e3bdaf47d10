"""INSERT statements that keep or replace a row that is there already."""

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import Table

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import Row

if TYPE_CHECKING:  # of SQLAlchemy's two dialects a program loads the one that it uses
    from sqlalchemy.dialects import postgresql, sqlite

_Insert: TypeAlias = "sqlite.Insert | postgresql.Insert"


def insert_into(connection: AsyncConnection, table: Table) -> _Insert:
    """An INSERT in the dialect of the connection's engine, which has ON CONFLICT."""
    return _insert_into(table, connection.dialect.name)


async def upsert(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    """Insert rows. Where there is a row of the same primary key, replace those of its columns that may change."""
    if rows:
        await connection.execute_for_each(_upsert_into(table, connection.dialect.name), rows)


@cache  # at most two for each table: building such a statement takes longer than running it
def _upsert_into(table: Table, dialect: str) -> _Insert:
    insert = _insert_into(table, dialect)
    keys = list(table.primary_key.columns)
    others = {column.name: insert.excluded[column.name] for column in tables.changing(table)}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


def _insert_into(table: Table, dialect: str) -> _Insert:
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - see above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

    return postgresql.insert(table)
