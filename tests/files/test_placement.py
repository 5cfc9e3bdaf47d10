"""Files that are deleted, replaced, cut off and put back while a database is open."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.files.placement import BESIDE, Placement


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A database that is open, with all its files."""
    path = tmp_path / "some.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE things (id)")
        yield path


def beside(path: Path, suffix: str) -> Path:
    """One of a database's files."""
    return path.with_name(path.name + suffix)


@pytest.mark.parametrize("suffix", BESIDE)
def test_a_file_that_is_deleted(path: Path, suffix: str) -> None:
    """Each is told by its path, as long as it is gone."""
    placement = Placement(path)
    assert placement.missing() is None
    beside(path, suffix).unlink()
    assert placement.missing() == beside(path, suffix)
    assert placement.missing() == beside(path, suffix)


@pytest.mark.parametrize("suffix", BESIDE)
def test_a_file_that_is_replaced_by_its_copy(path: Path, suffix: str) -> None:
    """The same bytes are another file: what is written goes to the first one."""
    placement = Placement(path)
    shutil.copy(beside(path, suffix), path.with_name("copy"))
    path.with_name("copy").rename(beside(path, suffix))
    assert placement.missing() == beside(path, suffix)


def test_a_file_that_is_put_back(path: Path) -> None:
    """Moved away and back it is the same file."""
    placement = Placement(path)
    path.rename(path.with_name("elsewhere"))
    assert placement.missing() == path
    path.with_name("elsewhere").rename(path)
    assert placement.missing() is None


def test_a_database_that_is_cut_off(path: Path) -> None:
    """It is the same file with nothing in it."""
    placement = Placement(path)
    path.write_bytes(b"")
    assert placement.missing() == path


def test_a_log_may_be_empty(path: Path) -> None:
    """A checkpoint may cut it off."""
    placement = Placement(path)
    beside(path, "-wal").write_bytes(b"")
    assert placement.missing() is None


def test_a_file_that_comes_later(tmp_path: Path) -> None:
    """It is known from then on; what never was there is not missed."""
    path = tmp_path / "some.db"
    placement = Placement(path)
    assert placement.missing() is None
    path.write_bytes(b"something")
    assert placement.missing() is None
    path.unlink()
    assert placement.missing() == path


def test_a_directory_that_is_moved(path: Path, tmp_path: Path) -> None:
    """All files go with it."""
    placement = Placement(path)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert placement.missing() == path
    moved.rename(tmp_path)
    assert placement.missing() is None


def test_some_of_the_files(path: Path) -> None:
    """Only those that were asked for count."""
    placement = Placement(path, ("",))
    beside(path, "-wal").unlink()
    assert placement.missing() is None
