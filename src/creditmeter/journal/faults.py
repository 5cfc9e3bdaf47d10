"""What can be wrong with a journal."""

from pathlib import Path


class JournalUnusable(Exception):
    """The journal's file cannot be used; the message says why and what to do. Nothing was changed."""


class StorageUnavailable(Exception):
    """The journal cannot be read or written; whether what was asked took effect is unknown until it can."""


class FileMissing(StorageUnavailable):
    """A database file was deleted or replaced while it was open. Nothing that is written now would be found after a restart."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was deleted or replaced while it was open")
        self.path = path


def damaged(path: Path, what: object) -> str:
    """The line that describes damage to an operator."""
    return (
        f"the journal {path} is damaged: {what}. Restore it from a copy, or move it away only if you accept that charges"
        " not yet settled are lost"
    )
