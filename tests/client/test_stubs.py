"""The stubs and `call` against a real sidecar on its socket."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest

from creditmeter.client import stubs
from creditmeter.client.retrying import NO_RETRY
from creditmeter.client.statuses import error_of
from creditmeter.client.stubs import Connection, CreditmeterError, FieldViolation, Retry, call
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.sidecar.clock import SystemClock
from creditmeter.v1 import admin_pb2, metering_pb2, reservations_pb2, work_pb2

PATIENT = Retry(total=60)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        yield Path(directory)


@asynccontextmanager
async def sidecar(data_dir: Path) -> AsyncIterator[str]:
    """A sidecar in this process that lets an account have one open reservation; gives its address."""
    settings = Settings.load(
        None, listen=("127.0.0.1:0",), data_dir=data_dir, enable_admin=True, max_open_reservations=1, shutdown_grace=0.2
    )
    async with running(settings, SystemClock()):
        yield settings.socket_address


@pytest.fixture
async def client(data_dir: Path, migrated_file: Path) -> AsyncIterator[Connection]:
    """A client, and an account `ada` with 10 credits."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    async with sidecar(data_dir) as address, Connection(address) as connected:
        account = admin_pb2.Account(account_id="ada")
        await call(connected.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="a", account=account))
        grant = admin_pb2.GrantCreditsRequest(request_id="g", account_id="ada", amount_microcredits=10_000_000)
        await call(connected.admin.GrantCredits, grant)
        yield connected


def reserve(request_id: str, amount: int = 1_000_000) -> metering_pb2.ReserveRequest:
    """A request to hold an amount."""
    return metering_pb2.ReserveRequest(request_id=request_id, account_id="ada", amount_microcredits=amount)


async def test_reserve_and_commit(client: Connection) -> None:
    """The main job, through the typed stubs."""
    work = work_pb2.Work(action="text", request_model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000)
    request = metering_pb2.ReserveRequest(request_id="job/reserve", account_id="ada", work=work)
    held = (await call(client.metering.Reserve, request)).reservation
    assert held.held_microcredits == 5_000_000
    commit = metering_pb2.CommitRequest(
        request_id="job/commit", reservation_id=held.reservation_id, usage=work_pb2.Usage(output_tokens=100)
    )
    done = await call(client.metering.Commit, commit)
    assert done.charge.cost_microcredits == 3_000_000
    assert done.reservation.state == reservations_pb2.RESERVATION_STATE_COMMITTED
    again = await call(client.metering.Commit, commit)
    assert again.replayed
    assert again.charge.charge_id == done.charge.charge_id


async def test_a_refusal_says_why(client: Connection) -> None:
    """Its reason and what goes with it come out of the status's details; it is not tried again."""
    with pytest.raises(CreditmeterError) as caught:
        await call(client.metering.Reserve, reserve("much", 11_000_000))
    error = caught.value
    assert error.code == "RESOURCE_EXHAUSTED"
    assert error.reason == "INSUFFICIENT_CREDITS"
    assert error.metadata["required_microcredits"] == "11000000"
    assert error.metadata["available_microcredits"] == "10000000"
    assert error.retry_delay is None
    assert not error.is_retryable
    assert str(error).startswith("INSUFFICIENT_CREDITS: 11 credits are needed")


async def test_a_malformed_request_names_every_field(client: Connection) -> None:
    """All of them at once, each with what is wrong."""
    with pytest.raises(CreditmeterError) as caught:
        await call(client.metering.Reserve, metering_pb2.ReserveRequest(account_id="a b", amount_microcredits=0))
    error = caught.value
    assert error.reason == "INVALID_REQUEST"
    assert {each.field for each in error.violations} == {"request_id", "account_id", "amount_microcredits"}
    assert {type(each) for each in error.violations} == {FieldViolation}
    assert all(each.description for each in error.violations)


async def test_a_delay_that_the_sidecar_asks_for_is_kept(client: Connection) -> None:
    """One reservation too many is refused with a delay; after it, with the other one released, it succeeds."""
    first = await call(client.metering.Reserve, reserve("first"))
    with pytest.raises(CreditmeterError) as caught:
        await call(client.metering.Reserve, reserve("second"), NO_RETRY)
    assert (caught.value.reason, caught.value.retry_delay) == ("LIMIT_EXCEEDED", 1.0)
    waiting = asyncio.create_task(call(client.metering.Reserve, reserve("second"), PATIENT))
    release = metering_pb2.ReleaseRequest(request_id="r", reservation_id=first.reservation.reservation_id)
    await call(client.metering.Release, release)
    assert (await waiting).reservation.held_microcredits == 1_000_000


