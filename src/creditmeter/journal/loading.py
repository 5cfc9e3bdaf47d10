"""Reading what a start needs: all that can still change, and the index of the records that it need not read."""

import contextlib
import sqlite3
from collections.abc import Callable

from creditmeter.core.ids import SidecarId
from creditmeter.core.metering.book import Change
from creditmeter.journal.index import RecordIndex, read_segments
from creditmeter.journal.quarantine import accounts_set_aside
from creditmeter.journal.records import Damage, read_changes, read_log


def load(connection: sqlite3.Connection, sidecar_id: SidecarId, index: RecordIndex, take: Callable[[Change], None]) -> Damage:
    """Call `take` with the image and with the records after it, and enter these in the index. Returns the rows that could not
    be read. If the index on disk is damaged, `load_index` has to follow once it was made anew.

    Raises:
        RowUnreadable: a row is not as it was written, and does not say whose it is, or one is missing.
    """
    with contextlib.suppress(TypeError, ValueError):  # a damaged segment
        index.replace(read_segments(connection))
    damage = Damage(accounts_set_aside(connection))
    for seq, change in read_changes(connection, sidecar_id, damage):
        if seq is not None:
            index.add(seq, change)
        take(change)
    return damage


def load_index(connection: sqlite3.Connection, sidecar_id: SidecarId, index: RecordIndex) -> None:
    """Read the index, and enter the records after the image in it. Those that cannot be read are left out."""
    index.replace(read_segments(connection))
    for seq, logged in read_log(connection, sidecar_id, Damage(accounts_set_aside(connection))):
        index.add(seq, logged.change)
