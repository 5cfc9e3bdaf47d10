"""A sidecar takes no socket away from who serves it, and clears away what a dead one left."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from creditmeter.server.addresses import AddressUnusable, bind, reserved
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.exits import StartupError
from creditmeter.server.permissions import Access
from tests.clocks import ManualClock
from tests.privileges import IS_ROOT, unprivileged

ACCESS = Access(0o660)


@pytest.fixture
async def server() -> AsyncIterator[grpc.aio.Server]:
    """One that does not listen yet."""
    made = grpc.aio.server()
    yield made
    await made.stop(0)


@pytest.fixture
def closed(short_path: Path) -> Iterator[Path]:
    """A directory that this process may not enter without privileges."""
    short_path.chmod(0o700 if IS_ROOT else 0o000)
    yield short_path
    short_path.chmod(0o700)


@pytest.fixture
def closed_socket(served: Path) -> Path:
    """A socket that is served, and that this process may not connect to without privileges."""
    served.chmod(0o600 if IS_ROOT else 0o000)
    return served


@pytest.fixture
def served(short_path: Path) -> Iterator[Path]:
    """A socket that another process serves, whose queue of connections has room for one."""
    short_path.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short_path}/s.sock")
        made.listen(0)
        yield short_path / "s.sock"


def check_it_stays(server: grpc.aio.Server, path: Path) -> None:
    """The socket is refused, and still there."""
    with pytest.raises(AddressUnusable, match=rf"^cannot listen on {path}: another process does$"):
        bind(server, f"unix:{path}", ACCESS)
    assert path.is_socket()


async def test_a_socket_that_is_served(server: grpc.aio.Server, served: Path) -> None:
    """The usual case: the process that serves it accepts the connection."""
    check_it_stays(server, served)


async def test_a_socket_of_somebody_who_does_not_answer(server: grpc.aio.Server, served: Path) -> None:
    """Stopped, say, and with as many connections waiting as may."""
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for each in (first, second):
            each.setblocking(False)
        first.connect(str(served))
        with pytest.raises(BlockingIOError):
            second.connect(str(served))
        check_it_stays(server, served)


async def test_a_socket_that_this_user_may_not_connect_to(server: grpc.aio.Server, closed_socket: Path) -> None:
    """Another user's: in a directory that both may write it could be removed."""
    with unprivileged():
        check_it_stays(server, closed_socket)


async def test_a_socket_that_a_dead_process_left(server: grpc.aio.Server, short_path: Path) -> None:
    """It is replaced."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{short_path}/s.sock")
    assert bind(server, f"unix:{short_path}/s.sock", ACCESS) == f"unix:{short_path}/s.sock"
    await server.start()
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(f"{short_path}/s.sock")


async def test_a_file_that_is_no_socket(server: grpc.aio.Server, short_path: Path) -> None:
    """It stays."""
    (short_path / "s.sock").write_text("diary")
    with pytest.raises(AddressUnusable, match="there is a file, and it is no socket"):
        bind(server, f"unix:{short_path}/s.sock", ACCESS)
    assert (short_path / "s.sock").read_text() == "diary"


async def test_a_directory_that_may_not_be_entered(server: grpc.aio.Server, closed: Path) -> None:
    """The line says why, for the socket and for the lock beside it."""
    address = f"unix:{closed}/s.sock"
    with unprivileged():
        with pytest.raises(AddressUnusable, match=r"s\.sock: Permission denied$"):
            bind(server, address, ACCESS)
        with pytest.raises(AddressUnusable, match=r"s\.sock\.lock cannot be locked: Permission denied$"), reserved([address]):
            raise AssertionError("it is reserved")


def test_a_path_is_reserved_for_one(short_path: Path) -> None:
    """So that two that start at once do not both find it free. It is free again afterwards."""
    address = f"unix:{short_path}/s.sock"
    with reserved(["127.0.0.1:0", address]):
        with pytest.raises(AddressUnusable, match="another process does"), reserved([address]):
            raise AssertionError("it is reserved twice")
        with reserved(["127.0.0.1:0", f"unix:{short_path}/other.sock"]):
            pass
    with reserved([address]):
        pass


async def test_two_sidecars_on_one_socket(short_path: Path, clock: ManualClock) -> None:
    """The second does not start; where it would have listened is free, once the first has stopped."""
    first, second = (
        Settings.load(None, data_dir=short_path / name, listen=f"unix:{short_path}/s.sock") for name in ("first", "second")
    )
    async with running(first, clock) as program:
        assert program.addresses == [f"unix:{short_path}/s.sock", first.socket_address]
        with pytest.raises(StartupError, match=rf"^cannot listen on {short_path}/s.sock: another process does$"):
            async with running(second, clock):
                raise AssertionError("it runs")
    async with running(second, clock):
        pass


async def test_a_socket_in_no_directory(short_path: Path, clock: ManualClock) -> None:
    """None is made."""
    settings = Settings.load(None, data_dir=short_path / "data", listen=f"unix:{short_path}/none/s.sock")
    with pytest.raises(StartupError, match=rf"there is no directory {short_path}/none$"):
        async with running(settings, clock):
            raise AssertionError("it runs")


async def test_an_address_that_is_named_twice(short_path: Path, clock: ManualClock) -> None:
    """Is listened on once, in whichever way its directory is written; the data directory's own socket too."""
    (short_path / "link").symlink_to(short_path)
    written = ("127.0.0.1:0", "127.0.0.1:0", f"unix:{short_path}/s.sock", f"unix:{short_path}/link/s.sock")
    own = (f"unix:{short_path}/creditmeter.sock", f"unix:{short_path}/./link/creditmeter.sock")
    settings = Settings.load(None, data_dir=short_path, listen=[*written, *own])
    async with running(settings, clock) as program:
        port, *sockets = program.addresses
    assert port.startswith("127.0.0.1:")
    assert sockets == [f"unix:{short_path}/link/s.sock", settings.socket_address]
