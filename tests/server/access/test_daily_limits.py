"""Daily limits over the wire: by every way to spend, with what a refusal says, and through changes of the access file."""

import itertools
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from creditmeter.client import Client, DailyLimitExceeded
from creditmeter.core.access import Scope
from creditmeter.core.amounts import from_credits
from creditmeter.core.instants import DAY, SECOND
from creditmeter.v1 import admin_pb2, admin_pb2_grpc, metering_pb2, metering_pb2_grpc
from tests.clocks import ManualClock
from tests.credentials import AccessFile, Authority, Metadata
from tests.server.access.connections import by_tls, program_with
from tests.server.conftest import Failure, Services, failure
from tests.server.metered import Call
from tests.server.requests import charge, reserve

CREDIT = 1_000_000
MIDNIGHT = "2026-11-25T00:00:00Z"


async def open_account(admin: "admin_pb2_grpc.AdminServiceAsyncStub", caller: Metadata) -> None:
    """An account with 100 credits."""
    create = admin_pb2.CreateAccountRequest(request_id="create", account=admin_pb2.Account(account_id="alice"))
    await admin.CreateAccount(create, metadata=caller)
    grant = admin_pb2.GrantCreditsRequest(request_id="grant", account_id="alice", amount_microcredits=100 * CREDIT)
    await admin.GrantCredits(grant, metadata=caller)


@pytest.fixture
async def operator(guarded: Services, access_file: AccessFile) -> Metadata:
    """Somebody without a limit, who opened an account."""
    caller = access_file.give("operator")
    await open_account(guarded.admin, caller)
    return caller


@pytest.fixture
def worker(operator: Metadata, access_file: AccessFile) -> Metadata:
    """Somebody who may spend 5 credits a day."""
    assert operator
    return access_file.give("worker", Scope.METER, daily_limit=from_credits(5))


def reserving(credits: int, request_id: str = "") -> metering_pb2.Mutation:
    """A Reserve as one of several mutations."""
    named = {"request_id": request_id} if request_id else {}
    return metering_pb2.Mutation(reserve=reserve(amount_microcredits=credits * CREDIT, **named))


def charging(credits: int, **more: Any) -> metering_pb2.Mutation:
    """A Charge as one of several mutations."""
    return metering_pb2.Mutation(charge=charge(amount_microcredits=credits * CREDIT, **more))


def kind(result: metering_pb2.MutationResult) -> str:
    """The kind of a mutation's reply, or why it was refused."""
    info = ErrorInfo()
    found = (info.reason for each in result.error.details if each.Unpack(info))
    return next(found, result.WhichOneof("result") or "")


async def test_what_a_refusal_says(guarded: Services, worker: Metadata, clock: ManualClock) -> None:
    """What is needed, what is left, the limit, when to come again, and whose limit it is. gRPC itself is not to repeat it."""
    held = await guarded.metering.Reserve(reserve(amount_microcredits=3 * CREDIT), metadata=worker)
    for call in (
        guarded.metering.Reserve(reserve(amount_microcredits=4 * CREDIT), metadata=worker),
        guarded.metering.Charge(charge(amount_microcredits=4 * CREDIT), metadata=worker),
        guarded.metering.Extend(
            metering_pb2.ExtendRequest(
                request_id="e", reservation_id=held.reservation.reservation_id, amount_microcredits=7 * CREDIT
            ),
            metadata=worker,
        ),
    ):
        refused = await failure(call)
        assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DAILY_LIMIT_EXCEEDED")
        assert refused.info.metadata == {
            "required_microcredits": "4000000",
            "available_microcredits": "2000000",
            "limit_microcredits": "5000000",
            "resets_at": MIDNIGHT,
        }
        assert refused.retry.retry_delay.ToSeconds() == (DAY - clock.wall() % DAY) // SECOND
        assert refused.trailing["grpc-retry-pushback-ms"] == "-1"
        assert [each.subject for each in refused.quota.violations] == ["daily limit"]
        assert refused.message == (
            "4 credits are needed, and 2 are left of the 5 that worker may spend at this sidecar each UTC day; ask for less,"
            f" wait until {MIDNIGHT}, or raise its daily_limit_credits in the access file"
        )


async def test_a_hold_is_counted_for_who_opened_it(guarded: Services, operator: Metadata, worker: Metadata) -> None:
    """Whoever extends and commits it. A fact is not refused."""
    held = (await guarded.metering.Reserve(reserve(amount_microcredits=5 * CREDIT), metadata=worker)).reservation
    more = metering_pb2.ExtendRequest(request_id="e", reservation_id=held.reservation_id, amount_microcredits=6 * CREDIT)
    assert (await failure(guarded.metering.Extend(more, metadata=operator))).info.reason == "DAILY_LIMIT_EXCEEDED"
    done = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id, amount_microcredits=9 * CREDIT)
    await guarded.metering.Commit(done, metadata=operator)
    refused = await failure(guarded.metering.Charge(charge(amount_microcredits=1), metadata=worker))
    assert refused.info.metadata["available_microcredits"] == "0"
    await guarded.metering.Charge(charge(amount_microcredits=CREDIT), metadata=operator)


