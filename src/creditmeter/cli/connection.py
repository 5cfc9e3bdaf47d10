"""Asking a sidecar: which one, and what its refusals mean to an operator."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import grpc

from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.client import CallError, Client, Retry
from creditmeter.server.config import ConfigError, Settings, is_address

_Answer = TypeVar("_Answer")

PATIENCE = Retry(total=2, attempt=10)
"""A person waits for the answer."""


def load_settings(config_file: Path | None = None, **overrides: object) -> Settings:
    """The server's settings, which also say where a sidecar's socket and central store are by default."""
    try:
        return Settings.load(config_file, **overrides)
    except ConfigError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error


def ask(address: str | None, question: Callable[[Client], Awaitable[_Answer]], request_id: str = "") -> _Answer:
    """Put a question to the sidecar at `address`, or to the one in the data directory.

    Raises:
        CommandFailed: the sidecar refused or was not reached. If that leaves the effect unknown, the message names
            `request_id`.
    """
    target = sidecar_address(address)
    try:
        return asyncio.run(_ask(target, question))
    except CallError as error:
        raise failed_call(target, error, request_id) from error


async def _ask(address: str, question: Callable[[Client], Awaitable[_Answer]]) -> _Answer:
    async with Client(address) as client:
        return await question(client)


def sidecar_address(address: str | None) -> str:
    """The address asked for, checked; by default the socket in the data directory."""
    if address is not None and not is_address(address):
        raise CommandFailed(f"{address!r} is no address: use host:port or unix:/path", ExitCode.USAGE)
    target = address or load_settings().socket_address
    if target.startswith("unix:") and not Path(target.removeprefix("unix:")).exists():
        raise CommandFailed(_nobody_at(target), ExitCode.UNREACHABLE)
    return target


def failed_call(address: str, error: CallError, request_id: str = "") -> CommandFailed:
    """One line for the operator."""
    if error.code is grpc.StatusCode.UNIMPLEMENTED and not error.reason:
        return CommandFailed(f"the sidecar at {address} does not administer: start it with --enable-admin")
    if not error.is_retryable:
        return CommandFailed(f"refused: {error}")
    again = f"; whether it happened is unknown: repeat it with --request-id {request_id}" if request_id else ""
    if error.reason:
        return CommandFailed(f"{error}{again}", ExitCode.UNREACHABLE)
    return CommandFailed(_nobody_at(address) + again, ExitCode.UNREACHABLE)


def _nobody_at(address: str) -> str:
    return f"no sidecar answers at {address}: start one with `creditmeter serve`, or name another with --address"
