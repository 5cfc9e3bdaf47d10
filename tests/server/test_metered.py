"""Meter: a streamed call whose hold is kept ahead of what it reports, and which is charged once however its stream ends."""

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from creditmeter.core.instants import HOUR, MINUTE, SECOND
from creditmeter.core.metering.metered import FIRST_OUTPUT_TOKENS
from creditmeter.v1 import metering_pb2, reservations_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure, locked_store
from tests.server.metered import (
    CREDIT,
    ENDED,
    EXPIRED,
    GO_ON,
    MODEL,
    SHUTTING_DOWN,
    USED_UP,
    Call,
    after_grace,
    balance,
    charges,
    detached,
    opening,
)
from tests.server.requests import charge, grant, reserve, text, used


async def test_a_call_is_held_ahead_and_charged_once_exactly(services: Services) -> None:
    """At first for a part of its output; then as it burns; at the end what it used, rounded once."""
    await services.create("alice", permanent=1_000 * CREDIT)
    call = await Call.opened(services)
    first = call.reservation.held_microcredits
    whole = await services.metering.Quote(metering_pb2.QuoteRequest(work=[opening().work]))
    assert 0 < first < whole.quotes[0].max_microcredits // 5
    held = [first]
    for reported in range(100, 5_001, 100):
        assert await call.report(input_tokens=1_000, output_tokens=reported) == GO_ON
        assert call.left >= 100
        held.append((await balance(services))[1])
    assert held == sorted(held)
    assert held[-1] > first
    done = await call.finish(output_tokens=5_033)
    assert done.charge.cost_microcredits == 8 * CREDIT, "0.3 + 7.5495, rounded up once"
    assert (done.charge.usage.input_tokens, done.charge.usage.output_tokens) == (1_000, 5_033)
    assert done.charge.usage.source == work_pb2.USAGE_SOURCE_PROVIDER
    assert await balance(services) == (992 * CREDIT, 0)
    assert len(await charges(services)) == 1


async def test_a_call_on_three_credits_stops_within_a_report_of_the_limit_and_pays_for_what_it_made(services: Services) -> None:
    """It begins although its whole bound could not be paid, is told to stop in time, and nothing is left uncovered."""
    await services.create("alice", permanent=3 * CREDIT)
    call = await Call.opened(services)
    reported = 0
    while await call.report(output_tokens=reported) == GO_ON:
        reported += 60
    assert 1_800 - 2 * 60 <= reported <= 1_800, "3 credits pay for 1,800 output tokens beside the input"
    done = await call.finish(output_tokens=reported + 59)
    assert done.charge.cost_microcredits == 3 * CREDIT
    (posted,) = await charges(services)
    assert (posted.covered_microcredits, posted.uncovered_microcredits) == (3 * CREDIT, 0)
    assert await balance(services) == (0, 0)


async def test_credit_that_comes_in_lets_a_stopped_call_go_on(services: Services, clock: ManualClock) -> None:
    """It is looked for again after a while, with the next report."""
    await services.create("alice", permanent=1 * CREDIT)
    call = await Call.opened(services)
    assert await call.report(output_tokens=460) == USED_UP
    await services.admin.GrantCredits(grant(amount_microcredits=50 * CREDIT))
    clock.advance(SECOND)
    assert await call.report(output_tokens=470) == GO_ON
    assert call.left > 460


async def test_the_whole_bound_is_paid_for_without_a_stop(services: Services) -> None:
    """A call that ends by its own bound is never told to stop before."""
    await services.create("alice", permanent=1_000 * CREDIT)
    call = await Call.opened(services, opening(work=text(request_model=MODEL, input_tokens=10, max_output_tokens=2_000)))
    for reported in range(0, 2_001, 400):
        assert await call.report(output_tokens=reported) == GO_ON
    assert (await call.finish()).charge.cost_microcredits == 4 * CREDIT


