"""A journal of version 2 is brought up to this one, whenever the process that does it is killed on the way."""

import contextlib
import itertools
import shutil
import sqlite3
from pathlib import Path

import pytest

from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.metering.book import Book, Change
from creditmeter.forms.reservations import RESERVATION
from creditmeter.journal import older
from creditmeter.journal.connection import connect
from creditmeter.journal.durability import Durability
from tests.journal.files import journal_at, loaded
from tests.journal.things import ACCOUNT, NOON, charge, held

OLDER = Path(__file__).parents[1] / "older_files" / "0.1.0" / "journal.sql"
MORE = 5_000


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of version 2 in the middle of work, with some thousand ended reservations."""
    path = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(OLDER.read_text(encoding="utf-8"))
        rows = ((name, RESERVATION.encode(held(name).end(ReservationState.RELEASED, NOON))) for name in names())
        connection.executemany("INSERT INTO reservations VALUES (?, ?)", rows)
    return path


def names() -> list[str]:
    """The ids of the reservations that were put in."""
    return [f"more-{number}" for number in range(MORE)]


async def state_of(path: Path) -> tuple[dict[AccountId, Change], int, int]:
    """What can still change by account, how many requests are remembered, and how many of the reservations are found."""
    async with journal_at(path, Durability.PROCESS) as journal:
        books: dict[AccountId, Book] = {}
        for change in await loaded(journal):
            books.setdefault(change.account_id, Book(change.account_id)).apply(change)
        found = sum(journal.archive.reservation(held(name).reservation_id) is not None for name in names())
        return {key: book.live for key, book in books.items()}, journal.archive.remembered.receipts, found


async def is_killed(path: Path, after: int) -> bool:
    """Bring a journal up to this version in a process that ends after so many batches; False if there were fewer."""
    batches = itertools.count(1)

    def progress(_moved: int, _rows: int) -> None:
        if next(batches) == after:
            raise Killed

    try:
        connection = await connect(path, Durability.PROCESS, progress)
    except Killed:
        return True
    await connection.close()
    return False


@pytest.mark.long
async def test_everything_is_there_whenever_it_was_killed(path: Path, tmp_path: Path) -> None:
    """After any batch: the next start goes on, and comes to the same."""
    whole = Path(shutil.copy(path, tmp_path / "whole.db"))
    expected = await state_of(whole)
    assert expected[1] > 5
    assert expected[2] == MORE
    kills = 0
    while await is_killed(copy := Path(shutil.copy(path, tmp_path / f"{kills}.db")), kills + 1):
        kills += 1
        assert await state_of(copy) == expected
    assert kills > MORE / older.MAX_MOVED


async def test_the_first_replies_are_found(path: Path) -> None:
    """Of every request that the older version remembered."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        asked = connection.execute("SELECT account_id, request_id FROM receipts").fetchall()
    async with journal_at(path) as journal:
        await loaded(journal)
        for account_id, request_id in asked:
            assert journal.archive.receipt(AccountId(account_id), RequestId(request_id)) is not None
        assert journal.archive.receipt(ACCOUNT, charge("c").request_id) is None
