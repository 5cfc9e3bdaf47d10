"""The index of the log: under which number the records are that name a request, an ended reservation, and the like.

Entries are pairs of a key's hash and a record's number. New ones are in memory. With each image they go to disk, sorted, into
the newest segment: so the disk has few pages to write, and a start reads only what came after the image. A segment takes
`SEGMENT_ENTRIES` entries; then another one begins. It is dropped when none of its records is left.

A request that is not found is taken for a new one. So before that is believed, the sum of all entries near its key must be what
was written (`Segment.is_sound_at`).

Most requests are new. A Bloom filter in memory for each segment says so without a look at the disk: of the requests that a full
segment does not have, it takes about one in 200 for one that it may have. The bits of three positions are set for each request;
other keys, which are rarely asked for in vain, have none. See Bloom, "Space/time trade-offs in hash coding with allowable
errors", CACM 13 (1970).
"""

import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter

from creditmeter.core.credit.requests import Reserve
from creditmeter.core.metering.book import Change
from creditmeter.journal.keys import Hashes, hash_of, hashes_of, other_keys_of, request_keys_of

SEGMENT_ENTRIES = 131_072
_FILTER_BITS = 20
_FILTER_BYTES = 2**_FILTER_BITS // 8
_MASK = 2**_FILTER_BITS - 1
_ENTRIES_DROPPED_AT_ONCE = 8_192

_BUCKET_SHIFT = 54
_BUCKETS = 2 ** (64 - _BUCKET_SHIFT)
_NO_SUMS = array("q", bytes(8 * _BUCKETS))

Sums = dict[int, "array[int]"]
"""For each segment the sums of its entries on disk (`sum_of`), by the highest bits of their hash."""

Entry = tuple[int, int]
"""The hash of a key, and the number of a record."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """How many things are named by records on disk. Those of a segment count until all of it is dropped."""

    receipts: int = 0
    reservations: int = 0
    charges: int = 0
    refunds: int = 0


@dataclass(slots=True)
class Segment:
    """The entries of a stretch of the log that begins with record `first_seq`.

    `new` are the entries that are in memory alone, `going` those that are being written, `sums` are those of all others by
    bucket, and `entries_sum` is that of all but the new ones.
    """

    number: int
    first_seq: int
    entries: int = 0
    receipts: int = 0
    reservations: int = 0
    charges: int = 0
    refunds: int = 0
    bits: bytearray = field(default_factory=lambda: bytearray(_FILTER_BYTES), kw_only=True)
    entries_sum: int = field(default=0, kw_only=True)
    sums: "array[int]" = field(default_factory=lambda: _NO_SUMS[:], kw_only=True)
    new: dict[int, list[int]] = field(default_factory=dict)
    going: dict[int, list[int]] = field(default_factory=dict)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How many things its records name, in the order of `Remembered`."""
        return self.receipts, self.reservations, self.charges, self.refunds

    def add(self, key_hash: int, seq: int) -> None:
        """Take an entry. Two keys of one record may have the same hash."""
        numbers = self.new.setdefault(key_hash, [])
        if not numbers or numbers[-1] != seq:
            self.entries += 1
            numbers.append(seq)

    def add_request(self, key_hash: int, seq: int) -> None:
        """Take an entry of a request, which `may_have` knows of."""
        self.add(key_hash, seq)
        bits = self.bits
        for position in (key_hash & _MASK, key_hash >> _FILTER_BITS & _MASK, key_hash >> 2 * _FILTER_BITS & _MASK):
            bits[position >> 3] |= 1 << (position & 7)

    def count(self, change: Change) -> None:
        """Count what a change names for the first time."""
        self.receipts += len(change.receipts)
        for receipt in change.receipts:
            self.reservations += isinstance(receipt.request, Reserve)
            self.charges += receipt.charge is not None
            self.refunds += receipt.refund is not None

    def may_have(self, key_hash: int) -> bool:
        """Whether it may have entries of a request. If not, it has none."""
        bits = self.bits
        for position in (key_hash & _MASK, key_hash >> _FILTER_BITS & _MASK, key_hash >> 2 * _FILTER_BITS & _MASK):
            if not bits[position >> 3] & 1 << (position & 7):
                return False
        return True

    def numbers(self, reading: sqlite3.Connection, key_hash: int) -> list[int]:
        """The numbers of its records with a key of this hash, the newest first."""
        query = "SELECT seq FROM entries WHERE segment = ? AND hash = ?"
        on_disk = (seq for (seq,) in reading.execute(query, (self.number, key_hash)))
        return sorted({*self.new.get(key_hash, ()), *self.going.get(key_hash, ()), *on_disk}, reverse=True)

    def is_sound_at(self, reading: sqlite3.Connection, key_hash: int) -> bool:
        """Whether the disk has the entries of this hash, and of those near it, as they were written. Takes some 40 us."""
        bucket = key_hash >> _BUCKET_SHIFT
        found = _sum_of_bucket(reading, self.number, bucket)
        going = ((each, seq) for each, seqs in self.going.items() if each >> _BUCKET_SHIFT == bucket for seq in seqs)
        known = self.sums[bucket]
        if found == known or found == known + sum(map(sum_of, going)):
            return True
        row = reading.execute("SELECT entries_sum FROM segments WHERE number = ?", (self.number,)).fetchone()
        return row is None or row[0] is None  # it is being dropped, with its records

    def note_written(self) -> None:
        """What was going to the disk is there."""
        for key_hash, seqs in self.going.items():
            self.sums[key_hash >> _BUCKET_SHIFT] += sum(sum_of((key_hash, seq)) for seq in seqs)
        self.going = {}


