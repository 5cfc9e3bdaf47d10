"""Access files, certificates and what callers show, for tests."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import trustme

from creditmeter.core.access import (
    EVERY_SCOPE,
    Accounts,
    Credential,
    Credentials,
    Rights,
    Scope,
    digest_of,
    new_credential_id,
    new_token,
)
from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.forms.access import write_credentials

Metadata = tuple[tuple[str, str], ...]


def accounts(*names: str, prefixes: Iterable[str] = ()) -> Accounts:
    """Some accounts."""
    return Accounts(frozenset(map(AccountId, names)), tuple(prefixes))


class AccessFile:
    """An access file, and the tokens of which it has the digests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Credential] = {}
        self._tokens: dict[str, str] = {}
        self.write()

    def give(
        self,
        name: str,
        *scopes: Scope,
        within: Accounts | None = None,
        certificate: str = "",
        expires_at: Instant | None = None,
        daily_limit: Microcredits | None = None,
    ) -> Metadata:
        """Give a token, of all scopes if none is named, or rights to a certificate. Returns what a caller shows."""
        number = (len(self._tokens) + 1).to_bytes(5, "big")
        token = new_token(new_credential_id(number), number * 6 + b"\0\0")
        rights = Rights(name, frozenset(scopes) or EVERY_SCOPE, within)
        digest = b"" if certificate else digest_of(token)
        self._known[name] = Credential(
            new_credential_id(number), rights, digest, certificate, expires_at, daily_limit=daily_limit
        )
        self._tokens[name] = token
        self.write()
        return shown(token)

    def token(self, name: str) -> str:
        """The token of a name."""
        return self._tokens[name]

    def revoke(self, name: str) -> None:
        """Take a credential back."""
        del self._known[name]
        self.write()

    def narrow(self, name: str, *scopes: Scope) -> None:
        """Leave a credential these scopes."""
        known = self._known[name]
        self._known[name] = replace(known, rights=replace(known.rights, scopes=frozenset(scopes)))
        self.write()

    def limit(self, name: str, daily_limit: Microcredits | None) -> None:
        """Give a credential another daily limit, or none."""
        self._known[name] = replace(self._known[name], daily_limit=daily_limit)
        self.write()

    def write(self) -> None:
        """Replace the file, as `creditmeter token` does."""
        made = self.path.with_suffix(".new")
        made.write_bytes(write_credentials(Credentials(self._known.values())))
        made.chmod(0o640)
        made.rename(self.path)


def shown(token: str) -> Metadata:
    """What a caller with a token sends with each call."""
    return (("authorization", f"Bearer {token}"),)


class Authority:
    """A certificate authority. Its certificates are good for `localhost` and 127.0.0.1, and for a name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = trustme.CA()
        self.file = directory / "ca.pem"
        self._made.cert_pem.write_to_path(self.file)

    def certify(self, name: str) -> tuple[Path, Path]:
        """A certificate of this name, and its key. An earlier one is replaced."""
        made = self._made.issue_cert(name, "localhost", "127.0.0.1", common_name=f"cn-{name}")
        cert, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        made.private_key_pem.write_to_path(key)
        for number, part in enumerate(made.cert_chain_pems):
            part.write_to_path(cert, append=number > 0)
        return cert, key
