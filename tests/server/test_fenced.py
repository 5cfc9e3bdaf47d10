"""A sidecar whose identity another process took over, until it exits: callers are told that, and not that it is stopping."""

from typing import Any

import pytest

from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.v1 import metering_pb2, work_pb2
from tests.server.conftest import Failure, Services, failure

WORK = work_pb2.Work(action="text", provider="openai", request_model="gpt-4o", input_tokens=10, max_output_tokens=10)
SAID = "another process runs as sidecar"


def reserve(request_id: str) -> metering_pb2.ReserveRequest:
    """A Reserve on alice's account."""
    return metering_pb2.ReserveRequest(request_id=request_id, account_id="alice", amount_microcredits=1_000_000)


def charge(request_id: str, *, fact: bool = False) -> metering_pb2.ChargeRequest:
    """A Charge to alice's account."""
    return metering_pb2.ChargeRequest(
        request_id=request_id, account_id="alice", amount_microcredits=1_000_000, already_incurred=fact
    )


@pytest.fixture
async def held(services: Services) -> str:
    """A hold on a sidecar that was fenced since, and is about to exit."""
    await services.create("alice", permanent=1_000_000_000)
    reservation = (await services.metering.Reserve(reserve("held"))).reservation.reservation_id
    await fence(services)
    services.program.sidecar.drain()
    return reservation


async def fence(services: Services) -> None:
    """Have another process register as this sidecar, and the sidecar find out."""
    sidecar = services.program.sidecar
    epoch = (await sidecar.status()).epoch
    await sidecar.central.registration.register(sidecar.sidecar_id, epoch, "another process")
    with pytest.raises(SidecarFenced):
        await sidecar.beat()


async def test_new_work_is_fenced(services: Services, held: str) -> None:
    """By itself, in a frame, and on a stream of its own."""
    metering = services.metering
    extend = metering_pb2.ExtendRequest(request_id="extend", reservation_id=held, amount_microcredits=2_000_000)
    for call in (metering.Reserve(reserve("new")), metering.Extend(extend), metering.Charge(charge("new"))):
        refused = await failure(call)
        assert (refused.code.name, refused.info.reason) == ("FAILED_PRECONDITION", "FENCED")
        assert SAID in refused.message
    mutations = [metering_pb2.Mutation(reserve=reserve("new")), metering_pb2.Mutation(charge=charge("new"))]
    batch = await metering.Batch(metering_pb2.BatchRequest(mutations=mutations))
    pipeline: Any = metering.Pipeline()
    await pipeline.write(metering_pb2.PipelineRequest(frame_id=1, mutations=mutations))
    for result in (*batch.results, *(await pipeline.read()).results):
        assert SAID in result.error.message
    meter: Any = metering.Meter()
    opened = metering_pb2.ReserveRequest(request_id="metered", account_id="alice", work=WORK)
    await meter.write(metering_pb2.MeterRequest(open=opened))
    assert (await ended(meter)).info.reason == "FENCED"


async def ended(stream: Any) -> Failure:
    """The error with which a stream ends."""
    return await failure(stream.read())


async def test_what_is_a_fact_is_taken(services: Services, held: str) -> None:
    """The cost was incurred, whoever may record it; and what was decided before is replayed."""
    metering = services.metering
    commit = metering_pb2.CommitRequest(request_id="commit", reservation_id=held, amount_microcredits=1_000_000)
    committed = (await metering.Commit(commit)).charge
    assert (await metering.Charge(charge("fact", fact=True))).charge.cost_microcredits == 1_000_000
    refund = metering_pb2.RefundRequest(request_id="refund", charge_id=committed.charge_id)
    assert (await metering.Refund(refund)).refund.amount_microcredits == 1_000_000
    assert (await metering.Reserve(reserve("held"))).replayed


async def test_a_stream_that_is_open_ends_as_fenced(services: Services, held: str) -> None:
    """Once the program stops."""
    pipeline = services.metering.Pipeline()
    release = metering_pb2.ReleaseRequest(request_id="release", reservation_id=held)
    await pipeline.write(metering_pb2.PipelineRequest(mutations=[metering_pb2.Mutation(release=release)]))
    await pipeline.read()
    await services.program.stop(2)
    assert (await ended(pipeline)).info.reason == "FENCED"
