"""An embedded store that is locked, written over, full or gone under a sidecar: health says so, and leased work goes on."""

import asyncio
import contextlib
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.central.engine import sqlite
from creditmeter.server import health
from creditmeter.server.health import CENTRAL
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.v1 import account_pb2, metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Failure, Services, failure

PATIENCE = 0.4
MARGIN = 1.0
"""Seconds that a slow machine may take beside the wait itself."""

NOTICED_WITHIN_SECONDS = 20
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Connections:
    """The sidecar's connections to its store, those that it opens later too."""

    def __init__(self) -> None:
        self._open: list[sqlite3.Connection] = []
        self._when_opened: str | None = None
        self._really_open = sqlite._open

    def open(self, path: Path, patience_seconds: float) -> sqlite3.Connection:
        """What the sidecar calls to open one."""
        connection = self._really_open(path, patience_seconds)
        self._open.append(connection)
        if self._when_opened is not None:
            connection.execute(self._when_opened)
        return connection

    @property
    def are_open(self) -> bool:
        """Whether the sidecar has opened any."""
        return bool(self._open)

    async def set(self, pragma: str) -> None:
        """Set this for all of them, each between two transactions: the pages that one of those may have added count."""
        self._when_opened = pragma
        for each in self._open:
            with contextlib.suppress(sqlite3.ProgrammingError):  # closed
                while each.in_transaction:
                    await asyncio.sleep(0)
                each.execute(pragma)


Harm = Callable[[Path, Connections], AbstractAsyncContextManager[None]]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """The sidecar's connections to its store. It looks at that often, and its callers wait for a moment only."""
    opened = Connections()
    monkeypatch.setattr(sqlite, "_open", opened.open)
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", PATIENCE)
    monkeypatch.setattr("creditmeter.sidecar.sidecar.PATIENCE_SECONDS", PATIENCE + 0.1)
    monkeypatch.setattr(health, "_PING_INTERVAL_SECONDS", 0.05)
    return opened


@pytest.fixture
async def leased(connections: Connections, services: Services) -> AsyncIterator[Services]:
    """A sidecar with credit in hand for one account, and none for another."""
    assert connections.are_open
    await services.create("alice", permanent=1_000)
    await services.create("bob", permanent=1_000)
    await services.metering.Reserve(reserve("first", "alice", 10))
    await services.program.sidecar.settle()
    yield services
    await until(services, SERVING)


def reserve(request_id: str, account_id: str, amount: int) -> metering_pb2.ReserveRequest:
    """A request that holds some microcredits."""
    return metering_pb2.ReserveRequest(request_id=request_id, account_id=account_id, amount_microcredits=amount)


async def until(services: Services, status: int) -> None:
    """Return once health says so of the central store."""
    async with asyncio.timeout(NOTICED_WITHIN_SECONDS):
        async for each in health_pb2_grpc.HealthStub(services.channel).Watch(health_pb2.HealthCheckRequest(service=CENTRAL)):
            if each.status == status:
                return


async def refused_soon(call: Awaitable[object]) -> Failure:
    """The failure of a call that could not wait for the store any longer."""
    began = time.monotonic()
    failed = await failure(call)
    assert time.monotonic() - began < PATIENCE + 0.1 + MARGIN
    return failed


