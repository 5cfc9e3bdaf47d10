"""A write that fails fails its group and all that came later, and the journal recovers from what is on disk.

The failures are real: SQLite refuses, because it may not write, because the file may not grow, or because a trigger aborts.
"""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha512
from pathlib import Path
from typing import cast

import pytest

from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Change
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.journal.journal import Journal
from creditmeter.journal.rows import Identity
from tests.journal.files import HERE, held_up, journal_at, leases, loaded, reservations, until_taken
from tests.journal.things import ACCOUNT, NOON, lease, reserving

TRIGGER = "CREATE TRIGGER broken BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'broken'); END"
CAUSES = {
    "it may not write": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "attempt to write a readonly database"),
    "it may not grow": ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "database or disk is full"),
    "a trigger aborts": (TRIGGER, "DROP TRIGGER broken", "broken"),
}


class Disk:
    """A disk that can be broken and mended."""

    def __init__(self, journal: Journal, breaking: str, mending: str, reason: str) -> None:
        self.reason = reason
        self._journal = journal
        self._breaking = breaking
        self._mending = mending

    async def breaks(self) -> None:
        """From here on writing fails."""
        await self._journal._connection.execute_fetchall(self._breaking)

    async def is_mended(self) -> None:
        """From here on writing succeeds."""
        await self._journal._connection.execute_fetchall(self._mending)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """A journal with one reservation on disk."""
    async with journal_at(path) as journal:
        journal.write(reserving("kept"), NOON)
        await journal.durable()
        yield journal


@pytest.fixture(params=list(CAUSES))
def disk(request: pytest.FixtureRequest, journal: Journal) -> Disk:
    """A disk that breaks, in each way."""
    return Disk(journal, *CAUSES[request.param])


@pytest.fixture
def read_only_disk(journal: Journal) -> Disk:
    """A disk that breaks in the first way."""
    return Disk(journal, *CAUSES["it may not write"])


def much() -> Change:
    """A change that does not fit into the pages that the file has, whose last part is what a trigger aborts."""
    names = (sha512(str(number).encode()).hexdigest() for number in range(200))
    reservations = tuple(each for name in names for each in reserving(f"lost{name}").reservations)
    return Change(ACCOUNT, leases=(lease("lost"),), reservations=reservations)


async def test_a_group_that_cannot_be_written_leaves_nothing(journal: Journal, path: Path, disk: Disk) -> None:
    """Every caller that waits for it gets the reason, later ones too; and no part of it is on disk."""
    await disk.breaks()
    journal.write(Change(ACCOUNT, leases=(lease("lost"),)), NOON)
    journal.write(much(), NOON)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=disk.reason):
            await journal.durable()
    assert journal.has_failed
    assert leases(path) == []
    assert reservations(path) == ["kept"]


async def test_what_was_gathered_behind_a_failed_group_fails_with_it(journal: Journal, path: Path, disk: Disk) -> None:
    """It was decided in sight of what is not on disk, so it must not get there although it could."""
    await disk.breaks()
    async with held_up(journal):
        journal.write(much(), NOON)
        first = asyncio.ensure_future(journal.durable())
        await until_taken(journal)
        journal.write(Change(ACCOUNT, leases=(lease("behind"),)), NOON)
        second = asyncio.ensure_future(journal.durable())
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in outcomes] == [StorageUnavailable, StorageUnavailable]
    assert leases(path) == []


async def test_after_a_failure_everything_is_refused(journal: Journal, path: Path, disk: Disk) -> None:
    """Writing, forgetting, and a new identity, even if the disk could take them again."""
    await disk.breaks()
    journal.write(much(), NOON)
    with pytest.raises(StorageUnavailable):
        await journal.durable()
    await disk.is_mended()
    with pytest.raises(StorageUnavailable):
        journal.write(reserving("later"), NOON)
    with pytest.raises(StorageUnavailable):
        journal.drop(NOON)
    with pytest.raises(StorageUnavailable):
        journal.write_image([], NOON)
    with pytest.raises(StorageUnavailable):
        await journal.put_identity(Identity(HERE, 1))
    assert reservations(path) == ["kept"]


