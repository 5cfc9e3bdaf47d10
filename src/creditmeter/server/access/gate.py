"""Decides about each call: who its caller is, and whether that caller may do what it asks for.

What is looked at here has been read by gRPC and is at most as large as a message may be. Nothing was done for it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import grpc

from creditmeter.core.access import Credential, Credentials, Rights
from creditmeter.core.ids import AccountId, origin_of
from creditmeter.core.instants import Instant
from creditmeter.files.watched import Watched
from creditmeter.server.access.requirements import REQUIREMENTS, Requirement, bound, hidden, lacking
from creditmeter.server.errors import Context, Problem
from creditmeter.sidecar.account_names import AccountNames

_METADATA_KEY = "authorization"
_BEARER = "bearer "
_SOCKET = "unix:"
_CERTIFICATE_NAMES = ("x509_subject_alternative_name", "x509_common_name")


CREDENTIAL_ID: ContextVar[str] = ContextVar("credential_id", default="")
"""The id of the credential with which the call that runs was admitted; empty if it showed none."""


@dataclass(frozen=True, slots=True)
class Instead:
    """The reply to a question about an account that the caller may not see: what it would be if there were none."""

    reply: Any


Verdict: TypeAlias = Problem | Instead | None
"""Why a call is refused, or what it is answered without being made; None if the caller may make it."""

AskingFirst = Callable[[], Awaitable[Verdict]]
"""What is called and awaited for a verdict that takes the central store."""


@dataclass(frozen=True, slots=True)
class WithoutCredentials:
    """The rights of callers that show no credential, by the way by which they come. None: such callers are refused."""

    by_socket: Rights | None
    by_network: Rights | None


class Gate:
    """Knows callers by what they show, and judges what they ask for."""

    def __init__(
        self,
        without: WithoutCredentials,
        credentials: Watched[Credentials] | None,
        names: AccountNames,
        now: Callable[[], Instant],
    ) -> None:
        self._without = without
        self._credentials = credentials
        self._names = names
        self._now = now

    def rights(self, context: Context) -> Rights | Problem:
        """What the caller may do: by its token, else by its certificate, else by the way by which it came."""
        if self._credentials is None:
            return self._of_way(context)
        credentials = self._credentials.content
        token = _token_of(context)
        if token is not None:
            found = credentials.with_token(token) or self._credentials.newest().with_token(token)  # it may be a second old
            return _UNKNOWN if found is None else self._unless_expired(found, "token")
        names = _certificate_names(context)
        certificate = credentials.with_certificate(names)
        if certificate is not None:
            return self._unless_expired(certificate, "certificate")
        return _UNKNOWN_NAME if names else self._of_way(context)

    @property
    def can_revoke(self) -> bool:
        """Whether a caller that was admitted may be refused later: there are credentials."""
        return self._credentials is not None

    def lacks_scope(self, method: str, rights: Rights) -> Problem | None:
        """Why a caller with these rights may make no such call, whatever it asks for."""
        wanted = REQUIREMENTS[method].scopes
        return lacking(method, rights, wanted) if rights.scopes.isdisjoint(wanted) else None

    def judge(self, method: str, rights: Rights, request: Any) -> Verdict | AskingFirst:
        """Whether a caller with these rights may ask for this."""
        if rights.are_unlimited:
            return None
        if problem := self.lacks_scope(method, rights):
            return problem
        required = REQUIREMENTS[method]
        named = required.id_in(request)
        if not named:
            return _of_all(method, required, rights)
        if rights.accounts is None:
            return None
        if required.named.endswith("account_id"):
            return None if rights.accounts.has(named) else _hidden(required, named)
        origin = origin_of(named)
        has_key = True if origin is None else rights.accounts.has_key(origin.account_key)  # what nobody made is nobody's
        if has_key is not None:
            return None if has_key else _hidden(required, named)
        known = self._names.known(named)
        return partial(self._once_known, required, rights, named) if known is None else _by_name(required, rights, named, known)

    async def admit(self, method: str, rights: Rights, request: Any) -> Verdict:
        """As `judge`, once it is known."""
        verdict = self.judge(method, rights, request)
        return await verdict() if callable(verdict) else verdict

    async def _once_known(self, required: Requirement, rights: Rights, named: str) -> Verdict:
        return _by_name(required, rights, named, await self._names.find(named))

    def _of_way(self, context: Context) -> Rights | Problem:
        found = self._without.by_socket if context.peer().startswith(_SOCKET) else self._without.by_network
        return _UNNAMED if found is None else found

    def _unless_expired(self, credential: Credential, what: str) -> Rights | Problem:
        if credential.is_valid(self._now()):
            return credential.rights
        text = f"the {what} {credential.rights.name} has expired: ask for another"
        return Problem(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", text)


_UNNAMED = Problem(
    grpc.StatusCode.UNAUTHENTICATED,
    "UNAUTHENTICATED",
    "no token was given: send the metadata `authorization: Bearer TOKEN`; `creditmeter token create` makes one",
)

_UNKNOWN_NAME = Problem(
    grpc.StatusCode.UNAUTHENTICATED,
    "UNAUTHENTICATED",
    "no name in the certificate is known here: `creditmeter token create --certificate NAME` gives one rights; or send a token",
)

_UNKNOWN = Problem(
    grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "the token is not known here, or was revoked: ask for another"
)


def _of_all(method: str, required: Requirement, rights: Rights) -> Problem | None:
    """Why a caller may not make a call that names no account."""
    if not required.of_all:
        return None
    if rights.scopes.isdisjoint(required.of_all):
        return lacking(method, rights, required.of_all)
    return None if rights.accounts is None else bound(method, rights)


def _by_name(required: Requirement, rights: Rights, named: str, account_id: AccountId | None) -> Verdict:
    """The verdict on something made for an account. One that does not exist is hidden as well: else the difference would tell
    which ones do.
    """
    is_allowed = rights.accounts is None or (account_id is not None and rights.accounts.has(account_id))
    return None if is_allowed else _hidden(required, named)


def _hidden(required: Requirement, named: str) -> Verdict:
    return hidden(required, named) if required.unknown is None else Instead(required.unknown())


def _token_of(context: Context) -> str | None:
    """The token that a caller shows, empty if what it shows is none; None if it shows nothing."""
    shown = [value for key, value in context.invocation_metadata() or () if key == _METADATA_KEY]
    if not shown:
        return None
    text = shown[0] if len(shown) == 1 and isinstance(shown[0], str) else ""
    return text[len(_BEARER) :].strip() if text.lower().startswith(_BEARER) else ""


def _certificate_names(context: Context) -> list[str]:
    """The names in the certificate that a caller showed, which the server has checked. The common name counts if there is no
    other one, as RFC 6125 has it.
    """
    shown = context.auth_context()
    found = next((shown[key] for key in _CERTIFICATE_NAMES if shown.get(key)), ())
    return [each.decode("utf-8", "replace") for each in found]
