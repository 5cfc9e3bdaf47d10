"""A journal that is missing where something in the data directory knows of one, a wrong one, and a first start."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection
from creditmeter.core.ids import SidecarId
from creditmeter.journal.journal import Journal
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.exits import DAMAGED, StartupError
from tests.cli.processes import SidecarProcess
from tests.clocks import ManualClock
from tests.e2e.fleet import balance, open_account, reserve

OTHER = SidecarId("sother")


async def run(data_dir: Path, clock: ManualClock, **settings: object) -> str:
    """Start and stop a sidecar. Returns its id."""
    async with running(Settings.load(None, data_dir=data_dir, listen="127.0.0.1:0", **settings), clock) as program:
        return program.sidecar.sidecar_id


async def complaint(data_dir: Path, clock: ManualClock, **settings: object) -> str:
    """Why a sidecar does not start; nothing is made in the directory meanwhile."""
    before = names(data_dir)
    with pytest.raises(StartupError) as refused:
        await run(data_dir, clock, **settings)
    assert refused.value.exit_code == DAMAGED
    assert names(data_dir) == before
    return str(refused.value)


def names(data_dir: Path) -> set[str]:
    """What is in the directory, but for the lock and what SQLite makes beside a database to read it."""
    return {each.name for each in data_dir.iterdir()} - {"lock", "journal.db-shm", "central.db-wal", "central.db-shm"}


def only(data_dir: Path, *names: str) -> None:
    """Leave only these files."""
    for path in data_dir.iterdir():
        if path.name not in names:
            path.unlink()


async def made_by(sidecar_id: SidecarId, path: Path) -> None:
    """A journal of a sidecar, closed in good order."""
    await (await Journal.open(path, sidecar_id)).close()


async def test_a_first_start_needs_no_option(data_dir: Path, clock: ManualClock) -> None:
    """Nor does a second one, which is the same sidecar; and with the option nothing changes where the journal is there."""
    first = await run(data_dir, clock)
    assert (data_dir / "sidecar-id").read_text() == f"{first}\n"
    assert await run(data_dir, clock) == first
    assert await run(data_dir, clock, new_identity=True) == first
    assert not (data_dir / "journal.db-open").exists()


async def test_a_note_says_that_the_journal_is_open(data_dir: Path, clock: ManualClock) -> None:
    """While a sidecar runs."""
    async with running(Settings.load(None, data_dir=data_dir, listen="127.0.0.1:0"), clock):
        assert (data_dir / "journal.db-open").exists()
    assert not (data_dir / "journal.db-open").exists()


async def test_a_start_on_a_store_that_no_sidecar_knows(data_dir: Path, clock: ManualClock) -> None:
    """As `creditmeter central migrate` leaves it, or an empty file."""
    (data_dir / "central.db").touch()
    await run(data_dir, clock)


@pytest.mark.parametrize(
    ("left", "witness"),
    [
        ("sidecar-id", "sidecar-id names a sidecar that ran here"),
        ("central.db", "the central store in the same directory knows a sidecar"),
    ],
)
async def test_each_of_these_knows_of_a_journal(data_dir: Path, clock: ManualClock, left: str, witness: str) -> None:
    """By itself, as a copy of a directory without the journal has it."""
    earlier = await run(data_dir, clock)
    only(data_dir, left, f"{left}-wal")
    said = await complaint(data_dir, clock)
    assert witness in said
    assert "--new-identity" in said
    assert await run(data_dir, clock, new_identity=True) != earlier
    await run(data_dir, clock)


async def test_a_socket_that_is_left_knows_of_a_journal(data_dir: Path, clock: ManualClock) -> None:
    """It is made after the journal was opened, and left by a process that was killed."""
    (data_dir / "creditmeter.sock").touch()
    assert "left its socket" in await complaint(data_dir, clock)


async def test_a_lock_by_itself_knows_nothing(data_dir: Path, clock: ManualClock) -> None:
    """A start that failed before it had a journal leaves it."""
    (data_dir / "lock").touch()
    await run(data_dir, clock)


async def test_a_store_elsewhere_is_not_asked(data_dir: Path, clock: ManualClock, tmp_path: Path) -> None:
    """Other sidecars may share it."""
    central = f"sqlite:///{tmp_path / 'central.db'}"
    await run(data_dir, clock, central=central)
    only(data_dir)
    await run(data_dir, clock, central=central)


async def test_a_journal_of_another_sidecar(data_dir: Path, clock: ManualClock) -> None:
    """What the one that ran here had not settled is not in it. With the option it is taken."""
    earlier = await run(data_dir, clock)
    (data_dir / "journal.db").unlink()
    await made_by(OTHER, data_dir / "journal.db")
    said = await complaint(data_dir, clock)
    assert f"is that of the sidecar {OTHER}, but {earlier} ran on this directory" in said
    assert await run(data_dir, clock, new_identity=True) == OTHER
    assert await run(data_dir, clock) == OTHER


async def test_a_process_that_died_before_it_noted_its_identity(data_dir: Path, clock: ManualClock) -> None:
    """The journal has it, so the next start notes it."""
    await made_by(OTHER, data_dir / "journal.db")
    assert await run(data_dir, clock) == OTHER
    assert (data_dir / "sidecar-id").read_text() == f"{OTHER}\n"


@pytest.mark.parametrize("content", ["", "\n", "something else"])
async def test_a_note_that_is_not_an_identity(data_dir: Path, clock: ManualClock, content: str) -> None:
    """It still shows that a sidecar ran here."""
    (data_dir / "sidecar-id").write_text(content)
    assert "sidecar-id names a sidecar" in await complaint(data_dir, clock)


async def test_a_damaged_store_is_told_before_an_identity_is_taken(data_dir: Path, clock: ManualClock) -> None:
    """It may know of a journal."""
    (data_dir / "central.db").write_bytes(b"not a database" * 500)
    assert "central.db cannot be read" in await complaint(data_dir, clock)


async def test_a_directory_that_cannot_be_noted_in(data_dir: Path, clock: ManualClock) -> None:
    """One line that names it."""
    (data_dir / "sidecar-id.new").mkdir()
    with pytest.raises(StartupError, match=f"the data directory {data_dir} cannot be written"):
        await run(data_dir, clock)


async def crashed(data_dir: Path, clock: ManualClock, noted: str) -> None:
    """Leave a directory as a process that was killed does, with another note."""
    await run(data_dir, clock)
    (data_dir / "journal.db-wal").touch()
    (data_dir / "journal.db-open").write_text(noted)


async def test_a_journal_that_ends_too_early(data_dir: Path, clock: ManualClock) -> None:
    """Somebody was told of what came after. Without the note the loss is accepted."""
    await crashed(data_dir, clock, "00000000000000001000\n")
    assert "ends with record 0, but record 1000 was acknowledged" in await complaint(data_dir, clock)
    (data_dir / "journal.db-open").unlink()
    await run(data_dir, clock)


async def test_an_early_end_that_is_accepted_beforehand(data_dir: Path, clock: ManualClock) -> None:
    """By a durability that does not survive a loss of power."""
    await crashed(data_dir, clock, "00000000000000001000\n")
    await run(data_dir, clock, durability="process")


@pytest.mark.parametrize("noted", ["00000000000000000000\n", "", "0000\n", "\n", "soon"])
async def test_a_note_that_asks_for_nothing(data_dir: Path, clock: ManualClock, noted: str) -> None:
    """As a crash in the middle of it leaves it."""
    await crashed(data_dir, clock, noted)
    await run(data_dir, clock)


def die_at_the_end_of(note: Path, *, is_removed: bool) -> None:
    """End this process at once when it is about to remove a file, or has just done so."""
    is_ending = False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal is_ending
        if event == "os.remove" and arguments[0] == str(note) and not is_ending:
            is_ending = True
            if is_removed:
                note.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


@pytest.mark.parametrize("is_removed", [False, True])
async def test_a_process_that_is_killed_while_it_closes_the_journal(short_path: Path, *, is_removed: bool) -> None:
    """The note that there is a log, and the log, end one after the other. Nothing is lost, and the next start goes on."""
    note = short_path / "journal.db-open"
    doomed = SidecarProcess(short_path, "--enable-admin", shutdown_grace=0.2)
    doomed.lead = partial(die_at_the_end_of, note, is_removed=is_removed)
    doomed.start()
    async with Connection(doomed.address) as client:
        await open_account(client, "alice", permanent=[50])
        await reserve(client, "kept", "alice", 5)
    assert doomed.stop() == -signal.SIGKILL
    assert note.exists() != is_removed
    sidecar = SidecarProcess(short_path, "--enable-admin", shutdown_grace=0.2)
    sidecar.start()
    async with Connection(sidecar.address) as client:
        assert (await balance(client, "alice")).held_microcredits == 5_000_000
    sidecar.stop()
    assert not note.exists()
