"""Permissions of the directories and sockets that a sidecar makes.

At no moment is one more open than it is to be. It is made for the owner alone, then given to its group, and opened last. The
permissions of an existing directory are not changed.
"""

import contextlib
import grp
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
_ALL_BUT_OWNER = 0o077


class GroupUnusable(Exception):
    """A directory or socket cannot be given to the group; the message says why."""


@dataclass(frozen=True, slots=True)
class Access:
    """The mode of sockets, and the group of sockets and directories, by name or number. None is the group of the process."""

    mode: int
    group: str | None = None


@contextlib.contextmanager
def for_owner_alone() -> Iterator[None]:
    """Close files that are made in the block to all but their owner. This holds for all threads of the process."""
    before = os.umask(_ALL_BUT_OWNER)
    try:
        yield
    finally:
        os.umask(before)


def open_to_group(path: Path, access: Access, name: Path | None = None) -> None:
    """Give a directory or socket to the group, and then set its mode.

    A directory keeps its setgid bit. `name` is the path to name in a complaint, if it is not `path`.

    Raises:
        GroupUnusable: there is no such group, or this process may not give it anything.
    """
    found = path.stat().st_mode
    if access.group is not None:
        try:
            os.chown(path, -1, _number(access.group))
        except (OSError, KeyError, OverflowError):  # not a member, or a number that this container does not map
            why = "run as a member of it, or name another"
            raise GroupUnusable(f"{name or path} cannot be given to group {access.group}: {why}") from None
    path.chmod(access.mode | (found & stat.S_ISGID if stat.S_ISDIR(found) else 0))


def make_directory(path: Path, group: str | None) -> None:
    """Make a directory that only its owner and the group may enter, and the missing ones above it.

    Each is made under a temporary name and renamed when it is complete. Otherwise a directory left half made by a process
    that died would be taken for one that its owner set up so.

    Raises:
        GroupUnusable: a directory cannot be given to the group. None of the failed ones is left.
        OSError: they cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent, group)
    made = Path(tempfile.mkdtemp(prefix=".creditmeter-", dir=path.parent))
    try:
        open_to_group(made, Access(DIRECTORY_MODE, group), path)
        made.rename(path)
    except BaseException as error:
        made.rmdir()
        if isinstance(error, OSError) and path.is_dir():  # another process was faster
            return
        raise


def _number(group: str) -> int:
    return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
