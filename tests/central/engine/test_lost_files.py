"""An embedded store whose files are deleted or replaced under its connections: no transaction is believed any more."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralUnavailable
from tests.postgres import PostgresServer

NAMES = ("central.db", "central.db-wal", "central.db-shm")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A store with a table."""
    database = Database(f"sqlite:///{tmp_path / 'central.db'}")
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE things (id)"))
    yield database
    await database.close()


async def add(database: Database) -> None:
    """Write something."""
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO things VALUES (1)"))


async def count(database: Database) -> int:
    """Read something."""
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM things"))).scalar_one())


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_that_is_deleted(database: Database, tmp_path: Path, name: str) -> None:
    """What was written is not believed to be, nor what was read to be so."""
    assert database.missing_file() is None
    (tmp_path / name).unlink()
    assert database.missing_file() == tmp_path / name
    for use in (add, count):
        with pytest.raises(CentralUnavailable, match=f"{name} was deleted or replaced"):
            await use(database)


async def test_a_store_that_is_replaced(database: Database, tmp_path: Path) -> None:
    """A connection that is opened later is to the new file, and is not believed either."""
    path = tmp_path / "central.db"
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").rename(path)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(refused(database))
    assert database.missing_file() == path


async def refused(database: Database) -> None:
    """A reading that is not believed."""
    with pytest.raises(CentralUnavailable):
        await count(database)


async def test_a_file_that_is_put_back(database: Database, tmp_path: Path) -> None:
    """It is the same file."""
    path, elsewhere = tmp_path / "central.db", tmp_path / "elsewhere"
    path.rename(elsewhere)
    await refused(database)
    elsewhere.rename(path)
    await add(database)
    assert await count(database) == 1


async def test_a_log_that_is_made_anew(database: Database, tmp_path: Path) -> None:
    """SQLite deletes it with the last connection, as after a call that was broken off, and makes another one with the next."""
    assert database._files is not None
    closed = list(database._files._placements)  # as the fault of a call may hold them
    await database._files.close()
    await database.engine.dispose()
    assert not (tmp_path / "central.db-wal").exists()
    (tmp_path / "other").write_bytes(b"in the place on disk that the log had")
    await add(database)
    assert not any(each.is_open for each in closed)
    assert await count(database) == 1
    assert database.missing_file() is None


async def test_a_server_has_no_files(postgres_server: PostgresServer) -> None:
    """That this process would see."""
    database = Database(postgres_server.create_database())
    assert database.missing_file() is None
    await database.close()
