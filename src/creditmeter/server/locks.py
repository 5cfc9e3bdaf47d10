"""Locks on files, each held by one process at a time. The system releases them however the process ends."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from creditmeter.server.permissions import FILE_MODE

_LOOK_SECONDS = 0.001
_MOST_LOOKS = 1_000
"""A lock that is shared for longer is kept, by whatever process that is."""


def lock(path: Path) -> int:
    """Lock a file, and make it if it is missing. Returns its descriptor; closing that releases the lock.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be opened or locked.
    """
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            _keep(opened)
            is_there = _is_at(path, opened)
        except BaseException:
            os.close(opened)
            raise
        if is_there:
            return opened
        os.close(opened)  # it was deleted or replaced before it was locked


def lock_directory(path: Path) -> int | None:
    """Lock a directory, which holds even if a file that was locked in it is deleted. Returns its descriptor; None where the
    file system has no such locks.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be opened.
    """
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _keep(opened)
    except BlockingIOError:
        os.close(opened)
        raise
    except OSError:
        os.close(opened)
        return None
    return opened


def is_locked(path: Path, directory: Path) -> bool:
    """Whether another process has locked a file or its directory. No file is made. To look, each is locked for a moment, in a
    way that keeps out neither another process that looks nor one that locks.
    """
    return _is_kept(path, os.O_NOFOLLOW) or _is_kept(directory, os.O_DIRECTORY)


def _is_kept(path: Path, flags: int) -> bool:
    try:
        opened = os.open(path, os.O_RDONLY | flags)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # the file system has no such locks
    finally:
        os.close(opened)
    return False


def _keep(opened: int) -> None:
    """Lock an open file against all others. One that only looks has a shared lock, which is gone in a moment.

    Raises:
        BlockingIOError: another process keeps it.
        OSError: it cannot be locked.
    """
    for _ in range(_MOST_LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)  # refused as well where it is kept
        fcntl.flock(opened, fcntl.LOCK_UN)
        time.sleep(_LOOK_SECONDS)
    raise BlockingIOError


def _is_at(path: Path, opened: int) -> bool:
    """Whether a file that was opened is still the one at the path."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(opened))
    except FileNotFoundError:
        return False
