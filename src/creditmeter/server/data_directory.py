"""What a data directory knows of the journal that belongs in it, so that one that is missing is told of and not begun anew.

`sidecar-id` says which sidecar's journal belongs here. It is written once the journal has an identity. A crash before leaves a
journal with an identity, and the next start writes the file.

`journal.db-open` says that the newest changes are in the journal's `-wal`. It is written once the journal is open, and removed
once nothing writes any more and the `-wal` is empty, before SQLite removes that. So a process that is killed at its end leaves
no note without a `-wal`. Without the note a missing `-wal` is no loss. It has the number of a record that was on disk a moment
ago: a journal that ends before has lost its end, as one whose `-wal` was cut off. It is not synced itself, so after a loss of
power the number may be an older one.
"""

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import has_sidecars
from creditmeter.core.ids import SidecarId
from creditmeter.files.closing import LastConnection
from creditmeter.files.placement import Placement
from creditmeter.journal.connection import is_blank, last_record
from creditmeter.journal.durability import Durability
from creditmeter.journal.journal import Journal
from creditmeter.server.config import SOCKET_NAME, Settings
from creditmeter.server.exits import DAMAGED, StartupError
from creditmeter.server.permissions import FILE_MODE
from creditmeter.server.settings_reference import without_password

IDENTITY_NAME = "sidecar-id"

NOTE_SECONDS = 1.0
"""Between notes of how far the journal goes. What was acknowledged since the last one may be cut off without being missed."""

_AS_NEW = "with --new-identity if you accept that what it had not settled is lost"


class DataDirectory:
    """The files beside the journal. The data directory is locked for this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._journal = settings.journal_path
        self._wal = beside(settings.journal_path, "-wal")
        self._mark = beside(settings.journal_path, "-open")
        self._identity = settings.data_dir / IDENTITY_NAME
        self._noted = 0
        self._last: LastConnection | None = None

    async def check(self) -> None:
        """Look for a journal that is missing, as a whole or its newest part. Nothing is changed, but with `new_identity`.

        Raises:
            StartupError: one is.
        """
        if is_blank(self._journal):
            await self._check_blank()
        elif self._mark.exists() and not self._wal.exists():
            raise StartupError(
                f"the journal {self._journal} was not closed, and {self._wal} with what was acknowledged last is missing."
                f" Put it back; remove {self._mark} only if another program read the journal since, or you accept that loss",
                DAMAGED,
            )
        elif self._settings.durability is Durability.FULL:
            self._check_end()

    def _check_end(self) -> None:
        noted = _text_of(self._mark)
        last = last_record(self._journal) if noted.isdecimal() else None
        if last is not None and last < int(noted):
            raise StartupError(
                f"the journal {self._journal} ends with record {last}, but record {int(noted)} was acknowledged: it or"
                f" {self._wal} was cut off or replaced. Put them back; remove {self._mark} only if you accept that loss",
                DAMAGED,
            )

    async def _check_blank(self) -> None:
        witness = await self._witness()
        if witness is None:
            return
        if not self._settings.new_identity:
            text = f"the journal {self._journal} is missing or empty, but {witness}. Put it back, or start {_AS_NEW}"
            raise StartupError(text, DAMAGED)
        for path in (self._mark, self._identity):  # the first start with the option is not the last one if it dies in between
            path.unlink(missing_ok=True)

    async def _witness(self) -> str | None:
        """What shows that a sidecar ran on this directory; None: nothing does."""
        if self._wal.exists() and self._wal.stat().st_size:
            return f"changes to it are in {self._wal}"
        if self._journal.exists() and self._mark.exists():
            return f"it was not closed, and what was acknowledged is in {self._wal}, which is missing too"
        if self._identity.exists():
            return f"{self._identity} names a sidecar that ran here ({_text_of(self._identity)})"
        socket = self._settings.data_dir / SOCKET_NAME
        if socket.exists():
            return f"a sidecar left its socket {socket}"
        try:
            known = await has_sidecars(self._settings.central_url, self._settings.data_dir)
        except CentralUnavailable as error:
            shown = without_password(self._settings.central_url)
            raise StartupError(f"the central store {shown} cannot be read: {error}", DAMAGED) from error
        return "the central store in the same directory knows a sidecar" if known else None

    def opened(self, sidecar_id: SidecarId, last: int) -> None:
        """Note that the journal of a sidecar is open, and the number of its last record.

        Raises:
            StartupError: it is not the journal that belongs here, or the directory cannot be written.
        """
        known = _text_of(self._identity)
        if known not in ("", sidecar_id) and not self._settings.new_identity:
            text = f"the journal {self._journal} is that of the sidecar {sidecar_id}, but {known} ran on this directory"
            raise StartupError(f"{text}. Put its journal back, or start {_AS_NEW}", DAMAGED)
        try:
            if known != sidecar_id:
                _write(self._identity, sidecar_id)
            _write(self._mark, _padded(last))
            self._noted = last
        except OSError as error:
            problem = f"the data directory {self._settings.data_dir} cannot be written: {error.strerror}"
            raise StartupError(problem) from error

    async def keep_noting(self, journal: Journal) -> None:
        """Note the number of the last record on disk, for as long as this is not cancelled."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            if journal.last_record != self._noted:
                self._noted = journal.last_record
                await asyncio.to_thread(self.note, self._noted)

    def note(self, last: int) -> None:
        """Note the number of a record that is on disk, in the place of an earlier one."""
        with contextlib.suppress(OSError):  # an older number is as good, but finds out less
            opened = os.open(self._mark, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.pwrite(opened, _padded(last).encode(), 0)
            finally:
                os.close(opened)

    def keep_open(self, placement: Placement) -> None:
        """Keep the journal open until `closed`. `placement` looks after its files.

        Raises:
            StartupError: it cannot be opened.
        """
        try:
            self._last = LastConnection(self._journal, placement)
        except sqlite3.Error as error:
            raise StartupError(f"the journal {self._journal} cannot be used: {error}", DAMAGED) from error

    def closed(self) -> None:
        """Close the journal, of which all other connections are closed. Note that, if all of it is in one file."""
        last, self._last = self._last, None
        if last is not None:
            try:
                if last.empty_log():
                    self._remove_mark()
            finally:
                last.close()
        if self._journal.exists() and not self._wal.exists():
            self._remove_mark()

    def _remove_mark(self) -> None:
        with contextlib.suppress(OSError):
            self._mark.unlink()


def beside(path: Path, suffix: str) -> Path:
    """The file beside another one whose name has a suffix more."""
    return path.with_name(path.name + suffix)


def _padded(number: int) -> str:
    """A number, always in as many digits: it is written over the one before."""
    return f"{number:020d}"


def _text_of(path: Path) -> str:
    """The first line of a small file; empty if it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Have a file with one line at the path, or the file that was there before. It survives a loss of power.

    Raises:
        OSError: it cannot be written.
    """
    new = beside(path, ".new")
    opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.write(opened, f"{text}\n".encode())
        os.fsync(opened)
    finally:
        os.close(opened)
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
