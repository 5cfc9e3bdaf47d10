"""Meter and the other calls about one reservation: holds of a Reserve, commits beside a stream, calls that have ended."""

from creditmeter.core.instants import HOUR, SECOND
from creditmeter.server.stopping import LeftBehind
from creditmeter.v1 import metering_pb2, reservations_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.server.metered import CREDIT, ENDED, EXPIRED, GO_ON, Call, after_grace, balance, charges, detached, opening
from tests.server.requests import reserve

HELD = reservations_pb2.RESERVATION_STATE_HELD


async def test_a_stream_goes_on_with_the_hold_of_a_reserve(services: Services, clock: ManualClock) -> None:
    """It holds what it held. What is reported is charged when the stream breaks."""
    await services.create("alice", permanent=100 * CREDIT)
    made = (await services.metering.Reserve(opening())).reservation
    call = await Call.opened(services)
    assert call.replayed
    assert (call.reservation.reservation_id, call.reservation.held_microcredits) == (
        made.reservation_id,
        made.held_microcredits,
    )
    assert await call.report(input_tokens=1_000, output_tokens=10_000) == GO_ON
    assert 10_000 <= call.left < 11_000  # what is held is rounded up
    call.stream.cancel()
    await after_grace(services, clock)
    (charge,) = await charges(services)
    assert charge.usage.output_tokens == 10_000


async def test_a_stream_without_progress_leaves_the_hold_of_a_reserve(services: Services, clock: ManualClock) -> None:
    """It may be metered again, or committed."""
    await services.create("alice", permanent=100 * CREDIT)
    await services.metering.Reserve(opening())
    call = await Call.opened(services)
    call.stream.cancel()
    await after_grace(services, clock)
    again = await Call.opened(services)
    assert again.reservation.state == HELD


async def test_a_reserve_finds_the_hold_of_a_stream(services: Services) -> None:
    """So who does not know whether its stream was opened may ask, and release."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    found = await services.metering.Reserve(opening())
    assert found.replayed
    assert found.reservation.reservation_id == call.reservation.reservation_id
    other = reserve(request_id="job/open", work=opening().work, allow_partial=True)
    assert (await failure(services.metering.Reserve(other))).info.metadata["field"] == "allow_partial"


async def test_progress_is_read_until_it_is_charged(services: Services) -> None:
    """It is what the call would be charged for."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    asked = metering_pb2.GetReservationRequest(reservation_id=call.reservation.reservation_id)
    assert not (await services.metering.GetReservation(asked)).reservation.HasField("progress")
    await call.report(output_tokens=70)
    found = (await services.metering.GetReservation(asked)).reservation.progress
    assert (found.output_tokens, found.source) == (70, work_pb2.USAGE_SOURCE_PARTIAL_STREAM)
    usage = work_pb2.Usage(input_tokens=1_000, output_tokens=70)
    kept = metering_pb2.CommitRequest(request_id="k", reservation_id=call.reservation.reservation_id, usage=usage)
    kept.keep_open = True
    assert not (await services.metering.Commit(kept)).reservation.HasField("progress")
    assert await call.report(output_tokens=5) == GO_ON
    done = await call.finish()
    assert not done.reservation.HasField("progress")
    assert sorted(each.usage.output_tokens for each in await charges(services)) == [5, 70]


async def test_a_call_that_has_ended_is_stopped_as_it_is_opened(services: Services, clock: ManualClock) -> None:
    """Its worker must not begin: nothing is held."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    call.stream.cancel()
    await after_grace(services, clock)
    again = await Call.opened(services)
    assert again.reservation.held_microcredits == 0
    assert await again.event() == ENDED
    again.stream.cancel()
    late = await Call.opened(services, opening("late"))
    await late.report(input_tokens=1_000, output_tokens=5)
    late.stream.cancel()
    await detached(services)
    clock.advance(2 * HOUR)
    resumed = await Call.opened(services, opening("late"))
    assert await resumed.event() == EXPIRED
    assert (await resumed.finish()).charge.usage.output_tokens == 5


async def test_the_fields_of_a_wrong_open_are_named(services: Services) -> None:
    """As they stand in the step."""
    call = Call(services)
    await call.stream.write(metering_pb2.MeterRequest(open=opening(account_id="")))
    assert (await call.failed()).fields == {"open.account_id"}


async def test_a_stop_charges_calls_whose_stream_had_broken(services: Services) -> None:
    """Their workers are gone. A call whose stream the stop itself ended may be resumed on the next process, and is told of."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(input_tokens=1_000, output_tokens=900)
    call.stream.cancel()
    await detached(services)
    await services.program.stop(1)
    assert services.program.is_settled
    assert LeftBehind.of(services.program.sidecar.books) == LeftBehind(0, 0, 0, 0)


async def test_a_stop_leaves_a_call_that_may_be_resumed(services: Services, clock: ManualClock) -> None:
    """Also one whose hold has expired: what it reported is still to be charged."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(input_tokens=1_000, output_tokens=900)
    clock.advance(2 * HOUR + SECOND)
    await services.program.sidecar.look_after()
    await services.program.stop(1)
    assert not services.program.is_settled
    assert LeftBehind.of(services.program.sidecar.books) == LeftBehind(0, 0, 0, 1)


async def test_a_release_beside_a_stream_gives_all_back(services: Services) -> None:
    """The worker says that nothing is to be charged."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(input_tokens=1_000, output_tokens=900)
    released = metering_pb2.ReleaseRequest(request_id="r", reservation_id=call.reservation.reservation_id)
    await services.metering.Release(released)
    assert await call.report(output_tokens=901) == ENDED
    assert await balance(services) == (100 * CREDIT, 0)
