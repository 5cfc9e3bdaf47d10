"""Statements for many rows, as drivers take them."""

from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, update
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from creditmeter.central.engine.row_statements import RowStatement, row_statement

_TABLE = Table("things", MetaData(), Column("number", Integer, primary_key=True), Column("is_new", Boolean))
_SQLITE = aiosqlite.dialect()
_POSTGRESQL = asyncpg.dialect()  # type: ignore[no-untyped-call]  # the library's own, untyped


def rows(count: int) -> list[dict[str, Any]]:
    """So many rows, in the order of their numbers, whose columns are in another order than the table's."""
    return [{"is_new": number % 2 == 0, "number": number} for number in range(count)]


@pytest.mark.parametrize(
    ("count", "parts"), [(0, []), (1, [1]), (2, [2]), (3, [2, 1]), (7, [4, 2, 1]), (256, [256]), (600, [256, 256, 64, 16, 8])]
)
def test_sqlite_gets_few_statements_of_many_rows(count: int, parts: list[int]) -> None:
    """Each of a power of two, so that there are few texts, and every row once and in its place."""
    calls = list(RowStatement(_TABLE.insert(), _SQLITE).calls(rows(count)))
    assert [sql.count("(?, ?)") for sql, _ in calls] == parts
    values = [each for _, some in calls for each in some]
    assert values == [each for number in range(count) for each in (number, int(number % 2 == 0))]


def test_what_follows_the_rows_stays_behind_them() -> None:
    """As the columns to replace where there is a row already."""
    upsert = sqlite_insert(_TABLE)
    statement = RowStatement(
        upsert.on_conflict_do_update(index_elements=["number"], set_={"is_new": upsert.excluded.is_new}), _SQLITE
    )
    ((sql, _),) = statement.calls(rows(2))
    assert sql.endswith("VALUES (?, ?), (?, ?) ON CONFLICT (number) DO UPDATE SET is_new = excluded.is_new")


def test_an_update_is_run_for_each_row() -> None:
    """It has no rows to list."""
    ((sql, values),) = RowStatement(update(_TABLE).values(number=1, is_new=True), _SQLITE).calls(rows(3))
    assert sql.startswith("UPDATE")
    assert values == [(0, 1), (1, 0), (2, 1)]


def test_postgresql_gets_all_rows_with_one_statement() -> None:
    """Its driver sends them together."""
    ((sql, values),) = RowStatement(_TABLE.insert(), _POSTGRESQL).calls(rows(3))
    assert sql == "INSERT INTO things (number, is_new) VALUES ($1::INTEGER, $2::BOOLEAN)"
    assert values == [(0, True), (1, False), (2, True)]


def test_a_row_without_a_column_is_refused() -> None:
    """Nothing is written in its place."""
    with pytest.raises(KeyError, match="is_new"):
        list(RowStatement(_TABLE.insert(), _SQLITE).calls([{"number": 1}]))


def test_what_is_known_of_a_statement_is_kept() -> None:
    """For each dialect."""
    insert = _TABLE.insert()
    assert row_statement(insert, _SQLITE) is row_statement(insert, _SQLITE)
    assert row_statement(insert, _SQLITE) is not row_statement(insert, _POSTGRESQL)
