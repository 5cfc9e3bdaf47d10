"""A journal of version 3 is brought up to this one, whenever the process that does it is killed on the way.

The files are written by the statements of that version.
"""

import contextlib
import itertools
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.metering.book import Book, Change
from creditmeter.forms.changes import Packing, encode_change
from creditmeter.journal import version_3
from creditmeter.journal.checking import check_journal
from creditmeter.journal.connection import connect, last_record
from creditmeter.journal.durability import Durability
from creditmeter.journal.faults import JournalUnusable, RecordDamaged
from creditmeter.journal.index import RecordIndex
from creditmeter.journal.rows import Identity
from creditmeter.journal.schema import RATE_CARDS, VERSION, Progress
from tests.journal.files import HERE, journal_at, loaded, overwrite_cell, run
from tests.journal.things import ACCOUNT, NOON, charge, ended, lease, reserving

FOLDERS = Path(__file__).parents[1] / "older_files"
TABLES = """
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, account_id TEXT NOT NULL, written_at INTEGER NOT NULL, checksum INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE image (
    part INTEGER PRIMARY KEY, seq INTEGER NOT NULL, account_id TEXT NOT NULL, written_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE segments (
    number INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, entries INTEGER NOT NULL, receipts INTEGER NOT NULL,
    reservations INTEGER NOT NULL, charges INTEGER NOT NULL, refunds INTEGER NOT NULL, filter BLOB NOT NULL
);
CREATE TABLE entries (
    segment INTEGER NOT NULL, hash INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (segment, hash, seq)
) WITHOUT ROWID;
"""
IDENTITY = """
CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1), sidecar_id TEXT NOT NULL, epoch INTEGER NOT NULL, pending_nonce TEXT NOT NULL,
    clock INTEGER NOT NULL, image_seq INTEGER NOT NULL DEFAULT 0, checksum INTEGER
);
"""
ENDED, COVERED = 5_000, 4_500
ACCOUNTS = [AccountId(f"user-{number}") for number in range(2_500)]


@cache
def changes() -> Sequence[Change]:
    """A hold for each account, requests that are over, and one thing of each kind that can still change, in this order."""
    lasting = Change(ACCOUNT, leases=(lease("l"),), charges=(charge("c"),))
    holds = (reserving(f"hold-{each}", account_id=each) for each in ACCOUNTS)
    return (*holds, *(ended(f"more-{number}") for number in range(ENDED)), lasting)


@cache
def live_changes(count: int | None = None) -> Sequence[Change]:
    """What can still change after so many of them, or all, by account."""
    return live_of(changes()[:count])


def live_of(log: Sequence[Change]) -> list[Change]:
    """What can still change, by account."""
    books: dict[AccountId, Book] = {}
    for change in log:
        book = books.setdefault(change.account_id, Book(change.account_id))
        book.apply(change)
        book.let_go(change)
    return [live for book in books.values() if (live := book.live)]


def row(number: int, change: Change) -> tuple[int, str, int, int, bytes]:
    """A row as version 3 wrote it."""
    body = Packing(change.account_id, HERE).pack(encode_change(change))
    checksum = zlib.crc32(body, zlib.crc32(f"{number} {change.account_id} {NOON} ".encode()))
    return number, change.account_id, NOON, checksum, body


def identity_row(image_seq: int) -> tuple[object, ...]:
    """Who the sidecar is, as version 3 wrote it."""
    cells = (*Identity(HERE, 3, "", NOON).cells, image_seq)
    return 1, *cells, zlib.crc32(repr(tuple(map(str, cells))).encode())


