"""Calls that wait have bounds of their own, for a caller and in all, and take no place from other calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from creditmeter.server.long_calls import LongCall, LongCalls
from creditmeter.v1 import metering_pb2
from tests.server.conftest import Services, failure, locked_store
from tests.server.metered import Call
from tests.server.requests import charge, reserve

WATCHED = health_pb2.HealthCheckRequest(service="creditmeter.v1.MeteringService")


@contextlib.asynccontextmanager
async def watch(services: Services) -> AsyncIterator[Any]:
    """A watch of health that was answered."""
    call: Any = health_pb2_grpc.HealthStub(services.channel).Watch(WATCHED)
    await call.read()
    yield call
    call.cancel()


@contextlib.asynccontextmanager
async def reflected(services: Services) -> AsyncIterator[Any]:
    """A stream of reflection that was answered."""
    call: Any = reflection_pb2_grpc.ServerReflectionStub(services.channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await call.read()
    yield call
    call.cancel()


@contextlib.asynccontextmanager
async def metered(services: Services) -> AsyncIterator[Any]:
    """A metered call that is open. There can be one of them at a time."""
    call = await Call.opened(services)
    yield call.stream
    call.stream.cancel()


@contextlib.asynccontextmanager
async def waiting(services: Services) -> AsyncIterator[Any]:
    """A call that waits until a charge is posted, for as long as the central store is busy."""
    await services.metering.Charge(charge(amount_microcredits=1))  # from here on the account is known
    async with locked_store(services):
        made = (await services.metering.Charge(charge(amount_microcredits=1, already_incurred=True))).charge
        asked = metering_pb2.GetChargeRequest(charge_id=made.charge_id, wait=Duration(seconds=60))
        call: Any = services.metering.GetCharge(asked)
        async with asyncio.timeout(20):
            while not call.done() and not services.program.sidecar.posting_waits._waiting:
                await asyncio.sleep(0)
        yield call
        call.cancel()


@contextlib.asynccontextmanager
async def pipeline(services: Services) -> AsyncIterator[Any]:
    """A Pipeline that answered a frame of nothing."""
    call: Any = services.metering.Pipeline()
    await call.write(metering_pb2.PipelineRequest())
    if await call.read() is grpc.aio.EOF:
        await call  # which says why
    yield call
    call.cancel()


@contextlib.asynccontextmanager
async def short_of_credit(services: Services) -> AsyncIterator[Any]:
    """A Reserve that waits for credit, for as long as the central store is busy."""
    begun = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        place = LongCalls.place

        def noted(calls: LongCalls, kind: LongCall, context: Any) -> Any:
            begun.set()
            return place(calls, kind, context)

        patch.setattr(LongCalls, "place", noted)
        async with locked_store(services):
            call: Any = services.metering.Reserve(reserve())
            async with asyncio.timeout(20):
                await begun.wait()
            yield call
            call.cancel()


async def reserved(services: Services) -> None:
    """A Reserve on an account that the sidecar does not know yet."""
    await services.metering.Reserve(reserve())


async def call_that_waits(services: Services) -> None:
    """Wait for a charge that there is not."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await services.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id="none", wait=Duration(seconds=1)))
    if ended.value.code() is not grpc.StatusCode.NOT_FOUND:
        raise ended.value


async def opened_again(services: Services, opened: Any) -> None:
    """Open a call and end it."""
    async with opened(services):
        pass


KINDS = [
    (watch, lambda services: opened_again(services, watch)),
    (reflected, lambda services: opened_again(services, reflected)),
    (metered, lambda services: opened_again(services, metered)),
    (pipeline, lambda services: opened_again(services, pipeline)),
    (short_of_credit, reserved),
    (waiting, call_that_waits),
]


@pytest.mark.parametrize(("opened", "another"), KINDS)
@pytest.mark.parametrize("bound", ["most", "most_of_caller"])
async def test_a_kind_has_a_bound_of_its_own(
    services: Services, monkeypatch: pytest.MonkeyPatch, opened: Any, another: Any, bound: str
) -> None:
    """Beyond it a call is refused at once; others are answered, and so is the next one once there is a place."""
    await services.create("alice", permanent=1_000_000_000)
    monkeypatch.setattr(LongCall, bound, 1)
    async with opened(services):
        refused = await failure(another(services))
        assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry.retry_delay.seconds == 1
        assert (
            await health_pb2_grpc.HealthStub(services.channel).Check(WATCHED)
        ).status == health_pb2.HealthCheckResponse.SERVING
    async with asyncio.timeout(20):
        while True:  # until gRPC has told that the call has ended
            with contextlib.suppress(grpc.aio.AioRpcError):
                await another(services)
                return


class _Call:
    """gRPC's context of a call."""

    def __init__(self, peer: str) -> None:
        self.peer = lambda: peer


def test_callers_and_kinds_take_no_places_from_each_other() -> None:
    """One caller has so many, all callers have so many more, and none is left behind when they end."""
    calls = LongCalls()
    callers: list[Any] = [_Call(f"ipv4:127.0.0.1:{number}") for number in range(9)]
    with contextlib.ExitStack() as stack:
        for kind in LongCall:
            taken = [stack.enter_context(calls.place(kind, each)) for each in callers for _ in range(kind.most_of_caller + 1)]
            assert taken.count(None) == min(kind.most, len(callers) * kind.most_of_caller)
            assert taken[: kind.most_of_caller] == [None] * kind.most_of_caller
            assert taken[kind.most_of_caller] is not None
    assert not calls._open.total()
    assert not calls._open_of
