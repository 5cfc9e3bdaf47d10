"""Whether this process can still open files: each takes a descriptor, of which the system allows so many."""

import contextlib
import errno
import os
import resource
import sqlite3

_WANTED = 8
"""So many descriptors a connection to a database may take, with its log and its locks."""

_USED_UP = (errno.EMFILE, errno.ENFILE)


def why_none_left(error: BaseException | None) -> str | None:
    """Why no further file could be opened, and what to do; None if this error has another cause. SQLite does not tell why it
    could not open a file: then it is because too few are left, if few are left now.
    """
    if not _is_of_files(error):
        return None
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return f"no more files can be opened: this process may have {most:,} open, connections included. {HOW_TO_ALLOW_MORE}"


HOW_TO_ALLOW_MORE = "Allow it more: `ulimit -n`, LimitNOFILE of its systemd unit, or the limits of its container"


def _is_of_files(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code == sqlite3.SQLITE_CANTOPEN and _are_few_left()
    return isinstance(error, OSError) and error.errno in _USED_UP


def _are_few_left() -> bool:
    with contextlib.ExitStack() as taken:
        try:
            for _ in range(_WANTED):
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            return error.errno in _USED_UP
    return False
