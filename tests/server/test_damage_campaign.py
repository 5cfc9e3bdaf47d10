"""A campaign of damage against the journal of a sidecar that was killed in the middle of work.

Whatever is done to which of its files, a start on it is right, or is refused in one line, or puts the account of a damaged row
into quarantine, or refuses the calls that need the row. It never answers anything else than was acknowledged. What came of each
kind of damage is counted.
"""

import contextlib
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from creditmeter.server import data_directory
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.data_directory import DataDirectory
from creditmeter.server.exits import DAMAGED, StartupError
from tests.clocks import NOON, ManualClock
from tests.sidecar.damaged import Told, live_through, told_by

FLIPS = 40
MANY = 200
RIGHT, REFUSED, QUARANTINED, CALL_REFUSED = "right", "refused", "in quarantine", "a call refused"
Chance = random.Random


def settings(directory: Path) -> Settings:
    """Those of every start: nothing is settled by itself."""
    return Settings.load(None, data_dir=directory, listen=(), enable_admin=True, settle_interval=60, shutdown_grace=0.2)


@dataclass(frozen=True)
class Past:
    """The files of a sidecar that was killed, the same with all of the journal in one file, earlier ones, and its answers."""

    killed: Path
    merged: Path
    earlier: Path
    sound: Told


@pytest.fixture
async def past(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Past:
    """Four accounts in every state, in the image and behind it. The note of how far the journal goes is of the last moment."""
    monkeypatch.setattr(data_directory, "NOTE_SECONDS", 3_600)
    places = [data_dir / name for name in ("run", "k", "m", "e")]
    run, killed, merged, earlier = places
    run.mkdir()
    async with running(settings(run), ManualClock(NOON)) as program:
        sidecar = program.sidecar
        copy_files(run, earlier)
        bench: Any = SimpleNamespace(sidecar=sidecar, central=sidecar.central, journal=sidecar._journal)
        await live_through(bench)
        DataDirectory(settings(run)).note(sidecar._journal.last_record)
        copy_files(run, killed)
    copy_files(killed, merged)
    with contextlib.closing(sqlite3.connect(merged / "journal.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (merged / "journal.db-open").unlink()
    for base in (killed, merged):
        assert (base / "journal.db-wal").exists() == (base is killed)
    copy_files(killed, data_dir / "a")
    sound = await told_on(data_dir / "a")
    assert isinstance(sound, Told)
    assert not sound.damaged
    assert not sound.refused
    assert all(receipt is not None for receipt in sound.receipts.values())
    return Past(killed, merged, earlier, sound)


def copy_files(source: Path, target: Path) -> None:
    """The databases and notes of a directory, as a kill would leave them."""
    target.mkdir()
    for each in source.iterdir():
        if each.is_file():
            shutil.copy(each, target / each.name)


async def told_on(directory: Path) -> Told | StartupError:
    """What a sidecar that starts there answers of all accounts, from its journal alone; or why it does not start."""
    try:
        async with running(settings(directory), ManualClock(NOON)) as program:
            told = told_by(program.sidecar)
            assert set(program.sidecar.records.quarantine) == told.damaged
            return told
    except StartupError as error:
        return error


async def outcome(directory: Path, sound: Told, where: str) -> str:
    """What comes of a start."""
    told = await told_on(directory)
    if isinstance(told, StartupError):
        assert told.exit_code == DAMAGED, where
        assert "\n" not in str(told), where
        return REFUSED
    assert told.agrees_with(sound), where
    if told.damaged:
        assert len(told.damaged) == 1, where
        return QUARANTINED
    return CALL_REFUSED if told.refused else RIGHT


# Where a bit is flipped.


def flipped(path: Path, place: int, chance: Chance) -> str:
    """Flip one bit of a byte."""
    content = bytearray(path.read_bytes())
    bit = chance.randrange(8)
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place % len(content)} of {path.name}"


def in_rows(query: str, near: int) -> Callable[[Path, Past, Chance], str]:
    """A flip in one of the cells of a query, or so many bytes before one."""

    def flip(directory: Path, _past: Past, chance: Chance) -> str:
        path = directory / "journal.db"
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
            cells = [cell if isinstance(cell, bytes) else str(cell).encode() for (cell,) in connection.execute(query)]
        cell = chance.choice(cells)
        start = path.read_bytes().find(cell)
        assert start > 0, query
        return flipped(path, start + chance.randrange(-near, len(cell)), chance)

    return flip


def in_entries(directory: Path, _past: Past, chance: Chance) -> str:
    """A flip in an entry of the index: its hash, or the numbers beside it."""
    path = directory / "journal.db"
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        hashes = [each for (each,) in connection.execute("SELECT hash FROM entries")]
    start = path.read_bytes().find(chance.choice(hashes).to_bytes(8, signed=True))
    assert start > 0
    return flipped(path, start + chance.randrange(-6, 10), chance)


def in_filter(directory: Path, _past: Past, chance: Chance) -> str:
    """A flip in the filter of a segment, which fills pages of its own."""
    path = directory / "journal.db"
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        (bits,) = connection.execute("SELECT filter FROM segments").fetchone()
    start = path.read_bytes().find(bits[:1_000])
    assert start > 0
    return flipped(path, start + chance.randrange(1_000), chance)


def anywhere(name: str) -> Callable[[Path, Past, Chance], str]:
    """A flip in any byte of a file."""

    def flip(directory: Path, _past: Past, chance: Chance) -> str:
        path = directory / name
        return flipped(path, chance.randrange(path.stat().st_size), chance)

    return flip


def cut(name: str) -> Callable[[Path, Past, Chance], str]:
    """A file that is cut off anywhere."""

    def harm(directory: Path, _past: Past, chance: Chance) -> str:
        path = directory / name
        with path.open("r+b") as opened:
            opened.truncate(chance.randrange(path.stat().st_size))
        return f"{name} cut off at {path.stat().st_size}"

    return harm


def removed(name: str) -> Callable[[Path, Past, Chance], str]:
    """A file that is gone."""

    def harm(directory: Path, _past: Past, _chance: Chance) -> str:
        (directory / name).unlink()
        return f"{name} removed"

    return harm


def older(*names: str) -> Callable[[Path, Past, Chance], str]:
    """Files in whose place an earlier copy was put."""

    def harm(directory: Path, past: Past, _chance: Chance) -> str:
        for name in names:
            shutil.copy(past.earlier / name, directory / name)
        return f"earlier {' and '.join(names)}"

    return harm


def swapped(table: str, number: str) -> Callable[[Path, Past, Chance], str]:
    """A row whose content is that of another one."""

    def harm(directory: Path, _past: Past, chance: Chance) -> str:
        with contextlib.closing(sqlite3.connect(directory / "journal.db")) as connection, connection:
            keys = [key for (key,) in connection.execute(f"SELECT {number} FROM {table}")]
            one, other = chance.sample(keys, 2)
            columns = "account_id, written_at, checksum, body"
            connection.execute(
                f"UPDATE {table} SET ({columns}) = (SELECT {columns} FROM {table} WHERE {number} = ?) WHERE {number} = ?",
                (other, one),
            )
        return f"row {one} of {table} replaced by row {other}"

    return harm


IN_ONE_FILE: dict[str, Callable[[Path, Past, Chance], str]] = {
    "any byte of the journal": anywhere("journal.db"),
    "a record": in_rows("SELECT body FROM records", 40),
    "a part of the image": in_rows("SELECT body FROM image", 40),
    "an entry of the index": in_entries,
    "the filter of the index": in_filter,
    "the identity": in_rows("SELECT sidecar_id FROM identity", 12),
    "a record replaced": swapped("records", "seq"),
    "a part of the image replaced": swapped("image", "part"),
    "the journal cut off": cut("journal.db"),
    "an earlier journal": older("journal.db"),
}
WITH_A_LOG: dict[str, Callable[[Path, Past, Chance], str]] = {
    "any byte of the journal beside its log": anywhere("journal.db"),
    "any byte of the log": anywhere("journal.db-wal"),
    "the log cut off": cut("journal.db-wal"),
    "the log removed": removed("journal.db-wal"),
    "an earlier log": older("journal.db-wal"),
    "an earlier journal and log": older("journal.db", "journal.db-wal"),
    "the note of an open journal removed": removed("journal.db-open"),
}


def kinds() -> Iterator[tuple[str, Callable[[Path, Past, Chance], str], bool]]:
    """All kinds of damage, and whether the journal is in one file."""
    yield from ((name, harm, True) for name, harm in IN_ONE_FILE.items())
    yield from ((name, harm, False) for name, harm in WITH_A_LOG.items())


async def campaign(past: Past, place: Path, seed: int, count: int) -> dict[str, Counter[str]]:
    """What came of so much damage, each kind in its turn, by kind."""
    ends: dict[str, Counter[str]] = {}
    all_kinds = list(kinds())
    for number in range(count):
        name, harm, is_merged = all_kinds[number % len(all_kinds)]
        chance = random.Random(f"{seed}-{number}")  # noqa: S311 - damage, no secret
        directory = place / f"{seed}-{number}"
        copy_files(past.merged if is_merged else past.killed, directory)
        where = f"seed {seed}, number {number}: {name}: {harm(directory, past, chance)}"
        ends.setdefault(name, Counter())[await outcome(directory, past.sound, where)] += 1
        shutil.rmtree(directory)
    return ends


def shown(ends: dict[str, Counter[str]]) -> str:
    """A line for each kind of damage."""
    return "\n".join(f"{name}: {dict(sorted(found.items()))}" for name, found in ends.items())


@pytest.mark.long
async def test_it_is_never_silently_different(past: Past, data_dir: Path) -> None:
    """Each kind a few times."""
    ends = await campaign(past, data_dir, 0, FLIPS)
    print(shown(ends))  # noqa: T201 - shown if it fails
    assert len(ends) == len(IN_ONE_FILE) + len(WITH_A_LOG)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_it_is_never_silently_different_many_times(past: Past, data_dir: Path, seed: int) -> None:
    """The outcomes are those that each kind can have, and each outcome comes about."""
    ends = await campaign(past, data_dir, seed, MANY)
    print(shown(ends))  # noqa: T201 - shown if it fails
    assert set(sum(ends.values(), Counter())) == {RIGHT, REFUSED, QUARANTINED, CALL_REFUSED}
    for name in ("the log removed", "an earlier journal and log", "an earlier log"):
        assert set(ends[name]) == {REFUSED}, name
    assert set(ends["the note of an open journal removed"]) == {RIGHT}
    assert set(ends["an entry of the index"]) <= {RIGHT, REFUSED}
    assert set(ends["the filter of the index"]) == {RIGHT}
