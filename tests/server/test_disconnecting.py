"""Connections that are ended from this side: those that callers made, and no others."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.server.disconnecting import disconnect


@contextlib.contextmanager
def connected(family: socket.AddressFamily, listen: str, connect: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the caller's, and that of who listens."""
    try:
        listener = socket.create_server((listen, 0), family=family, dualstack_ipv6=listen == "::")
    except OSError as error:
        pytest.skip(f"no {listen} here: {error}")
    caller = socket.create_connection((connect, listener.getsockname()[1]), timeout=10)
    accepted, _ = listener.accept()
    with listener, caller, accepted:
        yield caller, accepted


PLACES = [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1", "ipv4:127.0.0.1:{}"),
    (socket.AF_INET6, "::1", "::1", "ipv6:%5B::1%5D:{}"),
    (socket.AF_INET6, "::", "127.0.0.1", "ipv4:127.0.0.1:{}"),
]


@pytest.mark.parametrize(("family", "listen", "connect", "peer"), PLACES)
def test_a_caller_is_disconnected(family: socket.AddressFamily, listen: str, connect: str, peer: str) -> None:
    """As gRPC names it. Another caller stays, and so does what this process connected to itself."""
    with (
        connected(family, listen, connect) as (caller, accepted),
        connected(family, listen, connect) as (other, kept),
    ):
        port = caller.getsockname()[1]
        assert disconnect([peer.format(port), "unix:"]) == 1
        assert caller.recv(1) == b""
        kept.sendall(b"x")
        assert other.recv(1) == b"x"
        assert disconnect([peer.format(accepted.getsockname()[1])]) == 0
        other.sendall(b"y")
        assert kept.recv(1) == b"y"


def test_who_has_no_name_stays(tmp_path: Path) -> None:
    """Callers of Unix sockets, and those who are not there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert disconnect(["unix:", f"unix:{tmp_path / 'socket'}", "ipv4:127.0.0.1:1", ""]) == 0
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"


def test_it_takes_one_descriptor_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections there are. Where none is left, nothing is done."""
    own: list[int] = []
    steps: list[str] = []
    make, end = os.dup, os.close

    def made(number: int) -> int:
        own.append(make(number))
        steps.append("made")
        return own[-1]

    def ended(number: int) -> None:
        if own[-1:] == [number]:  # and not another thread's
            steps.append("closed")
        end(number)

    def refused(_number: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with contextlib.ExitStack() as opened:
        callers = [opened.enter_context(connected(*PLACES[0][:3]))[0] for _ in range(20)]
        peers = [PLACES[0][3].format(each.getsockname()[1]) for each in callers]
        monkeypatch.setattr(os, "dup", refused)
        assert disconnect(peers) == 0
        monkeypatch.setattr(os, "dup", made)
        monkeypatch.setattr(os, "close", ended)
        assert disconnect(peers) == 20
        monkeypatch.undo()
    assert steps == ["made", "closed"] * 20
