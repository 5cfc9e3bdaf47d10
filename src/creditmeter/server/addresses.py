"""Binding the addresses that a server listens on."""

import contextlib
import socket
import stat
from pathlib import Path

import grpc

from creditmeter.server.permissions import Access, for_owner_alone, open_to_group

MAX_SOCKET_PATH_BYTES = 107
"""What Linux allows for the path of a Unix socket."""

_PROBE_SECONDS = 1.0


class AddressUnusable(Exception):
    """An address cannot be listened on; the message says which and why."""


def bind(server: grpc.aio.Server, address: str, access: Access) -> str:
    """Have the server listen on `host:port` or, for those who have access, `unix:/path`; says where it really does, port 0
    replaced by the one it got.

    Raises:
        AddressUnusable: somebody else listens there, the path is too long, or the system refuses.
        GroupUnusable: the socket cannot be given to the group.
    """
    if not address.startswith("unix:"):
        return f"{address.rpartition(':')[0]}:{_listen(server, address)}"
    path = Path(address.removeprefix("unix:"))
    _check_socket(path)
    with for_owner_alone():
        _listen(server, address)
    open_to_group(path, access)
    return address


def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise AddressUnusable(f"cannot listen on {address}: it is in use, or not an address of this machine")
    return port


def _check_socket(path: Path) -> None:
    """Refuse a path that is too long, a file that is no socket, and a socket that somebody serves: binding would take it away
    from them. One that is left over from a process that died is removed.
    """
    if len(str(path).encode()) > MAX_SOCKET_PATH_BYTES:
        raise AddressUnusable(
            f"the socket path {path} is longer than the {MAX_SOCKET_PATH_BYTES} bytes that the system allows:"
            " choose a shorter data directory"
        )
    if not path.parent.is_dir():
        raise AddressUnusable(f"cannot listen on {path}: there is no directory {path.parent}")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise AddressUnusable(f"cannot listen on {path}: there is a file, and it is no socket")
        if _is_served(path):
            raise AddressUnusable(f"cannot listen on {path}: another process does")
        path.unlink()


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