@dataclass(frozen=True, slots=True)
class SegmentUpdate:
    """What is to be written of a segment."""

    number: int
    first_seq: int
    entries: int
    counts: tuple[int, int, int, int]
    bits: bytes
    new: Sequence[Entry]
    entries_sum: int

    @property
    def checksum(self) -> int:
        """The CRC-32 of all but the entries."""
        return zlib.crc32(self.bits, zlib.crc32(repr((self.number, self.first_seq, self.entries, *self.counts)).encode()))


class RecordIndex:
    """Which records name a key. It is used by the event loop alone; the journal writes what `take` returns."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self.segment_entries = SEGMENT_ENTRIES

    def replace(self, segments: Iterable[Segment]) -> None:
        """Forget all entries but those of these segments."""
        self._segments = list(segments)

    def know(self, sums: Sums) -> None:
        """Take the sums of what the disk has of each segment."""
        for each in self._segments:
            each.sums = sums.get(each.number, each.sums)

    def add(self, seq: int, change: Change, hashes: Hashes | None = None) -> None:
        """Enter a record that is on disk. `hashes` are those of `hashes_of`, if the caller has them."""
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.entries >= self.segment_entries:
            segment = Segment(1 if segment is None else segment.number + 1, seq)
            self._segments.append(segment)
        requests, others = hashes or hashes_of(change)
        for each in requests:
            segment.add_request(each, seq)
        for each in others:
            segment.add(each, seq)
        segment.count(change)

    def has(self, reading: sqlite3.Connection, seq: int, change: Change) -> bool:
        """Whether a record was entered. One that names no key has nothing to enter."""
        key = next(chain(request_keys_of(change), other_keys_of(change)), None)
        return key is None or seq in self.find(reading, key)

    def find(self, reading: sqlite3.Connection, key: str, before: int | None = None) -> Iterator[int]:
        """The numbers of the records that name a key, or another one with the same hash, the newest first.

        `before`: only those of lower numbers.
        """
        key_hash = hash_of(key)
        for segment in self._segments[::-1]:
            if before is None or segment.first_seq < before:
                numbers = segment.numbers(reading, key_hash)
                yield from numbers if before is None else (seq for seq in numbers if seq < before)

    def find_request(self, reading: sqlite3.Connection, key: str) -> Iterator[int]:
        """The same for the key of a request. If it is new, which is usual, the disk is hardly ever looked at."""
        return self.find_in(reading, key, self.suspects(key))

    def find_in(self, reading: sqlite3.Connection, key: str, segments: Iterable[Segment]) -> Iterator[int]:
        """The numbers of the records in these segments that name a key, or another one with the same hash."""
        key_hash = hash_of(key)
        for segment in segments:
            yield from segment.numbers(reading, key_hash)

    def suspects(self, key: str) -> list[Segment]:
        """The segments that may have the key of a request, the newest first; usually there is none."""
        key_hash = hash_of(key)
        return [segment for segment in self._segments[::-1] if segment.may_have(key_hash)]

    def is_sound_at(self, reading: sqlite3.Connection, key: str, segments: Iterable[Segment] | None = None) -> bool:
        """Whether the entries of a key, in these segments or in all, are on disk as they were written."""
        key_hash = hash_of(key)
        return all(each.is_sound_at(reading, key_hash) for each in (self._segments if segments is None else segments))

    @property
    def remembered(self) -> Remembered:
        """How many things are remembered on disk."""
        counts = (each.counts for each in self._segments)
        return Remembered(*map(sum, zip(*counts, strict=True)))

    def take(self) -> list[SegmentUpdate]:
        """The entries that are in memory alone. They stay there until `taken_are_written`."""
        updates = []
        for each in self._segments:
            if each.new:
                each.going, each.new = each.new, {}
                entries = sorted((key_hash, seq) for key_hash, seqs in each.going.items() for seq in seqs)
                bits = bytes(each.bits)
                each.entries_sum += sum(map(sum_of, entries))
                updates.append(
                    SegmentUpdate(each.number, each.first_seq, each.entries, each.counts, bits, entries, each.entries_sum)
                )
        return updates

    def taken_are_written(self) -> None:
        """Forget the entries that `take` returned: they are on disk."""
        for each in self._segments:
            each.note_written()

    def drop_before(self, first_seq: int) -> None:
        """Forget the segments whose records all have lower numbers. The last one stays."""
        while len(self._segments) > 1 and self._segments[1].first_seq <= first_seq:
            del self._segments[0]


def sum_of(entry: Entry) -> int:
    """What an entry adds to the sum of its segment's."""
    key_hash, seq = entry
    return (key_hash & _LOW) + 3 * (key_hash >> _HALF & _LOW) + 7 * seq


