"""What credentials had spent when an image was made, in a row of its own: its sums have the charges that the image has no more.

A start adds the charges of the records after the image. The table is made with the first row: journals of this version were
written without it, and programs that know nothing of it leave it alone. The row guards limits of a day, and no credit: a start
with a damaged one goes on, and counts from the image on.
"""

import sqlite3
import zlib

import structlog

from creditmeter.core.metering.spending import NOTHING_SPENT, Spent
from creditmeter.forms.spending import SPENT

_TABLE = """
CREATE TABLE IF NOT EXISTS kept_spending (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checksum INTEGER NOT NULL,
    body     BLOB    NOT NULL
)
"""

_log = structlog.get_logger()


def put_kept_spending(connection: sqlite3.Connection, spent: Spent) -> None:
    """Write what was spent, instead of what was. Nothing is written as long as nobody spent anything."""
    if spent.amounts or _has_table(connection):
        body = SPENT.encode(spent)
        connection.execute(_TABLE)
        connection.execute("INSERT OR REPLACE INTO kept_spending VALUES (1, ?, ?)", (zlib.crc32(body), body))


def read_kept_spending(connection: sqlite3.Connection) -> Spent:
    """What was spent; nothing if none was kept, or it is not as it was written."""
    if not _has_table(connection):
        return NOTHING_SPENT
    try:
        row = connection.execute("SELECT checksum, body FROM kept_spending").fetchone()
        if row is None:
            return NOTHING_SPENT
        checksum, body = row
        if not isinstance(body, bytes) or checksum != zlib.crc32(body):
            raise ValueError("its checksum is wrong")  # noqa: TRY301 - whatever is wrong with it is told below
        return SPENT.decode(body)
    except (sqlite3.Error, ValueError) as error:
        reason = str(error).splitlines()[0]
        _log.warning("what tokens had spent today is damaged: their daily limits count from the last image on", reason=reason)
        return NOTHING_SPENT


def _has_table(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept_spending'").fetchone() is not None
