"""Locks on files, each held by one process at a time. The system releases them however the process ends."""

import fcntl
import os
from pathlib import Path

from creditmeter.server.permissions import FILE_MODE


def lock(path: Path) -> int:
    """Lock a file, and make it if it is missing. Returns its descriptor; closing that releases the lock.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be opened or locked.
    """
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(opened)
        raise
    return opened
