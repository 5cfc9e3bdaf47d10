"""The rows that are no records: who the sidecar is, and the rate cards that it keeps."""

import sqlite3
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeVar

from creditmeter.core.clocks import KeptTime
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.forms.rate_cards import KEPT_CARD
from creditmeter.journal.kept_time import put_kept_time


@dataclass(frozen=True, slots=True)
class DroppedCard:
    """The version of a rate card that nothing is priced by any more."""

    version: str


class RowUnreadable(Exception):
    """A row is not as it was written: which one, and what is wrong with it."""

    def __init__(self, table: str, key: object, reason: str) -> None:
        super().__init__(f"the row {key!r} of {table} cannot be read ({reason})")
        self.table, self.key, self.reason = table, key, reason


class RowDamaged(RowUnreadable):
    """A row of the log or of the image is not as it was written, but its number and its account are."""

    def __init__(self, table: str, key: int, account_id: AccountId, reason: str) -> None:
        super().__init__(table, key, reason)
        self.number, self.account_id = key, account_id


_Thing = TypeVar("_Thing")


def write_rate_cards(connection: sqlite3.Connection, cards: Iterable[KeptCard]) -> None:
    """Write rate cards; with their price lists they compress to a tenth."""
    rows = ((each.version, zlib.compress(KEPT_CARD.encode(each))) for each in cards)
    connection.executemany("INSERT OR REPLACE INTO rate_cards VALUES (?, ?)", rows)


def delete_rate_cards(connection: sqlite3.Connection, dropped: Iterable[DroppedCard]) -> None:
    """Delete rate cards that nothing is priced by any more."""
    connection.executemany("DELETE FROM rate_cards WHERE version = ?", ((each.version,) for each in dropped))


def read_rate_cards(connection: sqlite3.Connection) -> list[KeptCard]:
    """The rate cards in the journal.

    Raises:
        RowUnreadable: one cannot be read.
    """
    rows = connection.execute("SELECT version, body FROM rate_cards")
    return [decoded("rate_cards", version, _rate_card, version, body) for version, body in rows]


IDENTITY = "sidecar_id, epoch, pending_nonce, clock, image_seq, image_parts, log_end, set_aside, checksum"
"""The columns of the identity. A journal of an older version has the first four."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The sidecar's identity: its id, the epoch that the central store issued, the nonce of a registration whose answer may
    have been lost, and the highest reading of the clock that is on disk. `time` is what is known of the time of day, if
    anything is: it has a row of its own (`kept_time.py`).
    """

    sidecar_id: SidecarId
    epoch: int = 0
    pending_nonce: str = ""
    clock: Instant = Instant(0)
    time: KeptTime | None = None

    @property
    def cells(self) -> tuple[str, int, str, int]:
        """What of it stands in the row of the identity."""
        return self.sidecar_id, self.epoch, self.pending_nonce, self.clock


class Extent(NamedTuple):
    """How far the other tables go: the record that the image was made after, the parts of the image, a record that was on disk
    when this was written, and the rows of the quarantine.
    """

    image_seq: int = 0
    image_parts: int = 0
    log_end: int = 0
    set_aside: int = 0


def put_identity(connection: sqlite3.Connection, identity: Identity) -> None:
    """Write who the sidecar is, and what it knows of the time. How far the other tables go stays; what is on disk of the log is
    counted anew.
    """
    extent = read_extent(connection)
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()
    _put(connection, identity, extent._replace(log_end=max(extent.log_end, last)))
    if identity.time is not None:
        put_kept_time(connection, identity.time)


def put_extent(connection: sqlite3.Connection, image_seq: int | None = None) -> None:
    """Write how far the other tables go, counted anew; and, if it is given, which record the image was made after. Who the
    sidecar is stays.
    """
    identity = read_identity(connection)
    assert identity is not None, "a journal with an image or a quarantine has an identity"
    extent = read_extent(connection)
    (parts,) = connection.execute("SELECT count(*) FROM image").fetchone()
    (set_aside,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    seq = extent.image_seq if image_seq is None else image_seq
    _put(connection, identity, Extent(seq, parts, extent.log_end, set_aside))


def read_extent(connection: sqlite3.Connection) -> Extent:
    """How far the other tables go. `read_identity` checks that it is what was written."""
    found = connection.execute("SELECT image_seq, image_parts, log_end, set_aside FROM identity").fetchone()
    return Extent() if found is None else Extent(*found)


def _put(connection: sqlite3.Connection, identity: Identity, extent: Extent) -> None:
    cells = (*identity.cells, *extent, _checksum(identity, *extent))
    connection.execute(f"INSERT OR REPLACE INTO identity (id, {IDENTITY}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)", cells)  # noqa: S608


def read_identity(
    connection: sqlite3.Connection, kept: Iterable[str] = ("records", "image"), columns: str = IDENTITY
) -> Identity | None:
    """Who the sidecar is, without what it knew of the time; None in a new file. The tables `kept` have what it did under this
    identity.

    Raises:
        RowUnreadable: it is not what was written, or is gone from a file that has other rows.
    """
    rows = connection.execute(f"SELECT {columns} FROM identity").fetchall()  # noqa: S608 - given by callers
    if not rows:
        if any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in kept):  # noqa: S608 - given by callers
            raise RowUnreadable("identity", "1", "it is gone")
        return None
    return decoded("identity", "1", _identity, *rows[0])


def decoded(table: str, key: object, decode: Callable[..., _Thing], *cells: object, **options: object) -> _Thing:
    """What `decode` makes of a row. Any error of it is raised as RowUnreadable."""
    try:
        return decode(*cells, **options)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RowUnreadable(table, key, reason) from error


def differs(column: str) -> NoReturn:
    """Refuse a row whose column is not what its body says."""
    raise ValueError(f"{column} is not that of its body")


def _identity(*cells: object) -> Identity:
    """The identity in a row. A journal of an older version has no checksum."""
    match cells:
        case (str() as sidecar_id, int() as epoch, str() as nonce, int() as clock, *others):
            found = Identity(SidecarId(sidecar_id), epoch, nonce, Instant(clock))
            if not sidecar_id or epoch < 0:
                differs("sidecar_id or epoch")
            if others and others[-1] != _checksum(found, *others[:-1]):
                raise ValueError("its checksum is wrong")
            return found
        case _:
            raise ValueError("a column is of another type")


def _checksum(identity: Identity, *extent: object) -> int:
    """The CRC-32 of the row."""
    cells = *identity.cells, *extent
    return zlib.crc32(repr(tuple(map(str, cells))).encode())


def _rate_card(version: str, body: bytes) -> KeptCard:
    card = KEPT_CARD.decode(zlib.decompress(body))
    return card if card.version == version else differs("version")
