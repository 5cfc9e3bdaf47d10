"""Who may use what a sidecar makes, whatever the umask; and that it is never more open than that."""

import grp
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from creditmeter.server.addresses import bind
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.exits import MISUNDERSTOOD, StartupError
from creditmeter.server.permissions import Access, GroupUnusable, make_directory
from tests.clocks import ManualClock
from tests.privileges import A_GROUP, unprivileged


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The process's mask, put back afterwards."""
    before = os.umask(request.param)
    yield int(request.param)
    os.umask(before)


def group_of(path: Path) -> int:
    """The group of a file or directory."""
    return path.stat().st_gid


def mode_of(path: Path) -> int:
    """The permissions of a file or directory."""
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_a_sidecar_makes(data_dir: Path, clock: ManualClock, umask: int) -> None:
    """Directories, sockets, databases with the files beside them, and the lock."""
    place = data_dir / "new" / "data"
    settings = Settings.load(None, data_dir=place, listen=f"unix:{data_dir}/other.sock", socket_group=str(A_GROUP))
    async with running(settings, clock):
        found = {path.name: mode_of(path) for path in place.iterdir()}
        sockets = [mode_of(place / "creditmeter.sock"), mode_of(data_dir / "other.sock")]
    assert (mode_of(data_dir / "new"), mode_of(place)) == (0o750, 0o750)
    assert sockets == [0o660, 0o660]
    assert found.pop("creditmeter.sock") == 0o660
    assert {"journal.db", "journal.db-wal", "central.db", "central.db-wal", "central.db-shm", "lock"} <= set(found)
    assert set(found.values()) == {0o640 & ~umask}
    async with running(settings, clock) as program:
        await program.sidecar.settle()
        again = {path.name: mode_of(path) for path in place.iterdir() if not path.is_socket()}
    at_rest = {path.name: mode_of(path) for path in place.iterdir()}
    assert set(again.values()) == set(at_rest.values()) == {0o640 & ~umask}
    assert {"journal.db", "central.db", "lock", "sidecar-id"} <= set(at_rest)


@pytest.fixture
def chosen(data_dir: Path) -> dict[Path, int]:
    """What is there before the sidecar starts, with permissions of its owner's choice."""
    modes = {data_dir / "journal.db": 0o600, data_dir / "central.db": 0o666, data_dir / "lock": 0o644}
    for path, mode in modes.items():
        path.touch()
        path.chmod(mode)
    data_dir.chmod(0o711)
    return modes | {data_dir: 0o711}


async def test_what_was_there_stays_as_its_owner_chose(data_dir: Path, clock: ManualClock, chosen: dict[Path, int]) -> None:
    """More open or less."""
    async with running(Settings.load(None, data_dir=data_dir, listen="127.0.0.1:0", socket_group=str(A_GROUP)), clock):
        assert {path: mode_of(path) for path in chosen} == chosen
        assert group_of(data_dir) == os.getegid()


@pytest.mark.parametrize("mode", ["0600", "0666", "777"])
async def test_the_mode_of_the_socket_is_a_setting(data_dir: Path, clock: ManualClock, mode: str) -> None:
    """Any."""
    settings = Settings.load(None, data_dir=data_dir, listen="127.0.0.1:0", socket_mode=mode)
    async with running(settings, clock):
        assert mode_of(data_dir / "creditmeter.sock") == int(mode, 8)


@pytest.mark.parametrize("by", ["name", "number"])
async def test_the_group_of_sockets_and_of_directories_that_are_made(data_dir: Path, clock: ManualClock, by: str) -> None:
    """So that its members can pass through to the socket."""
    group = grp.getgrgid(A_GROUP).gr_name if by == "name" else str(A_GROUP)
    place = data_dir / "new" / "data"
    async with running(Settings.load(None, data_dir=place, listen="127.0.0.1:0", socket_group=group), clock):
        groups = {group_of(path) for path in (data_dir / "new", place, place / "creditmeter.sock")}
    assert groups == {A_GROUP}


