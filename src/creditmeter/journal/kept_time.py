"""What the sidecar knew of the time of day, in a row of its own, which is written together with the identity.

Its table is made with the first row: journals of this version were written without it, and programs that know nothing of it
leave it alone. The row is a help alone. One that is damaged counts as none, and the next one takes its place.
"""

import sqlite3
import zlib

import structlog

from creditmeter.core.clocks import KeptTime
from creditmeter.forms.times import KEPT_TIME

_TABLE = """
CREATE TABLE IF NOT EXISTS kept_time (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checksum INTEGER NOT NULL,
    body     BLOB    NOT NULL
)
"""

_log = structlog.get_logger()


def put_kept_time(connection: sqlite3.Connection, kept: KeptTime) -> None:
    """Write what is known of the time, instead of what was."""
    body = KEPT_TIME.encode(kept)
    connection.execute(_TABLE)
    connection.execute("INSERT OR REPLACE INTO kept_time VALUES (1, ?, ?)", (zlib.crc32(body), body))


def read_kept_time(connection: sqlite3.Connection) -> KeptTime | None:
    """What was known of the time; None if nothing was kept, or it is not as it was written."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept_time'").fetchone() is None:
        return None
    try:
        row = connection.execute("SELECT checksum, body FROM kept_time").fetchone()
        if row is None:
            return None
        checksum, body = row
        if not isinstance(body, bytes) or checksum != zlib.crc32(body):
            raise ValueError("its checksum is wrong")  # noqa: TRY301 - whatever is wrong with it is told below
        return KEPT_TIME.decode(body)
    except (sqlite3.Error, ValueError) as error:
        _log.warning("what was known of the time is damaged, and counts no more", reason=str(error).splitlines()[0])
        return None
