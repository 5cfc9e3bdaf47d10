"""TLS of the TCP addresses. Certificates that are replaced count from the next connection on; those that are open go on."""

import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from creditmeter.files.watched import Watched
from creditmeter.server.config import Settings
from creditmeter.server.exits import MISUNDERSTOOD, StartupError


@dataclass(frozen=True, slots=True)
class _Files:
    cert: Path
    key: Path
    client_ca: Path | None

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What gRPC is given for each connection.

        Raises:
            ValueError: they cannot be used, or not together.
        """
        contents = self._contents()
        _check(self)
        if contents != self._contents():
            raise ValueError(f"{self.cert} changed while it was read")
        key, cert, authorities = contents
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=authorities)

    def _contents(self) -> tuple[bytes, bytes, bytes | None]:
        return _content(self.key), _content(self.cert), None if self.client_ca is None else _content(self.client_ca)


class Tls:
    """What TCP addresses are served with: at least TLS 1.2, which is the least that gRPC's core speaks."""

    def __init__(self, files: Watched[grpc.ServerCertificateConfiguration], *, asks_for_certificates: bool) -> None:
        self._files = files
        self._asks_for_certificates = asks_for_certificates

    @classmethod
    def of(cls, settings: Settings) -> "Tls | None":
        """What the settings name; None if they name no certificate.

        Raises:
            StartupError: the files cannot be used.
        """
        if settings.tls_cert is None or settings.tls_key is None:
            return None
        files = _Files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        paths = [each for each in (files.cert, files.key, files.client_ca) if each is not None]
        try:
            watched = Watched(paths, files.read, time.monotonic)
        except (OSError, ValueError) as error:
            raise StartupError(settings.problem("tls_cert", str(error)), MISUNDERSTOOD) from error
        return cls(watched, asks_for_certificates=files.client_ca is not None)

    def credentials(self) -> grpc.ServerCredentials:
        """The credentials of one address: each keeps by itself what it was given last."""
        given = [self._files.content]

        def newer() -> grpc.ServerCertificateConfiguration | None:
            """What is new since the last connection, asked for by threads of gRPC's; None if nothing is."""
            found = self._files.content
            if found is given[0]:
                return None
            given[0] = found
            return found

        return grpc.dynamic_ssl_server_credentials(
            given[0],
            newer,  # type: ignore[arg-type]  # its documentation names None, its types do not
            require_client_authentication=self._asks_for_certificates,
        )


def _check(files: _Files) -> None:
    """See that OpenSSL can use the files. gRPC would refuse every connection, and not say why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise ValueError(f"{files.cert} and {files.key} are no certificate and its key in PEM: {error.reason}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise ValueError(f"{files.client_ca} has no certificates in PEM: {error.reason}") from None


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, which nobody is there to type: give one without")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from error
