"""What goes wrong between a sidecar and the central store. No SQL engine is loaded to name it."""

_NOT_PERMITTED = ("42501", "3F000")
"""PostgreSQL's error codes for what a role may not do: the privilege is missing, or no schema is open to it."""


class CentralUnavailable(Exception):
    """The central store could not be reached, or did not answer; whether it did what was asked is unknown.

    `is_lasting` says that it will not pass by itself: a wrong password, no such database, a file that is no database;
    `is_damage` that this is because what is there is damaged, or no database of its kind;
    `is_crowded` that others were in the way, of this process on all its connections, or at the store: it is there and well.
    """

    def __init__(self, message: str, *, is_lasting: bool = False, is_damage: bool = False, is_crowded: bool = False) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting
        self.is_damage = is_damage
        self.is_crowded = is_crowded


class CentralMisconfigured(Exception):
    """The central store's address, or what is there, cannot be used; the message says what to do."""


class CentralDamaged(CentralMisconfigured):
    """The central store is damaged, another program's, or newer than this one. Nothing was changed."""


def is_refused(error: CentralUnavailable) -> bool:
    """Whether the store did not do it because the role may not."""
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) in _NOT_PERMITTED
