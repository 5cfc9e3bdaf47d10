"""Whether the files of an open SQLite database are still where they were opened.

A process that has a file open goes on with it after its name was deleted or given to another file: what it writes then is lost
when it ends. SQLite in WAL mode does not look for that. An open file keeps its inode, so no other file gets that number. A
database that has pages never becomes empty again, so an empty one was cut off.
"""

import os
from collections.abc import Sequence
from pathlib import Path

BESIDE = ("", "-wal", "-shm")
"""What SQLite adds to the name of a database for each of its files."""


class Placement:
    """The files of a database at `path`, or those with some of the suffixes. Each is known from when it was first seen."""

    def __init__(self, path: Path, suffixes: Sequence[str] = BESIDE) -> None:
        self._names = [str(path.absolute().with_name(path.name + suffix)) for suffix in suffixes]
        self._seen: dict[str, tuple[int, int]] = {}
        self.missing()

    def add(self, path: Path, opened: int) -> None:
        """Look after another file as well. It is open here as `opened`, and may be empty."""
        found = os.fstat(opened)
        name = str(path.absolute())
        self._names.append(name)
        self._seen[name] = found.st_dev, found.st_ino

    def missing(self) -> Path | None:
        """The first file that was deleted or replaced since it was seen; None if there is none. Takes microseconds."""
        for name in self._names:
            found = _device_and_inode(name, may_be_empty=name is not self._names[0])
            seen = self._seen.get(name)
            if seen is None and found is not None:
                self._seen[name] = found
            elif found != seen:
                return Path(name)
        return None


def _device_and_inode(name: str, *, may_be_empty: bool) -> tuple[int, int] | None:
    """What tells a file from all others of this machine; None if there is none of this name, or it is empty and may not be."""
    try:
        found = os.stat(name)  # noqa: PTH116 - called with every group of the journal: a third of the time of Path.stat
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if may_be_empty or found.st_size else None
