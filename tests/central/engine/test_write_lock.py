"""Waiting for SQLite's lock: as long as the connection's patience, and for each transaction anew."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.central.engine.write_lock import BEGIN_TO_WRITE, LockingConnection
from creditmeter.central.engine.write_queue import SHARE

PATIENCE = 0.3


def connection_to(path: Path) -> LockingConnection:
    """A connection that begins no transaction on its own."""
    return sqlite3.connect(path, isolation_level=None, factory=LockingConnection, check_same_thread=False)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[LockingConnection]:
    """A connection that waits for a lock."""
    with contextlib.closing(connection_to(tmp_path / "file.db")) as connection:
        connection.wait_for(PATIENCE)
        yield connection


@pytest.fixture
def holding(tmp_path: Path, waiting: LockingConnection) -> Iterator[LockingConnection]:
    """Another connection, which has the lock."""
    assert waiting.patience_seconds == PATIENCE
    with contextlib.closing(connection_to(tmp_path / "file.db")) as connection:
        connection.cursor().execute(BEGIN_TO_WRITE)
        yield connection


def busy_timeout(connection: LockingConnection) -> int:
    """How long its other statements wait, in milliseconds."""
    return int(connection.execute("PRAGMA busy_timeout").fetchone()[0])


def test_it_gives_up_when_its_patience_is_over(waiting: LockingConnection, holding: LockingConnection) -> None:
    """Not before, though each of its waits is shorter, and other statements wait as long as ever."""
    assert holding.in_transaction
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked") as refused:
        waiting.cursor().execute(BEGIN_TO_WRITE)
    assert time.monotonic() - began >= (1 - SHARE) * PATIENCE
    assert refused.value.sqlite_errorcode == sqlite3.SQLITE_BUSY
    assert not waiting.in_transaction
    assert busy_timeout(waiting) == PATIENCE * 1_000


def test_it_begins_as_soon_as_the_lock_is_free(waiting: LockingConnection, holding: LockingConnection) -> None:
    """And waits for longer than one of its short waits."""
    waiting.wait_for(20.0)
    threading.Timer(0.1, lambda: holding.execute("ROLLBACK")).start()
    waiting.cursor().execute(BEGIN_TO_WRITE)
    assert waiting.in_transaction
    assert busy_timeout(waiting) == 20_000


def test_any_other_fault_is_raised_at_once(waiting: LockingConnection) -> None:
    """A transaction within a transaction, say."""
    waiting.wait_for(20.0)
    waiting.cursor().execute(BEGIN_TO_WRITE)
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        waiting.cursor().execute(BEGIN_TO_WRITE)
    assert time.monotonic() - began < 20.0
    assert waiting.cursor().execute("SELECT 1").fetchone() == (1,)