async def test_it_recovers_when_the_disk_does(journal: Journal, path: Path, disk: Disk) -> None:
    """It takes changes again once the books were loaded anew, from what is on disk."""
    await disk.breaks()
    journal.write(much(), Instant(NOON + 5))
    with pytest.raises(StorageUnavailable):
        await journal.durable()
    await disk.is_mended()
    await journal.reopen()
    assert journal.identity == Identity(HERE, clock=NOON)
    found = await loaded(journal)
    assert [each.reservation_id for change in found for each in change.reservations] == ["kept"]
    assert not journal.has_failed
    journal.write(reserving("later"), NOON)
    await journal.durable()
    assert reservations(path) == ["kept", "later"]


async def test_nothing_is_taken_between_reopening_and_loading(journal: Journal, read_only_disk: Disk) -> None:
    """What a book still knows of the failed group must not come to be acknowledged."""
    await read_only_disk.breaks()
    journal.write(much(), NOON)
    with pytest.raises(StorageUnavailable):
        await journal.durable()
    await read_only_disk.is_mended()
    await journal.reopen()
    assert journal.has_failed
    with pytest.raises(StorageUnavailable):
        await journal.durable()
    with pytest.raises(StorageUnavailable):
        journal.write(reserving("later"), NOON)
    await loaded(journal)
    await journal.durable()


async def test_reopening_says_that_the_disk_is_still_broken(journal: Journal, read_only_disk: Disk) -> None:
    """And loading the books does not make it forget."""
    await read_only_disk.breaks()
    journal.write(much(), NOON)
    with pytest.raises(StorageUnavailable):
        await journal.durable()
    with pytest.raises(StorageUnavailable, match=read_only_disk.reason):
        await journal.reopen()
    await loaded(journal)
    assert journal.has_failed


async def test_a_failed_identity_is_not_believed(journal: Journal, read_only_disk: Disk) -> None:
    """An epoch that is not on disk was never issued."""
    await read_only_disk.breaks()
    with pytest.raises(StorageUnavailable):
        await journal.put_identity(Identity(HERE, 9, "nonce"))
    await read_only_disk.is_mended()
    await journal.reopen()
    assert journal.identity == Identity(HERE, clock=NOON)


async def test_a_change_that_cannot_be_encoded_fails_alone(journal: Journal, path: Path) -> None:
    """It is a fault of the program, and nothing rests on the change: it was not made."""
    journal.write(reserving("before"), NOON)
    with pytest.raises(TypeError, match="a change cannot be stored"):
        journal.write(Change(ACCOUNT, reservations=(cast("Reservation", Unwritable()),)), NOON)
    journal.write(reserving("later"), NOON)
    await journal.durable()
    assert reservations(path) == ["kept", "before", "later"]


@pytest.mark.parametrize("count", [*range(1, 10), 255, 256, 257, 700])
async def test_a_group_of_any_size_is_written_in_order(journal: Journal, path: Path, count: int) -> None:
    """Its rows are written by one or several statements."""
    first = journal.last_record + 1
    for number in range(count):
        journal.write(reserving(f"r{number}"), NOON)
    await journal.durable()
    assert reservations(path) == ["kept", *(f"r{number}" for number in range(count))]
    assert journal.last_record == first + count - 1


async def test_a_caller_that_gives_up_takes_nothing_from_the_others(journal: Journal, path: Path) -> None:
    """All of them wait for the same group."""
    journal.write(reserving("written"), NOON)
    first, second = asyncio.ensure_future(journal.durable()), asyncio.ensure_future(journal.durable())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    assert reservations(path) == ["kept", "written"]


class Unwritable:
    """Something that JSON has no word for."""

    reservation_id = "unwritable"


async def test_a_fault_after_a_group_was_written_leaves_nobody_waiting(journal: Journal, path: Path) -> None:
    """Whether it took effect is unknown to its caller, and known again once the books were loaded."""

    def broken(_change: Change) -> None:
        raise ValueError("broken")

    journal.on_written, working = broken, journal.on_written
    journal.write(reserving("written"), NOON)
    with pytest.raises(StorageUnavailable, match="broken"):
        await journal.durable()
    journal.on_written = working
    await journal.reopen()
    await loaded(journal)
    journal.write(reserving("later"), NOON)
    await journal.durable()
    assert reservations(path) == ["kept", "written", "later"]


async def test_a_journal_that_failed_can_be_closed(path: Path) -> None:
    """It does not wait for what cannot be written."""
    async with journal_at(path) as journal:
        await journal._connection.execute_fetchall("PRAGMA query_only = ON")
        journal.write(reserving("lost"), NOON)
    assert reservations(path) == []
