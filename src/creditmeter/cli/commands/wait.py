"""`creditmeter wait`: wait until a sidecar takes work."""

import asyncio
import time
from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.cli.connection import access, named_address
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import Address, read_duration
from creditmeter.cli.screen import print_lines
from creditmeter.cli.socket_access import denial
from creditmeter.client.access import Access
from creditmeter.client.channel import open_channel
from creditmeter.server.durations import format_seconds
from creditmeter.server.health import METERING

PAUSE_SECONDS = 0.1
"""Pause between two checks of the sidecar, in seconds."""

CHECK_SECONDS = 1.0
"""Timeout of one check, in seconds."""


def wait(
    address: Address = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="TIME",
            parser=read_duration,
            help="The longest to wait: seconds, or such as 500ms or 2m. Default: 30s.",
            show_default=False,
        ),
    ] = 30,
) -> None:
    """Wait until a sidecar takes work: `creditmeter serve & creditmeter wait`.

    It need not be there yet. What is asked is its health (grpc.health.v1, creditmeter.v1.MeteringService).
    """
    target = named_address(address)
    failure = asyncio.run(_wait(target, access(), timeout))
    if failure:
        raise CommandFailed(f"{failure}; waited for {format_seconds(timeout)}", ExitCode.UNREACHABLE)
    print_lines(f"the sidecar at {target} takes work")


async def _wait(address: str, access: Access, seconds: float) -> str:
    """Check the sidecar until it takes work. Returns an empty text, or the last failure if the time is over first."""
    deadline = time.monotonic() + seconds
    while True:
        failure = await _check(address, access)
        if not failure or time.monotonic() + PAUSE_SECONDS > deadline:
            return failure
        await asyncio.sleep(PAUSE_SECONDS)


async def _check(address: str, access: Access) -> str:
    """The reason why the sidecar does not take work; an empty text if it does."""
    if denied := denial(address):
        return denied
    request = health_pb2.HealthCheckRequest(service=METERING)
    async with open_channel(address, access) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            return _failure(address, error.code())
    if reply.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"the sidecar at {address} does not take work: it stops, cannot write its journal, or is fenced"


def _failure(address: str, code: grpc.StatusCode) -> str:
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"no sidecar answers at {address}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"somebody listens at {address} but does not answer: a sidecar that starts, or a process that hangs"
    return f"what listens at {address} is no sidecar: its health is not known there ({code.name})"