def write_index(connection: sqlite3.Connection, log: Sequence[Change]) -> None:
    """The index of records, in segments of which the first one is full."""
    index = RecordIndex()
    index.segment_entries = 9_000
    for seq, change in enumerate(log, 1):
        index.add(seq, change)
    for each in index.take():
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", ((each.number, *entry) for entry in each.new))
        cells = (each.number, each.first_seq, each.entries, *each.counts, each.bits)
        connection.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", cells)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of version 3, with an image, an index of what that covers, and records behind it."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    log = changes()
    seq = len(ACCOUNTS) + COVERED
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            f"PRAGMA application_id = 1668443498; PRAGMA user_version = 3; {RATE_CARDS} {TABLES} {IDENTITY}"
        )
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", (row(*each) for each in enumerate(log, 1)))
        image = (row(seq, live) for live in live_changes(seq))
        command = "INSERT INTO image (seq, account_id, written_at, checksum, body) VALUES (?, ?, ?, ?, ?)"
        connection.executemany(command, image)
        connection.execute("INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?, ?)", identity_row(seq))
        write_index(connection, log[:seq])
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(written, tmp_path / "journal.db"))


async def assert_whole(path: Path) -> None:
    """All that was written is there: what can still change, and what is over."""
    log = changes()
    async with journal_at(path, Durability.PROCESS) as journal:
        found = live_of(await loaded(journal))
        assert sorted(found, key=lambda each: each.account_id) == sorted(live_changes(), key=lambda each: each.account_id)
        assert not journal.set_aside
        assert journal.identity.epoch == 3
        assert journal.last_record == len(log)
        assert journal.archive.remembered.receipts == len(ACCOUNTS) + ENDED
        for change in log[:-1:50]:
            receipt = change.receipts[0]
            assert journal.archive.receipt(change.account_id, receipt.request.request_id) == receipt
    found_by_check = check_journal(path)
    assert found_by_check.is_clean
    assert (found_by_check.records, found_by_check.parts) == (len(log), len(live_changes(len(ACCOUNTS) + COVERED)))


def content_of(path: Path) -> bytes:
    """The bytes of a file."""
    return path.read_bytes()


def kills(batches: Iterator[int], after: int) -> Progress:
    """A progress that ends the process after so many batches."""

    def progress(_moved: int, _rows: int) -> None:
        if next(batches) == after:
            raise Killed

    return progress


class Killed(BaseException):
    """The process ends here."""


async def is_killed(path: Path, after: int) -> bool:
    """Bring a journal up to this version in a process that ends after so many batches; False if there were fewer."""
    try:
        connection = await connect(path, Durability.PROCESS, kills(itertools.count(1), after))
    except Killed:
        return True
    await connection.close()
    return False


