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
    with contextlib.suppress(OSError):  # not even the open files can be listed: no descriptor is left
        numbers = [int(each.name) for each in _OPEN_FILES.iterdir()]
        ports = {port for number in numbers if (port := _listening_port(number)) is not None}
        return sum(_shut_down(number, wanted, ports) for number in numbers if _is_wanted(number, wanted, ports))
    return 0


@contextlib.contextmanager
def _socket_at(number: int) -> Iterator[socket.socket | None]:
    """The TCP socket of a descriptor that somebody else closes; None if it is none, or is closed already."""
    made = None
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            made = socket.socket(fileno=number)
    except OSError:
        pass  # it was closed meanwhile
    is_tcp = made is not None and made.family in (socket.AF_INET, socket.AF_INET6) and made.type is socket.SOCK_STREAM
    try:
        yield made if is_tcp else None
    finally:
        if made is not None:
            made.detach()


def _listening_port(number: int) -> int | None:
    with _socket_at(number) as found, contextlib.suppress(OSError):
        if found is not None and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return int(found.getsockname()[1])
    return None


def _is_wanted(number: int, wanted: Collection[_Place], ports: Collection[int]) -> bool:
    """Whether a descriptor is of a connection that one of these callers made, and not this process itself."""
    with _socket_at(number) as found, contextlib.suppress(OSError):
        return found is not None and found.getsockname()[1] in ports and _place(*found.getpeername()[:2]) in wanted
    return False


def _shut_down(number: int, wanted: Collection[_Place], ports: Collection[int]) -> bool:
    """Shut a connection down, by a descriptor of its own: the other one may be closed and used anew at any time."""
    try:
        own = os.dup(number)
    except OSError:
        return False
    try:
        with _socket_at(own) as found:
            if found is None or not _is_wanted(own, wanted, ports):
                return False
            with contextlib.suppress(OSError):  # it has just ended
                found.shutdown(socket.SHUT_RDWR)
            return True
    finally:
        os.close(own)


def _place_of(peer: str) -> _Place | None:
    """Where a caller is, such as `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = urllib.parse.unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return _place(host.strip("[]"), int(port)) if kind in ("ipv4", "ipv6") else None


def _place(host: str, port: int) -> _Place:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address, port
