"""Rows that cannot be read.

Rows of the journal that go bad under a running sidecar: callers get STORAGE_DAMAGED if the row says whose it is, else
STORAGE_UNAVAILABLE, and the log says it once. A row of the central store that a start reads: one line, and the code for damage.
What a start does about rows of the journal is in `tests/sidecar/test_quarantine.py`.
"""

import contextlib
import sqlite3
from pathlib import Path

import grpc
import pytest
import structlog

from creditmeter.core.ids import AccountId
from creditmeter.journal.archive import Archive
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.exits import DAMAGED, StartupError
from creditmeter.sidecar.status import Condition
from creditmeter.v1 import metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Failure, Services, failure

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
            assert (failed.code, failed.info.reason) == (grpc.StatusCode.DATA_LOSS, "STORAGE_DAMAGED")
            assert dict(failed.info.metadata) == {"account_id": "alice"}
            assert "`creditmeter journal check` says what is lost" in failed.message
    assert [each["event"] for each in entries].count("the journal is damaged") == 1
    other = metering_pb2.ChargeRequest(request_id="d", account_id="alice", amount_microcredits=1)
    assert (await services.metering.Charge(other)).charge.cost_microcredits == 1


async def test_a_record_that_does_not_say_whose_it_is(services: Services) -> None:
    """Nobody knows whether it is of the account that is asked for."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(CHARGE)
    run(services, "UPDATE records SET account_id = 'bob'")
    failed = await failure(services.metering.Charge(CHARGE))
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert "of records cannot be read" in failed.message


async def test_a_record_that_is_gone(services: Services) -> None:
    """It is not taken for one that was dropped because it is old."""
    await services.create("alice", permanent=10)
    for number in range(3):
        await services.metering.Charge(
            metering_pb2.ChargeRequest(request_id=f"c{number}", account_id="alice", amount_microcredits=1)
        )
    run(services, "DELETE FROM records WHERE seq > 2 AND seq < (SELECT max(seq) FROM records)")
    reasons = set()
    for number in range(3):
        again = metering_pb2.ChargeRequest(request_id=f"c{number}", account_id="alice", amount_microcredits=1)
        try:
            assert (await services.metering.Charge(again)).replayed
        except grpc.aio.AioRpcError as error:
            reasons.add(Failure(error).info.reason)
    assert reasons == {"STORAGE_UNAVAILABLE"}


async def test_what_was_last_known_of_an_account(services: Services) -> None:
    """It is asked of the central store again, and housekeeping goes on."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(CHARGE)
    sidecar = services.program.sidecar
    await sidecar.settle()
    run(services, "UPDATE records SET body = x'00'")
    sidecar.books._records.find(AccountId("alice")).book = None  # type: ignore[union-attr]  # it is there
    other = metering_pb2.ChargeRequest(request_id="d", account_id="alice", amount_microcredits=1)
    assert (await services.metering.Charge(other)).charge.cost_microcredits == 1
    await sidecar.look_after()
    assert sidecar.condition is Condition.SERVING


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
    run(services, "UPDATE records SET account_id = 'bob'")
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


async def test_an_account_whose_damage_is_found_when_the_disk_is_mended(services: Services) -> None:
    """It is in quarantine from then on, and the others go on."""
    await services.create("alice", permanent=10)
    await services.create("bob", permanent=10)
    await services.metering.Reserve(HOLD)
    sidecar = services.program.sidecar
    run(services, "UPDATE records SET checksum = checksum + 1 WHERE account_id = 'alice'")
    await sidecar._journal._connection.execute("PRAGMA query_only = ON")
    bobs = metering_pb2.ChargeRequest(request_id="d", account_id="bob", amount_microcredits=1)
    assert (await failure(services.metering.Charge(bobs))).info.reason == "STORAGE_UNAVAILABLE"
    await sidecar._journal._connection.execute("PRAGMA query_only = OFF")
    with structlog.testing.capture_logs() as entries:
        await sidecar.look_after()
    assert [each["account_id"] for each in entries if each["event"] == "an account is in quarantine"] == ["alice"]
    assert sidecar.condition is Condition.SERVING
    assert (await failure(services.metering.Reserve(HOLD))).info.reason == "STORAGE_DAMAGED"
    assert (await services.metering.Charge(bobs)).charge.cost_microcredits == 1


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
