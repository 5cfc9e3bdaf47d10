"""Group commit: changes that come together are written in one transaction and share one sync to disk.

`write` puts a change into the group that is being gathered; a single writer takes group after group. A group that cannot be
written fails, and with it all that came later, because later decisions saw it: from then on the journal refuses everything,
until `reopen` shows that writing works again and `load` takes the books anew from what is on disk.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Self, TypeVar

from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Change, Forgotten
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.journal.connection import Connection, Durability, JournalUnusable, connect, damaged
from creditmeter.journal.rows import (
    DroppedCard,
    RowUnreadable,
    delete_forgotten,
    delete_rate_cards,
    read_all,
    read_identity,
    read_rate_cards,
    write_changes,
    write_rate_cards,
)

MAX_WAITING = 10_000
"""Changes that may wait to be written. When there are as many, new work is refused as OVERLOADED."""

_Found = TypeVar("_Found")


class StorageUnavailable(Exception):
    """The journal cannot be written; whether what was asked took effect is unknown until it can."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The sidecar's identity: its id, the epoch that the central store issued, the nonce of a registration whose answer may
    have been lost, and the highest reading of the clock that is on disk.
    """

    sidecar_id: SidecarId
    epoch: int = 0
    pending_nonce: str = ""
    clock: Instant = Instant(0)


_Step = Change | Forgotten | KeptCard | DroppedCard


@dataclass(slots=True)
class _Group:
    """Changes to be written together. `done` is set once they are on disk."""

    done: asyncio.Future[None]
    steps: list[_Step] = field(default_factory=list)
    identity: Identity | None = None

    def __len__(self) -> int:
        return len(self.steps) + (self.identity is not None)


class Journal:
    """The journal's writer. One task gathers groups, one thread writes them."""

    def __init__(self, connection: Connection, identity: Identity, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._identity = identity
        self._gathering = self._new_group()
        self._writing: _Group | None = None
        self._work = asyncio.Event()
        self._failure: str | None = None
        self._is_mended = False
        self._writer = asyncio.create_task(self._write_groups(), name="journal writer")

    @classmethod
    async def open(cls, path: Path, new_sidecar_id: SidecarId, durability: Durability = Durability.FULL) -> Self:
        """Open the journal at `path`; a new one is of the sidecar `new_sidecar_id`.

        Raises:
            JournalUnusable: the file is damaged, is no journal, is of a newer version, or cannot be written.
        """
        connection = await connect(path, durability)
        try:
            identity = await connection.run(_load_identity, Identity(new_sidecar_id))
        except sqlite3.Error as error:
            await connection.close()
            raise JournalUnusable(f"the journal {path} cannot be used: {error}") from error
        return cls(connection, identity, path)

    @property
    def identity(self) -> Identity:
        """The newest identity that was given to the journal."""
        return self._identity

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
        """
        self.check()
        self._gathering.steps.append(change)
        self._identity = self._gathering.identity = replace(self._identity, clock=clock)
        self._work.set()

    def forget(self, forgotten: Forgotten) -> None:
        """Delete what a book dropped, with the group that is written next.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        self.check()
        self._gathering.steps.append(forgotten)
        self._work.set()

    async def put_rate_card(self, card: KeptCard) -> None:
        """Keep a rate card, and wait until it is on disk: nothing may be pinned to it before.

        Raises:
            StorageUnavailable: it could not be written.
        """
        self.check()
        self._gathering.steps.append(card)
        self._work.set()
        await self.durable()

    def drop_rate_card(self, version: str) -> None:
        """Delete a rate card, with the group that is written next.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        self.check()
        self._gathering.steps.append(DroppedCard(version))
        self._work.set()

    async def rate_cards(self) -> list[KeptCard]:
        """The rate cards that are kept.

        Raises:
            StorageUnavailable: the file could not be read.
            JournalUnusable: one is not as it was written.
        """
        return await self._read(read_rate_cards)

    async def put_identity(self, identity: Identity) -> None:
        """Write the sidecar's identity, and wait until it is on disk.

        Raises:
            StorageUnavailable: it could not be written.
        """
        self.check()
        self._identity = self._gathering.identity = replace(identity, clock=self._identity.clock)
        self._work.set()
        await self.durable()

    async def durable(self) -> None:
        """Wait until everything given to the journal so far is on disk.

        Raises:
            StorageUnavailable: it could not be written.
        """
        newest = self._gathering or self._writing
        if newest is not None:
            await asyncio.shield(newest.done)
        self.check()

    async def load(self) -> list[Change]:
        """Everything that is on disk, as changes to empty books. After `reopen` the journal takes changes again only from here
        on, so that no decision rests on a book that knows more than the disk.

        Raises:
            StorageUnavailable: the file could not be read.
            JournalUnusable: a row is not as it was written.
        """
        changes = await self._read(_load)
        if self._is_mended:
            self._failure, self._is_mended = None, False
        return changes

    async def _read(self, read: Callable[[sqlite3.Connection], _Found]) -> _Found:
        try:
            return await self._connection.run(read)
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        except RowUnreadable as error:
            raise JournalUnusable(damaged(self._path, error)) from error

    async def reopen(self) -> None:
        """Try whether writing works again after a failure. If so, the caller loads its books anew.

        Raises:
            StorageUnavailable: it still does not.
        """
        try:
            self._identity = await self._connection.run(_load_identity, self._identity)
            await self._connection.run(_write, _Group(self._new_group().done, identity=self._identity))
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        self._is_mended = True

    async def size(self) -> int:
        """How many bytes the journal takes on disk, with what is not checkpointed yet; 0 where the system does not know."""
        return await asyncio.to_thread(_size, self._path)

    async def close(self) -> None:
        """Write what was given, then close the file."""
        with contextlib.suppress(StorageUnavailable):
            await self.durable()
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer
        await self._connection.close()

    def check(self) -> None:
        """Refuse after a write failed, until the books were loaded anew.

        Raises:
            StorageUnavailable: an earlier write failed.
        """
        if self._failure is not None:
            raise StorageUnavailable(self._failure)

    def _new_group(self) -> _Group:
        return _Group(asyncio.get_running_loop().create_future())

    async def _write_groups(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            group, self._gathering = self._gathering, self._new_group()
            self._writing = group
            try:
                await self._connection.run(_write, group)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, no caller may wait for a writer that has ended
                self._fail(str(error), group)
            else:
                group.done.set_result(None)
            finally:
                self._writing = None

    def _fail(self, reason: str, group: _Group) -> None:
        """Fail this group and what was gathered behind it: later decisions saw what is not on disk."""
        self._failure = reason
        for each in (group, self._gathering):
            each.done.set_exception(StorageUnavailable(reason))
            each.done.exception()  # there may be no caller that waits for it
        self._gathering = self._new_group()
        self._work.clear()


def _size(path: Path) -> int:
    total = 0
    for each in (path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            total += each.stat().st_size
    return total


def _write(connection: sqlite3.Connection, group: _Group) -> None:
    """One group as one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for _, alike in groupby(group.steps, key=type):  # in their order: what was dropped may be there again
            steps = tuple(alike)
            write_changes(connection, (each for each in steps if isinstance(each, Change)))
            delete_forgotten(connection, (each for each in steps if isinstance(each, Forgotten)))
            write_rate_cards(connection, (each for each in steps if isinstance(each, KeptCard)))
            delete_rate_cards(connection, (each for each in steps if isinstance(each, DroppedCard)))
        if group.identity is not None:
            _put_identity(connection, group.identity)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _put_identity(connection: sqlite3.Connection, identity: Identity) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO identity VALUES (1, ?, ?, ?, ?)",
        (identity.sidecar_id, identity.epoch, identity.pending_nonce, identity.clock),
    )


def _load_identity(connection: sqlite3.Connection, new: Identity) -> Identity:
    """The identity in the file; a new file gets the identity `new`."""
    row = read_identity(connection)
    if row is None:
        _put_identity(connection, new)
        return new
    sidecar_id, epoch, pending_nonce, clock = row
    return Identity(SidecarId(sidecar_id), epoch, pending_nonce, Instant(clock))


def _load(connection: sqlite3.Connection) -> list[Change]:
    return list(read_all(connection))
