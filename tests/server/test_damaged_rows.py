"""Rows that cannot be read.

Rows of the journal that go bad under a running sidecar: callers get STORAGE_UNAVAILABLE, and the log says it once. A row of the
central store that a start reads: one line, and the code for damage.
"""

import contextlib
import sqlite3
from pathlib import Path

import grpc
import pytest
import structlog

from creditmeter.journal.archive import Archive
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.exits import DAMAGED, StartupError
from creditmeter.sidecar.status import Condition
from creditmeter.v1 import metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure

CHARGE = metering_pb2.ChargeRequest(request_id="c", account_id="alice", amount_microcredits=1)
HOLD = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=1)


def run(services: Services, statement: str, *values: object) -> None:
    """Change the journal behind the sidecar's back."""
    with contextlib.closing(sqlite3.connect(services.data_dir / "journal.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


@pytest.mark.parametrize("garbage", [b"\xff no such thing", "no such thing", b""])
async def test_a_record_that_cannot_be_read(services: Services, garbage: object) -> None:
    """What was said in it is not said again; other requests go on."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(CHARGE)
    run(services, "UPDATE records SET body = ?", garbage)
    with structlog.testing.capture_logs() as entries:
        for _ in range(3):
            failed = await failure(services.metering.Charge(CHARGE))
            assert (failed.code, failed.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
            assert "of records cannot be read" in failed.message
    assert [each["event"] for each in entries].count("the journal is damaged") == 1
    other = metering_pb2.ChargeRequest(request_id="d", account_id="alice", amount_microcredits=1)
    assert (await services.metering.Charge(other)).charge.cost_microcredits == 1


async def test_an_index_that_cannot_be_read(services: Services) -> None:
    """Wherever something else is in the place of a number."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(CHARGE)
    journal = services.program.sidecar._journal
    journal.write_image([book.live for book in services.program.sidecar.books], journal.identity.clock)
    await journal.durable()
    run(services, "UPDATE entries SET seq = 'x' || seq")
    run(services, "INSERT INTO entries SELECT segment, hash, 1 FROM entries WHERE true ON CONFLICT DO NOTHING")
    with structlog.testing.capture_logs() as entries:
        for _ in range(2):
            failed = await failure(services.metering.Charge(CHARGE))
            assert failed.info.reason == "STORAGE_UNAVAILABLE"
    assert [each["event"] for each in entries].count("the journal is damaged") == 1


async def test_moments_that_cannot_be_read(services: Services) -> None:
    """A listing looks for the first record after one."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(CHARGE)
    run(services, "UPDATE records SET written_at = 'soon'")
    archive: Archive = services.program.sidecar._journal.archive
    with pytest.raises(Exception, match="of another type"):
        list(archive.made_before(None, services.program.sidecar.books.moment().now))


async def test_damage_that_is_found_when_the_disk_is_mended(services: Services) -> None:
    """The books cannot be taken from disk: nothing is acknowledged, and the log says why, once."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(CHARGE)
    sidecar = services.program.sidecar
    run(services, "UPDATE records SET checksum = checksum + 1")
    await sidecar._journal._connection.execute("PRAGMA query_only = ON")
    other = metering_pb2.ChargeRequest(request_id="d", account_id="alice", amount_microcredits=1)
    assert (await failure(services.metering.Charge(other))).info.reason == "STORAGE_UNAVAILABLE"
    await sidecar._journal._connection.execute("PRAGMA query_only = OFF")
    with structlog.testing.capture_logs() as entries:
        for _ in range(3):
            await sidecar.look_after()
    assert sum("Restore it from a copy" in each.get("reason", "") for each in entries) == 1  # not of rows looked up
    assert sidecar.condition is Condition.JOURNAL_UNWRITABLE
    assert (await failure(services.metering.Charge(other))).info.reason == "STORAGE_UNAVAILABLE"


async def test_a_row_of_the_central_store_that_a_start_reads(data_dir: Path, clock: ManualClock) -> None:
    """The accounts of its leases, say."""
    settings = Settings.load(None, listen=("127.0.0.1:0",), data_dir=data_dir, enable_admin=True, shutdown_grace=0.2)
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        services = Services.on(program, data_dir, channel)
        await services.create("alice", permanent=10)
        await services.metering.Reserve(HOLD)
    with contextlib.closing(sqlite3.connect(data_dir / "central.db")) as connection, connection:
        assert connection.execute("UPDATE leases SET account_id = x'ff00'").rowcount == 1
    with pytest.raises(StartupError, match="the central store cannot be read: ") as refused:
        async with running(settings, clock):
            pass
    assert refused.value.exit_code == DAMAGED
