"""Opening the embedded store: several processes of a host may do so for the first time at once."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralDamaged
from creditmeter.central.schema.migrating import migrate

ROUNDS = 150
AT_ONCE = 8


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    """One changes its mode; no other fails because it is locked."""
    refused: list[BaseException] = []

    def use(path: Path, start: threading.Barrier) -> None:
        start.wait()
        try:
            with contextlib.closing(sqlite._open(path)) as connection:
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        except Exception as error:  # noqa: BLE001 - whatever it is
            refused.append(error)

    for number in range(ROUNDS):
        start = threading.Barrier(AT_ONCE)
        threads = [threading.Thread(target=use, args=(tmp_path / f"{number}.db", start)) for _ in range(AT_ONCE)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert refused == []


async def refusal(path: Path) -> str:
    """Why a file is not opened: one line that names it."""
    database = Database(f"sqlite:///{path}")
    try:
        with pytest.raises(CentralDamaged) as refused:
            await migrate(database)
    finally:
        await database.close()
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("DROP TABLE history", "it is damaged: it has no history.account_id. Restore it from a copy"),
        ("DROP TABLE plans; CREATE TABLE plans (something)", "it is damaged: it has no plans."),
        ("DROP TABLE alembic_version", "but no version of its schema: it is another program's, or damaged"),
        ("DELETE FROM alembic_version", "but no version of its schema: it is another program's, or damaged"),
        ("UPDATE alembic_version SET version_num = '9999'", "is not of this version"),
        ("UPDATE alembic_version SET version_num = x'ff00'", "is not of this version"),
        ("UPDATE alembic_version SET version_num = CAST(x'ff00' AS TEXT)", "is not a string"),
        ("INSERT INTO alembic_version VALUES ('0001')", "is not of this version"),
    ],
)
async def test_tables_that_are_not_the_versions_are_found(
    migrated_file: Path, tmp_path: Path, script: str, problem: str
) -> None:
    """At the start, rather than with the first call that needs them."""
    path = tmp_path / "central.db"
    shutil.copyfile(migrated_file, path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    before = path.read_bytes()
    assert problem in await refusal(path)
    assert path.read_bytes() == before


async def test_half_a_file_is_found(migrated_file: Path, tmp_path: Path) -> None:
    """As a copy that was cut off leaves it."""
    path = tmp_path / "central.db"
    shutil.copyfile(migrated_file, path)
    os.truncate(path, path.stat().st_size // 2)
    assert "malformed" in await refusal(path)


async def test_another_connection_drops_no_lock_of_the_first(tmp_path: Path) -> None:
    """As long as one is open, no other process may take the file out of WAL mode, or think that nobody uses its log."""
    path = tmp_path / "central.db"
    first = await sqlite.connect(path)
    await first.execute_fetchall("CREATE TABLE t (x)")
    second = await sqlite.connect(path)
    taking = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('PRAGMA journal_mode = DELETE')"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", taking, stderr=asyncio.subprocess.PIPE)
    _, said = await other.communicate()
    assert b"database is locked" in said
    for each in (first, second):
        await each.close()
