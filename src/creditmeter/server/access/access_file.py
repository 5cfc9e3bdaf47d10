"""Changes the access file: one command at a time, and never half. A running sidecar reads the new one within a second."""

import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from creditmeter.core.access import Credentials
from creditmeter.forms.access import read_credentials, write_credentials
from creditmeter.server.access.opening import credentials_in
from creditmeter.server.locks import lock
from creditmeter.server.permissions import FILE_MODE

PATIENCE_SECONDS = 5.0
"""How long a command waits for another one that changes the file."""

_PAUSE_SECONDS = 0.02


def change(path: Path, changed: Callable[[Credentials], Credentials]) -> None:
    """Replace the credentials in a file, which is made if there is none. It keeps its mode, owner and group: a sidecar of
    another user is to go on reading it.

    Raises:
        BlockingIOError: another process has been changing it for `PATIENCE_SECONDS`.
        AccessFileError: what is there, or would be, is no access file.
        OSError: it cannot be written, or not be given to its owner.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    held = _locked(path.with_name(f"{path.name}.lock"))
    try:
        found = path.stat() if path.exists() else None
        text = write_credentials(changed(Credentials(()) if found is None else credentials_in(path)))
        read_credentials(text)
        _replace(path, text, found)
    finally:
        os.close(held)


def _locked(path: Path) -> int:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return lock(path)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(_PAUSE_SECONDS)


def _replace(path: Path, text: bytes, before: os.stat_result | None) -> None:
    """Give a file another content, at once: who reads it sees the old one or the new one, also after a crash."""
    opened, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(opened, "wb") as file:
            if before is not None:
                os.fchown(opened, before.st_uid, before.st_gid)
            os.fchmod(opened, FILE_MODE if before is None else stat.S_IMODE(before.st_mode))
            file.write(text)
            file.flush()
            os.fsync(opened)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