async def test_everything_is_there(path: Path) -> None:
    """And the next start finds a journal of this version."""
    await assert_whole(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    await assert_whole(path)


@pytest.mark.long
async def test_everything_is_there_whenever_it_was_killed(path: Path, tmp_path: Path) -> None:
    """After any batch: the last record is known all the time, a check says what to do, and the next start goes on."""
    killed = 0
    while await is_killed(copy := Path(shutil.copy(path, tmp_path / f"{killed}.db")), killed + 1):
        killed += 1
        assert last_record(copy) == len(changes())
        with pytest.raises(JournalUnusable, match="is of an older version"):
            check_journal(copy)
        assert last_record(copy) == len(changes())
        await assert_whole(copy)
    assert killed == 5, "batches of records and parts"


async def test_a_process_that_was_killed_as_it_began(path: Path) -> None:
    """Before the first batch of the rest."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        version_3.begin(connection)
    assert last_record(path) == len(changes())
    await assert_whole(path)


async def test_a_journal_that_no_sidecar_took_an_identity_in(tmp_path: Path) -> None:
    """It gets one."""
    path = tmp_path / "journal.db"
    run(path, f"PRAGMA application_id = 1668443498; PRAGMA user_version = 3; {RATE_CARDS} {TABLES} {IDENTITY}")
    async with journal_at(path) as journal:
        assert journal.identity.sidecar_id == HERE
        assert await loaded(journal) == []


async def test_a_version_that_was_itself_on_its_way(tmp_path: Path) -> None:
    """A journal of version 2 that version 3 had begun to bring up: all of it comes to this one."""
    path = tmp_path / "journal.db"
    run(path, (FOLDERS / "0.1.0" / "journal.sql").read_text(encoding="utf-8"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        asked = connection.execute("SELECT account_id, request_id FROM receipts").fetchall()
        cells = connection.execute("SELECT sidecar_id, epoch, pending_nonce, clock, 0 FROM identity").fetchone()
        checksum = zlib.crc32(repr(tuple(map(str, cells))).encode())
        connection.executescript(
            f"{TABLES} ALTER TABLE identity ADD image_seq INTEGER NOT NULL DEFAULT 0; "
            f"ALTER TABLE identity ADD checksum INTEGER; UPDATE identity SET checksum = {checksum}; PRAGMA user_version = 3"
        )
    async with journal_at(path) as journal:
        assert len(await loaded(journal)) > 1
        for account_id, request_id in asked:
            assert journal.archive.receipt(AccountId(account_id), RequestId(request_id)) is not None


@pytest.mark.parametrize(
    ("damage", "row"),
    [
        ("UPDATE image SET body = x'00' WHERE part = 9", "9 of image"),
        ("UPDATE image SET account_id = 'other' WHERE part = 9", "9 of image"),
        ("DELETE FROM image WHERE part = 9", "9 of image"),
        ("UPDATE records SET body = x'00' WHERE seq = 7400", "7400 of records"),
        ("DELETE FROM records WHERE seq = 7400", "7400 of records"),
        ("UPDATE identity SET epoch = 4", "'1' of identity"),
        ("UPDATE identity SET image_seq = 7001", "'1' of identity"),
        ("DELETE FROM identity", "'1' of identity"),
        ("INSERT INTO rate_cards VALUES ('v1', x'00')", "'v1' of rate_cards"),
    ],
)
async def test_what_can_still_change_is_not_taken_over_damaged(path: Path, damage: str, row: str) -> None:
    """Such a file is refused in one line, and stays as it is."""
    run(path, damage)
    before = content_of(path)
    with pytest.raises(JournalUnusable, match=f"the row {row} cannot be read"):
        await connect(path, Durability.PROCESS, lambda _moved, _rows: None)
    assert content_of(path) == before


@pytest.mark.parametrize("column", ["account_id", "written_at", "checksum", "body"])
async def test_a_damaged_record_of_what_is_over_is_found_when_it_is_asked_for(path: Path, column: str) -> None:
    """It stays as damaged as it was, and everything else goes on."""
    wanted = len(ACCOUNTS) + 1
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE records SET {column} = CAST(x'ff00' AS TEXT) WHERE seq = ?", (wanted,))
    async with journal_at(path) as journal:
        await loaded(journal)
        with pytest.raises(RecordDamaged):
            journal.archive.receipt(ACCOUNT, ended("more-0").receipts[0].request.request_id)
        for name in ("more-1", "more-4999"):
            receipt = ended(name).receipts[0]
            assert journal.archive.receipt(ACCOUNT, receipt.request.request_id) == receipt
    assert len(check_journal(path).problems) == 1


async def test_an_index_of_another_shape_is_made_anew(path: Path) -> None:
    """Whatever stood in the place of a filter."""
    overwrite_cell(path, "segments", "filter", "none")
    await assert_whole(path)


async def test_a_file_of_this_version_may_have_the_number_3(tmp_path: Path) -> None:
    """Some programs wrote it. It is read as it is, and gets its number."""
    path = tmp_path / "new" / "journal.db"
    path.parent.mkdir()
    async with journal_at(path) as journal:
        journal.write(reserving("held"), NOON)
        await journal.durable()
    run(path, "PRAGMA user_version = 3")
    assert last_record(path) == 1
    async with journal_at(path) as journal:
        assert [each.reservations[0].reservation_id for each in await loaded(journal)] == ["held"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
