"""Opens what protects a sidecar, as its settings say."""

import stat
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from creditmeter.core.access import Credentials, DailyLimit, Rights, Scope
from creditmeter.files.watched import Watched
from creditmeter.forms.access import AccessFileError, read_credentials
from creditmeter.server.access.certificates import Tls
from creditmeter.server.access.exposure import check_listeners, exposed
from creditmeter.server.access.gate import Gate, WithoutCredentials
from creditmeter.server.config import Settings
from creditmeter.server.exits import MISUNDERSTOOD, StartupError
from creditmeter.sidecar.account_names import AccountNames
from creditmeter.sidecar.sidecar import Sidecar

_WITHOUT_TOKEN = frozenset((Scope.METER, Scope.READ, Scope.REFUND))
"""What callers by TCP may do where nobody gave out tokens: all but administer."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Protection:
    """What TCP addresses are served with, and the credentials that are known. None: no TLS, or no credentials."""

    tls: Tls | None
    credentials: Watched[Credentials] | None

    @classmethod
    def of(cls, settings: Settings) -> "Protection":
        """What the settings name.

        Raises:
            StartupError: a file cannot be used, or an address is open to others and nobody said that it may be.
        """
        check_listeners(settings)
        return cls(Tls.of(settings), _open_credentials(settings))

    def gate(self, sidecar: Sidecar, settings: Settings) -> Gate:
        """The gate of a sidecar. With an access file nobody comes in by TCP without a credential."""
        scopes, names = frozenset(settings.socket_scopes), AccountNames(sidecar.books, sidecar.central)
        by_socket = Rights("of the socket", scopes) if scopes else None
        by_network = Rights("without a token", _WITHOUT_TOKEN) if self.credentials is None else None
        return Gate(WithoutCredentials(by_socket, by_network), self.credentials, names, lambda: sidecar.books.moment().now)

    def daily_limit_of(self, credential_id: str) -> DailyLimit | None:
        """The daily limit of a credential, as the access file has it now."""
        return None if self.credentials is None else self.credentials.content.daily_limit(credential_id)


def warn_of_exposure(settings: Settings) -> None:
    """Say in the log which addresses are open to others without protection. Nobody should forget that they are."""
    if found := list(exposed(settings)):
        _log.warning("insecure: others can reach this sidecar", addresses=found)


def _open_credentials(settings: Settings) -> Watched[Credentials] | None:
    path = settings.access_file
    if path is None:
        return None
    try:
        return Watched([path], lambda: credentials_in(path), time.monotonic)
    except (OSError, ValueError) as error:
        raise StartupError(settings.problem("access_file", str(error)), MISUNDERSTOOD) from error


def credentials_in(path: Path) -> Credentials:
    """The credentials in a file.

    Raises:
        AccessFileError: it cannot be read, is no access file, or may be changed by everybody.
    """
    try:
        text, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise AccessFileError(f"the file {path} cannot be read: {error.strerror}") from error
    if mode & stat.S_IWOTH:
        raise AccessFileError(f"everybody may write to {path}, and so give themselves rights: `chmod o-w {path}`")
    try:
        return read_credentials(text)
    except AccessFileError as error:
        raise AccessFileError(f"{path}: {error}") from None
