"""What can be wrong with a journal."""

from pathlib import Path

from creditmeter.core.ids import AccountId


class JournalUnusable(Exception):
    """The journal's file cannot be used; the message says why and what to do. Nothing was changed."""


class StorageUnavailable(Exception):
    """The journal cannot be read or written; whether what was asked took effect is unknown until it can."""


class RecordDamaged(StorageUnavailable):
    """A row that was looked up is not as it was written, and does not say whose it is."""


class FileMissing(StorageUnavailable):
    """A database file was deleted or replaced while it was open. Nothing that is written now would be found after a restart."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was deleted or replaced while it was open")
        self.path = path


class AccountDamaged(Exception):
    """A row of the journal is damaged on which an answer about this account rests. Nothing was changed."""

    def __init__(self, account_id: AccountId) -> None:
        super().__init__(
            f"what the journal has of the account {account_id} is damaged: `creditmeter journal check` says what is lost"
        )
        self.account_id = account_id


def damaged(path: Path, what: object) -> str:
    """The line that describes damage to an operator."""
    return (
        f"the journal {path} is damaged: {what}. `creditmeter journal check` says more. Restore it from a copy, or move it away"
        " only if you accept that charges not yet settled are lost"
    )
