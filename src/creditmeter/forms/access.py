"""The access file: the credentials that callers may show, and what each may do. JSON, written by `creditmeter token`.

Of a token it has the SHA-256 alone. A field that is unknown is an error: a file of a newer version might grant less than this
program would read in it.
"""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from creditmeter.core.access import Accounts, Credential, Credentials, Rights, Scope
from creditmeter.core.amounts import MAX_AMOUNT, MICROCREDITS_PER_CREDIT, Microcredits, format_credits, from_credits
from creditmeter.core.ids import AccountId, is_id
from creditmeter.core.instants import Instant, from_datetime, to_datetime

VERSION = 1

_encode = msgspec.json.Encoder(decimal_format="number").encode
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
    daily_limit_credits: Decimal | None = None


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
    return msgspec.json.format(_encode(found), indent=2) + b"\n"


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
        _daily_limit(entry),
    )


def _daily_limit(entry: _Entry) -> Microcredits | None:
    given = entry.daily_limit_credits
    if given is None:
        return None
    try:
        amount = from_credits(given)
    except ValueError as error:
        raise AccessFileError(f"the daily_limit_credits of the credential {entry.id}: {error}") from None
    if not 0 <= amount <= MAX_AMOUNT:
        bounds = f"from 0 to {format_credits(MAX_AMOUNT)}"
        raise AccessFileError(f"the daily_limit_credits of the credential {entry.id} must be {bounds}, and is {given}")
    return amount


def _instant(entry: _Entry, name: str) -> Instant | None:
    moment: datetime | None = getattr(entry, name)
    if moment is not None and moment.tzinfo is None:
        raise AccessFileError(f"the {name} of the credential {entry.id} needs a time zone, such as a Z at its end")
    return None if moment is None else from_datetime(moment)


def _entry(credential: Credential) -> _Entry:
    accounts, limit = credential.rights.accounts, credential.daily_limit
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
        daily_limit_credits=None if limit is None else Decimal(limit) / MICROCREDITS_PER_CREDIT,
    )


def _moment(at: Instant) -> Any:
    return to_datetime(at).astimezone(UTC)
