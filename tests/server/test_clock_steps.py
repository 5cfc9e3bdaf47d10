"""A whole program with an embedded central store on a machine whose clock is wrong for a while."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.v1 import account_pb2, metering_pb2
from tests.cases import more
from tests.clocks import ManualClock
from tests.server.conftest import Services

CREDIT = 1_000_000
STEPS = (-HOUR, 13 * HOUR, *more(-400 * DAY, -3 * SECOND, 3 * SECOND, 75 * MINUTE, 2 * DAY, 400 * DAY))
PATIENCE = 30 * SECOND


@contextlib.asynccontextmanager
async def started(data_dir: Path, clock: ManualClock, boot_id: str = "", **more: float) -> AsyncIterator[Services]:
    """A program on a directory, with the patience of a default start, in a run of the machine that may have a name."""
    settings = Settings.load(
        None, listen=("127.0.0.1:0",), data_dir=data_dir, enable_admin=True, settle_interval=0.02, shutdown_grace=0.2, **more
    )
    async with running(settings, clock, boot_id) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, data_dir, channel)


@pytest.fixture
def directory(data_dir: Path, migrated_file: Path) -> Path:
    """A data directory with an empty central store."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    return data_dir


async def reserve(services: Services, request_id: str, credits: int) -> metering_pb2.ReserveResponse:
    """Hold credit of the account for an hour."""
    asked = metering_pb2.ReserveRequest(request_id=request_id, account_id="acme", amount_microcredits=credits * CREDIT)
    asked.ttl.seconds = 3_600
    return await services.metering.Reserve(asked)


async def commit(services: Services, request_id: str, reservation_id: str, credits: int) -> metering_pb2.CommitResponse:
    """Charge a hold."""
    return await services.metering.Commit(
        metering_pb2.CommitRequest(request_id=request_id, reservation_id=reservation_id, amount_microcredits=credits * CREDIT)
    )


async def available(services: Services) -> int:
    """What the account has, in credits, once the sidecar looked after its books and settled."""
    await services.program.sidecar.look_after()
    await services.program.sidecar.tidy()
    await services.program.sidecar.settle()
    balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="acme"))
    return int(balance.available_microcredits) // CREDIT


@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_is_wrong_for_three_seconds_changes_nothing(directory: Path, clock: ManualClock, step: int) -> None:
    """No hold ends, nothing is forgotten, no day's credit lapses or is given, and nothing is leased twice."""
    async with started(directory, clock) as services:
        await services.create("acme", daily=100 * CREDIT, permanent=200 * CREDIT)
        held = await reserve(services, "held", 30)
        used = await reserve(services, "used", 20)
        first = await commit(services, "commit", used.reservation.reservation_id, 20)
        assert await available(services) == 250
        clock.step_wall(step)
        for _ in range(3):
            assert await available(services) == 250
            clock.advance(SECOND)
        while_wrong = await reserve(services, "while-wrong", 1)
        clock.step_wall(-step)
        assert await available(services) == 249
        again = await commit(services, "commit", used.reservation.reservation_id, 20)
        assert again.replayed
        assert again.charge == first.charge
        for hold in (held, while_wrong):
            await commit(services, f"c-{hold.reservation.reservation_id}", hold.reservation.reservation_id, 1)
        assert await available(services) == 278


