"""The index finds every record that names a key, and says of most others that there is none, without a look at the disk."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.ids import AccountId, RequestId, ReservationId
from creditmeter.journal.faults import RecordDamaged
from creditmeter.journal.index import RecordIndex, Remembered, Segment, delete_segments, read_segments, write_entries
from creditmeter.journal.journal import Journal
from creditmeter.journal.keys import hash_of, made_key, request_key
from creditmeter.journal.schema import TABLES
from tests.journal.files import journal_at, loaded, run
from tests.journal.things import ACCOUNT, NOON, ended, reserving
from tests.properties import times_as_many

DIGITS = 100_000


@pytest.fixture
def disk() -> Iterator[sqlite3.Connection]:
    """The tables of a journal."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(TABLES)
        yield connection


def written(index: RecordIndex, disk: sqlite3.Connection) -> None:
    """Put what is in memory on disk."""
    write_entries(disk, index.take())
    index.taken_are_written()


@times_as_many(0.5)
@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 12), st.integers(1, 7))
def test_every_record_is_found_wherever_its_entries_are(names: list[int], segment_entries: int, every: int) -> None:
    """In memory, being written, on disk, or read again: the newest first."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as disk:
        disk.executescript(TABLES)
        index = RecordIndex()
        index.segment_entries = segment_entries
        for seq, name in enumerate(names, 1):
            index.add(seq, ended(f"r{name}"))
            if seq % every == 0:
                written(index, disk)
        index.take()  # and what was taken is still found
        expected = {f"r{name}": [seq for seq, each in enumerate(names, 1) if each == name] for name in range(6)}
        for key, numbers in expected.items():
            assert list(index.find(disk, key)) == numbers[::-1]
            assert list(index.find_request(disk, request_key(ACCOUNT, RequestId(f"{key}/reserve")))) == numbers[::-1]
        again = RecordIndex()
        again.replace(read_segments(disk))
        on_disk = len(names) - len(names) % every
        for key, numbers in expected.items():
            assert list(again.find(disk, key)) == [each for each in numbers[::-1] if each <= on_disk]


def test_all_reservations_of_an_account_are_found_from_a_number_on(disk: sqlite3.Connection) -> None:
    """Whatever became of them."""
    index = RecordIndex()
    index.segment_entries = 10
    for seq in range(1, 21):
        index.add(seq, reserving(f"r{seq}"))
    written(index, disk)
    assert list(index.find(disk, made_key(ACCOUNT))) == list(range(20, 0, -1))
    assert list(index.find(disk, made_key(ACCOUNT), before=5)) == [4, 3, 2, 1]


def test_few_keys_that_are_not_there_need_a_look_at_the_disk() -> None:
    """Of a full segment, fewer than one in a hundred; and none that is there is missed."""
    segment = Segment(1, 1)
    keys = [hash_of(f"key {number}") for number in range(65_536)]  # the other half are other keys
    for key in keys:
        segment.add_request(key, 1)
    assert all(map(segment.may_have, keys))
    mistaken = sum(segment.may_have(hash_of(f"another {number}")) for number in range(DIGITS))
    assert 0 < mistaken < DIGITS / 100


def test_a_segment_is_dropped_when_its_records_are(disk: sqlite3.Connection) -> None:
    """From memory and from disk, a part at a time, and never the last one."""
    index = RecordIndex()
    index.segment_entries = 30
    for seq in range(1, 31):
        index.add(seq, ended(f"r{seq}"))
    written(index, disk)
    assert [each.first_seq for each in read_segments(disk)] == [1, 11, 21]
    assert not delete_segments(disk, 10)
    assert delete_segments(disk, 11)
    assert not delete_segments(disk, 11)
    index.drop_before(11)
    assert [each.first_seq for each in read_segments(disk)] == [11, 21]
    assert index.remembered == Remembered(receipts=20, reservations=20)
    index.drop_before(1_000)
    assert index.remembered == Remembered(receipts=10, reservations=10)
    while delete_segments(disk, 1_000):
        pass
    assert [each.first_seq for each in read_segments(disk)] == [21]
    assert disk.execute("SELECT count(*) FROM entries").fetchone() == (30,)


def test_an_open_reservation_is_found_by_its_request_alone(disk: sqlite3.Connection) -> None:
    """It is in memory."""
    index = RecordIndex()
    index.add(1, reserving("r"))
    assert list(index.find(disk, "r")) == []
    (receipt,) = reserving("r").receipts
    assert list(index.find_request(disk, request_key(ACCOUNT, receipt.request.request_id))) == [1]


# What is believed of an index whose entries on disk are no more what was written.


@contextlib.asynccontextmanager
async def with_two_requests(path: Path) -> AsyncIterator[Journal]:
    """A journal whose index has two requests on disk, and a third one in memory."""
    async with journal_at(path) as journal:
        await loaded(journal)
        for name in ("a", "b"):
            journal.write(ended(name), NOON)
        await journal.durable()
        for name in ("c", "d"):
            journal.write_image([], NOON)
            journal.write(ended(name), NOON)
            await journal.durable()
        yield journal


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries",
        "UPDATE entries SET hash = hash + 1",
        "UPDATE entries SET hash = hash - 4611686018427387904",
        "UPDATE entries SET hash = 'none' || hash",
        "UPDATE entries SET seq = seq + 4",
        "UPDATE entries SET segment = segment + 1",
        "INSERT INTO entries SELECT segment, hash, seq + 10 FROM entries; DELETE FROM entries WHERE seq < 10",
    ],
)
async def test_what_is_not_found_in_a_damaged_index_is_not_taken_for_new(tmp_path: Path, statement: str) -> None:
    """Nor for unknown, nor for nothing: the call is refused, whatever the entry has now. The next start makes it anew."""
    path = tmp_path / "journal.db"
    async with with_two_requests(path) as journal:
        receipts = {name: ended(name).receipts[0] for name in "abcd"}
        archive = journal.archive
        for receipt in receipts.values():
            assert archive.receipt(ACCOUNT, receipt.request.request_id) == receipt
        assert archive.reservation(ReservationId("unknown")) is None
        run(path, statement)
        for name in "abc":
            with pytest.raises(RecordDamaged):
                archive.receipt(ACCOUNT, receipts[name].request.request_id)
            with pytest.raises(RecordDamaged):
                archive.reservation(ReservationId(name))
        with pytest.raises(RecordDamaged):
            list(archive.made_before(ACCOUNT, None))
        assert archive.receipt(ACCOUNT, receipts["d"].request.request_id) == receipts["d"], "it is in memory"
        assert archive.receipt(ACCOUNT, RequestId("new")) is None, "the filter in memory says so"
    async with journal_at(path) as journal:
        await loaded(journal)
        for receipt in receipts.values():
            assert journal.archive.receipt(ACCOUNT, receipt.request.request_id) == receipt


async def test_what_is_being_written_and_dropped_is_no_damage(tmp_path: Path) -> None:
    """A reader sees the disk as it is before or after a transaction, whenever it looks."""
    path = tmp_path / "journal.db"
    async with with_two_requests(path) as journal:
        archive = journal.archive
        for number in range(20):
            journal.write(ended(f"more-{number}"), NOON)
            journal.write_image([], NOON)
            writing = asyncio.ensure_future(journal.durable())
            while not writing.done():
                assert archive.reservation(ReservationId("unknown")) is None
                await asyncio.sleep(0)
            assert archive.reservation(ReservationId("unknown")) is None


def test_a_segment_that_is_being_deleted_is_no_damage(disk: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records are gone already."""
    monkeypatch.setattr("creditmeter.journal.index._ENTRIES_DROPPED_AT_ONCE", 2)
    index = RecordIndex()
    index.segment_entries = 10
    for seq in range(1, 21):
        index.add(seq, ended(f"r{seq}"))
    written(index, disk)
    while delete_segments(disk, 15):
        assert all(index.is_sound_at(disk, f"r{seq}") for seq in range(1, 21))
    index.drop_before(15)
    assert index.is_sound_at(disk, "r20")


