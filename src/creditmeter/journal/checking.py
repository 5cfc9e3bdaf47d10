"""A check of a whole journal, which only reads: which rows are damaged, whose they are, and what is left of these accounts."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.forms.changes import Packing
from creditmeter.journal.connection import examine_tables, file_damage, first_line, is_being_upgraded, open_still, version_of
from creditmeter.journal.faults import JournalUnusable
from creditmeter.journal.index import sound_sums
from creditmeter.journal.quarantine import SetAside, left_of, read_set_aside
from creditmeter.journal.records import IMAGE, LOG, Row, account_of, read_row
from creditmeter.journal.rows import RowDamaged, RowUnreadable, read_extent, read_identity, read_rate_cards
from creditmeter.journal.schema import VERSION

_NAMES = re.compile(r"(?:res|chg|ref|lea)-[a-z2-7]{16}-[a-z0-9]+-[0-9a-z]+")
_MOST_NAMES = 20
_QUERIES = {
    IMAGE: "SELECT part, account_id, written_at, checksum, body FROM image ORDER BY part",
    LOG: "SELECT seq, account_id, written_at, checksum, body FROM records ORDER BY seq",
}


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that cannot be read, of a known account.

    `is_live`: what it says could still change, so its account is in quarantine, or will be at the next start. `names` are ids
    that seem to be in it, as far as it can be read.
    """

    table: str
    number: int
    account_id: AccountId
    reason: str
    is_live: bool
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class Checked:
    """What a check found. `problems` have no known account: a start is refused for each of them. `accounts` are those of which
    a row is damaged whose content could still change, and what is left of each. An index that is not sound is made anew at a
    start.
    """

    sidecar_id: SidecarId | None = None
    records: int = 0
    parts: int = 0
    is_index_sound: bool = True
    problems: list[str] = field(default_factory=list)
    damaged: list[DamagedRow] = field(default_factory=list)
    accounts: dict[AccountId, SetAside] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether all is as it was written."""
        return self.is_index_sound and not self.problems and not self.damaged and not self.accounts


def check_journal(path: Path) -> Checked:
    """Read all of the journal at `path`. Nothing is changed, and a sidecar may run on it.

    Raises:
        JournalUnusable: it cannot be read, or is no journal of this version.
    """
    found = Checked()
    try:
        with contextlib.closing(open_still(path)) as connection:
            connection.execute("BEGIN")  # one state of the file, whatever a running sidecar writes
            damage = file_damage(connection)
            if damage is not None:
                found.problems.append(damage)
            version = version_of(connection, path)
            if version is not None and (version < VERSION or is_being_upgraded(connection)):
                raise JournalUnusable(
                    f"the journal {path} is of an older version: `creditmeter serve` reads all of it at its start"
                )
            if version is not None:
                _check(connection, found)
    except (sqlite3.Error, OSError) as error:
        if not found.problems:
            raise JournalUnusable(f"the journal {path} cannot be read: {first_line(error)}") from error
    return found


def _check(connection: sqlite3.Connection, found: Checked) -> None:
    for look in (_check_tables, _check_identity, _check_rows, _check_quarantine, _check_others):
        try:
            look(connection, found)
        except RowUnreadable as error:
            found.problems.append(str(error))


def _check_tables(connection: sqlite3.Connection, _found: Checked) -> None:
    examine_tables(connection)


def _check_identity(connection: sqlite3.Connection, found: Checked) -> None:
    identity = read_identity(connection)
    found.sidecar_id = None if identity is None else identity.sidecar_id


def _check_rows(connection: sqlite3.Connection, found: Checked) -> None:
    """Read the image and every record, those of what has ended too."""
    if found.sidecar_id is None:
        return
    extent = read_extent(connection)
    found.parts = _check_table(connection, IMAGE, 0, found)
    last = _check_table(connection, LOG, extent.image_seq, found)
    (found.records,) = connection.execute("SELECT count(*) FROM records").fetchone()
    if found.parts != extent.image_parts:
        found.problems.append(str(RowUnreadable(IMAGE, found.parts + 1, "it is missing")))
    if max(last, extent.image_seq) < extent.log_end:
        found.problems.append(str(RowUnreadable(LOG, last + 1, "it is missing")))
    for each in {row.account_id for row in found.damaged if row.is_live}:
        found.accounts[each] = left_of(connection, found.sidecar_id, each)


def _check_table(connection: sqlite3.Connection, table: str, image_seq: int, found: Checked) -> int:
    """Read the rows of a table. Returns the number of the last one."""
    expected = None if table == LOG else 1
    number = 0
    for row in connection.execute(_QUERIES[table]):
        number = row[0]
        if expected not in (None, number):
            found.problems.append(str(RowUnreadable(table, expected, "it is missing")))
        expected = number + 1
        _check_row(table, row, is_live=table == IMAGE or number > image_seq, found=found)
    return number


def _check_row(table: str, row: Row, *, is_live: bool, found: Checked) -> None:
    assert found.sidecar_id is not None, "rows are read after the identity"
    try:
        read_row(table, row, found.sidecar_id)
    except RowDamaged as error:
        names = tuple(_names_in(row, table, found.sidecar_id))
        found.damaged.append(DamagedRow(table, error.number, error.account_id, error.reason, is_live, names))
    except RowUnreadable as error:
        found.problems.append(str(error))


def _check_quarantine(connection: sqlite3.Connection, found: Checked) -> None:
    """Read what is in quarantine. A damaged row of it is the same as in its table, if it is still there."""
    if found.sidecar_id is None:
        return
    for account_id, left in read_set_aside(connection, found.sidecar_id).items():
        found.accounts[account_id] = left
        seen = {(each.table, each.number) for each in found.damaged if each.account_id == account_id}
        for row in left.damaged:
            if (row.table, row.number) not in seen:
                found.damaged.append(DamagedRow(row.table, row.number, account_id, row.reason, is_live=True))


def _check_others(connection: sqlite3.Connection, found: Checked) -> None:
    found.is_index_sound = sound_sums(connection) is not None
    read_rate_cards(connection)


def _names_in(row: Row, table: str, sidecar_id: SidecarId) -> Iterator[str]:
    """The ids that seem to be in a damaged row, each once."""
    if isinstance(row[-1], bytes):
        text = Packing(account_of(table, row), sidecar_id).legible(row[-1]).decode("ascii", "replace")
        yield from list(dict.fromkeys(_NAMES.findall(text)))[:_MOST_NAMES]
