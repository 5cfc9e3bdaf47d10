"""Faults of the central store, as its callers see them. Importing this module loads no SQL engine."""

from creditmeter.core.ids import AccountId

_NOT_PERMITTED = ("42501", "3F000")
"""PostgreSQL's error codes for what a role may not do: the privilege is missing, or no schema is open to it."""


class CentralUnavailable(Exception):
    """The central store could not be reached, or did not answer. Whether it did what was asked is unknown.

    `is_lasting`: the fault will not pass by itself, such as a wrong password or a database that does not exist.
    `is_damage`: the database is damaged, or the file is no database.
    `is_crowded`: other transactions were in the way, in this process or at the store, which itself is well.
    """

    def __init__(self, message: str, *, is_lasting: bool = False, is_damage: bool = False, is_crowded: bool = False) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting
        self.is_damage = is_damage
        self.is_crowded = is_crowded


class NoFilesLeft(CentralUnavailable):
    """No connection to the central store could be opened, since this process has as many files open as it may. The message says
    what to do.
    """


class CentralMisconfigured(Exception):
    """The central store's address, or the store at it, cannot be used. The message says what to do."""


class CentralDamaged(CentralMisconfigured):
    """The central store is damaged, another program's, or newer than this one. Nothing was changed."""


class CentralRowDamaged(Exception):
    """A row of the central store is not what was written. What is to be decided about this account rests on it.

    Nothing was changed. `what` names the row, and `error` says why it cannot be read.
    """

    def __init__(self, account_id: AccountId, what: str, error: Exception) -> None:
        self.reason = f"{what} cannot be read ({(str(error) or type(error).__name__).splitlines()[0]})"
        super().__init__(
            f"what the central store has of the account {account_id} is damaged: {self.reason}; `creditmeter verify` says more"
        )
        self.account_id = account_id


def is_refused(error: CentralUnavailable) -> bool:
    """Whether the store refused because the role that connects lacks a privilege."""
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) in _NOT_PERMITTED
