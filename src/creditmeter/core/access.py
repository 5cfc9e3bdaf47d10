"""Who may do what: the scopes and accounts of a caller, and how a caller shows who it is.

A caller without a credential has the rights of the way by which it comes, such as a Unix socket. A credential is a token, of
which only a digest is known here, or the name in a certificate.
"""

import hashlib
import hmac
import re
from base64 import b32encode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import AccountId, AccountKey, account_key
from creditmeter.core.instants import Instant

SECRET_BYTES = 32
"""Random bytes in a token: nobody guesses them, so one round of SHA-256 keeps them secret."""

ID_BYTES = 5
"""Random bytes in the id of a credential."""

_TOKEN = re.compile(r"cmt_([a-z2-7]{8})_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """Something that a caller may do."""

    METER = "meter"
    """Hold, commit, release and charge; and read what that made."""
    READ = "read"
    """Read balances, history, prices, reservations, charges and refunds."""
    REFUND = "refund"
    """Refund charges."""
    ADMIN = "admin"
    """All of AdminService."""


EVERY_SCOPE = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Some accounts: those that are named, and those whose ids begin so."""

    names: frozenset[AccountId] = frozenset()
    prefixes: tuple[str, ...] = ()
    _keys: frozenset[AccountKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", frozenset(map(account_key, self.names)))

    def has(self, account_id: str) -> bool:
        """Whether this account is among them."""
        return account_id in self.names or account_id.startswith(self.prefixes)

    def has_key(self, key: AccountKey) -> bool | None:
        """Whether the account of this key is among them; None if it takes the account's id to say so."""
        if key in self._keys:
            return True
        return None if self.prefixes else False


@dataclass(frozen=True, slots=True)
class Rights:
    """What a caller may do. `accounts` is None for one who may use all. `name` is what logs and refusals call it.
    `credential_id` is what it showed; empty if that was none.
    """

    name: str
    scopes: frozenset[Scope]
    accounts: Accounts | None = None
    credential_id: str = field(default="", compare=False)

    @property
    def are_unlimited(self) -> bool:
        """Whether nothing is kept from this caller."""
        return self.accounts is None and self.scopes == EVERY_SCOPE


@dataclass(frozen=True, slots=True)
class DailyLimit:
    """The most that the calls of a credential may cost on a UTC day, in microcredits. `name` is whose it is."""

    name: str
    amount: Microcredits


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller shows: a token, of which `digest` is the SHA-256, or a certificate with the name `certificate`. Its calls
    cost no more than `daily_limit` on a UTC day, in microcredits, if it has one.
    """

    credential_id: str
    rights: Rights
    digest: bytes = b""
    certificate: str = ""
    expires_at: Instant | None = None
    created_at: Instant = Instant(0)
    daily_limit: Microcredits | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rights", replace(self.rights, credential_id=self.credential_id))

    def is_valid(self, now: Instant) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


class Credentials:
    """All credentials that there are."""

    def __init__(self, known: Iterable[Credential]) -> None:
        self.known = tuple(known)
        self._by_id = {each.credential_id: each for each in self.known if each.digest}
        self._by_certificate = {each.certificate: each for each in self.known if each.certificate}
        limited = ((each, each.daily_limit) for each in self.known)
        self._limits = {each.credential_id: DailyLimit(each.rights.name, most) for each, most in limited if most is not None}

    def with_token(self, token: str) -> Credential | None:
        """The credential whose token this is. How long that takes says nothing of a token that is not one."""
        match = _TOKEN.fullmatch(token)
        found = self._by_id.get(match[1]) if match else None
        is_it = hmac.compare_digest(digest_of(token), found.digest if found else bytes(hashlib.sha256().digest_size))
        return found if is_it else None

    def daily_limit(self, credential_id: str) -> DailyLimit | None:
        """The daily limit of a credential; None if it has none, or is not known."""
        return self._limits.get(credential_id)

    def with_certificate(self, names: Sequence[str]) -> Credential | None:
        """The credential of the first of a certificate's names that has one."""
        return next((self._by_certificate[each] for each in names if each in self._by_certificate), None)


def new_credential_id(random: bytes) -> str:
    """An id from `ID_BYTES` random bytes."""
    return b32encode(random).decode().lower()


def new_token(credential_id: str, random: bytes) -> str:
    """A token from `SECRET_BYTES` random bytes. Scanners for leaked secrets find it by its beginning."""
    return f"cmt_{credential_id}_{urlsafe_b64encode(random).decode().rstrip('=')}"


def digest_of(token: str) -> bytes:
    """The SHA-256 of a token, which is all that is stored of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
