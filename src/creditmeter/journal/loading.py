"""Reading what a start needs: all that can still change, and the index of the records that it need not read."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from creditmeter.core.ids import SidecarId
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.spending import Spending
from creditmeter.journal.connection import first_line, is_being_upgraded, is_damage, open_to_read, version_of
from creditmeter.journal.faults import JournalUnusable, StorageUnavailable, damaged
from creditmeter.journal.groups import UnpostedCharges
from creditmeter.journal.index import RecordIndex, Sums, read_segments, sound_sums
from creditmeter.journal.kept_spending import SpentSince, read_kept_spending
from creditmeter.journal.quarantine import accounts_set_aside
from creditmeter.journal.records import Damage, read_changes, read_log
from creditmeter.journal.schema import VERSION


def load(
    connection: sqlite3.Connection,
    sidecar_id: SidecarId,
    index: RecordIndex,
    unposted: UnpostedCharges,
    apply: Callable[[Change], None],
) -> tuple[Damage, Spending]:
    """Call `apply` with the image and with the records after it, and enter these in the index and their charges in `unposted`.
    Returns the rows that could not be read, and what credentials have spent; what they hold is not in it. The sums of the index
    have to follow; if it is damaged, `load_index` has to once it was made anew.

    Raises:
        RowUnreadable: a row is not as it was written, and does not say whose it is, or one is missing.
    """
    spent, since = read_kept_spending(connection), SpentSince()
    unposted.clear()
    with contextlib.suppress(TypeError, ValueError):  # a damaged segment
        index.replace(read_segments(connection, {}))
    damage = Damage(accounts_set_aside(connection))
    for seq, change in read_changes(connection, sidecar_id, damage):
        known = unposted.note(change)
        if seq is not None:
            index.add(seq, change)
            since.note(change, known)
        apply(change)
    return damage, since.added_to(spent, damage.accounts)


def load_index(connection: sqlite3.Connection, sidecar_id: SidecarId, index: RecordIndex) -> None:
    """Read the index, and enter the records after the image in it. Those that cannot be read are left out."""
    index.replace(read_segments(connection))
    for seq, logged in read_log(connection, sidecar_id, Damage(accounts_set_aside(connection))):
        index.add(seq, logged.change)


@contextlib.asynccontextmanager
async def examining(path: Path) -> AsyncIterator["asyncio.Task[Sums | None]"]:
    """Have a thread look for the sums of the index of the journal at `path`; None if it is damaged, cannot be read, or is of an
    older version. If the block raises, it ends once that is over: a file that is refused is not in use any more.
    """
    examined = asyncio.create_task(asyncio.to_thread(_examined_sums, path))
    try:
        yield examined
    except BaseException:
        await asyncio.wait([examined])
        raise


def _examined_sums(path: Path) -> Sums | None:
    try:
        with contextlib.closing(open_to_read(path)) as connection:
            connection.execute("BEGIN")
            is_usable = version_of(connection, path) == VERSION and not is_being_upgraded(connection)
            return sound_sums(connection) if is_usable else None
    except (JournalUnusable, sqlite3.Error, TypeError, ValueError):  # whatever it is, `mend_index` meets it again
        return None


@contextlib.contextmanager
def faults_of_reading(path: Path) -> Iterator[None]:
    """Tell damage from a file that cannot be read now. Whatever a row has in the place of what was written is damage, not a
    fault of the program.
    """
    try:
        yield
    except sqlite3.Error as error:
        if is_damage(error):
            raise JournalUnusable(damaged(path, error)) from error
        raise StorageUnavailable(str(error)) from error
    except Exception as error:
        raise JournalUnusable(damaged(path, first_line(error))) from error
