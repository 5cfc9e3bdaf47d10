"""Binds the addresses that a server listens on.

gRPC replaces an existing Unix socket, even one that another process serves. So the path is checked first. A lock file beside
it, held from before the check until the process ends, keeps other sidecars from doing the same. The socket in the data
directory is covered by the lock of that directory.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc

from creditmeter.server.access.certificates import Tls
from creditmeter.server.locks import lock
from creditmeter.server.permissions import Access, for_owner_alone, open_to_group

_UNIX = "unix:"
_PROBE_SECONDS = 1.0


class AddressUnusable(Exception):
    """An address cannot be listened on; the message says which and why."""


@contextlib.contextmanager
def reserved(addresses: Iterable[str]) -> Iterator[None]:
    """Lock the Unix sockets among these addresses, so that no other sidecar listens on them while the block runs.

    The lock file `PATH.lock` beside each socket is not removed afterwards: another process may have opened it already.

    Raises:
        AddressUnusable: another process has locked one, or the lock file cannot be made.
    """
    with contextlib.ExitStack() as locks:
        for each in addresses:
            if each.startswith(_UNIX):
                locks.enter_context(_locked(_path(each)))
        yield


def bind(server: grpc.aio.Server, address: str, access: Access, tls: Tls | None = None) -> str:
    """Have the server listen on `host:port`, with TLS if there is any, or `unix:/path`. Only users with `access` may connect to
    a socket.

    Returns the address with its real port, also if port 0 was asked for.

    Raises:
        AddressUnusable: another process listens there, or the system refuses.
        GroupUnusable: the socket cannot be given to the group.
    """
    if not address.startswith(_UNIX):
        return f"{address.rpartition(':')[0]}:{_listen(server, address, tls)}"
    path = _path(address)
    try:
        _check_socket(path)
    except OSError as error:
        raise AddressUnusable(f"cannot listen on {path}: {error.strerror}") from error
    with for_owner_alone():
        _listen(server, address)
    open_to_group(path, access)
    return address


def _listen(server: grpc.aio.Server, address: str, tls: Tls | None = None) -> int:
    try:
        port = server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls.credentials())
    except RuntimeError:
        port = 0
    if port == 0:
        raise AddressUnusable(f"cannot listen on {address}: it is in use, or not an address of this machine")
    return port


def _path(address: str) -> Path:
    return Path(address.removeprefix(_UNIX))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        held = lock(Path(f"{path}.lock"))
    except BlockingIOError:
        raise AddressUnusable(f"cannot listen on {path}: another process does") from None
    except FileNotFoundError:
        raise AddressUnusable(f"cannot listen on {path}: there is no directory {path.parent}") from None
    except OSError as error:
        raise AddressUnusable(f"cannot listen on {path}: {path}.lock cannot be locked: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(held)


def _check_socket(path: Path) -> None:
    """Remove a socket that was left by a process that died.

    Raises:
        AddressUnusable: the file is no socket, or another process serves it: binding would take the socket away from it.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise AddressUnusable(f"cannot listen on {path}: there is a file, and it is no socket")
        if _is_served(path):
            raise AddressUnusable(f"cannot listen on {path}: another process does")
        path.unlink()


def _is_served(path: Path) -> bool:
    """Whether a process serves this socket. One that is too busy to answer, or refuses access, does."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
