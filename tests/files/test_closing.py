"""The log is found empty before SQLite removes it, or it is left as it is."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.files.closing import LastConnection
from creditmeter.files.placement import Placement


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "some.db"


@pytest.fixture
def log(path: Path) -> Path:
    """The log beside it."""
    return path.with_name("some.db-wal")


@pytest.fixture
def last(path: Path) -> Iterator[LastConnection]:
    """The last connection of a database whose only row is in its log. The one that wrote it is closed."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE things (id)")
        writer.execute("INSERT INTO things VALUES (1)")
        last = LastConnection(path, Placement(path))
    with contextlib.closing(last):
        yield last


def things_without_log(path: Path) -> list[int]:
    """The rows that are in the database itself."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        return [each for (each,) in connection.execute("SELECT id FROM things")]


def test_the_log_is_empty_and_still_there(path: Path, log: Path, last: LastConnection) -> None:
    """All of it is in the database then. The close removes it."""
    assert log.stat().st_size
    assert last.empty_log()
    assert log.stat().st_size == 0
    assert things_without_log(path) == [1]
    last.close()
    assert not log.exists()
    assert things_without_log(path) == [1]


def test_somebody_who_reads_keeps_the_log(path: Path, log: Path, last: LastConnection) -> None:
    """It is no more than copied, and the close leaves it to the reader."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT id FROM things").fetchall()
        assert not last.empty_log()
        last.close()
        assert log.stat().st_size


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_the_log_of_files_that_were_moved_is_left_alone(path: Path, log: Path, last: LastConnection, suffix: str) -> None:
    """It may be all that can be saved."""
    moved = path.with_name(path.name + suffix)
    moved.rename(path.with_name("elsewhere"))
    assert not last.empty_log()
    path.with_name("elsewhere").rename(moved)
    assert log.stat().st_size
    assert last.empty_log()


def test_the_log_of_a_database_of_which_another_took_the_lock(path: Path, log: Path, last: LastConnection) -> None:
    """The database may be another process's by now."""
    lock = path.with_name("lock")
    with lock.open("w") as opened:
        placement = Placement(path)
        placement.add(lock, opened.fileno())
    lock.unlink()
    with contextlib.closing(LastConnection(path, placement)) as other:
        assert not other.empty_log()
    assert log.stat().st_size


def test_a_database_that_is_gone(path: Path) -> None:
    """None is made in its place."""
    with pytest.raises(sqlite3.Error):
        LastConnection(path, Placement(path))
    assert not path.exists()
