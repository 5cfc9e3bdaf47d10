"""What a metered call reports is what it is charged for: in a provider's words or in counts, and whatever fails meanwhile."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.requests import Commit, Done, Reserve
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Span
from creditmeter.core.refusals import InvalidRequest, Refusal
from creditmeter.core.work import ChargeFlag, Usage, UsageSource, Work
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.metered_calls import GRACE
from creditmeter.sidecar.metered_stream import GoOn, MeteredStream
from tests.sidecar.bench import ACCOUNT, Bench, credits

MODEL = "claude-sonnet-4-5"
WORK = Work("text", request_model=MODEL, input_tokens=1_000, max_output_tokens=50_000)


def ignore() -> None:
    """For a stream that is told of nothing."""


async def opened(bench: Bench, asked: Reserve | None = None, ttl: int | None = None) -> MeteredStream:
    """A stream of a call that is open."""
    asked = asked or Reserve(RequestId("open"), ACCOUNT, WORK, ttl=None if ttl is None else Span(ttl), is_metered=True)
    found = await bench.sidecar.metered_calls.open(asked, None, None, ignore)
    assert not isinstance(found, Refusal), found
    return found[0]


def anthropic(**counts: int) -> Usage:
    """Usage in a provider's words."""
    return Usage(provider_usage_json=json.dumps({"usage": counts, "model": MODEL}))


async def broken(bench: Bench, stream: MeteredStream) -> list[Charge]:
    """The stream breaks, and is not resumed: what is charged then."""
    bench.sidecar.metered_calls.leave(stream)
    bench.clock.advance(GRACE)
    await bench.sidecar.look_after()
    return await charges(bench)


async def charges(bench: Bench) -> list[Charge]:
    """All charges, posted."""
    await bench.settled_in_the_end()
    found = [await bench.sidecar.reader.charge(each.charge_id) for each in await bench.history() if each.charge_id is not None]
    return [each for each in found if isinstance(each, Charge)]


def counts(charge: Charge) -> tuple[int | None, int | None]:
    """Its tokens of input and output."""
    assert charge.usage is not None
    return charge.usage.input_tokens, charge.usage.output_tokens


def reservation(bench: Bench, stream: MeteredStream) -> Reservation:
    """The reservation of a call."""
    found = bench.sidecar.books.reservation(stream.reservation_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reports", "charged"),
    [
        pytest.param([Usage(input_tokens=500)], (500, 0), id="counts without output"),
        pytest.param([anthropic(input_tokens=500)], (500, 0), id="a report without output"),
        pytest.param([Usage(provider_usage_json='{"usage":null}')], (1_000, 0), id="a report without counts"),
        pytest.param(
            [anthropic(input_tokens=500, output_tokens=40), Usage(provider_usage_json='{"usage":null}')],
            (500, 40),
            id="nothing new after a report",
        ),
        pytest.param([Usage(output_tokens=5_000), anthropic(input_tokens=500)], (500, 5_000), id="counts, then a report"),
        pytest.param(
            [anthropic(input_tokens=10, cache_read_input_tokens=490, output_tokens=140), Usage(output_tokens=150)],
            (500, 150),
            id="a report, then counts",
        ),
    ],
)
async def test_a_broken_call_is_charged_for_all_that_was_reported(
    bench: Bench, reports: list[Usage], charged: tuple[int, int]
) -> None:
    """What a report leaves out is as it was before; output that nobody reported is none."""
    await bench.account(permanent=1_000)
    stream = await opened(bench)
    for each in reports:
        assert isinstance(await stream.report(each), GoOn)
    (charge,) = await broken(bench, stream)
    assert counts(charge) == charged
    assert charge.usage is not None
    assert charge.usage.source is UsageSource.PARTIAL_STREAM
    assert charge.usage.cache_read_input_tokens == (490 if charged == (500, 150) else None)


