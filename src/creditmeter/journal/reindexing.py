"""Making the index of the log anew, where it is not what was written: all that it has is in the records."""

import sqlite3

import structlog

from creditmeter.core.ids import SidecarId
from creditmeter.journal.index import RecordIndex, Sums, delete_index, sound_sums, write_entries
from creditmeter.journal.records import read_ended

_log = structlog.get_logger()


def mend_index(connection: sqlite3.Connection, sidecar_id: SidecarId) -> Sums | None:
    """Make the index anew if anything in it is damaged; the log says so. Returns the sums of its entries, None if it was.

    Raises:
        RowUnreadable: it has to be made anew, and a record cannot be read.
    """
    sums = sound_sums(connection)
    if sums is None:
        _log.warning("the index of the journal is damaged: it is made anew")
        _make_anew(connection, sidecar_id)
    return sums


def _make_anew(connection: sqlite3.Connection, sidecar_id: SidecarId) -> None:
    index = RecordIndex()
    connection.execute("BEGIN IMMEDIATE")
    try:
        for seq, logged in read_ended(connection, sidecar_id):
            index.add(seq, logged.change)
        delete_index(connection)
        write_entries(connection, index.take())
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
