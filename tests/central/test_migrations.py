"""The schema: what the migrations make is what the program expects, however often and by however many they are applied."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex

from creditmeter.central import tables
from creditmeter.central.database import CentralMisconfigured
from creditmeter.central.store import CentralStore
from creditmeter.core.instants import Instant
from tests.central.accounts import ACME, lines, opened

MIGRATE = """
import asyncio, sys
from creditmeter.central.store import CentralStore

async def main():
    async with CentralStore(sys.argv[1], lambda: 0) as store:
        await store.migrate()

asyncio.run(main())
"""


@pytest.fixture
def central_url(new_central_url: str) -> str:
    """A store that has no schema yet."""
    return new_central_url


def at_no_time() -> Instant:
    """A clock for what needs none."""
    return Instant(0)


def differences(connection: Connection) -> list[object]:
    """Where the tables are not what the program expects. SQLite's index of an expression is left to its own test."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* expression-based index '?grants_with_credit")
        return list(compare_metadata(context, tables.metadata))


async def test_the_migrations_make_the_tables_that_the_program_expects(store: CentralStore) -> None:
    """Every table, column, type and index, on each engine."""
    async with store.database.write() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_index_of_an_expression_is_the_one_that_the_program_expects(tmp_path: Path) -> None:
    """SQLite tells of it only in words."""
    path = tmp_path / "central.db"
    async with CentralStore(f"sqlite:///{path}", at_no_time) as store:
        await store.migrate()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((made,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'grants_with_credit'").fetchall()
    (expected,) = (each for each in tables.grants.indexes if each.name == "grants_with_credit")
    assert made == str(CreateIndex(expected).compile(dialect=sqlite.dialect()))


async def test_migrating_again_changes_nothing(store: CentralStore) -> None:
    """What is in the store stays."""
    await opened(store, ACME, permanent=5)
    for _ in range(2):
        await store.migrate()
    assert await lines(store) == [("GRANTED", 5, 5)]
    async with store.database.write() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_programs_migrate_at_once(central_url: str) -> None:
    """One does, the others find it done."""
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(CentralStore(central_url, at_no_time)) for _ in range(6)]
        await asyncio.gather(*(each.migrate() for each in stores))
        async with stores[0].database.write() as connection:
            assert await connection.run_sync(differences) == []


def test_several_processes_migrate_at_once(central_url: str) -> None:
    """As when a host's sidecars start together on a new store."""
    command = [sys.executable, "-W", "error", "-c", MIGRATE, central_url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for each in started:
        _, complaint = each.communicate()
        assert (each.returncode, complaint) == (0, "")


async def test_a_store_of_a_newer_program_is_refused(store: CentralStore) -> None:
    """An older one would write what the newer does not expect."""
    async with store.database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CentralMisconfigured, match="is not of this version") as refused:
        await store.migrate()
    assert "\n" not in str(refused.value)


async def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    """If one of its tables has a name that is needed; half a schema is not left there."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE history (url TEXT)")
    async with CentralStore(f"sqlite:///{path}", at_no_time) as store:
        with pytest.raises(CentralMisconfigured, match="table history already exists"):
            await store.migrate()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("history",)]