@pytest.fixture
def unprivileged_place(data_dir: Path) -> Iterator[Path]:
    """A directory in which this process may make things, and has no privileges beside."""
    data_dir.chmod(0o777)
    with unprivileged():
        yield data_dir


FOREIGN = "0"
"""A group that only its members, and root, may give anything to."""


def test_a_group_that_this_process_may_not_give_anything(unprivileged_place: Path) -> None:
    """No directory is left behind that the next start would take for the owner's choice."""
    with pytest.raises(GroupUnusable, match=r"/a cannot be given to group 0: run as a member of it"):
        make_directory(unprivileged_place / "a" / "b", FOREIGN)
    assert list(unprivileged_place.iterdir()) == []


DIES_AT = """
import os, sys
from pathlib import Path
from creditmeter.server.permissions import make_directory
sys.addaudithook(lambda event, arguments: os._exit(9) if event == sys.argv[3] else None)
make_directory(Path(sys.argv[1]), sys.argv[2])
"""
"""A process that makes a directory for a group, and is dead before the system does a certain thing for it."""


@pytest.mark.parametrize("event", ["os.mkdir", "os.chown", "os.chmod", "os.rename"])
def test_a_directory_is_whole_or_not_there(data_dir: Path, event: str) -> None:
    """Whenever the process that makes it dies: the next one makes it for the group."""
    place = data_dir / "new" / "data"
    assert subprocess.run([sys.executable, "-c", DIES_AT, place, str(A_GROUP), event], check=False).returncode == 9
    assert not (data_dir / "new").exists()
    make_directory(place, str(A_GROUP))
    assert {(mode_of(each), group_of(each)) for each in (place, place.parent)} == {(0o750, A_GROUP)}


def test_a_directory_that_another_process_was_faster_to_make(data_dir: Path) -> None:
    """Is taken as it is; nothing is left beside it."""
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(make_directory, data_dir / "a" / "b", None) for _ in range(64)]
    assert not [each.exception() for each in made if each.exception()]
    assert [each.name for each in data_dir.iterdir()] == ["a"]
    assert [each.name for each in (data_dir / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("group", [None, str(os.getegid())])
def test_a_directory_that_hands_its_group_on(data_dir: Path, group: str | None) -> None:
    """Has what is made in it do so too, whichever group that is."""
    os.chown(data_dir, -1, A_GROUP)
    data_dir.chmod(0o2775)
    make_directory(data_dir / "a" / "b", group)
    for each in (data_dir / "a", data_dir / "a" / "b"):
        assert mode_of(each) == 0o2750
        assert group_of(each) == (A_GROUP if group is None else int(group))


async def test_a_socket_is_opened_last(unprivileged_place: Path, umask: int) -> None:
    """One that cannot be given to its group stays its owner's alone; the umask is what it was."""
    server = grpc.aio.server()
    with pytest.raises(GroupUnusable):
        bind(server, f"unix:{unprivileged_place}/s.sock", Access(0o666, FOREIGN))
    assert mode_of(unprivileged_place / "s.sock") & 0o077 == 0
    assert os.umask(umask) == umask
    await server.stop(0)


@pytest.mark.parametrize("made", [True, False])
async def test_a_start_with_such_a_group(unprivileged_place: Path, clock: ManualClock, made: bool) -> None:
    """Is a mistake in the settings, whether the directory is there or not."""
    place = unprivileged_place if made else unprivileged_place / "new"
    settings = Settings.load(None, data_dir=place, listen="127.0.0.1:0", socket_group=FOREIGN)
    with pytest.raises(StartupError, match=r"^socket_group \(option --socket-group\): .* cannot be given") as refused:
        async with running(settings, clock):
            raise AssertionError("it runs")
    assert refused.value.exit_code == MISUNDERSTOOD
