"""What credentials had spent when an image was made, in a row of its own: its sums have the charges that the image has no more.

It counts what the log has up to `record`, and a start adds what came after. Its table is made with the first row: journals of
this version were written without it, and programs that know nothing of it leave it alone. The row guards limits of a day, and
no credit: a start with a damaged one goes on, and counts from the image on.
"""

import sqlite3
import zlib
from dataclasses import dataclass

import structlog

from creditmeter.core.metering.spending import NOTHING_SPENT, Spent
from creditmeter.forms.spending import SPENT

_TABLE = """
CREATE TABLE IF NOT EXISTS kept_spending (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    record   INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body     BLOB    NOT NULL
)
"""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeptSpending:
    """What credentials had spent, and the number of the last record that is counted in it."""

    spent: Spent = NOTHING_SPENT
    record: int = 0


NOTHING_KEPT = KeptSpending()


def put_kept_spending(connection: sqlite3.Connection, kept: KeptSpending) -> None:
    """Write what was spent, instead of what was. Nothing is written as long as nobody spent anything."""
    if not kept.spent.amounts and not _has_table(connection):
        return
    body = SPENT.encode(kept.spent)
    connection.execute(_TABLE)
    cells = (kept.record, _checksum(kept.record, body), body)
    connection.execute("INSERT OR REPLACE INTO kept_spending VALUES (1, ?, ?, ?)", cells)


def read_kept_spending(connection: sqlite3.Connection) -> KeptSpending:
    """What was spent; nothing if none was kept, or it is not as it was written."""
    if not _has_table(connection):
        return NOTHING_KEPT
    try:
        row = connection.execute("SELECT record, checksum, body FROM kept_spending").fetchone()
        if row is None:
            return NOTHING_KEPT
        record, checksum, body = row
        if not isinstance(record, int) or not isinstance(body, bytes) or checksum != _checksum(record, body):
            raise ValueError("its checksum is wrong")  # noqa: TRY301 - whatever is wrong with it is told below
        return KeptSpending(SPENT.decode(body), record)
    except (sqlite3.Error, ValueError) as error:
        reason = str(error).splitlines()[0]
        _log.warning("what tokens had spent today is damaged: their daily limits count from the last hour on", reason=reason)
        return NOTHING_KEPT


def _has_table(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept_spending'").fetchone() is not None


def _checksum(record: int, body: bytes) -> int:
    return zlib.crc32(body, record)
