"""What can be known of a SQLite database in use without asking SQLite, which remembers pages and writes none before a commit.

A file that was written over in place is no database any more, although its pages may be remembered. A file system that is
read-only or full takes no commit.
"""

import os
from pathlib import Path

from creditmeter.files.checkpoints import Log, descriptors_of

LEAST_ROOM = 64 * 1024
"""Bytes that a transaction may need: what is free on the disk, and behind the log in its file, is this much at least."""

_HEADER = b"SQLite format 3\0"


def is_written_over(path: Path) -> bool:
    """Whether a database that this process has open begins with something else. False if nobody knows.

    It is read by a descriptor that SQLite has: another one must not be closed (https://www.sqlite.org/howtocorrupt.html).
    """
    try:
        for each in descriptors_of(path.stat()):
            found = os.pread(each, len(_HEADER), 0)
            return len(found) == len(_HEADER) and found != _HEADER
    except OSError:
        pass
    return False


def unwritable(path: Path) -> str | None:
    """Why a database cannot be written: its file system is read-only or full. None if it takes writes, or nobody knows."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return None
    if found.f_flag & os.ST_RDONLY:
        return f"the file system of {path} is read-only"
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    is_full = found.f_blocks and blocks * found.f_frsize + Log.of(path).room < LEAST_ROOM
    return f"the disk of {path} is full" if is_full else None
