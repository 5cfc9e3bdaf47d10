"""Group commit: changes that come together are written in one transaction and share one sync to disk.

`write` puts a change into the group that is being gathered. One group at a time is with the journal's thread; the next one goes
there as soon as it is back. If one cannot be written, it fails with all that came later, because later decisions saw it: from
then on the journal refuses everything, until `reopen` shows that writing works again and `load` takes the books anew.

A group is acknowledged once it is on disk, and the files were seen meanwhile where they were opened, for a restart to find. If
one is deleted or replaced, the group fails as if it could not be written.

What has ended is in `archive` once its group is written, and `on_written` is told of it: the books hold what may still change.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from creditmeter.core.clocks import KeptTime
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.spending import NOTHING_SPENT, Spending, Spent
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.files.checkpoints import TRANSACTIONS_TO_LOOK, Checkpoints
from creditmeter.files.placement import Placement
from creditmeter.journal.archive import Archive
from creditmeter.journal.connection import Connection, bytes_on_disk, connect, first_line, log_fault, open_to_read
from creditmeter.journal.durability import Durability
from creditmeter.journal.faults import FileMissing, JournalUnusable, StorageUnavailable, damaged
from creditmeter.journal.groups import MIN_BYTES_BETWEEN_IMAGES, Group, LogEnd, UnpostedCharges, load_identity, write_group
from creditmeter.journal.index import RecordIndex, Sums
from creditmeter.journal.keys import hashes_of
from creditmeter.journal.loading import examining, faults_of_reading, load, load_index
from creditmeter.journal.quarantine import set_aside, tell
from creditmeter.journal.records import Record, encoded
from creditmeter.journal.reindexing import mend_index
from creditmeter.journal.rows import DroppedCard, Identity, read_rate_cards
from creditmeter.journal.upgrade_log import logged_progress

MAX_WAITING = 10_000
"""Changes that may wait to be written. When there are as many, new work is refused as OVERLOADED."""

_Found = TypeVar("_Found")


class Journal:
    """The journal's writer. The event loop gathers groups, and one thread writes them."""

    def __init__(
        self,
        connection: Connection,
        reading: sqlite3.Connection,
        checkpoints: Checkpoints,
        identity: Identity,
        end: LogEnd,
        path: Path,
        examined: "asyncio.Task[Sums | None] | None" = None,
    ) -> None:
        self._connection = connection
        self._reading = reading
        self._path = path
        self.placement = Placement(path)
        self._checkpoints = checkpoints
        self._identity = identity
        self._clock = identity.clock
        self._end = end
        self._last_seq = end.seq
        self._gathering = Group()
        self._writing: Group | None = None
        self._loop = asyncio.get_running_loop()
        self._is_shared = self._is_closing = False
        self._failure: Callable[[], StorageUnavailable] | None = None
        self._unposted = UnpostedCharges()
        self._index = RecordIndex()
        self.min_bytes_between_images = MIN_BYTES_BETWEEN_IMAGES
        self.archive = Archive(reading, identity.sidecar_id, self._index)
        self.on_written: Callable[[Change], None] = lambda _change: None
        self.set_aside: frozenset[AccountId] = frozenset()
        self._examined: asyncio.Task[Sums | None] | None = examined
        self._is_mended = self._is_loaded = False

    @classmethod
    async def open(cls, path: Path, new_sidecar_id: SidecarId, durability: Durability = Durability.FULL) -> Self:
        """Open the journal at `path`; a new one is of the sidecar `new_sidecar_id`.

        Raises:
            JournalUnusable: the file is damaged, is no journal, is of a newer version, or cannot be written.
        """
        async with examining(path) as examined:  # beside the look at the file as a whole
            connection = await connect(path, durability, logged_progress())
            try:
                identity, end = await connection.run(load_identity, Identity(new_sidecar_id))
                checkpoints = Checkpoints(path, every=TRANSACTIONS_TO_LOOK, keeps_room=True)
                reading = open_to_read(path)
            except sqlite3.Error as error:
                await connection.close()
                raise JournalUnusable(f"the journal {path} cannot be used: {error}") from error
            except Exception as error:
                await connection.close()
                raise JournalUnusable(damaged(path, first_line(error))) from error
        return cls(connection, reading, checkpoints, identity, end, path, examined)

    @property
    def identity(self) -> Identity:
        """The newest identity that was given to the journal."""
        return replace(self._identity, clock=self._clock)

    @property
    def last_record(self) -> int:
        """The number of the last record that is on disk; 0 if there was none yet."""
        return self._end.seq

    @property
    def has_failed(self) -> bool:
        """Whether a write failed, and the books were not loaded anew since."""
        return self._failure is not None

    @property
    def is_full(self) -> bool:
        """Whether as many changes wait to be written as may."""
        return len(self._gathering) >= MAX_WAITING

    def write(self, change: Change, clock: Instant) -> None:
        """Add a change to the group that is written next. It is on disk when `durable` returns.

        Raises:
            StorageUnavailable: an earlier write failed.
            TypeError: something in it cannot be stored.
        """
        self.check()
        self._gathering.records.append(encoded(self._last_seq + 1, Record(change, clock, self._unposted.note(change))))
        self._gathering.changes.append(change)
        self._last_seq += 1
        self._clock = clock
        self._wake()

    def wants_image(self, now: Instant) -> bool:
        """Whether so much was written since the last image that another one is worth its bytes, or it is old."""
        return self._end.wants_image(now, self.min_bytes_between_images)

    def write_image(self, live: Sequence[Change], clock: Instant, spent: Spent = NOTHING_SPENT) -> None:
        """Replace the image, with the group that is written next. `live` is all that can still change, as it is now, and
        `spent` what credentials have spent.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        self.check()
        self._clock = clock
        self._gathering.identity = self.identity
        self._gathering.image, self._gathering.spent = live, spent
        self._wake()

    def drop(self, before: Instant) -> None:
        """Drop the records from before a moment that the image covers, with the groups that are written next.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        self.check()
        self._gathering.drop_before = before
        self._wake()

    async def put_rate_card(self, card: KeptCard) -> None:
        """Keep a rate card, and wait until it is on disk: nothing may be pinned to it before.

        Raises:
            StorageUnavailable: it could not be written.
        """
        self.check()
        self._gathering.cards.append(card)
        await self.durable()

    def drop_rate_card(self, version: str) -> None:
        """Delete a rate card, with the group that is written next.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        self.check()
        self._gathering.cards.append(DroppedCard(version))
        self._wake()

    async def rate_cards(self) -> list[KeptCard]:
        """The rate cards that are kept.

        Raises:
            StorageUnavailable: the file could not be read.
            JournalUnusable: one is not as it was written.
        """
        return await self._read(read_rate_cards)

    def keep_time(self, known: KeptTime) -> None:
        """Keep what is known of the time of day, with the group that is written next. Nothing is kept after a failed write, or
        once the journal is closed.
        """
        if self._failure is None and not self._is_closing:
            self._identity = replace(self._identity, time=known)
            self._gathering.identity = self.identity
            self._wake()

    async def put_identity(self, identity: Identity) -> None:
        """Write the sidecar's identity, and wait until it is on disk. The clock and the time stay what they are.

        Raises:
            StorageUnavailable: it could not be written.
        """
        self.check()
        self._identity = replace(identity, time=self._identity.time)
        self._gathering.identity = self.identity
        await self.durable()

    async def durable(self) -> None:
        """Wait until everything given to the journal so far is on disk.

        Raises:
            StorageUnavailable: it could not be written.
        """
        self.hand_over()
        newest = self._gathering or self._writing
        if newest is not None:
            await newest.on_disk()
        self.check()

    async def load(self, apply: Callable[[Change], None]) -> Spending:
        """Call `apply` with all that can still change of what is on disk, as changes to empty books, and with what was written
        since the last image. After `reopen` the journal takes changes again only from here on, so that no decision rests on a
        book that knows more than the disk. Nothing else runs between two calls. Returns what credentials have spent.

        An account of which a row cannot be read is in `set_aside` afterwards, and what was applied of it does not count.

        Raises:
            StorageUnavailable: the file could not be read.
            JournalUnusable: a row is not as it was written, and does not say whose it is.
        """
        mending = asyncio.create_task(self._mend_index())
        await asyncio.sleep(0)  # from here on a thread looks at the index, beside what follows
        try:
            with faults_of_reading(self._path):
                damage, spending = load(self._reading, self._identity.sidecar_id, self._index, self._unposted, apply)
        finally:
            await asyncio.gather(mending, return_exceptions=True)
        sums = mending.result()
        with faults_of_reading(self._path):
            if sums is None:
                load_index(self._reading, self._identity.sidecar_id, self._index)
            else:
                self._index.know(sums)
            if damage.rows:
                await self._connection.run(set_aside, damage.accounts)
        told = tell(damage, self.set_aside)
        self.set_aside = self.archive.set_aside = told
        self._is_loaded = True
        if self._is_mended:
            self._failure, self._is_mended = None, False
        return spending

    async def _read(self, read: Callable[[sqlite3.Connection], _Found]) -> _Found:
        with faults_of_reading(self._path):
            return await self._connection.run(read)

    async def _mend_index(self) -> Sums | None:
        """Make the index on disk anew if it is damaged. Returns the sums of its entries, None if that was done."""
        examined, self._examined = self._examined, None
        sums = None if examined is None else await examined
        if sums is not None:
            return sums
        return await self._read(partial(mend_index, sidecar_id=self._identity.sidecar_id))

    async def reopen(self) -> None:
        """Try whether writing works again after a failure. If so, the caller loads its books anew.

        Raises:
            StorageUnavailable: it still does not.
        """
        self._check_placement()
        try:
            self._identity, self._end = await self._connection.run(load_identity, self._identity)
            self._clock = self._identity.clock
            trial = Group(identity=self._identity)
            self._end = await self._connection.run(write_group, trial, self._identity.sidecar_id, self._end)
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        self._check_placement()
        self._last_seq = self._end.seq
        self._is_mended = True

    async def size(self) -> int:
        """How many bytes the journal takes on disk, with what is not checkpointed yet; 0 where the system does not know."""
        return await asyncio.to_thread(bytes_on_disk, self._path)

    async def close(self) -> None:
        """Write what was given, and how far the log goes, then close the file."""
        with contextlib.suppress(StorageUnavailable):
            await self.durable()
            if self._is_loaded and self._end.seq > self._end.noted_seq:
                await self.put_identity(self._identity)
        self._is_closing = True
        if self._examined is not None:
            await asyncio.wait([self._examined])
        self._reading.close()
        with contextlib.suppress(ValueError):  # it was closed before
            await self._connection.run(lambda _: self._checkpoints.close())
        await self._connection.close()

    def check(self) -> None:
        """Refuse after a write failed, until the books were loaded anew.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        if self._failure is not None:
            raise self._failure()

    def check_files(self) -> None:
        """Refuse everything from now on if a file was deleted or replaced.

        Raises:
            FileMissing: one was.
        """
        lost = self.placement.missing()
        if lost is not None:
            self.refuse(lost)
            raise FileMissing(lost)

    def refuse(self, lost: Path) -> None:
        """Refuse everything from now on, as after a failed write, because a file that must be there is not."""
        self._fail(partial(FileMissing, lost))

    def _check_placement(self) -> None:
        lost = self.placement.missing()
        if lost is not None:
            raise FileMissing(lost)

    def _wake(self) -> None:
        """Have what is gathered written, at the latest once all that runs in this turn of the event loop has added to it."""
        self._loop.call_soon(self._start)

    def hand_over(self) -> None:
        """Have what is gathered written at once. But where callers come together, those of a turn of the loop share a group."""
        (self._wake if self._is_shared else self._start)()

    def _start(self) -> None:
        """Give the gathered group to the journal's thread, unless it has one."""
        if self._writing is not None or not self._gathering.has_work or self._is_closing:
            return
        group, self._gathering = self._gathering, Group()
        self._writing = group
        if group.image is not None:
            group.entries = self._index.take()
        write = partial(write_group, group=group, sidecar_id=self._identity.sidecar_id, end=self._end)
        self._connection.post(write, partial(self._back, group))
        group.hashes = [hashes_of(each) for each in group.changes]  # while the thread wakes up
        group.lost = self.placement.missing()

    def _back(self, group: Group, written: LogEnd | Exception) -> None:
        """A group is back from the thread. If it is on disk, the next one goes there before its callers are told."""
        self._writing, self._is_shared = None, len(group.waiting) > 1
        try:
            self._enter(group, written)
        except FileMissing as error:
            self._fail(partial(FileMissing, error.path), group)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, no caller may wait for a group that is not written
            self._fail(partial(StorageUnavailable, str(error)), group)
        else:
            if self._failure is None and self._checkpoints.is_time():  # a file that was replaced is left alone
                self._connection.post(lambda _: self._checkpoints.look(), log_fault)
            self._start()
            group.end()

    def _enter(self, group: Group, written: LogEnd | Exception) -> None:
        """Enter a group that is on disk into the index. What was raised in the thread instead is raised here."""
        if isinstance(written, Exception):
            raise written
        if group.lost is not None:
            raise FileMissing(group.lost)
        before, self._end = self._end.seq, written
        if group.image is not None:
            self._index.taken_are_written()
        for seq, (change, hashes) in enumerate(zip(group.changes, group.hashes, strict=True), before + 1):
            self._index.add(seq, change, hashes)
            self.on_written(change)
        if group.drop_before:
            self._index.drop_before(written.first_seq)
        if written.is_dropping:
            self._gathering.drop_before = max(group.drop_before, self._gathering.drop_before)

    def _fail(self, failure: Callable[[], StorageUnavailable], *groups: Group) -> None:
        """Fail these groups and what was gathered behind them: later decisions saw what is not on disk."""
        self._failure = failure
        for each in (*groups, self._gathering):
            each.end(failure)
        self._gathering = Group()
