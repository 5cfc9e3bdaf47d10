"""Files that are read again when they change, such as certificates: nothing has to be started anew for it.

A look takes microseconds and is made at most once a second, by whoever asks for what the files say. While they cannot be used,
what they said last goes on to count: a file that is replaced is missing, or half written, for a moment.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

LOOK_SECONDS = 1.0
"""Time between two looks, in seconds: so late is a change noticed."""

_log = structlog.get_logger()
_Content = TypeVar("_Content")
_Marks = tuple[tuple[int, ...] | None, ...]


class Watched(Generic[_Content]):
    """What `read` makes of some files. `monotonic` is a clock in seconds. It may be asked by several threads."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], _Content], monotonic: Callable[[], float]) -> None:
        """Read the files.

        Raises:
            Exception: what `read` raises if they cannot be used.
        """
        self._paths = tuple(paths)
        self._read = read
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked_at = monotonic()
        self._marks: _Marks | None = self._look()
        self._trouble = ""
        self._content = read()

    @property
    def content(self) -> _Content:
        """What they say, as of a second ago at most."""
        if self._monotonic() - self._looked_at >= LOOK_SECONDS:
            return self.newest()
        return self._content

    def newest(self) -> _Content:
        """What they say now."""
        with self._lock:
            self._looked_at = self._monotonic()
            self._read_if_changed()
            return self._content

    def _read_if_changed(self) -> None:
        marks = self._look()  # before they are read: what changes meanwhile is found by the next look
        if marks == self._marks:
            return
        names, trouble = [str(each) for each in self._paths], ""
        self._marks = marks
        try:
            self._content = self._read()
        except (OSError, ValueError) as error:
            self._marks, trouble = None, str(error)  # they are read again by the next look
            if trouble != self._trouble:
                _log.error("changed files cannot be used; what they said before still counts", files=names, reason=trouble)
        else:
            _log.info("changed files were read", files=names)
        self._trouble = trouble

    def _look(self) -> _Marks:
        return tuple(map(_mark, self._paths))


def _mark(path: Path) -> tuple[int, ...] | None:
    """What differs if a file was changed or replaced, or who may read it was; None if there is none. A link counts as what it
    leads to.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - beside calls that take as long as this
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
