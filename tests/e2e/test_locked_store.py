"""Another process keeps an embedded store locked, for longer than any time-out: callers learn it soon, leased work goes on."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.cli.exits import ExitCode
from creditmeter.client.stubs import Connection, CreditmeterError, Retry, call
from creditmeter.server.health import CENTRAL, METERING
from creditmeter.v1 import metering_pb2
from tests.cli.processes import SidecarProcess
from tests.e2e.fleet import CREDIT, balance, open_account, reserve, settled

pytestmark = pytest.mark.long  # tests/central/engine and tests/server have the same with shorter times

LOCKED_SECONDS = float(os.environ.get("TESTS_LOCKED_SECONDS", "45"))
PATIENCE = 2.0
MARGIN = 0.7
RECOVERED_WITHIN_SECONDS = 15
CALLERS = 20


@pytest.fixture
def sidecar(short_path: Path) -> Iterator[SidecarProcess]:
    """A running sidecar with an embedded central store."""
    process = SidecarProcess(short_path, "--enable-admin", shutdown_grace=5)
    process.start()
    yield process
    if process.is_running:
        process.kill()


async def health(sidecar: SidecarProcess, service: str) -> int:
    """What its health says of a service now."""
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        check = health_pb2.HealthCheckRequest(service=service)
        return int((await health_pb2_grpc.HealthStub(channel).Check(check)).status)


def charge_of(request_id: str, microcredits: int) -> metering_pb2.ChargeRequest:
    """A charge on the account that has credit in hand."""
    return metering_pb2.ChargeRequest(request_id=request_id, account_id="alice", amount_microcredits=microcredits)


async def refused_in_time(client: Connection, request_id: str) -> None:
    """A caller who needs the store is told within its time that it did not answer."""
    began = time.monotonic()
    with pytest.raises(CreditmeterError, match="CENTRAL_UNAVAILABLE"):
        await reserve(client, request_id, "bob", 1)
    assert time.monotonic() - began < PATIENCE + MARGIN


async def test_locked_for_longer_than_any_timeout(sidecar: SidecarProcess) -> None:
    """Callers come all the time, many at once; each fails within 2 s. What is leased is metered, and settled afterwards."""
    async with Connection(sidecar.address) as client:
        for account_id in ("alice", "bob"):
            await open_account(client, account_id, permanent=[1_000])
        await call(client.metering.Charge, charge_of("before", CREDIT))
        await settled([client], "alice")
        with contextlib.closing(sqlite3.connect(sidecar.data_dir / "central.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            until = time.monotonic() + LOCKED_SECONDS
            rounds = 0
            while time.monotonic() < until:
                await asyncio.gather(*(refused_in_time(client, f"b{rounds}-{number}") for number in range(CALLERS)))
                began = time.monotonic()
                await call(client.metering.Charge, charge_of(f"c{rounds}", 1_000))
                assert time.monotonic() - began < MARGIN
                rounds += 1
                await asyncio.sleep(0.2)  # callers do not come without a pause
            assert await health(sidecar, CENTRAL) == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await health(sidecar, METERING) == health_pb2.HealthCheckResponse.SERVING
            other.execute("ROLLBACK")
        async with asyncio.timeout(RECOVERED_WITHIN_SECONDS):
            await reserve(client, "after", "bob", 7, Retry(total=RECOVERED_WITHIN_SECONDS))
            while await health(sidecar, CENTRAL) != health_pb2.HealthCheckResponse.SERVING:
                await asyncio.sleep(0.2)
        await settled([client], "alice")
        assert (await balance(client, "alice")).available_microcredits == 999 * CREDIT - rounds * 1_000
        assert (await balance(client, "bob")).held_microcredits == 7 * CREDIT
    assert sidecar.stop() in (ExitCode.OK, ExitCode.UNSETTLED)