def test_a_segment_with_many_entries_of_one_key_is_deleted(disk: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are deleted at once, as of an account that made many reservations."""
    monkeypatch.setattr("creditmeter.journal.index._ENTRIES_DROPPED_AT_ONCE", 2)
    index = RecordIndex()
    for segment in range(2):
        index.segment_entries = 30
        for seq in range(10):
            index.add(10 * segment + seq + 1, ended(f"r{segment}{seq}"))
    written(index, disk)
    rounds = 0
    while delete_segments(disk, 11):
        rounds += 1
        assert rounds < 100
    assert disk.execute("SELECT DISTINCT segment FROM entries").fetchall() == [(2,)]


async def test_two_ids_with_one_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are answered right, and so is a third one that was never made."""
    for module in ("index", "keys"):
        monkeypatch.setattr(f"creditmeter.journal.{module}.hash_of", lambda _key: 7)
    path = tmp_path / "journal.db"

    def assert_right(journal: Journal) -> None:
        for name in "abcd":
            receipt = ended(name).receipts[0]
            assert journal.archive.receipt(ACCOUNT, receipt.request.request_id) == receipt
            assert journal.archive.reservation(ReservationId(name)) == ended(name).reservations[0]
        assert journal.archive.receipt(ACCOUNT, RequestId("new")) is None
        assert journal.archive.receipt(AccountId("other"), ended("a").receipts[0].request.request_id) is None
        assert journal.archive.reservation(ReservationId("new")) is None
        assert len([each for each in journal.archive.made_before(ACCOUNT, None) if each is not None]) == len("abcd")

    async with with_two_requests(path) as journal:
        assert_right(journal)
    async with journal_at(path) as journal:
        await loaded(journal)
        assert_right(journal)