@contextlib.asynccontextmanager
async def locked(path: Path, _connections: Connections) -> AsyncIterator[None]:
    """Somebody else writes to it, and does not end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        while not other.in_transaction:
            with contextlib.suppress(sqlite3.OperationalError):  # the sidecar is just writing
                other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(0)
        yield
        other.execute("ROLLBACK")


def copy_into(source: Path, target: Path) -> None:
    """Copy a file into another one, by another process."""
    subprocess.run(["/bin/dd", f"if={source}", f"of={target}", "conv=notrunc", "status=none"], check=True)


@contextlib.asynccontextmanager
async def written_over(path: Path, _connections: Connections) -> AsyncIterator[None]:
    """There is something else in the same file. Other processes do that: this one would drop its locks on it."""
    whole = path.with_name("whole")
    await asyncio.to_thread(copy_into, path, whole)
    garbage = path.with_name("garbage")
    garbage.write_bytes(b"garbage!" * (whole.stat().st_size // 8))
    await asyncio.to_thread(copy_into, garbage, path)
    yield
    await asyncio.to_thread(copy_into, whole, path)


@contextlib.asynccontextmanager
async def full(_path: Path, connections: Connections) -> AsyncIterator[None]:
    """It has as many pages as it may have."""
    await connections.set("PRAGMA max_page_count = 1")
    yield
    await connections.set("PRAGMA max_page_count = 1000000")


@contextlib.asynccontextmanager
async def read_only(_path: Path, connections: Connections) -> AsyncIterator[None]:
    """Nothing may be written to it."""
    await connections.set("PRAGMA query_only = ON")
    yield
    await connections.set("PRAGMA query_only = OFF")


@pytest.mark.parametrize("harm", [locked, written_over, full, read_only])
async def test_leased_work_goes_on(connections: Connections, leased: Services, clock: ManualClock, harm: Harm) -> None:
    """Health says that the store does not work, and a balance is an older one. All is settled when it does again."""
    await until(leased, SERVING)
    async with harm(leased.data_dir / "central.db", connections):
        await until(leased, NOT_SERVING)
        held = (await leased.metering.Reserve(reserve("during", "alice", 10))).reservation
        commit = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id, amount_microcredits=7)
        charge = (await leased.metering.Commit(commit)).charge
    await until(leased, SERVING)
    async with asyncio.timeout(NOTICED_WITHIN_SECONDS):
        while not (await leased.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id=charge.charge_id))).charge.draws:
            clock.advance(LONGEST_WAIT)


@pytest.mark.parametrize("harm", [locked, written_over, read_only])
async def test_callers_who_need_the_store_fail_soon(
    connections: Connections, leased: Services, clock: ManualClock, harm: Harm
) -> None:
    """However many there are, each in its own time; and they succeed when it works again."""
    async with harm(leased.data_dir / "central.db", connections):
        await until(leased, NOT_SERVING)
        calls = [leased.metering.Reserve(reserve(f"b{number}", "bob", 10)) for number in range(20)]
        failures = await asyncio.gather(*(refused_soon(each) for each in calls))
        assert {each.info.reason for each in failures} == {"CENTRAL_UNAVAILABLE"}
    async with asyncio.timeout(NOTICED_WITHIN_SECONDS):
        while not await _is_granted(leased, clock, "b0"):
            pass
    balance = await leased.account.GetBalance(account_pb2.GetBalanceRequest(account_id="bob"))
    assert balance.available_microcredits == 990


async def _is_granted(services: Services, clock: ManualClock, request_id: str) -> bool:
    clock.advance(LONGEST_WAIT)
    try:
        await services.metering.Reserve(reserve(request_id, "bob", 10))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


async def test_a_charge_that_cannot_be_settled_for_its_refund(connections: Connections, leased: Services) -> None:
    """Its message is under way: the refund does not wait for that, and again for the next one."""
    asked = metering_pb2.ChargeRequest(request_id="paid", account_id="alice", amount_microcredits=5)
    async with locked(leased.data_dir / "central.db", connections):
        charge = (await leased.metering.Charge(asked)).charge
        settling = asyncio.create_task(leased.program.sidecar.settle())
        refund = metering_pb2.RefundRequest(request_id="back", charge_id=charge.charge_id)
        while not leased.program.sidecar._exchanger.is_busy("alice"):  # type: ignore[arg-type]  # its id
            await asyncio.sleep(0)
        began = time.monotonic()
        with contextlib.suppress(Exception):  # decided here, if it was not sent yet
            await leased.metering.Refund(refund)
        assert time.monotonic() - began < PATIENCE + 0.1 + MARGIN
        await asyncio.gather(settling, return_exceptions=True)


async def test_a_store_that_is_gone(leased: Services) -> None:
    """Nothing is believed of it until the same file is back."""
    path = leased.data_dir / "central.db"
    await until(leased, SERVING)
    path.rename(leased.data_dir / "elsewhere")
    await until(leased, NOT_SERVING)
    (leased.data_dir / "elsewhere").rename(path)
    await until(leased, SERVING)


async def test_a_look_at_the_store_writes_nothing(leased: Services) -> None:
    """Not a byte of its log, so no other sidecar looks what changed."""
    log = leased.data_dir / "central.db-wal"
    await leased.program.sidecar.settle()
    before = log.read_bytes()
    for _ in range(5):
        await leased.program.sidecar.central.ping()
    assert log.read_bytes() == before


async def test_a_write_that_failed_is_tried_again_for_real(leased: Services) -> None:
    """A disk that is full is known by what it did not take, and that it takes something again by that."""
    central = leased.program.sidecar.central
    central.database._last_write_failed = True
    log = leased.data_dir / "central.db-wal"
    before = log.stat().st_mtime_ns
    await central.ping()
    assert log.stat().st_mtime_ns != before
    assert not central.database._last_write_failed
    async with central.database.read() as connection:
        rows = await connection.exec_driver_sql("SELECT count(*) FROM sidecars WHERE sidecar_id LIKE 'attempt%'")
    assert rows.scalar_one() == 0
