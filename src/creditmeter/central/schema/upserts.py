"""INSERT statements that keep or replace a row that is there already."""

from functools import cache

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import Row


def insert_into(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT in the dialect of the connection's engine, which has ON CONFLICT."""
    return _insert_into(table, connection.dialect.name)


async def upsert(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    """Insert rows. Where there is a row of the same primary key, replace those of its columns that may change."""
    if rows:
        await connection.execute(_upsert_into(table, connection.dialect.name), rows)


@cache  # at most two for each table: building such a statement takes longer than running it
def _upsert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    insert = _insert_into(table, dialect)
    keys = list(table.primary_key.columns)
    others = {column.name: insert.excluded[column.name] for column in tables.changing(table)}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


def _insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
