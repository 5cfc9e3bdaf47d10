"""A process that begins anew with `--new-identity` and is killed between any two steps.

The next start goes on, or is refused in one line until the option is given again. An identity that was begun and that the
central store knows is never followed by another one.
"""

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from creditmeter.cli.exits import ExitCode
from creditmeter.client.stubs import Connection
from tests.cli.forking import ForkedCommand
from tests.cli.processes import SidecarProcess, environment, run_forked
from tests.e2e.fleet import open_account, reserve

pytestmark = pytest.mark.long  # a few processes for each step

EVENTS = ("open", "os.remove", "os.rename", "os.chmod", "sqlite3.connect")
"""What Python tells of before it is done to a file."""

STEPS = range(1, 27)
"""Until the socket is served, and a few more."""


def kill_at(directory: Path, number: int) -> None:
    """End this process at once before it touches files of a directory for the nth time. What it was about to do is noted."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in EVENTS and arguments and str(directory) in str(arguments[0]) and "killed-at" not in str(arguments[0]):
            count += 1
            if count == number:
                name = Path(str(arguments[0])).name.partition("?")[0]
                (directory.parent / f"{directory.name}.killed-at").write_text(f"{event} {name}")
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


@pytest.fixture
def directory(short_path: Path) -> Path:
    """A data directory, with room beside it."""
    made = short_path / "d"
    made.mkdir()
    return made


def command(directory: Path, *options: str) -> tuple[str, ...]:
    """What starts a sidecar on it."""
    return ("serve", "--listen", "127.0.0.1:0", "--data-dir", str(directory), "--enable-admin", *options)


@contextlib.contextmanager
def started(directory: Path, *options: str) -> Iterator[SidecarProcess]:
    """A running sidecar, which is killed if the block has not stopped it."""
    process = SidecarProcess(directory, "--enable-admin", *options, shutdown_grace=2)
    process.start()
    try:
        yield process
    finally:
        if process.is_running:
            process.kill()


def begin_anew(directory: Path, number: int) -> str | None:
    """Begin anew in a process that is killed at the nth step. Returns what it was about to do; None if it was ready before."""
    lead = partial(kill_at, directory, number)
    with (directory.parent / "said").open("wb") as said:
        doomed = ForkedCommand(command(directory, "--new-identity"), environment(), stdout=said, stderr=said, lead=lead)
        with contextlib.suppress(TimeoutError):
            assert doomed.wait(10) == -signal.SIGKILL
        doomed.send_signal(signal.SIGKILL)
        doomed.wait(10)
    note = directory.parent / "d.killed-at"
    return note.read_text() if note.exists() else None


def registered(directory: Path) -> set[str]:
    """The sidecars that the central store knows."""
    with contextlib.closing(sqlite3.connect(directory / "central.db")) as connection:
        return {name for (name,) in connection.execute("SELECT sidecar_id FROM sidecars")}


def option_needed(directory: Path) -> tuple[str, ...]:
    """What a start needs that is refused without it: nothing, or to be told once more that the journal is lost."""
    checked = SidecarProcess(directory, "--enable-admin", shutdown_grace=2)
    try:
        checked.start()
    except AssertionError:
        refused = run_forked(*command(directory))
        assert refused.code == ExitCode.DAMAGED
        assert "--new-identity" in refused.complaint
        return ("--new-identity",)
    checked.kill()
    return ()


@pytest.mark.parametrize("number", STEPS)
async def test_it_is_killed_before_any_step(directory: Path, number: int) -> None:
    """The journal of the sidecar before is lost, and what it had out stays out until it is reclaimed."""
    with started(directory) as sidecar:
        async with Connection(sidecar.address) as client:
            await open_account(client, "alice", permanent=[50])
            await reserve(client, "kept", "alice", 5)
    named = directory / "sidecar-id"
    earlier = named.read_text().strip()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (directory / name).unlink(missing_ok=True)
    step = begin_anew(directory, number)
    begun = registered(directory) - {earlier}
    options = option_needed(directory)
    assert not (begun and options), "what was begun is known, so it goes on"
    with started(directory, *options) as sidecar:
        now = named.read_text().strip()
        assert now not in ("", earlier)
        assert begun <= {now}
        assert registered(directory) == {earlier, now}
        async with Connection(sidecar.address) as client:
            await reserve(client, "kept", "alice", 5)  # not a replay
        assert sidecar.stop() == ExitCode.OK
    assert run_forked("verify", "--data-dir", str(directory)).code == ExitCode.OK
    print(f"step {number}, {step}: {'refused' if options else 'went on'}")  # noqa: T201 - shown if it fails
