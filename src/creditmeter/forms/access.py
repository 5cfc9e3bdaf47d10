"""The access file: the credentials that callers may show, and what each may do. JSON, written by `creditmeter token`.

Of a token it has the SHA-256 alone. A field that is unknown is an error: a file of a newer version might grant less than this
program would read in it.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from creditmeter.core.access import Accounts, Credential, Credentials, Rights, Scope
from creditmeter.core.ids import AccountId, is_id
from creditmeter.core.instants import Instant, from_datetime, to_datetime

VERSION = 1

_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class AccessFileError(ValueError):
    """The file cannot be used; the message says why."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    id: Annotated[str, Meta(pattern="^[a-z2-7]{8}$")]
    name: _Name
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    accounts: list[_Name] | None = None
    account_prefixes: list[_Name] | None = None
    token_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    certificate: Annotated[str, Meta(min_length=1, max_length=2_048)] | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    credentials: list[_Entry]


def read_credentials(text: bytes) -> Credentials:
    """The credentials in a file.

    Raises:
        AccessFileError: it is none, or one of them can be used by nobody or is there twice.
    """
    try:
        found = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise AccessFileError(f"it is no access file: {error}") from None
    if found.version != VERSION:
        raise AccessFileError(f"it has version {found.version}, and this program reads version {VERSION}")
    for kind in ("id", "certificate"):
        used = Counter(name for each in found.credentials if (name := getattr(each, kind)) is not None)
        if twice := [name for name, count in used.items() if count > 1]:
            raise AccessFileError(f"the {kind} {min(twice)} is there twice")
    return Credentials(map(_credential, found.credentials))


def write_credentials(credentials: Credentials) -> bytes:
    """The text of a file with these credentials."""
    found = _File(VERSION, [_entry(each) for each in credentials.known])
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _credential(entry: _Entry) -> Credential:
    if (entry.token_sha256 is None) == (entry.certificate is None):
        raise AccessFileError(f"the credential {entry.id} needs either a token_sha256 or a certificate")
    is_bound = entry.accounts is not None or entry.account_prefixes is not None
    names, prefixes = entry.accounts or [], entry.account_prefixes or []
    wrong = next((each for each in (*names, *prefixes) if not is_id(each)), None)
    if wrong is not None:
        raise AccessFileError(
            f"the credential {entry.id} names {wrong!r}, which is no id of an account, nor the beginning of one"
        )
    accounts = Accounts(frozenset(map(AccountId, names)), tuple(prefixes)) if is_bound else None
    return Credential(
        entry.id,
        Rights(entry.name, frozenset(entry.scopes), accounts),
        bytes.fromhex(entry.token_sha256 or ""),
        entry.certificate or "",
        _instant(entry, "expires_at"),
        _instant(entry, "created_at") or Instant(0),
    )


def _instant(entry: _Entry, name: str) -> Instant | None:
    moment: datetime | None = getattr(entry, name)
    if moment is not None and moment.tzinfo is None:
        raise AccessFileError(f"the {name} of the credential {entry.id} needs a time zone, such as a Z at its end")
    return None if moment is None else from_datetime(moment)


def _entry(credential: Credential) -> _Entry:
    accounts = credential.rights.accounts
    return _Entry(
        id=credential.credential_id,
        name=credential.rights.name,
        scopes=sorted(credential.rights.scopes, key=list(Scope).index),
        accounts=None if accounts is None else sorted(accounts.names),
        account_prefixes=None if accounts is None else list(accounts.prefixes),
        token_sha256=credential.digest.hex() or None,
        certificate=credential.certificate or None,
        created_at=_moment(credential.created_at),
        expires_at=None if credential.expires_at is None else _moment(credential.expires_at),
    )


def _moment(at: Instant) -> Any:
    return to_datetime(at).astimezone(UTC)
