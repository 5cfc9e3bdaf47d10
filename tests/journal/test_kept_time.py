"""What is known of the time is in the journal as well, and a journal without it is as good as before."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from creditmeter.core.clocks import KeptTime
from creditmeter.core.instants import Instant, Span
from creditmeter.core.values import replace
from creditmeter.journal.checking import check_journal
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.journal.rows import Identity
from tests.journal.files import HERE, journal_at, overwrite_cell, run
from tests.journal.things import NOON, reserving

KEPT = KeptTime("a run of the machine", NOON - 1_000, Span(7), Span(1_000), Span(-8))


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal that keeps the time."""
    path = tmp_path / "journal.db"
    async with journal_at(path) as journal:
        journal.keep_time(replace(KEPT, offset=1))
        journal.keep_time(KEPT)
        await journal.durable()
    return path


async def test_the_time_is_there_again(path: Path) -> None:
    """Whatever else is written. The identity that somebody read before, and writes with another epoch, does not change it."""
    async with journal_at(path) as journal:
        before = journal.identity
        assert before.time == KEPT
        later = replace(KEPT, correction=Span(9))
        journal.keep_time(later)
        journal.write(reserving("r"), NOON)
        await journal.put_identity(Identity(HERE, 7, "", Instant(0), before.time))
        assert journal.identity == Identity(HERE, 7, "", NOON, later)
    async with journal_at(path) as journal:
        assert journal.identity == Identity(HERE, 7, "", NOON, later)
    assert check_journal(path).is_clean


async def test_a_journal_without_it_is_read_and_takes_it(path: Path) -> None:
    """As a program wrote it that knows nothing of it."""
    run(path, "DROP TABLE kept_time")
    async with journal_at(path) as journal:
        assert journal.identity.time is None
        journal.keep_time(KEPT)
    async with journal_at(path) as journal:
        assert journal.identity.time == KEPT


@pytest.mark.parametrize(("column", "content"), [("checksum", "3"), ("body", b"{}"), ("body", "text")])
async def test_a_damaged_one_counts_as_none(path: Path, column: str, content: bytes | str) -> None:
    """It is a help alone. The log tells of it, and the next one takes its place."""
    overwrite_cell(path, "kept_time", column, content)
    with capture_logs() as logs:
        async with journal_at(path) as journal:
            assert journal.identity.time is None
            journal.keep_time(KEPT)
    assert [each["event"] for each in logs] == ["what was known of the time is damaged, and counts no more"]
    async with journal_at(path) as journal:
        assert journal.identity.time == KEPT


async def test_another_table_of_its_name_is_none(path: Path) -> None:
    """Nobody made it here, but the journal is read."""
    run(path, "DROP TABLE kept_time; CREATE TABLE kept_time (something)")
    with capture_logs() as logs:
        async with journal_at(path) as journal:
            assert journal.identity.time is None
    assert len(logs) == 1


async def test_a_write_that_fails_keeps_nothing(path: Path) -> None:
    """What is on disk counts when the journal can be written again."""
    async with journal_at(path) as journal:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await journal._connection.run(lambda connection: connection.execute("PRAGMA busy_timeout = 0"))
            journal.keep_time(replace(KEPT, offset=2))
            with pytest.raises(StorageUnavailable):
                await journal.durable()
            journal.keep_time(replace(KEPT, offset=3))
        await journal.reopen()
        assert journal.identity.time == KEPT


async def test_a_closed_journal_keeps_nothing_more(path: Path) -> None:
    """To close it once more ends."""
    async with journal_at(path) as journal:
        pass
    journal.keep_time(replace(KEPT, offset=2))
    await journal.close()
    assert journal.identity.time == KEPT
