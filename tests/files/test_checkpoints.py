"""Logs that are copied into their databases beside transactions, begin anew, and are kept by somebody who reads."""

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from creditmeter import files
from creditmeter.files.checkpoints import ROOM, Checkpoints, Log

COPIED_FROM = 50
WAITED_FROM = 200


def opened(path: Path) -> sqlite3.Connection:
    """A connection that leaves checkpoints to others."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "some.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """The connection that writes."""
    with contextlib.closing(opened(path)) as connection:
        connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, body BLOB)")
        yield connection


@pytest.fixture
def checkpoints(path: Path, writer: sqlite3.Connection) -> Iterator[Checkpoints]:
    """The database's, of logs that are short."""
    assert writer.in_transaction is False
    found = Checkpoints(path, copied_from=COPIED_FROM, waited_from=WAITED_FROM)
    yield found
    found.close()


def write(writer: sqlite3.Connection, count: int = 1) -> None:
    """Write so many pages, and a few more, each in a transaction of its own."""
    for _ in range(count):
        writer.execute("INSERT INTO things (body) VALUES (zeroblob(4000))")


def copied(checkpoints: Checkpoints) -> None:
    """Wait until nothing is copied in the background."""
    if checkpoints._copying is not None:
        checkpoints._copying.join()


def things_in(path: Path) -> int:
    """How many things are in the database without its log."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            return 0
        found: int = connection.execute("SELECT count(*) FROM things").fetchone()[0]
        return found


def test_the_pages_of_a_log_are_counted_as_sqlite_counts_them(path: Path, writer: sqlite3.Connection) -> None:
    """Those of a log that began anew in a file that is longer, too."""
    for count in (1, 40, 7, 3):
        write(writer, count)
        before = Log.of(path)
        assert before.pages == writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[1] > 0
        write(writer)
        after = Log.of(path)
        assert after.salts != before.salts
        assert 0 < after.pages < 5


@pytest.mark.parametrize("content", [None, b"", b"short", b"\0" * 100])
def test_what_is_no_log_has_no_pages(path: Path, content: bytes | None) -> None:
    """A file that is missing, empty or cut off."""
    if content is not None:
        path.with_name("some.db-wal").write_bytes(content)
    assert Log.of(path).pages == 0


def test_a_transaction_copies_nothing(path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints) -> None:
    """However long the log is: only `look` does."""
    write(writer, 1_500)
    assert things_in(path) == 0
    checkpoints.look()
    copied(checkpoints)
    assert things_in(path) == 1_500


def test_a_short_log_is_left_alone(path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints) -> None:
    """It costs more to copy pages again and again than to have them in the log."""
    write(writer, 10)
    checkpoints.look()
    assert checkpoints._copying is None
    assert things_in(path) == 0


def test_a_log_is_copied_beside_transactions_and_begins_anew(
    path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints
) -> None:
    """What is committed while it is copied is copied after the next transaction. So the log's file stays short."""
    for number in range(2_000):
        write(writer)
        if checkpoints.is_time():
            checkpoints.look()
        if number % 7 == 0:
            copied(checkpoints)
    assert path.with_name("some.db-wal").stat().st_size < (WAITED_FROM + 2 * COPIED_FROM) * 4_120
    assert writer.execute("SELECT count(*) FROM things").fetchone() == (2_000,)
    assert writer.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_was_committed_meanwhile_is_copied_by_the_writer(
    path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints
) -> None:
    """A few pages, after which the next transaction begins the log anew. Somebody who reads is as a copy that is not done."""
    write(writer, COPIED_FROM)
    with contextlib.closing(opened(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM things").fetchone()
        write(writer, 3)
        checkpoints.look()
        copied(checkpoints)
    assert things_in(path) < COPIED_FROM + 3
    long = Log.of(path)
    assert checkpoints.is_time()
    checkpoints.look()
    assert things_in(path) == COPIED_FROM + 3
    write(writer)
    assert Log.of(path).salts != long.salts


def test_a_reader_keeps_the_log_until_it_ends(
    path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody reads in one snapshot, the log grows, and the operator is told once. Then it begins anew."""
    monkeypatch.setattr(files.checkpoints, "LONGEST_WAIT_MILLISECONDS", 5)
    with contextlib.closing(opened(path)) as reader, capture_logs() as logs:
        write(writer)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM things").fetchone()
        for _ in range(WAITED_FROM * 2):
            write(writer)
            checkpoints.look()
            copied(checkpoints)
        long = Log.of(path)
        assert long.pages > WAITED_FROM
        assert [each["event"] for each in logs] == ["somebody reads from a database for long: its log grows"]
        reader.execute("COMMIT")
    for _ in range(COPIED_FROM * 2):
        write(writer)
        checkpoints.look()
        copied(checkpoints)
    assert Log.of(path).salts != long.salts


def test_a_system_without_another_thread(
    path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer copies all of it."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    write(writer, COPIED_FROM)
    checkpoints.look()
    assert things_in(path) == 0
    checkpoints.look()
    assert things_in(path) == COPIED_FROM


def test_the_last_connection_copies_the_rest(path: Path, writer: sqlite3.Connection, checkpoints: Checkpoints) -> None:
    """As ever: after a close the database is one file."""
    write(writer, 10)
    checkpoints.close()
    writer.close()
    assert not path.with_name("some.db-wal").exists()
    assert things_in(path) == 10


def test_there_is_room_behind_a_log(path: Path, writer: sqlite3.Connection, tmp_path: Path) -> None:
    """So its file does not grow with each transaction; and what a crash leaves is all that was committed."""
    log = path.with_name(f"{path.name}-wal")
    with contextlib.closing(Checkpoints(path, keeps_room=True)) as checkpoints:
        sizes = set()
        for _ in range(100):
            write(writer)
            checkpoints.look()
            assert Log.of(path).room >= ROOM // 2
            sizes.add(log.stat().st_size)
        assert len(sizes) <= 10
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for each in (path, log):
            shutil.copy(each, crashed)
    with contextlib.closing(sqlite3.connect(crashed / path.name)) as copy:
        assert copy.execute("SELECT count(*) FROM things").fetchone() == (100,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_no_room_is_made_in_another_log(path: Path, writer: sqlite3.Connection, tmp_path: Path) -> None:
    """One that stands in the place of the log that SQLite has open is not this process's to write."""
    log = path.with_name(f"{path.name}-wal")
    write(writer)
    with contextlib.closing(Checkpoints(path, keeps_room=True)) as checkpoints:
        Path(shutil.copy(log, tmp_path / "another")).replace(log)
        before = log.read_bytes()
        checkpoints.look()
        assert log.read_bytes() == before


def test_no_room_is_made_while_somebody_writes(path: Path, writer: sqlite3.Connection) -> None:
    """What is written to the end of the file then could be written over."""
    write(writer)
    with contextlib.closing(Checkpoints(path, keeps_room=True)) as checkpoints:
        writer.execute("BEGIN IMMEDIATE")
        checkpoints.look()
        assert Log.of(path).room == 0
        writer.execute("COMMIT")
        checkpoints.look()
        assert Log.of(path).room >= ROOM