async def test_what_is_left_out_of_a_report_is_as_it_was_before(services: Services) -> None:
    """Also of the finish. Of what nobody reported, the work says."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(input_tokens=900, cache_read_input_tokens=800, response_id="r1")
    await call.report(output_tokens=50)
    done = await call.finish(output_tokens=70)
    used_up = done.charge.usage
    assert (used_up.input_tokens, used_up.cache_read_input_tokens, used_up.output_tokens) == (900, 800, 70)
    assert used_up.response_id == "r1"


async def test_reports_of_a_provider_are_read(services: Services) -> None:
    """As they are in a commit: the events of a stream so far."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    report = '{"input_tokens": 500, "output_tokens": %d}'
    assert await call.report(provider_usage_json=report % 40) == GO_ON
    before = call.left
    assert await call.report(provider_usage_json=report % 140) == GO_ON
    assert call.left == before - 100
    await call.stream.write(metering_pb2.MeterRequest(progress=work_pb2.Usage(provider_usage_json=report % 139)))
    assert (await call.failed()).fields == {"progress.output_tokens"}


@pytest.mark.parametrize(
    ("usage", "fields"),
    [
        (work_pb2.Usage(output_tokens=99), {"progress.output_tokens"}),
        (work_pb2.Usage(output_tokens=-1), {"progress.output_tokens"}),
        (work_pb2.Usage(provider_usage_json="{"), {"progress.provider_usage_json"}),
    ],
)
async def test_a_report_that_is_wrong_ends_the_stream_and_not_the_charge(
    services: Services, clock: ManualClock, usage: work_pb2.Usage, fields: set[str]
) -> None:
    """What was reported before is charged."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(input_tokens=1_000, output_tokens=100)
    await call.stream.write(metering_pb2.MeterRequest(progress=usage))
    failed = await call.failed()
    assert (failed.info.reason, failed.fields) == ("INVALID_REQUEST", fields)
    await after_grace(services, clock)
    (made,) = await charges(services)
    assert (made.usage.output_tokens, made.usage.source) == (100, work_pb2.USAGE_SOURCE_PARTIAL_STREAM)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_broken_stream_is_charged_for_its_last_report_after_a_grace(
    services: Services, clock: ManualClock, how: str
) -> None:
    """Once, as the counts of a stream that broke; not before the grace is over."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(output_tokens=700)
    if how == "cancelled":
        call.stream.cancel()
    else:
        await call.stream.done_writing()
        assert await call.stream.read() is grpc.aio.EOF
    await detached(services)
    clock.advance(5 * SECOND - 1)
    await services.program.sidecar.look_after()
    assert (await balance(services))[1] > 0
    clock.advance(1)
    for _ in range(2):
        await services.program.sidecar.look_after()
    assert await balance(services) == (98 * CREDIT, 0), "0.3 for its input and 1.05 for its output"
    (made,) = await charges(services)
    assert (made.usage.output_tokens, made.usage.source) == (700, work_pb2.USAGE_SOURCE_PARTIAL_STREAM)
    assert made.reservation_id == call.reservation.reservation_id


