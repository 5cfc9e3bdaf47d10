"""Files that one process at a time has locked: whatever it ends by, the system unlocks them."""

import fcntl
import os
from pathlib import Path

from creditmeter.server.permissions import FILE_MODE


def lock(path: Path) -> int:
    """Lock a file, which is made if there is none. Returns its descriptor: it is locked until that is closed.

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
