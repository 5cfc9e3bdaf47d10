"""What a client shows to the sidecar, and what it asks to be shown: a token, and TLS."""

import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

TOKEN_VARIABLE = "CREDITMETER_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE = "CREDITMETER_TOKEN_FILE"  # noqa: S105 - the same
CA_VARIABLE = "CREDITMETER_TLS_SERVER_CA"
CERT_VARIABLE = "CREDITMETER_TLS_CLIENT_CERT"
KEY_VARIABLE = "CREDITMETER_TLS_CLIENT_KEY"

SYSTEM = "system"
"""The value of CREDITMETER_TLS_SERVER_CA for the authorities that gRPC knows by itself."""

_LOOK_SECONDS = 1.0
_File = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS to a sidecar at a TCP address. `ca_file` has the authorities of its certificate, in PEM; None: those that gRPC knows.
    `cert_file` and `key_file` are the client's own certificate and key, where the sidecar asks for one. They are read when the
    client connects first in an event loop.
    """

    ca_file: _File | None = None
    cert_file: _File | None = None
    key_file: _File | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if there is a certificate without its key, or a key without its certificate."""
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a certificate needs its key, and a key its certificate: give cert_file and key_file")

    def credentials(self) -> grpc.ChannelCredentials:
        """What a channel is opened with.

        Raises:
            OSError: a file cannot be read.
            ValueError: it is no certificate or key in PEM, or they do not belong together.
        """
        contents = _content(self.ca_file), _content(self.key_file), _content(self.cert_file)
        _check(self)
        return grpc.ssl_channel_credentials(*contents)


class Access:
    """What a client connects with: how it says who it is, and TLS. Each is None if there is none."""

    def __init__(self, token: Callable[[], str] | None = None, tls: Tls | None = None) -> None:
        self.token = token
        self.tls = tls

    @classmethod
    def of(
        cls,
        token: str | None = None,
        token_file: _File | None = None,
        tls: Tls | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> "Access":
        """What is given; else what the environment says.

        Raises:
            ValueError: both a token and a file are given; the token is none; or a certificate lacks its key or the authorities.
        """
        if token is not None and token_file is not None:
            raise ValueError("give either token or token_file")
        if token is None and token_file is None:
            token, token_file = environment.get(TOKEN_VARIABLE) or None, environment.get(TOKEN_FILE_VARIABLE) or None
        return cls(_source(token, token_file), tls or _tls_of(environment))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with each call.

        Raises:
            OSError: the token's file cannot be read, and never was.
        """
        return () if self.token is None else (("authorization", f"Bearer {self.token()}"),)

    def look_again(self) -> bool:
        """Look at the token's file at once, since the token was refused. Returns whether there is a file."""
        if not isinstance(self.token, TokenFile):
            return False
        self.token.look()
        return True


class TokenFile:
    """A token in a file, which is read again a second after it was replaced. While it cannot be read, the last one counts."""

    def __init__(self, path: _File, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._looked_at = 0.0
        self._mark: tuple[int, ...] | None = None
        self._token: str | None = None

    def __call__(self) -> str:
        """The token.

        Raises:
            OSError: the file cannot be read, and never was.
            ValueError: there is no token in it, and never was.
        """
        if self._token is None or self._monotonic() - self._looked_at >= _LOOK_SECONDS:
            self.look()
        assert self._token is not None, "it was read, or that failed"
        return self._token

    def look(self) -> None:
        """Read the file if it changed. Raises as a call does."""
        self._looked_at = self._monotonic()
        try:
            found = Path(self._path).stat()
            mark = (found.st_ino, found.st_size, found.st_mtime_ns)
            if mark != self._mark:
                self._token, self._mark = _checked(Path(self._path).read_text(encoding="utf-8")), mark
        except (OSError, ValueError):
            if self._token is None:
                raise


class WithMetadata:
    """Stands for a channel whose calls all carry some metadata. Generated stubs ask a channel for nothing else."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Callable[[], tuple[tuple[str, str], ...]]) -> None:
        self._channel = channel
        self._metadata = metadata

    def unary_unary(self, *path: Any, **kinds: Any) -> Any:
        """As a channel's."""
        return self._with(self._channel.unary_unary(*path, **kinds))

    def stream_stream(self, *path: Any, **kinds: Any) -> Any:
        """As a channel's."""
        return self._with(self._channel.stream_stream(*path, **kinds))

    def _with(self, method: Any) -> Any:
        def call(*request: Any, metadata: Iterable[Any] | None = None, **options: Any) -> Any:
            return method(*request, metadata=(*(metadata or ()), *self._metadata()), **options)

        return call


def _source(token: str | None, token_file: _File | None) -> Callable[[], str] | None:
    if token is not None:
        checked = _checked(token)
        return lambda: checked
    return None if token_file is None else TokenFile(token_file)


def _tls_of(environment: Mapping[str, str]) -> Tls | None:
    ca_file = environment.get(CA_VARIABLE)
    own = environment.get(CERT_VARIABLE) or None, environment.get(KEY_VARIABLE) or None
    if ca_file:
        return Tls(None if ca_file == SYSTEM else ca_file, *own)
    if own != (None, None):
        raise ValueError(f"a certificate is for TLS: name the sidecar's authorities by {CA_VARIABLE}, or write {SYSTEM}")
    return None


def _checked(text: str) -> str:
    """A token without the white space around it. A complaint never shows it."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("it is no token: a token is printable ASCII without spaces")
    return token


def _check(tls: Tls) -> None:
    """See that OpenSSL can use the files: gRPC would only say that nobody answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca_file is not None:
            context.load_verify_locations(tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except ssl.SSLError as error:
        names = ", ".join(str(each) for each in (tls.ca_file, tls.cert_file, tls.key_file) if each is not None)
        raise ValueError(f"no certificates and key in PEM that belong together: {names}") from error


def _content(path: _File | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
