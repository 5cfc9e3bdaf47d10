"""A journal whose files are deleted or replaced under it acknowledges nothing more, until they are put back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from creditmeter.journal.faults import FileMissing
from creditmeter.journal.journal import Journal
from creditmeter.journal.rows import Identity
from tests.journal.files import HERE, held_up, journal_at, loaded, reservations, until_taken
from tests.journal.things import NOON, reserving

NAMES = ("journal.db", "journal.db-wal", "journal.db-shm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's journal is."""
    return tmp_path / "journal.db"


def delete(path: Path) -> None:
    """Delete a file."""
    path.unlink()


def replace(path: Path, content: bytes) -> None:
    """Move a file away, and put another one in its place, which this process does not have open."""
    path.rename(path.with_name(f"earlier-{path.name}"))
    other = path.with_name(f"later-{path.name}")
    other.write_bytes(content)
    other.rename(path)


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """A journal with one reservation on disk."""
    async with journal_at(path) as journal:
        journal.write(reserving("kept"), NOON)
        await journal.durable()
        yield journal


@pytest.mark.parametrize("name", NAMES)
async def test_a_change_is_not_acknowledged(journal: Journal, path: Path, name: str) -> None:
    """Although SQLite wrote it: a restart would not find it. All later ones fail as well, and nothing is taken."""
    lost = path.with_name(name)
    lost.unlink()
    journal.write(reserving("lost"), NOON)
    with pytest.raises(FileMissing, match=str(lost)):
        await journal.durable()
    with pytest.raises(FileMissing):
        journal.write(reserving("later"), NOON)
    with pytest.raises(FileMissing):
        await journal.put_identity(Identity(HERE, 1))


async def test_a_file_that_is_lost_while_a_group_is_written(journal: Journal, path: Path) -> None:
    """The group is looked at after it was written, not before."""
    async with held_up(journal):
        journal.write(reserving("lost"), NOON)
        await until_taken(journal)
        journal.write(reserving("behind"), NOON)
        waiting = asyncio.ensure_future(journal.durable())
        delete(path)
    with pytest.raises(FileMissing):
        await waiting


async def test_nothing_is_acknowledged_once_it_was_looked_for(journal: Journal, path: Path) -> None:
    """A reply that rests on nothing new is not given either."""
    delete(path)
    await journal.durable()
    with pytest.raises(FileMissing):
        journal.check_files()
    with pytest.raises(FileMissing):
        await journal.durable()


@pytest.mark.parametrize("name", NAMES)
async def test_files_that_are_put_back(journal: Journal, path: Path, name: str) -> None:
    """Then the journal is opened again as after any failure, and has what it acknowledged."""
    lost, elsewhere = path.with_name(name), path.with_name("elsewhere")
    lost.rename(elsewhere)
    with pytest.raises(FileMissing):
        journal.check_files()
    with pytest.raises(FileMissing):
        await journal.reopen()
    elsewhere.rename(lost)
    journal.check_files()
    assert journal.has_failed, "the books are to be loaded first"
    await journal.reopen()
    await loaded(journal)
    journal.write(reserving("later"), NOON)
    await journal.durable()
    assert reservations(path) == ["kept", "later"]


async def test_another_file_that_must_be_there(journal: Journal, tmp_path: Path) -> None:
    """What waits to be written fails, too."""
    async with held_up(journal):
        journal.write(reserving("taken"), NOON)
        await until_taken(journal)
        journal.write(reserving("waits"), NOON)
        waiting = asyncio.ensure_future(journal.durable())
        await asyncio.sleep(0)
        journal.refuse(tmp_path / "central.db")
    with pytest.raises(FileMissing, match=r"central\.db"):
        await waiting


async def test_a_log_that_is_lost_is_brought_into_the_journal(path: Path) -> None:
    """When it is closed: the process still has the log open."""
    async with journal_at(path) as journal:
        journal.write(reserving("kept"), NOON)
        await journal.durable()
        path.with_name("journal.db-wal").unlink()
    assert reservations(path) == ["kept"]


async def test_a_log_that_is_put_in_the_place_of_a_moved_journal_is_left_alone(path: Path) -> None:
    """Closing a journal that was moved away deletes no file of the one that is there now."""
    async with journal_at(path) as journal:
        journal.write(reserving("kept"), NOON)
        await journal.durable()
        replace(path, b"another")
        replace(path.with_name("journal.db-wal"), b"its log")
    assert path.with_name("journal.db-wal").read_bytes() == b"its log"
