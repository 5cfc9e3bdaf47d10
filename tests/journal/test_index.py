"""The index finds every record that names a key, and says of most others that there is none, without a look at the disk."""

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import RequestId
from creditmeter.core.metering.book import Change
from creditmeter.core.values import replace
from creditmeter.journal.index import (
    RecordIndex,
    Remembered,
    Segment,
    delete_segments,
    hash_of,
    made_key,
    read_segments,
    request_key,
    write_entries,
)
from creditmeter.journal.schema import TABLES
from tests.journal.things import ACCOUNT, NOON, held, reserving

DIGITS = 100_000


def ended(name: str) -> Change:
    """A reservation that was released as soon as it was made."""
    return replace(reserving(name), reservations=(held(name).end(ReservationState.RELEASED, NOON),))


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


@settings(max_examples=50)
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
