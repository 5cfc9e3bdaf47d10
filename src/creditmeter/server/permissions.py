"""Who may use what a sidecar makes: its directories and its sockets.

Nothing is ever more open than it is to be: it is made for the owner alone, given to its group, and opened last. What is there
already keeps what its owner chose.
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
    """What was made cannot be given to the group; the message says why."""


@dataclass(frozen=True, slots=True)
class Access:
    """The permissions of sockets, and the group of sockets and directories, by name or number; None is the process's own."""

    mode: int
    group: str | None = None


@contextlib.contextmanager
def for_owner_alone() -> Iterator[None]:
    """What is made in the block is closed to all but its owner. That holds for all threads of the process."""
    before = os.umask(_ALL_BUT_OWNER)
    try:
        yield
    finally:
        os.umask(before)


def open_to_group(path: Path, access: Access, name: Path | None = None) -> None:
    """Give what was made for the owner alone to the group, and its permissions. A directory that hands its group on to what is
    made in it (setgid) goes on doing so. `name` is what it will be called, if not so.

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
    """Make a directory, and those above it that are missing, that the group may enter and nobody else. Each comes to its name
    complete: one that was half made when the process died would pass for its owner's choice.

    Raises:
        GroupUnusable: they cannot be given to the group; none is left behind.
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
