"""A group: what is written to the journal in one transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from creditmeter.core.ids import ChargeId, SidecarId
from creditmeter.core.instants import HOUR, Instant
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.spending import NOTHING_SPENT, Spent
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.journal.index import SegmentUpdate, write_entries
from creditmeter.journal.kept_spending import put_kept_spending
from creditmeter.journal.kept_time import read_kept_time
from creditmeter.journal.keys import Hashes
from creditmeter.journal.records import (
    Encoded,
    append,
    bytes_after_image,
    drop_old,
    image_bytes,
    last_written,
    replace_image,
)
from creditmeter.journal.rows import (
    DroppedCard,
    Identity,
    delete_rate_cards,
    put_identity,
    read_extent,
    read_identity,
    write_rate_cards,
)

MIN_BYTES_BETWEEN_IMAGES = 1024 * 1024
"""Bytes of records that are always worth more than another image: a start reads so many in a fraction of a second."""

RECORDS_TO_IMAGE = 2
"""How many times as large as the last image the records after it are before there is another one."""

IMAGE_INTERVAL = HOUR
"""After this time there is another image, if anything was written, so that old records can be dropped."""


@dataclass(slots=True)
class Group:
    """What is to be written together: the records of changes, and so on. `waiting` are told once it is on disk, or cannot be.

    `hashes` are those under which the index has the records. `lost` is a file of the journal that was found gone meanwhile.
    `image` is all that can still change once the group is written, and `spent` what was spent until then; `entries` are
    those of the index that come with it. Records from before `drop_before` are dropped.
    """

    records: list[Encoded] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    hashes: list[Hashes] = field(default_factory=list)
    cards: list[KeptCard | DroppedCard] = field(default_factory=list)
    identity: Identity | None = None
    image: Sequence[Change] | None = None
    spent: Spent = NOTHING_SPENT
    entries: Sequence[SegmentUpdate] = ()
    drop_before: Instant = Instant(0)
    lost: Path | None = None
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def on_disk(self) -> asyncio.Future[None]:
        """What is done once the group is on disk. It is the caller's own, who may cancel it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiting)
        return waiting

    def end(self, failure: Callable[[], Exception] | None = None) -> None:
        """Tell all who wait that it is on disk, or that it failed."""
        for each in self.waiting:
            if each.done():
                continue  # its caller was cancelled
            if failure is None:
                each.set_result(None)
            else:
                each.set_exception(failure())

    @property
    def has_work(self) -> bool:
        """Whether there is anything to write or to drop."""
        return len(self) > 0 or self.drop_before > 0

    @property
    def is_one_record(self) -> bool:
        """Whether it is a record and nothing else."""
        return len(self.records) == len(self) == 1 and not self.drop_before

    def __len__(self) -> int:
        return len(self.records) + len(self.cards) + (self.identity is not None) + (self.image is not None)


class UnpostedCharges:
    """The charges that are on disk, or on their way there, and are not posted yet."""

    def __init__(self) -> None:
        self._ids: set[ChargeId] = set()

    def note(self, change: Change) -> frozenset[ChargeId]:
        """Take in the charges of a change. Returns those of them that were known and unposted before it."""
        known = frozenset(each.charge_id for each in change.charges if each.charge_id in self._ids)
        for each in change.charges:
            (self._ids.add if each.posting is None else self._ids.discard)(each.charge_id)
        return known

    def clear(self) -> None:
        """Forget all."""
        self._ids.clear()


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How far the log goes: its first and last record, the bytes since the last image, and the bytes and moment of that.

    `is_dropping`: there are more old records to drop. `noted_seq` is the last record that the identity tells of.
    """

    seq: int = 0
    bytes_since_image: int = 0
    image_bytes: int = 0
    image_at: Instant = Instant(0)
    first_seq: int = 0
    is_dropping: bool = False
    noted_seq: int = 0

    def wants_image(self, now: Instant, min_bytes: int) -> bool:
        """Whether more than `min_bytes` and some images were written since the last one, or anything, and that one is old."""
        since = self.bytes_since_image
        is_old = abs(now - self.image_at) >= IMAGE_INTERVAL  # a clock may have been set back
        return since > 0 and (is_old or since > max(min_bytes, self.image_bytes * RECORDS_TO_IMAGE))


def write_group(connection: sqlite3.Connection, group: Group, sidecar_id: SidecarId, end: LogEnd) -> LogEnd:
    """Write a group as one transaction to a log that ends so, which goes on with its records. Returns how far it goes then."""
    if group.is_one_record:
        return _with_records(connection, group, sidecar_id, end)  # one statement, which is a transaction of its own
    connection.execute("BEGIN IMMEDIATE")
    try:
        if group.identity is not None:
            put_identity(connection, group.identity)
            end = replace(end, noted_seq=end.seq)
        write_rate_cards(connection, (each for each in group.cards if isinstance(each, KeptCard)))
        delete_rate_cards(connection, (each for each in group.cards if isinstance(each, DroppedCard)))
        end = _with_records(connection, group, sidecar_id, end)
        if group.drop_before:
            dropped = drop_old(connection, group.drop_before)
            end = replace(end, first_seq=dropped.first_seq, is_dropping=dropped.has_more)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return end


def _with_records(connection: sqlite3.Connection, group: Group, sidecar_id: SidecarId, end: LogEnd) -> LogEnd:
    """Write the records of a group, and its image.

    The image counts as made before the group's records, which a start applies to it once more: the index has no entries of
    them yet. Each names the newest version of a thing in its turn, so the last one stands in the end.
    """
    size = append(connection, sidecar_id, group.records)
    seq = end.seq + len(group.records)
    if group.image is None:
        return replace(end, seq=seq, bytes_since_image=end.bytes_since_image + size, is_dropping=False)
    assert group.identity is not None, "an image comes with the clock"
    at = group.identity.clock
    image_size = replace_image(connection, sidecar_id, end.seq, at, group.image)
    put_kept_spending(connection, group.spent)
    write_entries(connection, group.entries)
    return LogEnd(seq, size, image_size, at, end.first_seq, noted_seq=end.noted_seq)


def load_identity(connection: sqlite3.Connection, new: Identity) -> tuple[Identity, LogEnd]:
    """The identity in the file, and how far its log goes; a new file gets the identity `new`."""
    found = read_identity(connection)
    if found is None:
        put_identity(connection, new)
        return new, LogEnd()
    seq, written_at = last_written(connection)
    identity = replace(found, clock=max(found.clock, written_at), time=read_kept_time(connection))
    noted = read_extent(connection).log_end
    return identity, LogEnd(seq, bytes_after_image(connection), image_bytes(connection), found.clock, noted_seq=noted)
