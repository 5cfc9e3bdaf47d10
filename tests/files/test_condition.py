"""What is known of a database in use without asking SQLite."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from creditmeter.files.condition import LEAST_ROOM, is_written_over, unwritable


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A database in WAL mode that this process has open."""
    path = tmp_path / "some.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x);")
        yield path


def test_a_whole_database(path: Path) -> None:
    """Nothing is said of it."""
    assert not is_written_over(path)
    assert unwritable(path) is None


def test_a_database_that_was_written_over(path: Path) -> None:
    """In place, so it is the same file, and open still."""
    path.write_bytes(b"garbage " * 4096)
    assert is_written_over(path)


def test_a_database_that_nobody_has_open(tmp_path: Path) -> None:
    """Nothing is known of it, nor of one that is not there."""
    (tmp_path / "diary").write_bytes(b"Dear diary, today I")
    assert not is_written_over(tmp_path / "diary")
    assert not is_written_over(tmp_path / "missing")
    assert unwritable(tmp_path / "missing" / "some.db") is None


@pytest.mark.parametrize(
    ("flags", "free", "says"),
    [
        (os.ST_RDONLY, 10 * LEAST_ROOM, "is read-only"),
        (0, LEAST_ROOM - 4096, "is full"),
        (0, LEAST_ROOM, None),
    ],
)
def test_a_disk_that_takes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, free: int, says: str | None
) -> None:
    """A file system says so of itself. What is free is counted in its own blocks."""
    found = SimpleNamespace(f_flag=flags, f_blocks=1_000, f_bfree=free // 4096, f_bavail=free // 4096, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _path: found)
    reason = unwritable(path)
    assert reason is None if says is None else says in str(reason)