async def test_a_stream_that_breaks_without_a_report_is_released(services: Services, clock: ManualClock) -> None:
    """Nothing is charged."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    call.stream.cancel()
    await after_grace(services, clock)
    assert await balance(services) == (100 * CREDIT, 0)
    asked = metering_pb2.GetReservationRequest(reservation_id=call.reservation.reservation_id)
    found = (await services.metering.GetReservation(asked)).reservation
    assert found.state == reservations_pb2.RESERVATION_STATE_RELEASED


async def test_the_same_open_resumes_a_call_within_the_grace(services: Services, clock: ManualClock) -> None:
    """On another stream, with what was reported. The grace of the first break is over then without effect."""
    await services.create("alice", permanent=100 * CREDIT)
    first = await Call.opened(services)
    await first.report(output_tokens=700)
    first.stream.cancel()
    await detached(services)
    clock.advance(4 * SECOND)
    again = await Call.opened(services)
    assert (again.replayed, again.reservation.reservation_id) == (True, first.reservation.reservation_id)
    clock.advance(4 * SECOND)
    await services.program.sidecar.look_after()
    assert await again.report(output_tokens=900) == GO_ON
    done = await again.finish()
    assert done.charge.usage.output_tokens == 900
    assert len(await charges(services)) == 1


async def test_a_call_is_with_the_stream_that_opened_it_last(services: Services) -> None:
    """The one before ends, also if it was not known yet to be broken."""
    await services.create("alice", permanent=100 * CREDIT)
    first = await Call.opened(services)
    await first.report(output_tokens=10)
    second = await Call.opened(services)
    failed = await first.failed()
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.ABORTED, "STREAM_RESUMED")
    assert (await second.finish(output_tokens=20)).charge.usage.output_tokens == 20


async def test_a_finish_that_is_repeated_gets_its_charge_again(services: Services) -> None:
    """Its reply may have been lost: the call is opened again, and finished with the same request_id."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(output_tokens=10)
    done = await call.finish(output_tokens=30)
    again = await Call.opened(services)
    assert again.reservation.state == reservations_pb2.RESERVATION_STATE_COMMITTED
    assert await again.event() == ENDED
    repeated = await again.finish(output_tokens=30)
    assert (repeated.replayed, repeated.charge) == (True, done.charge)
    third = await Call.opened(services)
    assert await third.report(output_tokens=40) == ENDED
    await third.stream.write(metering_pb2.MeterRequest(finish=metering_pb2.MeterFinish(request_id="other")))
    assert (await third.failed()).info.reason == "RESERVATION_COMMITTED"


async def test_a_call_that_another_request_ended_is_told(services: Services) -> None:
    """With its next report."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    name = call.reservation.reservation_id
    await services.metering.Release(metering_pb2.ReleaseRequest(request_id="x", reservation_id=name))
    assert await call.report(output_tokens=10) == ENDED


async def test_the_deadline_of_a_call_is_pushed_while_it_makes_progress(services: Services, clock: ManualClock) -> None:
    """Up to the longest that a hold may last. What it reports after that is committed late."""
    await services.create("alice", permanent=1_000 * CREDIT)
    call = await Call.opened(services, opening(ttl=Duration(seconds=600)))
    for minutes in range(8, 57, 8):
        clock.advance(8 * MINUTE)
        assert await call.report(output_tokens=minutes) == GO_ON
    clock.advance(5 * MINUTE)
    assert await call.report(output_tokens=60) == EXPIRED
    done = await call.finish()
    assert (done.charge.late, done.charge.usage.output_tokens) == (True, 60)


async def test_progress_that_nobody_finished_is_charged_after_the_deadline_too(services: Services, clock: ManualClock) -> None:
    """The hold expired before anything was heard of its stream."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services, opening(ttl=Duration(seconds=2)))
    await call.report(output_tokens=100)
    clock.advance(HOUR)
    call.stream.cancel()
    await after_grace(services, clock)
    (made,) = await charges(services)
    assert (made.late, made.usage.output_tokens) == (True, 100)


async def test_a_stop_of_the_sidecar_is_told_and_finishes_are_taken(services: Services) -> None:
    """No call is opened any more; those that are open come to their end."""
    await services.create("alice", permanent=100 * CREDIT)
    call = await Call.opened(services)
    await call.report(output_tokens=10)
    stopping = asyncio.ensure_future(services.program.stop(5))
    assert await call.event() == SHUTTING_DOWN
    other = Call(services)
    await other.stream.write(metering_pb2.MeterRequest(open=opening("other")))
    assert (await other.failed()).info.reason == "SHUTTING_DOWN"
    assert (await call.finish(output_tokens=20)).charge.usage.output_tokens == 20
    await stopping
    assert services.program.is_settled


async def test_steps_out_of_order_are_invalid(services: Services) -> None:
    """The first is open, and no other."""
    await services.create("alice", permanent=100 * CREDIT)
    for step in ({}, {"progress": used()}, {"finish": metering_pb2.MeterFinish(request_id="f")}):
        call = Call(services)
        await call.stream.write(metering_pb2.MeterRequest(**step))
        assert (await call.failed()).fields == {"step"}
    call = await Call.opened(services)
    await call.stream.write(metering_pb2.MeterRequest(open=opening()))
    assert (await call.failed()).fields == {"step"}
    call = await Call.opened(services)
    await call.stream.write(metering_pb2.MeterRequest(finish=metering_pb2.MeterFinish(request_id="f")))
    assert (await call.failed()).fields == {"finish.usage"}


