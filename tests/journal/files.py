"""Looking at a journal's file, and holding up the thread that writes it."""

import asyncio
import contextlib
import sqlite3
import threading
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Refund, RefundMode
from creditmeter.core.ids import ChargeId, RefundId, RequestId, SidecarId
from creditmeter.core.metering.book import Change
from creditmeter.forms.changes import Packing
from creditmeter.forms.rate_cards import load
from creditmeter.journal.durability import Durability
from creditmeter.journal.journal import Journal
from creditmeter.journal.records import read_image, read_log
from tests.journal.things import ACCOUNT, NOON, charge, lease, reserving

HERE = SidecarId("s1")


@contextlib.asynccontextmanager
async def journal_at(path: Path, durability: Durability = Durability.FULL) -> AsyncIterator[Journal]:
    """A journal that is open for the length of a block."""
    journal = await Journal.open(path, HERE, durability)
    try:
        yield journal
    finally:
        await journal.close()


async def loaded(journal: Journal) -> list[Change]:
    """What a start reads."""
    found: list[Change] = []
    await journal.load(found.append)
    return found


def stored(path: Path) -> list[Change]:
    """What is on disk: the image, and the records after it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [*read_image(connection, HERE), *(logged.change for _, logged in read_log(connection, HERE))]


def reservations(path: Path) -> list[str]:
    """The ids of the reservations on disk, in the order in which they were written."""
    return [each.reservation_id for change in stored(path) for each in change.reservations]


def leases(path: Path) -> list[str]:
    """The ids of the leases on disk."""
    return [each.lease_id for change in stored(path) for each in change.leases]


async def made_full(path: Path) -> Path:
    """A journal with a row in each table, closed in good order."""
    account = Account(ACCOUNT, NOON)
    refund = Refund(RefundId("f"), ChargeId("c"), ACCOUNT, RequestId("f"), Microcredits(1), RefundMode.ORIGINAL, "", NOON)
    card = load('version = "v1"\neffective_from = 1970-01-01T00:00:00Z\n', bundled_price_list).kept
    async with journal_at(path) as journal:
        journal.write(reserving("r"), NOON)
        journal.write(Change(ACCOUNT, account=account, leases=(lease("l"),), charges=(charge("c"),), refunds=(refund,)), NOON)
        await journal.put_rate_card(card)
        await loaded(journal)
        journal.write_image([reserving("r"), Change(ACCOUNT, leases=(lease("l"),))], NOON)
        journal.write(reserving("s"), NOON)
    return path


def overwrite_cell(path: Path, table: str, column: str, content: bytes | str) -> None:
    """Put something else into a column of a table's rows."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (content,))


def rewrite_bodies(path: Path, table: str, old: bytes, new: bytes) -> None:
    """Replace a part of the body of each row, whose checksum is right afterwards."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        unpacked = Packing(ACCOUNT, HERE)
        number = {"records": "seq", "image": "part"}[table]
        rows = connection.execute(f"SELECT {number}, account_id, written_at, checksum, body FROM {table}")
        for key, account_id, written_at, checksum, body in rows.fetchall():
            changed = unpacked.pack(unpacked.unpack(body).replace(old, new, 1))
            whole = zlib.crc32(f"{table} {key} {account_id} {written_at} ".encode() + changed)
            connection.execute(
                f"UPDATE {table} SET body = ?, checksum = ? WHERE {number} = ?",
                (changed, checksum // 2**32 * 2**32 + whole, key),
            )


def run(path: Path, script: str) -> None:
    """Do something to a file behind the journal's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


@contextlib.asynccontextmanager
async def held_up(journal: Journal) -> AsyncIterator[None]:
    """Keep the thread of the journal's connection busy for the length of a block, as a slow disk does."""
    released = threading.Event()
    busy = asyncio.ensure_future(journal._connection.run(lambda _connection: released.wait()))
    await asyncio.sleep(0)  # until it is in the thread's queue
    try:
        yield
    finally:
        released.set()
        await busy


async def until_taken(journal: Journal) -> None:
    """Return when the writer has taken the group that was gathered."""
    while journal._gathering:
        await asyncio.sleep(0)
