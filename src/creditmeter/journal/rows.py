"""The rows that are no records: who the sidecar is, and the rate cards that it keeps."""

import sqlite3
import zlib
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import NoReturn, TypeVar

from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.forms.rate_cards import KEPT_CARD


@dataclass(frozen=True, slots=True)
class DroppedCard:
    """The version of a rate card that nothing is priced by any more."""

    version: str


class RowUnreadable(Exception):
    """A row is not as it was written: which one, and what is wrong with it."""

    def __init__(self, table: str, key: object, reason: str) -> None:
        super().__init__(f"the row {key!r} of {table} cannot be read ({reason})")


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


IDENTITY = "sidecar_id, epoch, pending_nonce, clock, image_seq, checksum"
"""The columns of the identity. A journal of an older version has the first four."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The sidecar's identity: its id, the epoch that the central store issued, the nonce of a registration whose answer may
    have been lost, and the highest reading of the clock that is on disk.
    """

    sidecar_id: SidecarId
    epoch: int = 0
    pending_nonce: str = ""
    clock: Instant = Instant(0)


def put_identity(connection: sqlite3.Connection, identity: Identity) -> None:
    """Write who the sidecar is. Which record the image was made after stays."""
    found = connection.execute("SELECT image_seq FROM identity").fetchone()
    image_seq = 0 if found is None else found[0]
    connection.execute(
        "INSERT INTO identity (id, sidecar_id, epoch, pending_nonce, clock, checksum) VALUES (1, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET sidecar_id = excluded.sidecar_id, epoch = excluded.epoch,"
        " pending_nonce = excluded.pending_nonce, clock = excluded.clock, checksum = excluded.checksum",
        (*astuple(identity), _checksum(identity, image_seq)),
    )


def put_image_seq(connection: sqlite3.Connection, image_seq: int) -> None:
    """Write which record the image was made after. Who the sidecar is stays."""
    identity = read_identity(connection)
    assert identity is not None, "a journal with an image has an identity"
    connection.execute("UPDATE identity SET image_seq = ?, checksum = ?", (image_seq, _checksum(identity, image_seq)))


def read_identity(
    connection: sqlite3.Connection, kept: Iterable[str] = ("records", "image"), columns: str = IDENTITY
) -> Identity | None:
    """Who the sidecar is; None in a new file. The tables `kept` have what it did under this identity.

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
            if others and others[1] != _checksum(found, others[0]):
                raise ValueError("its checksum is wrong")
            return found
        case _:
            raise ValueError("a column is of another type")


def _checksum(identity: Identity, image_seq: object) -> int:
    """The CRC-32 of the row."""
    cells = identity.sidecar_id, identity.epoch, identity.pending_nonce, identity.clock, image_seq
    return zlib.crc32(repr(tuple(map(str, cells))).encode())


def _rate_card(version: str, body: bytes) -> KeptCard:
    card = KEPT_CARD.decode(zlib.decompress(body))
    return card if card.version == version else differs("version")
