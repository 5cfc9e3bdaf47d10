"""Checks the permissions of a Unix socket before a call. gRPC only reports that nothing answers."""

import grp
import os
import pwd
import socket
import stat
from pathlib import Path

_PROBE_SECONDS = 1.0


def denial(address: str) -> str:
    """Why this user may not connect to a socket: which file or directory is in the way, and whose it is.

    Returns an empty text if nothing is in the way, and for addresses of other kinds.
    """
    if not address.startswith("unix:"):
        return ""
    try:
        return _denial(Path(address.removeprefix("unix:")))
    except OSError:  # removed meanwhile
        return ""


def _denial(path: Path) -> str:
    for directory in reversed(Path(os.path.realpath(path)).parents):  # a link may lead into a directory that is closed
        if not directory.is_dir():
            return ""
        if not os.access(directory, os.X_OK, effective_ids=True):
            what = f"you may not enter {directory}, where the sidecar's socket {path} is"
            return f"{what}: it is {_owner(directory)}; join the group, or ask for another socket_group"
    if _is_denied(path):
        advice = "join the group, or ask for another socket_group or socket_mode"
        return f"you may not connect to {path}: it is {_owner(path)}; {advice}"
    return ""


def _is_denied(path: Path) -> bool:
    """Whether the system refuses a connection. It checks more than permissions."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except PermissionError:
            return True
        except OSError:  # nothing listens, or it is too busy: not denied
            return False
    return False


def _owner(path: Path) -> str:
    found = path.stat()
    user, group = str(found.st_uid), str(found.st_gid)
    try:
        user = pwd.getpwuid(found.st_uid).pw_name
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:  # no name for this number, as in a container
        pass
    return f"of user {user}, group {group}, mode {stat.S_IMODE(found.st_mode):04o}"
