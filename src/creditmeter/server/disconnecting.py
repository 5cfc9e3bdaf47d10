"""Ends connections from this side, for which gRPC for Python has no call.

gRPC never ends a call of which a message waits to be read, and keeps what it has of it. So the connection is shut down below
gRPC: it is a socket of this process. gRPC takes that for the caller's going away, and frees all of its calls.
"""

import contextlib
import ipaddress
import os
import socket
import stat
import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeAlias

_Place: TypeAlias = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]

_OPEN_FILES = Path("/dev/fd")


def disconnect(peers: Collection[str]) -> int:
    """Shut down the connections that these callers made, named as gRPC names the other end of a call's connection. Returns how
    many there were. Those of Unix sockets have no names of their own, and stay.
    """
    wanted = {place for peer in peers if (place := _place_of(peer)) is not None}
    if not wanted:
        return 0
    with contextlib.ExitStack() as opened:
        own = [opened.enter_context(each) for each in _sockets()]
        ports = {each.getsockname()[1] for each in own if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)}
        found = [each for each in own if _other_end(each) in wanted and each.getsockname()[1] in ports]
        for each in found:
            with contextlib.suppress(OSError):  # it has just ended
                each.shutdown(socket.SHUT_RDWR)
        return len(found)


def _sockets() -> Iterator[socket.socket]:
    """The TCP sockets of this process, each by a descriptor of its own."""
    for each in list(_OPEN_FILES.iterdir()):
        with contextlib.suppress(OSError):  # closed meanwhile, or no descriptor is left
            number = int(each.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            made = socket.socket(fileno=os.dup(number))
            if made.family in (socket.AF_INET, socket.AF_INET6) and made.type is socket.SOCK_STREAM:
                yield made
            else:
                made.close()


def _place_of(peer: str) -> _Place | None:
    """Where a caller is, such as `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = urllib.parse.unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return _place(host.strip("[]"), int(port)) if kind in ("ipv4", "ipv6") else None


def _other_end(connection: socket.socket) -> _Place | None:
    try:
        host, port, *_ = connection.getpeername()
    except OSError:
        return None  # it listens, or has ended
    return _place(host, port)


def _place(host: str, port: int) -> _Place:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address, port