async def test_a_finish_in_counts_goes_on_with_a_report(bench: Bench) -> None:
    """What the provider said of the input, with its cache, is charged."""
    await bench.account(permanent=1_000)
    stream = await opened(bench)
    await stream.report(anthropic(input_tokens=10, cache_read_input_tokens=490, output_tokens=140))
    done = await stream.finish(RequestId("f"), Usage(output_tokens=150))
    assert isinstance(done, Done)
    (charge,) = await charges(bench)
    assert counts(charge) == (500, 150)
    assert ChargeFlag.ESTIMATED not in charge.flags


async def test_a_resumed_call_goes_on_at_its_pace(bench: Bench) -> None:
    """Also where its provider's words were reported: the first report is no larger step than it is."""
    await bench.account(permanent=30)
    stream = await opened(bench)
    for tokens in range(200, 10_001, 200):
        await stream.report(anthropic(input_tokens=1_000, output_tokens=tokens))
    bench.sidecar.metered_calls.leave(stream)
    stream = await opened(bench)
    assert isinstance(await stream.report(anthropic(input_tokens=1_000, output_tokens=10_200)), GoOn)


async def test_what_could_not_be_charged_is_refused(bench: Bench) -> None:
    """A report is priced as it would be charged: response by response."""
    await bench.account(permanent=100)
    stream = await opened(bench, Reserve(RequestId("open"), ACCOUNT, amount=credits(20), is_metered=True))
    usage = {"input_tokens": 100, "output_tokens": 500}
    responses: list[Mapping[str, Any]] = [{"model": MODEL, "usage": usage}, {"model": "no-such-model", "usage": usage}]
    first = Usage("text", provider_usage_json=json.dumps(responses[:1]))
    assert isinstance(await stream.report(first), GoOn)
    refused = await stream.report(Usage("text", provider_usage_json=json.dumps(responses)))
    assert isinstance(refused, Refusal)
    (charge,) = await broken(bench, stream)
    assert counts(charge) == (100, 500)


async def test_the_fields_of_a_wrong_report_are_named(bench: Bench) -> None:
    """As they stand in the step."""
    await bench.account(permanent=100)
    stream = await opened(bench)
    wrong = await stream.report(Usage(provider_usage_json="[["))
    assert isinstance(wrong, InvalidRequest)
    assert wrong.violations[0][0] == "progress.provider_usage_json"
    refused = await stream.finish(RequestId("f"), Usage(provider_usage_json="[["))
    assert isinstance(refused, InvalidRequest)
    assert refused.violations[0][0] == "finish.usage.provider_usage_json"


async def test_a_commit_that_keeps_the_hold_begins_another_count(bench: Bench) -> None:
    """Nothing is charged twice, and the hold is raised for what is new."""
    await bench.account(permanent=1_000)
    stream = await opened(bench)
    for _ in range(3):
        for tokens in range(1_000, 5_001, 500):
            assert isinstance(await stream.report(Usage(input_tokens=1_000, output_tokens=tokens)), GoOn)
        used = Usage(input_tokens=1_000, output_tokens=5_000)
        number = len(reservation(bench, stream).charge_ids)
        kept = Commit(RequestId(f"keep-{number}"), stream.reservation_id, usage=used, keep_open=True)
        assert isinstance(await bench.sidecar.meter.answer(kept), Done)
    await stream.report(Usage(input_tokens=1_000, output_tokens=10))
    found = await broken(bench, stream)
    assert sorted(map(counts, found), key=str) == [(1_000, 10), *[(1_000, 5_000)] * 3]
    assert [each.excess for each in found] == [0] * 4


@pytest.mark.parametrize("is_away", [False, True])
async def test_the_deadline_is_pushed_although_the_hold_cannot_be_raised(bench: Bench, is_away: bool) -> None:
    """All credit of the account is held, or the central store is away: what is held stays so."""
    await bench.account(permanent=3)
    stream = await opened(bench, ttl=MINUTE)
    for tokens in range(100, 1_500, 50):
        assert isinstance(await stream.report(Usage(input_tokens=1_000, output_tokens=tokens)), GoOn)
        bench.clock.advance(SECOND)
    bench.wire.is_cut = is_away
    for tokens in range(1_500, 1_540):
        assert isinstance(await stream.report(Usage(output_tokens=tokens)), GoOn)
        bench.clock.advance(5 * SECOND)
    assert reservation(bench, stream).held == credits(3)