@pytest.mark.parametrize("way", ["batch", "pipeline", "in_parts"])
async def test_each_mutation_of_a_frame_counts(guarded: Services, worker: Metadata, operator: Metadata, way: str) -> None:
    """What fits is done, what is repeated is answered again, and an incurred cost is a fact. Others have their own limit."""
    mutations = [
        reserving(3, "r"),
        charging(3),
        charging(2),
        reserving(1),
        reserving(3, "r"),
        charging(9, already_incurred=True),
    ]
    mutations += [charging(1)]
    wanted = ["reserve", "DAILY_LIMIT_EXCEEDED", "charge", "DAILY_LIMIT_EXCEEDED", "reserve", "charge", "DAILY_LIMIT_EXCEEDED"]
    for caller, expected in (
        (worker, wanted),
        (operator, ["reserve", "charge", "charge", "reserve", "reserve", "charge", "charge"]),
    ):
        if way == "batch":
            found = (await guarded.metering.Batch(metering_pb2.BatchRequest(mutations=mutations), metadata=caller)).results
            assert [kind(each) for each in found] == expected
            continue
        stream = guarded.metering.Pipeline(metadata=caller)
        await stream.write(metering_pb2.PipelineRequest(frame_id=1, mutations=mutations, answer_in_parts=way == "in_parts"))
        results: dict[int, str] = {}
        while len(results) < len(mutations):
            reply: Any = await stream.read()
            results |= {number: kind(each) for number, each in enumerate(reply.results, reply.first_mutation)}
        stream.cancel()
        assert [results[number] for number in range(len(mutations))] == expected


async def test_a_metered_call_is_told_which_limit_stops_it(guarded: Services, worker: Metadata) -> None:
    """And is charged for what it used."""
    call = await Call.opened(guarded, caller=worker)
    stops = [await call.report(output_tokens=tokens) for tokens in (600, 1_200, 1_800, 2_400, 3_000)]
    assert stops[0] == "go_on"
    assert stops[-1] == "METER_STOP_REASON_DAILY_LIMIT_EXCEEDED"
    charged = await call.finish()
    assert charged.charge.cost_microcredits == 5 * CREDIT
    late = Call(guarded, worker)
    await late.stream.write(metering_pb2.MeterRequest(open=reserve(amount_microcredits=CREDIT)))
    assert (await late.failed()).info.reason == "DAILY_LIMIT_EXCEEDED"


async def test_the_file_is_read_again(guarded: Services, worker: Metadata, access_file: AccessFile) -> None:
    """Another limit holds for the next call, with what was spent before, and one that was removed counts no more."""
    numbers = itertools.count()

    async def changed(credits: int | None) -> Failure | None:
        access_file.limit("worker", None if credits is None else from_credits(credits))
        unknown = access_file.give(f"somebody-{next(numbers)}")  # is looked for in the file at once
        await guarded.metering.ListReservations(metering_pb2.ListReservationsRequest(account_id="alice"), metadata=unknown)
        try:
            await guarded.metering.Charge(charge(amount_microcredits=3 * CREDIT), metadata=worker)
        except grpc.aio.AioRpcError as error:
            return Failure(error)
        return None

    await guarded.metering.Charge(charge(amount_microcredits=3 * CREDIT), metadata=worker)
    refused = await changed(4)
    assert refused is not None
    assert refused.info.metadata["available_microcredits"] == "1000000"
    assert await changed(6) is None
    assert await changed(6) is not None
    assert await changed(None) is None


async def test_the_client_has_an_error_for_it(guarded: Services, access_file: AccessFile, worker: Metadata) -> None:
    """It is not repeated: nobody waits until midnight."""
    assert worker
    async with Client(guarded.tcp, token=access_file.token("worker")) as client:
        with pytest.raises(DailyLimitExceeded) as caught:
            await client.charge("alice", amount_microcredits=6 * CREDIT, request_id="c")
    error = caught.value
    amounts = (error.required_microcredits, error.available_microcredits, error.limit_microcredits)
    assert amounts == (6 * CREDIT, 5 * CREDIT, 5 * CREDIT)
    assert error.resets_at is not None
    assert error.resets_at.isoformat() == MIDNIGHT.replace("Z", "+00:00")


async def test_the_limit_of_a_certificate(migrated_dir: Path, clock: ManualClock, access_file: AccessFile) -> None:
    """It is that of all connections that show the certificate's name. Another caller on the same account has none."""
    authority = Authority(migrated_dir)
    cert, key = map(str, authority.certify("server"))
    access_file.give("the worker", Scope.METER, certificate="worker", daily_limit=from_credits(5))
    operator = access_file.give("operator")
    files = {"tls_cert": cert, "tls_key": key, "tls_client_ca": str(authority.file), "access_file": str(access_file.path)}
    results: list[str] = []
    async with program_with(migrated_dir, clock, **files, enable_admin=True) as program:
        for shown in (operator, (), (), operator):
            async with by_tls(program.addresses[0], authority, authority.certify("worker")) as channel:
                if not results:
                    await open_account(admin_pb2_grpc.AdminServiceStub(channel), operator)
                asked = metering_pb2.BatchRequest(mutations=[charging(3)])
                batch = await metering_pb2_grpc.MeteringServiceStub(channel).Batch(asked, metadata=shown)
                results += map(kind, batch.results)
    assert results == ["charge", "charge", "DAILY_LIMIT_EXCEEDED", "charge"]