async def test_an_open_that_is_refused_says_what_a_reserve_would(services: Services) -> None:
    """Its fields, its account, its credit; and its id is one of all requests."""
    await services.create("alice", permanent=CREDIT // 5)
    await services.create("bob", permanent=10 * CREDIT)
    await services.metering.Charge(charge(account_id="bob", request_id="job/open", amount_microcredits=CREDIT))
    refused = {
        "ACCOUNT_NOT_FOUND": opening(account_id="nobody"),
        "INSUFFICIENT_CREDITS": opening(),
        "INVALID_REQUEST": opening(account_id=""),
        "UNPRICED": opening(work=text(request_model="no-such-model")),
        "REQUEST_ID_REUSED": opening(account_id="bob"),
    }
    for reason, request in refused.items():
        call = Call(services)
        await call.stream.write(metering_pb2.MeterRequest(open=request))
        assert (await call.failed()).info.reason == reason


async def test_a_call_of_a_stated_amount_is_held_for_that(services: Services) -> None:
    """It is never raised: the amount is what the worker allows."""
    await services.create("alice", permanent=100 * CREDIT)
    request = reserve(request_id="o", amount_microcredits=2 * CREDIT)
    call = await Call.opened(services, request)
    assert call.reservation.held_microcredits == 2 * CREDIT
    counts = {"action": "text", "request_model": MODEL, "input_tokens": 1_000}
    assert await call.report(output_tokens=500, **counts) == GO_ON
    assert call.left == 1_133 - 500
    assert await call.report(output_tokens=1_000, **counts) == USED_UP
    assert (await balance(services))[1] == 2 * CREDIT


async def test_a_call_that_does_not_go_by_tokens_goes_on_while_its_hold_covers_it(services: Services) -> None:
    """Images, for example; the tokens left are 0."""
    await services.create("alice", permanent=100 * CREDIT)
    work = work_pb2.Work(action="image", request_model="gpt-image-1", quantity=3)
    call = await Call.opened(services, opening(work=work))
    assert await call.report(quantity=1) == GO_ON
    assert call.left == 0
    done = await call.finish(quantity=2)
    assert done.charge.cost_microcredits < call.reservation.held_microcredits


async def test_streams_hold_less_than_calls_that_hold_their_whole_bound(services: Services) -> None:
    """So more of them go on at once on the same credit."""
    await services.create("alice", permanent=30 * CREDIT)
    calls = [await Call.opened(services, opening(f"open-{number}")) for number in range(10)]
    assert (await balance(services))[1] < 30 * CREDIT
    await failure(services.metering.Reserve(opening("whole", work=opening().work)))
    assert opening().work.max_output_tokens > FIRST_OUTPUT_TOKENS
    for number, each in enumerate(calls):
        assert (await each.finish(f"finish-{number}", output_tokens=100)).charge.cost_microcredits == CREDIT


async def test_other_accounts_go_on_while_a_stream_waits_for_credit(services: Services) -> None:
    """The central store is busy: the stream's report is answered by what is held, and nobody else waits for it."""
    await services.create("alice", permanent=100 * CREDIT)
    await services.create("bob", permanent=10 * CREDIT)
    await services.metering.Charge(charge(account_id="bob", amount_microcredits=CREDIT))
    call = await Call.opened(services)
    async with locked_store(services):
        report = asyncio.ensure_future(call.report(output_tokens=60_000))
        for _ in range(2):
            await services.metering.Charge(charge(account_id="bob", amount_microcredits=CREDIT // 100))
        assert not report.done()
        assert await report == USED_UP
    assert (await call.finish(output_tokens=950)).charge.cost_microcredits == 2 * CREDIT
