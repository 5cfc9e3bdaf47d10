"""A file that cannot be the journal is refused with a sentence for an operator, and stays as it was found."""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest

from creditmeter.journal.faults import JournalUnusable
from creditmeter.journal.journal import Journal
from creditmeter.journal.schema import VERSION
from tests.journal.files import HERE, journal_at, loaded, made_full, overwrite_cell, reservations, rewrite_bodies, run, stored
from tests.journal.things import NOON, reserving

PAGE = 4096


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with some pages, closed in good order."""
    path = tmp_path / "journal.db"
    async with journal_at(path) as journal:
        for number in range(200):
            journal.write(reserving(f"r{number}"), NOON)
    return path


def found(path: Path) -> dict[str, bytes]:
    """The journal and every file beside it, to the byte; but for SQLite's scratch files, which hold nothing of it."""
    files = [each for each in path.parent.iterdir() if not each.name.endswith("-shm")]
    return {each.name: content for each in files if (content := each.read_bytes())}


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return [each.name for each in directory.iterdir()]


def overwrite(path: Path, start: int, length: int) -> None:
    """Put rubbish into a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


async def refusal(path: Path) -> str:
    """The message about a file that is refused; it is checked that nothing was changed."""
    before = found(path)
    with pytest.raises(JournalUnusable) as refused:
        async with journal_at(path) as journal:
            await loaded(journal)
    assert found(path) == before
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


async def outcome(path: Path) -> str | None:
    """Why a file is refused; None if it is not, and all of it was read."""
    try:
        async with journal_at(path) as journal:
            await loaded(journal)
            await journal.rate_cards()
    except JournalUnusable as refused:
        return str(refused)
    return None


async def test_a_damaged_page_is_found(path: Path) -> None:
    """Before anything is believed."""
    for page in range(8, 12):
        overwrite(path, page * PAGE, 64)
    assert "is damaged" in await refusal(path)


async def test_a_damaged_first_page_is_found(path: Path) -> None:
    """Where SQLite itself cannot go on."""
    overwrite(path, 100, 1900)
    assert "cannot be used: database disk image is malformed" in await refusal(path)


async def test_half_a_file_is_found(path: Path) -> None:
    """As a copy that was cut off leaves it."""
    os.truncate(path, 10 * PAGE)
    await refusal(path)


@pytest.mark.parametrize("size", [20, 20_000])
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, size: int) -> None:
    """Whatever it is, it is somebody's."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"Dear diary, today I " * (size // 20))
    assert "file is not a database" in await refusal(path)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("version", [0, VERSION, VERSION + 1])
async def test_another_programs_database_is_refused(tmp_path: Path, mode: str, version: int) -> None:
    """Whatever version it claims to be."""
    path = tmp_path / "journal.db"
    run(path, f"PRAGMA journal_mode = {mode}; PRAGMA user_version = {version}; CREATE TABLE accounts (id);")
    assert await refusal(path) == f"{path} is a database, but not a journal of this program"


async def test_a_newer_journal_is_refused(path: Path) -> None:
    """An older program would misread it."""
    run(path, f"PRAGMA user_version = {VERSION + 1}")
    assert f"is of a newer version ({VERSION + 1}) than this program ({VERSION})" in await refusal(path)


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    """It cannot be opened as a file."""
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalUnusable, match="unable to open database file"):
        await Journal.open(tmp_path / "journal.db", HERE)


@pytest.mark.parametrize("parent", ["missing", "file"])
async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, parent: str) -> None:
    """No folder is made for it."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnusable, match="unable to open database file"):
        await Journal.open(tmp_path / parent / "journal.db", HERE)
    assert names(tmp_path) == ["file"]


async def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    """A crash right at the first start leaves one."""
    path = tmp_path / "journal.db"
    path.touch()
    async with journal_at(path) as journal:
        assert await loaded(journal) == []


async def test_what_is_in_the_log_alone_is_read(path: Path, tmp_path: Path) -> None:
    """A crashed process leaves the newest changes there; a copy of the two files is a copy of the journal."""
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    async with journal_at(path) as journal:
        journal.write(reserving("newest"), NOON)
        await journal.durable()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(path.with_name(name), copy.with_name(name))
    async with journal_at(copy) as journal:
        changes = await loaded(journal)
    assert "newest" in {each.reservation_id for change in changes for each in change.reservations}
    assert len(reservations(copy)) == 201


async def test_a_log_is_left_as_it_was_if_its_journal_is_refused(path: Path, tmp_path: Path) -> None:
    """Also a newer program's crashed journal stays what that program left."""
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    async with journal_at(path) as journal:
        await journal._connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(path.with_name(name), copy.with_name(name))
    before = found(copy)
    with pytest.raises(JournalUnusable, match="newer version"):
        await Journal.open(copy, HERE)
    assert found(copy) == before


async def test_a_row_that_does_not_say_whose_it_is_is_told(path: Path) -> None:
    """Its place in the file is sound, its account is not."""
    run(path, "UPDATE records SET account_id = 'bob' WHERE seq = 7")
    assert "is damaged: the row 7 of records cannot be read (its checksum is wrong)" in await refusal(path)


async def test_a_record_that_is_gone_is_told(path: Path) -> None:
    """Each has the number after that of the one before it."""
    run(path, "DELETE FROM records WHERE seq = 7")
    assert "is damaged: the row 7 of records cannot be read (it is missing)" in await refusal(path)


async def test_a_record_in_the_place_of_another_one_is_told(path: Path) -> None:
    """Its checksum names its place and its account."""
    run(path, "UPDATE records SET (body, checksum) = (SELECT body, checksum FROM records WHERE seq = 8) WHERE seq = 7")
    assert "the row 7 of records cannot be read (its checksum is wrong)" in await refusal(path)