async def test_a_deadline_that_cannot_be_later_is_left_alone(bench: Bench) -> None:
    """A report writes no more than itself then."""
    await bench.account(permanent=100)
    stream = await opened(bench, ttl=HOUR)
    await stream.report(Usage(output_tokens=1))
    bench.clock.advance(40 * MINUTE)
    await stream.report(Usage(output_tokens=2))
    before = bench.journal.last_record
    for tokens in range(3, 23):
        await stream.report(Usage(output_tokens=tokens))
    assert bench.journal.last_record - before == 20


async def test_what_the_sidecar_asks_for_ahead_is_no_refusal(bench: Bench) -> None:
    """A forecast counts what was refused to callers."""
    await bench.account(permanent=3)
    stream = await opened(bench)
    for tokens in range(100, 1_800, 50):
        await stream.report(Usage(input_tokens=1_000, output_tokens=tokens))
        bench.clock.advance(SECOND)
    assert [each.refused for each in bench.sidecar.books] == [{}]


async def test_a_grace_begins_when_a_call_can_be_resumed(bench: Bench) -> None:
    """Not while the disk is full: every attempt fails."""
    await bench.account(permanent=100)
    stream = await opened(bench)
    await stream.report(Usage(output_tokens=100))
    await bench.break_disk()
    with pytest.raises(StorageUnavailable):
        await stream.report(Usage(output_tokens=200))
    bench.sidecar.metered_calls.leave(stream)
    bench.clock.advance(2 * GRACE)
    await bench.sidecar.look_after()
    await bench.mend_disk()
    await bench.sidecar.look_after()
    assert reservation(bench, stream).state is ReservationState.HELD
    resumed = await opened(bench)
    assert isinstance(await resumed.report(Usage(output_tokens=300)), GoOn)


async def test_a_start_that_takes_long_takes_nothing_from_the_grace(bench: Bench) -> None:
    """It begins when the sidecar listens."""
    await bench.account(permanent=100)
    stream = await opened(bench)
    await stream.report(Usage(output_tokens=100))
    await bench.crash()
    bench.clock.advance(2 * GRACE)
    bench.sidecar.metered_calls.may_be_resumed()
    await bench.sidecar.look_after()
    assert reservation(bench, stream).state is ReservationState.HELD


async def test_a_call_that_cannot_be_ended_keeps_no_other_from_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of."""
    await bench.account(permanent=100)
    streams = [await opened(bench, Reserve(RequestId(name), ACCOUNT, WORK, is_metered=True)) for name in ("a", "b")]
    ends = bench.sidecar.meter.end_metered

    def end_metered(each: Reservation) -> Any:
        if each.request_id == "a":
            raise ValueError("a fault of the program")
        return ends(each)

    monkeypatch.setattr(bench.sidecar.meter, "end_metered", end_metered)
    for stream in streams:
        await stream.report(Usage(input_tokens=1_000, output_tokens=100))
        bench.sidecar.metered_calls.leave(stream)
    bench.clock.advance(GRACE)
    await bench.sidecar.look_after()
    assert [reservation(bench, each).state for each in streams] == [ReservationState.HELD, ReservationState.COMMITTED]


async def test_an_answer_waits_for_what_it_rests_on(bench: Bench) -> None:
    """Another request released the hold, and that is not on disk yet."""
    await bench.account(permanent=100)
    stream = await opened(bench)
    await stream.report(Usage(output_tokens=1))
    await bench.break_disk()
    released = bench.sidecar.meter.decide(Commit(RequestId("c"), stream.reservation_id, amount=credits(1)))
    assert isinstance(released, Done)
    with pytest.raises(StorageUnavailable):
        await stream.report(Usage(output_tokens=2))
