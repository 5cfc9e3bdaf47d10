"""What a client shows to the sidecar, and what it asks to be shown: a token, and TLS."""

import os
import time
from collections.abc import Callable, Mapping
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

    def credentials(self) -> grpc.ChannelCredentials:
        """What a channel is opened with.

        Raises:
            OSError: a file cannot be read.
        """
        return grpc.ssl_channel_credentials(_content(self.ca_file), _content(self.key_file), _content(self.cert_file))


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
            ValueError: both a token and a file are given.
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
        """
        now = self._monotonic()
        if self._token is None or now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._look()
        assert self._token is not None, "it was read, or that failed"
        return self._token

    def _look(self) -> None:
        try:
            found = Path(self._path).stat()
            mark = (found.st_ino, found.st_size, found.st_mtime_ns)
            if mark != self._mark:
                self._token, self._mark = Path(self._path).read_text(encoding="ascii").strip(), mark
        except (OSError, UnicodeDecodeError):
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
        def call(*request: Any, **options: Any) -> Any:
            return method(*request, **options, metadata=self._metadata())

        return call


def _source(token: str | None, token_file: _File | None) -> Callable[[], str] | None:
    if token is not None:
        return lambda: token
    return None if token_file is None else TokenFile(token_file)


def _tls_of(environment: Mapping[str, str]) -> Tls | None:
    ca_file = environment.get(CA_VARIABLE)
    if not ca_file:
        return None
    own = environment.get(CERT_VARIABLE) or None, environment.get(KEY_VARIABLE) or None
    return Tls(None if ca_file == SYSTEM else ca_file, *own)


def _content(path: _File | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
