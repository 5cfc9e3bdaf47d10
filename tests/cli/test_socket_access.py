"""A command that may not connect to a socket says so, and names the file or directory that denies it."""

import grp
import os
import pwd
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from creditmeter.cli.exits import ExitCode
from creditmeter.cli.socket_access import denial
from tests.cli.conftest import CommandLine
from tests.cli.processes import SidecarProcess
from tests.privileges import A_GROUP, IS_ROOT, unprivileged

COMMANDS = pytest.mark.parametrize("command", [("balance", "nobody"), ("wait", "--timeout", "0")])
USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name


@pytest.fixture
def listening(short_path: Path) -> Iterator[Path]:
    """A socket that is listened on, in a directory that everybody may enter."""
    short_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short_path}/s.sock")
        made.listen()
        yield short_path / "s.sock"


@COMMANDS
def test_a_socket_of_others(cli: CommandLine, listening: Path, command: tuple[str, ...]) -> None:
    """Its owner and mode are named, and what to do."""
    mode = 0o600 if IS_ROOT else 0o000
    listening.chmod(mode)
    with unprivileged():
        ended = cli(*command, "--address", f"unix:{listening}")
    assert f"you may not connect to {listening}: it is of user {USER}, group {GROUP}, mode {mode:04o}" in ended.complaint
    assert "join the group, or ask for another socket_group or socket_mode" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


@COMMANDS
@pytest.mark.parametrize("is_there", [True, False])
def test_a_directory_of_others(cli: CommandLine, short_path: Path, command: tuple[str, ...], is_there: bool) -> None:
    """Whether there is a socket behind it cannot be seen; the directory that is in the way is named."""
    short_path.chmod(0o755)
    (closed := short_path / "data").mkdir()
    if is_there:
        (closed / "inner").mkdir()
    mode = 0o750 if IS_ROOT else 0o600
    closed.chmod(mode)
    with unprivileged():
        ended = cli(*command, "--address", f"unix:{closed}/inner/s.sock")
    closed.chmod(0o755)
    assert f"you may not enter {closed}, where the sidecar's socket {closed}/inner/s.sock is" in ended.complaint
    assert f"it is of user {USER}, group {GROUP}, mode {mode:04o}; join the group" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


@COMMANDS
def test_a_link_into_a_directory_of_others(cli: CommandLine, short_path: Path, command: tuple[str, ...]) -> None:
    """The directory that it leads into is named, not the link."""
    short_path.chmod(0o755)
    (closed := short_path / "closed").mkdir()
    (closed / "inner").mkdir()
    (short_path / "link").symlink_to(closed / "inner")
    (short_path / "s.sock").symlink_to(closed / "inner" / "s.sock")
    closed.chmod(0o700 if IS_ROOT else 0o600)
    for socket_path in (short_path / "link" / "s.sock", short_path / "s.sock"):
        with unprivileged():
            ended = cli(*command, "--address", f"unix:{socket_path}")
        assert f"you may not enter {closed}, where the sidecar's socket {socket_path} is" in ended.complaint
        assert ended.code == ExitCode.UNREACHABLE
    closed.chmod(0o755)


def test_a_socket_that_goes_while_it_is_looked_at(listening: Path) -> None:
    """Between the refusal and the look at whose it is: it is no matter of permissions any more."""
    listening.parent.chmod(0o777)
    listening.chmod(0o600 if IS_ROOT else 0o000)

    def remove(frame: FrameType, event: str, argument: object) -> None:
        if (event, frame.f_code.co_name) == ("call", "_owner"):
            listening.unlink()

    with unprivileged():
        assert "you may not connect" in denial(f"unix:{listening}")
        sys.setprofile(remove)
        try:
            assert denial(f"unix:{listening}") == ""
        finally:
            sys.setprofile(None)
    assert not listening.exists()


def test_a_sidecar_whose_group_may_connect(cli: CommandLine, short_path: Path) -> None:
    """By socket_group alone: through the directory that it made, to its socket. Others may not."""
    short_path.chmod(0o755)
    sidecar = SidecarProcess(short_path / "data", "--socket-group", str(A_GROUP))
    sidecar.start()
    try:
        with unprivileged(A_GROUP):
            assert "ACCOUNT_NOT_FOUND" in cli("balance", "ada", "--address", sidecar.address).complaint
            assert cli("wait", "--address", sidecar.address).code == 0
        with unprivileged(A_GROUP + 1):
            denied = cli("balance", "ada", "--address", sidecar.address)
        assert ("you may not enter" in denied.complaint) == IS_ROOT
    finally:
        assert sidecar.stop() == 0


@COMMANDS
def test_a_socket_that_a_dead_sidecar_left(cli: CommandLine, short_path: Path, command: tuple[str, ...]) -> None:
    """Is no matter of permissions."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{short_path}/s.sock")
    ended = cli(*command, "--address", f"unix:{short_path}/s.sock")
    assert f"no sidecar answers at unix:{short_path}/s.sock" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


@COMMANDS
def test_no_socket_and_no_directory(cli: CommandLine, short_path: Path, command: tuple[str, ...]) -> None:
    """Nor is this, nor a file in the way."""
    (short_path / "file").touch()
    for place in ("none.sock", "none/s.sock", "file/s.sock"):
        ended = cli(*command, "--address", f"unix:{short_path}/{place}")
        assert f"no sidecar answers at unix:{short_path}/{place}" in ended.complaint
        assert ended.code == ExitCode.UNREACHABLE
