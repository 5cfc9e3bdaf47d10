"""Calls to a sidecar: finds its address, and turns its refusals into complaints for the operator."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from creditmeter.central.engine.faults import CentralMisconfigured, CentralUnavailable
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.screen import say
from creditmeter.cli.socket_access import denial
from creditmeter.client.stubs import Access, Connection, CreditmeterError, Retry
from creditmeter.server.config import ConfigError, Settings, is_address
from creditmeter.server.setting_values import MAX_SOCKET_PATH_BYTES, is_too_long

_Answer = TypeVar("_Answer")
_given: ContextVar[Access | None] = ContextVar("given", default=None)

PATIENCE = Retry(total=2, attempt=10)
"""For most commands: a person waits for the answer. In seconds."""

LONG_READ = Retry(total=10, attempt=120)
"""For sums over history, which take long on a large account. An overloaded sidecar is asked again. In seconds."""

SAYS_AFTER = 5
"""Seconds after which a line says that the command still waits."""


def load_settings(config_file: Path | None = None, **overrides: object) -> Settings:
    """The server's settings. The default addresses of a sidecar's socket and of the central store are among them.

    Raises:
        CommandFailed: they cannot be read.
    """
    try:
        return Settings.load(config_file, **overrides)
    except ConfigError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error


def central_url(central: str | None, data_dir: Path | None = None) -> str:
    """The address of the central store, checked: the given one, else that of the settings.

    Raises:
        CommandFailed: it is no address of a store.
    """
    from creditmeter.central.engine.database import parse_url  # noqa: PLC0415 - most commands need no database

    settings = load_settings(central=central, data_dir=data_dir)
    try:
        parse_url(settings.central_url)
    except CentralMisconfigured as error:
        raise CommandFailed(settings.problem("central", str(error)), ExitCode.USAGE) from error
    return settings.central_url


def ask(
    address: str | None,
    question: Callable[[Connection], Awaitable[_Answer]],
    request_id: str = "",
    patience: Retry = PATIENCE,
) -> _Answer:
    """The answer of `question`, asked of the sidecar at `address`, by default the one in the data directory.

    `patience` is what `question` calls with; a complaint names it.

    Raises:
        CommandFailed: the sidecar refused or was not reached. If it is unknown whether the call took effect, the message names
            `request_id`.
    """
    target = sidecar_address(address)
    try:
        return asyncio.run(_ask(target, access(), question))
    except CreditmeterError as error:
        raise failed_call(target, error, request_id, patience) from error


def use(given: Access) -> None:
    """Have the command connect with this token and TLS."""
    _given.set(given)


def access() -> Access:
    """The token and TLS that were given before the command, or by the environment.

    Raises:
        CommandFailed: a file of them cannot be read.
    """
    found = _given.get() or Access.of()
    try:
        found.metadata()
        if found.tls is not None:
            found.tls.credentials()
    except ValueError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    except OSError as error:
        raise CommandFailed(f"the file {error.filename} cannot be read: {error.strerror}", ExitCode.USAGE) from error
    return found


async def _ask(address: str, access: Access, question: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
    word = asyncio.get_running_loop().call_later(SAYS_AFTER, _say_waiting, address)
    try:
        async with Connection(address, access) as client:
            return await question(client)
    finally:
        word.cancel()


def _say_waiting(address: str) -> None:
    say(f"waiting for the sidecar at {address}")


def named_address(address: str | None) -> str:
    """The given address, checked; by default the socket in the data directory.

    Raises:
        CommandFailed: it is no address, or too long for a socket.
    """
    if address is not None and not is_address(address):
        raise CommandFailed(f"{address!r} is no address: use host:port or unix:/path", ExitCode.USAGE)
    target = address or load_settings().socket_address
    if is_too_long(target):
        raise CommandFailed(f"{target} is longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path", ExitCode.USAGE)
    return target


def sidecar_address(address: str | None) -> str:
    """As `named_address`. Also checks that the socket exists and that this user may connect to it.

    Raises:
        CommandFailed: no sidecar can be reached there.
    """
    target = named_address(address)
    if denied := denial(target):
        raise CommandFailed(denied, ExitCode.UNREACHABLE)
    if target.startswith("unix:") and not Path(target.removeprefix("unix:")).exists():
        raise CommandFailed(_nobody_at(target), ExitCode.UNREACHABLE)
    return target


def not_enabled(error: CreditmeterError) -> bool:
    """Whether a call failed because the sidecar does not offer AdminService. Older ones have no such methods."""
    if error.reason == "PERMISSION_DENIED":
        return error.metadata.get("setting") == "enable_admin"
    return error.code == "UNIMPLEMENTED" and not error.reason


def failed_call(address: str, error: CreditmeterError, request_id: str = "", patience: Retry = PATIENCE) -> CommandFailed:
    """The complaint about a failed call. `patience` is what the call was made with."""
    if not_enabled(error):
        return CommandFailed(f"the sidecar at {address} does not administer: start it with --enable-admin")
    if not error.is_retryable:
        return CommandFailed(f"refused: {error}")
    again = f"; whether it happened is unknown: repeat it with --request-id {request_id}" if request_id else ""
    if error.reason:
        return CommandFailed(f"{error}{again}", ExitCode.UNREACHABLE)
    if error.code == "DEADLINE_EXCEEDED":
        late = f"the sidecar at {address} did not answer within {patience.attempt:g} s"
        return CommandFailed(late + again, ExitCode.UNREACHABLE)
    return CommandFailed(_why_unreached(address, error) + again, ExitCode.UNREACHABLE)


def failed_store(error: CentralUnavailable) -> CommandFailed:
    """The complaint about a central store that could not be asked."""
    code = ExitCode.DAMAGED if error.is_damage else ExitCode.UNREACHABLE
    return CommandFailed(f"the central store cannot be {'used' if error.is_lasting else 'reached'}: {error}", code)


def _why_unreached(address: str, error: CreditmeterError) -> str:
    """Why a call got no answer. gRPC says it in words of its own, of which those about TLS help."""
    if "handshake" in error.message.lower():
        return f"TLS with the sidecar at {address} failed: is --tls-server-ca its authority, and does it want a certificate?"
    if not address.startswith("unix:") and access().tls is None:
        return f"{_nobody_at(address)}; where it speaks TLS, add --tls-server-ca"
    return _nobody_at(address)


def _nobody_at(address: str) -> str:
    return f"no sidecar answers at {address}: start one with `creditmeter serve`, or name another with --address"
