"""A gRPC server that ends by itself takes its process with it, so that whoever looks after that starts another one."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from creditmeter.server import app
from creditmeter.v1 import metering_pb2, metering_pb2_grpc
from tests.cli.processes import SidecarProcess


def _on_signal(do: Callable[[Any], None]) -> None:
    """Have the program do something with its first gRPC server on SIGUSR1."""
    started = app._started

    async def starts(*arguments: Any) -> app.Listening:
        listening = await started(*arguments)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, do, listening.servers[0])
        return listening

    app._started = starts  # type: ignore[assignment]  # it takes the same


def _stopped() -> None:
    """The server is stopped, by nobody who may."""
    stops: list[asyncio.Task[None]] = []
    _on_signal(lambda server: stops.append(asyncio.ensure_future(server.stop(0))))


def _broken() -> None:
    """The task ends that takes calls: with the next one, it has to ask gRPC for another."""

    def fail(_method: object = None) -> None:
        raise RuntimeError("gRPC has no more calls")

    _on_signal(lambda server: setattr(server._server, "_request_registered_call", fail))


@pytest.mark.parametrize(("lead", "reason"), [(_stopped, ""), (_broken, "RuntimeError: gRPC has no more calls")])
async def test_the_process_ends_with_an_error(short_path: Path, lead: Callable[[], None], reason: str) -> None:
    """Exit code 1, one line that says why, and everything is given back as at any stop."""
    sidecar = SidecarProcess(short_path)
    sidecar.lead = lead
    sidecar.start()
    try:
        sidecar._signal(signal.SIGUSR1)
        async with asyncio.timeout(30), grpc.aio.insecure_channel(sidecar.address) as channel:
            while not sidecar.has_ended:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await metering_pb2_grpc.MeteringServiceStub(channel).Quote(metering_pb2.QuoteRequest(), timeout=1)
    finally:
        code = sidecar.wait() if sidecar.has_ended else sidecar.stop()
    assert code == 1
    (told,) = (each for each in sidecar.log if each["level"] == "error" and each["event"].startswith("a gRPC server ended"))
    assert told["reason"] == reason
    assert (sidecar.log[-1]["event"], sidecar.log[-1]["exit_code"]) == ("stopped", 1)