async def test_a_call_waits_for_a_sidecar_that_is_not_there_yet(data_dir: Path) -> None:
    """UNAVAILABLE is tried again with the same request, until the sidecar answers."""
    settings = Settings.load(None, data_dir=data_dir)
    async with Connection(settings.socket_address) as client:
        with pytest.raises(CreditmeterError) as caught:
            await call(client.admin.ListPlans, admin_pb2.ListPlansRequest(), NO_RETRY)
        assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "")
        assert caught.value.is_retryable
        early = asyncio.create_task(call(client.admin.ListPlans, admin_pb2.ListPlansRequest(), PATIENT))
        async with sidecar(data_dir):
            assert list((await early).plans) == []


async def test_a_sidecar_that_comes_back_is_found_again(data_dir: Path) -> None:
    """One client outlives two sidecars on the same directory, and what was reserved at the first is there at the second."""
    async with sidecar(data_dir) as address, Connection(address) as client:
        account = admin_pb2.Account(account_id="ada")
        await call(client.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="a", account=account))
        grant = admin_pb2.GrantCreditsRequest(request_id="g", account_id="ada", amount_microcredits=10_000_000)
        await call(client.admin.GrantCredits, grant)
        before = await call(client.metering.Reserve, reserve("same"))
    async with Connection(address) as client:
        waiting = asyncio.create_task(call(client.metering.Reserve, reserve("same"), PATIENT))
        async with sidecar(data_dir):
            after = await waiting
    assert after.replayed
    assert after.reservation.reservation_id == before.reservation.reservation_id


async def test_a_service_that_is_not_served(data_dir: Path) -> None:
    """An answer without details is an error all the same."""
    settings = Settings.load(None, listen="127.0.0.1:0", health_listen="127.0.0.1:0", data_dir=data_dir)
    async with running(settings, SystemClock()) as program:
        addresses: Any = program.shown["health"]
        async with Connection(addresses[0]) as client:
            with pytest.raises(CreditmeterError) as caught:
                await call(client.admin.ListPlans, admin_pb2.ListPlansRequest())
    assert (caught.value.code, caught.value.reason) == ("UNIMPLEMENTED", "")


def test_details_that_cannot_be_read_are_left_out() -> None:
    """The code and the message still say what happened."""
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff"))
    raised = grpc.aio.AioRpcError(grpc.StatusCode.ABORTED, grpc.aio.Metadata(), trailing, details="broken")
    error = error_of(raised)
    assert (error.code, error.reason, error.message) == ("ABORTED", "", "broken")
    assert str(error) == "ABORTED: broken"
    assert not error.is_retryable


def test_waits_double_up_to_the_longest() -> None:
    """Each is shortened at random by at most a half."""
    delays = list(islice(Retry(first_delay=0.1, longest_delay=0.4).delays(), 5))
    for delay, longest in zip(delays, (0.1, 0.2, 0.4, 0.4, 0.4), strict=True):
        assert longest / 2 <= delay <= longest


def test_the_public_names() -> None:
    """What programs may import; a change is a line in the changelog."""
    assert sorted(stubs.__all__) == ["Access", "Connection", "CreditmeterError", "FieldViolation", "Retry", "Tls", "call"]


async def test_an_attempt_lasts_as_much_longer_as_its_request_waits() -> None:
    """So that a long wait is not cut short by the client."""
    timeouts: list[float] = []

    async def method(request: metering_pb2.ReserveRequest, **options: float) -> metering_pb2.ReserveResponse:
        timeouts.append(options["timeout"])
        return metering_pb2.ReserveResponse(replayed=bool(request.request_id))

    request = reserve("r")
    await call(method, request, Retry(attempt=5))  # type: ignore[arg-type]  # as a stub's method is called
    request.wait.FromMilliseconds(30_500)
    await call(method, request, Retry(attempt=5))  # type: ignore[arg-type]  # as a stub's method is called
    request.wait.FromSeconds(10**9)
    await call(method, request, Retry(attempt=5))  # type: ignore[arg-type]  # as a stub's method is called
    assert timeouts == [5, 35.5, 5]