GARBAGE = (b"\xff\x00 no such thing", "no such thing", b"", zlib.compress(b'{"version": 1}'))
CELLS = [
    *((table, column) for table in ("records", "image") for column in ("account_id", "written_at", "checksum")),
    *(("rate_cards", column) for column in ("version", "body")),
    ("identity", "checksum"),
]


@pytest.mark.parametrize(("table", "column"), CELLS)
async def test_garbage_in_any_cell_is_found(tmp_path: Path, table: str, column: str) -> None:
    """Before anything is changed, in whichever table it is."""
    path = await made_full(tmp_path / "journal.db")
    for garbage in GARBAGE:
        overwrite_cell(path, table, column, garbage)
        assert f" of {table} cannot be read (" in await refusal(path)


@pytest.mark.parametrize("table", ["records", "image"])
async def test_a_record_of_a_newer_form_is_refused(tmp_path: Path, table: str) -> None:
    """A newer program wrote it: this one does not guess what it means, and changes nothing."""
    path = await made_full(tmp_path / "journal.db")
    rewrite_bodies(path, table, b"[1,", b"[2,")
    assert f" of {table} cannot be read (its form is 2, and this program knows form 1 alone)" in await refusal(path)


async def test_a_rate_card_of_a_newer_form_is_refused(tmp_path: Path) -> None:
    """As any other body."""
    path = await made_full(tmp_path / "journal.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (body,) = connection.execute("SELECT body FROM rate_cards").fetchone()
    newer = json.dumps(json.loads(zlib.decompress(body)) | {"form": 2}).encode()
    overwrite_cell(path, "rate_cards", "body", zlib.compress(newer))
    assert " of rate_cards cannot be read (its form is 2, and this program knows form 1 alone)" in await refusal(path)


@pytest.mark.parametrize("column", ["sidecar_id", "epoch", "pending_nonce", "clock", "image_seq"])
async def test_garbage_in_who_a_sidecar_is_is_found(tmp_path: Path, column: str) -> None:
    """It speaks for no other sidecar."""
    path = await made_full(tmp_path / "journal.db")
    overwrite_cell(path, "identity", column, GARBAGE[0])
    assert "the row '1' of identity cannot be read (" in await refusal(path)


async def test_garbage_in_the_last_record_that_the_image_covers(tmp_path: Path) -> None:
    """A start reads its moment alone."""
    path = await made_full(tmp_path / "journal.db")
    run(path, "DELETE FROM records WHERE seq > (SELECT image_seq FROM identity)")
    for garbage in GARBAGE:
        overwrite_cell(path, "records", "written_at", garbage)
        with pytest.raises(JournalUnusable, match="is damaged: "):
            await Journal.open(path, HERE)


async def test_a_journal_that_does_not_know_whose_it_is_is_refused(tmp_path: Path) -> None:
    """What is in it was promised under another id than a new one."""
    path = await made_full(tmp_path / "journal.db")
    run(path, "DELETE FROM identity")
    assert "the row '1' of identity cannot be read (it is gone)" in await refusal(path)


@pytest.mark.parametrize("table", ["records", "image", "quarantine", "segments", "entries", "rate_cards", "identity"])
async def test_a_table_that_is_gone_or_another_one_is_found(tmp_path: Path, table: str) -> None:
    """Each of them is looked at."""
    path = await made_full(tmp_path / "journal.db")
    run(path, f"ALTER TABLE {table} RENAME TO away")
    assert f"the row '{table}' of sqlite_master cannot be read (it is gone, or has other columns)" in await refusal(path)
    run(path, f"CREATE TABLE {table} (something)")
    assert f"the row '{table}' of sqlite_master cannot be read (it is gone, or has other columns)" in await refusal(path)


@pytest.mark.parametrize("seed", range(50))
async def test_flipped_bits_are_found_or_harmless(tmp_path: Path, seed: int) -> None:
    """Wherever the damage is, one message reports it and nothing is changed; or all is read as it was written."""
    path = await made_full(tmp_path / "journal.db")
    before = stored(path)
    chance = random.Random(seed)  # noqa: S311 - damage, no secret
    content = bytearray(path.read_bytes())
    for _ in range(8):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    refused = await outcome(path)
    if refused is None:
        assert stored(path) == before
    else:
        assert "\n" not in refused
        assert path.read_bytes() == content


async def test_a_journal_without_a_table_is_refused(path: Path) -> None:
    """And nothing stays open."""
    run(path, "DROP TABLE identity")
    assert "the row 'identity' of sqlite_master cannot be read" in await refusal(path)


async def test_a_file_that_a_process_died_over_is_made_a_journal(tmp_path: Path) -> None:
    """Killed before it could make the tables; nothing was in it yet."""
    path = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size
    async with journal_at(path) as journal:
        journal.write(reserving("r"), NOON)
        await journal.durable()
    assert reservations(path) == ["r"]


@pytest.mark.parametrize(
    "change", ["epoch = epoch + 1", "clock = clock + 1", "image_seq = image_seq - 1", "pending_nonce = 'x'"]
)
async def test_another_value_in_who_a_sidecar_is_is_found(tmp_path: Path, change: str) -> None:
    """Also one that could stand there: a later clock refuses all work, and an earlier image leaves out records."""
    path = await made_full(tmp_path / "journal.db")
    run(path, f"UPDATE identity SET {change}")
    assert "the row '1' of identity cannot be read (its checksum is wrong)" in await refusal(path)
