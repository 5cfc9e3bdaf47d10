"""A sidecar on a machine whose clock is wrong is killed, and starts while its central store cannot be reached."""

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection, call
from creditmeter.sidecar.clock import this_boot
from creditmeter.v1 import admin_pb2, metering_pb2, reservations_pb2
from tests.cases import more
from tests.cli.processes import SidecarProcess
from tests.e2e.fleet import CREDIT, ONCE, assert_clean, balance, open_account, reserve, settled

ACCOUNT = "acme"
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
pytestmark = pytest.mark.skipif(not this_boot(), reason="this system gives a run of the machine no name")


def wrong_by(span: timedelta) -> None:
    """Have this process read a wall clock that is wrong."""
    error = int(span.total_seconds() * 1_000_000_000)
    right = time.time_ns
    time.time_ns = lambda: right() + error


def started(place: Path, central: str, wrong: timedelta) -> SidecarProcess:
    """A sidecar on a machine whose wall clock is wrong."""
    process = SidecarProcess(place, "--enable-admin", "--central", central)
    process.lead = partial(wrong_by, wrong)
    process.start()
    return process


@pytest.mark.parametrize(
    "now", [timedelta(days=-20_000), *more(timedelta(minutes=-40), timedelta(minutes=40), timedelta(days=2))]
)
async def test_a_restart_while_the_store_is_away(postgres_url: str, now: timedelta) -> None:
    """It knows the store's time, whatever its machine's clock says then: no hold ends, and no commit is late."""
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        place = Path(directory)
        process = await asyncio.to_thread(started, place, postgres_url, timedelta(minutes=40))
        try:
            async with Connection(process.address) as client:
                await open_account(client, ACCOUNT, permanent=[100])
                hold = await reserve(client, "r", ACCOUNT, 10)
            await asyncio.to_thread(process.kill)
            process = await asyncio.to_thread(started, place, NOWHERE, now)
            async with Connection(process.address) as client:
                status = await call(client.admin.GetStatus, admin_pb2.GetStatusRequest(), ONCE)
                assert not status.central_reachable
                assert abs(status.started_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=30)
                asked = metering_pb2.GetReservationRequest(reservation_id=hold.reservation_id)
                found = (await call(client.metering.GetReservation, asked, ONCE)).reservation
                assert found.state == reservations_pb2.RESERVATION_STATE_HELD
                commit = metering_pb2.CommitRequest(
                    request_id="c", reservation_id=hold.reservation_id, amount_microcredits=4 * CREDIT
                )
                charge = (await call(client.metering.Commit, commit, ONCE)).charge
                assert not charge.late
            await asyncio.to_thread(process.kill)
            process = await asyncio.to_thread(started, place, postgres_url, now)
            async with Connection(process.address) as client:
                await settled([client], ACCOUNT)
                assert (await balance(client, ACCOUNT)).available_microcredits == 96 * CREDIT
            assert await asyncio.to_thread(process.stop) == 0
            await assert_clean(postgres_url)
        finally:
            if process.is_running:
                await asyncio.to_thread(process.kill)
