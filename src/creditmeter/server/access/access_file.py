"""Changes the access file: one command at a time, and never half. A running sidecar reads the new one within a second."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from creditmeter.core.access import Credentials
from creditmeter.forms.access import write_credentials
from creditmeter.server.access.opening import credentials_in
from creditmeter.server.locks import lock
from creditmeter.server.permissions import FILE_MODE


def change(path: Path, changed: Callable[[Credentials], Credentials]) -> None:
    """Replace the credentials in a file, which is made if there is none. It keeps its mode.

    Raises:
        BlockingIOError: another process changes it.
        AccessFileError: what is there is no access file.
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    held = lock(path.with_name(f"{path.name}.lock"))
    try:
        is_there = path.exists()
        text = write_credentials(changed(credentials_in(path) if is_there else Credentials(())))
        _replace(path, text, path.stat().st_mode & 0o777 if is_there else FILE_MODE)
    finally:
        os.close(held)


def _replace(path: Path, text: bytes, mode: int) -> None:
    """Give a file another content, at once: who reads it sees the old one or the new one, also after a crash."""
    opened, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(opened, "wb") as file:
            os.fchmod(opened, mode)
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
