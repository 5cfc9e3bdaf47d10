"""What is known of a stop."""

import asyncio
import os
import signal

import pytest

from creditmeter.server.app import Program
from creditmeter.server.stopping import STOPS, LeftBehind, Parts, StopRequest
from creditmeter.v1 import metering_pb2
from tests.server.conftest import Services

CREDIT = 1_000_000


async def test_the_first_reason_counts() -> None:
    """Later requests change nothing."""
    stop = StopRequest()
    stop.make("fenced")
    stop.make("SIGTERM")
    await stop.wait()
    assert stop.reason == "fenced"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_are_reasons(number: signal.Signals) -> None:
    """By their names."""
    stop = StopRequest()
    stop.make_on_signals()
    try:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stop.wait()
    finally:
        for each in STOPS:
            asyncio.get_running_loop().remove_signal_handler(each)
    assert stop.reason == number.name


def test_parts_follow_one_another() -> None:
    """Each has the time since the one before."""
    parts = Parts()
    parts.end("first")
    parts.end("second")
    assert list(parts.seconds) == ["first", "second"]
    assert all(0 <= seconds < 5 for seconds in parts.seconds.values())


async def test_what_is_left_behind(services: Services) -> None:
    """Holds, and what is not settled."""
    await services.create("ada", permanent=10 * CREDIT)
    program: Program = services.program
    assert LeftBehind.of([]) == LeftBehind.of(program.sidecar.books) == LeftBehind(0, 0, 0, 0)
    hold = metering_pb2.ReserveRequest(request_id="r", account_id="ada", amount_microcredits=CREDIT)
    await services.metering.Reserve(hold)
    assert LeftBehind.of(program.sidecar.books) == LeftBehind(1, 0, 0, 0)