_HALF, _LOW = 32, 2**32 - 1
_SUM = f"sum((hash & {_LOW}) + 3 * (hash >> {_HALF} & {_LOW}) + 7 * seq)"
"""`sum_of` in SQL, for all entries of a segment."""


def write_entries(connection: sqlite3.Connection, updates: Iterable[SegmentUpdate]) -> None:
    """Write what `RecordIndex.take` returned."""
    for each in updates:
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", ((each.number, *entry) for entry in each.new))
        connection.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (each.number, each.first_seq, each.entries, *each.counts, each.bits, each.checksum, each.entries_sum),
        )


def read_segments(connection: sqlite3.Connection, sums: Sums | None = None) -> list[Segment]:
    """The segments on disk, the oldest first. `sums` are those of their entries, if the caller knows them."""
    known = _sums(connection) if sums is None else sums
    rows = connection.execute(
        "SELECT filter, entries_sum, number, first_seq, entries, receipts, reservations, charges, refunds FROM segments"
    )
    return [
        Segment(*counts, bits=bytearray(bits), entries_sum=entries_sum or 0, sums=known.get(counts[0], _NO_SUMS[:]))
        for bits, entries_sum, *counts in sorted(rows, key=itemgetter(2))
    ]


def sound_sums(connection: sqlite3.Connection) -> Sums | None:
    """The sums of the entries on disk; None if a segment or an entry is not as it was written."""
    columns = "number, first_seq, entries, receipts, reservations, charges, refunds, filter, checksum, entries_sum"
    sums = {}
    for number, first_seq, entries, *counts, bits, checksum, entries_sum in connection.execute(
        f"SELECT {columns} FROM segments"  # noqa: S608 - the names are above
    ):
        if not isinstance(bits, bytes) or len(bits) != _FILTER_BYTES:
            return None
        row = SegmentUpdate(number, first_seq, entries, (counts[0], counts[1], counts[2], counts[3]), bits, (), 0)
        if checksum != row.checksum:
            return None
        sums[number] = entries_sum
    try:
        found = _sums(connection)
    except _NO_NUMBERS:
        return None
    is_whole = all(each is None or each == sum(found.get(number, ())) for number, each in sums.items())
    return found if found.keys() <= sums.keys() and is_whole else None