@pytest.mark.parametrize("step", STEPS)
async def test_a_wrong_reading_leaves_nothing_behind(directory: Path, clock: ManualClock, step: int) -> None:
    """Not over a restart either: new work is taken at once."""
    async with started(directory, clock) as services:
        await services.create("acme", permanent=50 * CREDIT)
        await reserve(services, "first", 10)
        clock.step_wall(step)
        await reserve(services, "second", 10)
        clock.step_wall(-step)
    async with started(directory, clock) as services:
        await reserve(services, "third", 10)
        assert await available(services) == 20
        assert services.program.sidecar.books.moment().now == clock.wall()


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_lasts_is_followed_and_holds_keep_their_time(directory: Path, clock: ManualClock, step: int) -> None:
    """They end when as much time has passed as they were made for."""
    async with started(directory, clock) as services:
        await services.create("acme", permanent=50 * CREDIT)
        hold = await reserve(services, "held", 10)
        clock.step_wall(step)
        for _ in range(PATIENCE // SECOND + 1):
            await services.program.sidecar.look_after()
            clock.advance(SECOND)
        assert services.program.sidecar.books.moment().now == clock.wall()
        clock.advance(HOUR - PATIENCE - 2 * SECOND)
        asked = metering_pb2.GetReservationRequest(reservation_id=hold.reservation.reservation_id)
        assert (await services.metering.GetReservation(asked)).reservation.held_microcredits == 10 * CREDIT
        clock.advance(SECOND)
        assert (await services.metering.GetReservation(asked)).reservation.held_microcredits == 0


@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_is_wrong_at_a_start_changes_nothing(directory: Path, clock: ManualClock, step: int) -> None:
    """The machine has run since the program did, so what the time is is known: as much later as time has passed."""
    async with started(directory, clock, "a run of the machine") as services:
        await services.create("acme", daily=100 * CREDIT, permanent=200 * CREDIT)
        hold = await reserve(services, "held", 30)
        assert await available(services) == 270
    clock.advance(MINUTE)
    clock.step_wall(step)
    async with started(directory, clock, "a run of the machine") as services:
        assert services.program.sidecar.books.moment().now == clock.wall() - step
        assert await available(services) == 270
        clock.advance(SECOND)
        clock.step_wall(-step)
        committed = await commit(services, "c", hold.reservation.reservation_id, 30)
        assert not committed.charge.late
        assert await available(services) == 270


@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_was_set_before_a_start_is_followed_and_holds_keep_their_time(
    directory: Path, clock: ManualClock, step: int
) -> None:
    """Once that has lasted, and from the next start on at once."""
    async with started(directory, clock, "a run of the machine") as services:
        await services.create("acme", permanent=50 * CREDIT)
        hold = await reserve(services, "held", 10)
        assert await available(services) == 40
    clock.step_wall(step)
    async with started(directory, clock, "a run of the machine") as services:
        for _ in range(PATIENCE // SECOND + 1):
            await services.program.sidecar.look_after()
            clock.advance(SECOND)
        assert services.program.sidecar.books.moment().now == clock.wall()
    async with started(directory, clock, "a run of the machine") as services:
        assert services.program.sidecar.books.moment().now == clock.wall()
        clock.advance(HOUR - PATIENCE - 2 * SECOND)
        asked = metering_pb2.GetReservationRequest(reservation_id=hold.reservation.reservation_id)
        assert (await services.metering.GetReservation(asked)).reservation.held_microcredits == 10 * CREDIT
        clock.advance(SECOND)
        assert (await services.metering.GetReservation(asked)).reservation.held_microcredits == 0


@pytest.mark.parametrize("step", STEPS)
async def test_without_patience_a_clock_that_was_set_before_a_start_is_believed_at_once(
    directory: Path, clock: ManualClock, step: int
) -> None:
    """Holds keep their time all the same."""
    async with started(directory, clock, "a run of the machine", clock_step_patience=0) as services:
        await services.create("acme", permanent=50 * CREDIT)
        hold = await reserve(services, "held", 10)
        assert await available(services) == 40
    clock.step_wall(step)
    async with started(directory, clock, "a run of the machine", clock_step_patience=0) as services:
        assert services.program.sidecar.books.moment().now == clock.wall()
        asked = metering_pb2.GetReservationRequest(reservation_id=hold.reservation.reservation_id)
        clock.advance(HOUR - SECOND)
        assert (await services.metering.GetReservation(asked)).reservation.held_microcredits == 10 * CREDIT
        clock.advance(SECOND)
        assert (await services.metering.GetReservation(asked)).reservation.held_microcredits == 0
