"""What credentials had spent when an image was made, in a row of its own: its sums have the charges that the image has no more.

Whoever reads the journal adds the charges of the records after the image (`SpentSince`). The table is made with the first row:
journals of this version were written without it, and programs that know nothing of it leave it alone. Such a program may write
another image, so the row's checksum has the number of the record that its image was made after. The row guards limits of a day,
and no credit: a start with a damaged one goes on, and counts from the image on.
"""

import sqlite3
import zlib
from collections.abc import Collection

import structlog

from creditmeter.core.credit.charges import Charge
from creditmeter.core.ids import AccountId, ChargeId
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.spending import NOTHING_SPENT, Spending, Spent
from creditmeter.forms.spending import SPENT
from creditmeter.journal.rows import read_extent

_TABLE = """
CREATE TABLE IF NOT EXISTS kept_spending (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checksum INTEGER NOT NULL,
    body     BLOB    NOT NULL
)
"""

_log = structlog.get_logger()


def put_kept_spending(connection: sqlite3.Connection, spent: Spent) -> None:
    """Write what was spent when the image was made that is on disk now, in the place of what stood there. Nothing is written as
    long as nobody spent anything.
    """
    if spent.days or _has_table(connection):
        body = SPENT.encode(spent)
        connection.execute(_TABLE)
        row = (_checksum(connection, body), body)
        connection.execute("INSERT OR REPLACE INTO kept_spending VALUES (1, ?, ?)", row)


def read_kept_spending(connection: sqlite3.Connection) -> Spent:
    """What was spent; nothing if none was kept, or it is not as it was written, or is of another image than the one on disk."""
    if not _has_table(connection):
        return NOTHING_SPENT
    try:
        row = connection.execute("SELECT checksum, body FROM kept_spending").fetchone()
        if row is None:
            return NOTHING_SPENT
        checksum, body = row
        if not isinstance(body, bytes) or checksum != _checksum(connection, body):
            raise ValueError("its checksum is wrong, or of another image")  # noqa: TRY301 - whatever is wrong with it is told below
        return SPENT.decode(body)
    except (sqlite3.Error, ValueError) as error:
        reason = str(error).splitlines()[0]
        _log.warning("what tokens had spent today is damaged: their daily limits count from the last image on", reason=reason)
        return NOTHING_SPENT


class SpentSince:
    """What is charged with credentials in the records after the image, while these are read."""

    def __init__(self) -> None:
        self._charges: list[tuple[AccountId, Charge]] = []

    def note(self, change: Change, known: Collection[ChargeId]) -> None:
        """Note the charges of a record, without those that are known from before it."""
        new = (each for each in change.charges if each.credential_id and each.charge_id not in known)
        self._charges.extend((change.account_id, each) for each in new)

    def added_to(self, spent: Spent, damaged: Collection[AccountId]) -> Spending:
        """What is spent by now, after this was spent when the image was made. Nothing counts of a damaged account, wherever its
        damage was found: another start would not read its records.
        """
        spending = Spending(spent)
        for account_id, charge in self._charges:
            if account_id not in damaged:
                spending.charge(charge)
        return spending


def _checksum(connection: sqlite3.Connection, body: bytes) -> int:
    return zlib.crc32(body, read_extent(connection).image_seq)


def _has_table(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept_spending'").fetchone() is not None
