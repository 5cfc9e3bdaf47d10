"""What the sidecar makes of callers that are gone before they are answered."""

import asyncio

import grpc
import pytest
import structlog

from creditmeter.v1 import metering_pb2
from tests.server.conftest import Services

PIPELINE = "/creditmeter.v1.MeteringService/Pipeline"
GARBAGE = b"\xff"
ROUNDS = 200
"""So many that some of them are refused just when they have gone."""


async def test_a_deadline_that_has_passed_is_no_fault(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    """Its caller has left by the time that it is told so."""
    for number in range(ROUNDS):
        asked = metering_pb2.ReserveRequest(request_id=f"q{number}", account_id="alice", amount_microcredits=1)
        calls = [services.metering.Reserve(asked, timeout=0.0005 * each) for each in range(8)]
        for each in calls:
            assert await each.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND)
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


async def test_a_refusal_that_nobody_reads_is_no_fault(services: Services) -> None:
    """Its caller left before it was told: nothing is logged, and others are served."""
    with structlog.testing.capture_logs() as entries:
        for number in range(ROUNDS):
            stream: grpc.aio.StreamStreamCall[bytes, bytes] = services.channel.stream_stream(PIPELINE)()
            await stream.write(GARBAGE)
            for _ in range(number % 8):
                await asyncio.sleep(0)
            stream.cancel()
        await services.create("alice", permanent=1)
        asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=1)
        assert (await services.metering.Reserve(asked)).reservation.held_microcredits == 1
    assert [each["event"] for each in entries if each["log_level"] == "error"] == []