_NO_NUMBERS = (sqlite3.OperationalError, OverflowError, TypeError)
"""What adding up raises where something else is in the place of a number, or a number beyond 64 bits."""


def _sums(connection: sqlite3.Connection) -> Sums:
    """The sums of the entries on disk, of each segment that has any."""
    found: Sums = {}
    (number,) = connection.execute("SELECT min(segment) FROM entries").fetchone()
    while number is not None:
        half = _BUCKETS // 2
        buckets = (*range(half), *range(-half, 0))  # negative ones count from the end
        found[number] = array("q", (_sum_of_bucket(connection, number, each) for each in buckets))
        (number,) = connection.execute("SELECT min(segment) FROM entries WHERE segment > ?", (number,)).fetchone()
    return found


def _sum_of_bucket(connection: sqlite3.Connection, number: int, bucket: int) -> int:
    query = f"SELECT coalesce({_SUM}, 0) FROM entries WHERE segment = ? AND hash BETWEEN ? AND ?"  # noqa: S608 - named above
    first = bucket << _BUCKET_SHIFT
    return int(connection.execute(query, (number, first, first + 2**_BUCKET_SHIFT - 1)).fetchone()[0])


def seal(connection: sqlite3.Connection) -> None:
    """Give all segments, which had no checksums, those of what they are now. What cannot be right gets none that is."""
    try:
        sums = _sums(connection)
    except _NO_NUMBERS:
        return
    columns = "number, first_seq, entries, receipts, reservations, charges, refunds, filter"
    for number, first_seq, entries, *counts, bits in connection.execute(f"SELECT {columns} FROM segments").fetchall():  # noqa: S608
        if isinstance(bits, bytes):
            row = SegmentUpdate(number, first_seq, entries, (counts[0], counts[1], counts[2], counts[3]), bits, (), 0)
            cells = (row.checksum, sum(sums.get(number, ())), number)
            connection.execute("UPDATE segments SET checksum = ?, entries_sum = ? WHERE number = ?", cells)


def delete_index(connection: sqlite3.Connection) -> None:
    """Delete all segments and entries."""
    connection.execute("DELETE FROM entries")
    connection.execute("DELETE FROM segments")


def delete_segments(connection: sqlite3.Connection, first_seq: int) -> bool:
    """Delete the oldest segment if all of its records have lower numbers, a part of it at a time. Returns whether there is more
    to delete.
    """
    query = "SELECT number FROM segments WHERE number < (SELECT max(number) FROM segments WHERE first_seq <= ?) ORDER BY 1"
    oldest = connection.execute(query, (first_seq,)).fetchone()
    if oldest is None:
        return False
    part = "SELECT hash, seq FROM entries WHERE segment = ? ORDER BY hash, seq LIMIT 1 OFFSET ?"
    end = connection.execute(part, (*oldest, _ENTRIES_DROPPED_AT_ONCE)).fetchone()
    if end is None:
        connection.execute("DELETE FROM entries WHERE segment = ?", oldest)
        connection.execute("DELETE FROM segments WHERE number = ?", oldest)
    else:
        connection.execute("DELETE FROM entries WHERE segment = ? AND (hash, seq) < (?, ?)", (*oldest, *end))
        connection.execute("UPDATE segments SET entries_sum = NULL WHERE number = ?", oldest)
    return True
