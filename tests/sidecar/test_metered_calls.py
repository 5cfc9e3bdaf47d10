"""Metered calls through crashes, broken streams and a disk that fails: every report is charged once, and nothing stays held."""

import asyncio
from random import Random
from typing import NamedTuple

import pytest

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.requests import Done, Release, Reserve
from creditmeter.core.credit.reservations import MeteredCall, Reservation, ReservationState
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import DAY, HOUR, SECOND, Span
from creditmeter.core.refusals import Refusal
from creditmeter.core.work import Usage, UsageSource, Work
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.sidecar.metered_calls import GRACE
from creditmeter.sidecar.metered_stream import GoOn, MeteredStream, StopReason
from tests.cases import more
from tests.sidecar.bench import ACCOUNT, Bench, credits

WORK = Work("text", request_model="claude-sonnet-4-5", input_tokens=1_000, max_output_tokens=50_000)


def ignore() -> None:
    """For a stream that is told of nothing."""


class Opened(NamedTuple):
    """A stream of a call that was opened."""

    stream: MeteredStream
    reservation: Reservation
    replayed: bool


async def opened(bench: Bench, request_id: str = "open", ttl: int | None = None) -> Opened:
    """Open a call, or resume it."""
    asked = Reserve(RequestId(request_id), ACCOUNT, WORK, ttl=None if ttl is None else Span(ttl), is_metered=True)
    found = await bench.sidecar.metered_calls.open(asked, None, None, ignore)
    assert not isinstance(found, Refusal), found
    stream, done = found
    return Opened(stream, done.reply, done.replayed)


async def report(stream: MeteredStream, output_tokens: int) -> GoOn | StopReason | Refusal:
    """Report so many output tokens."""
    return await stream.report(Usage(output_tokens=output_tokens))


async def grace_passes(bench: Bench) -> None:
    """Let a broken stream's grace pass."""
    bench.clock.advance(GRACE)
    await bench.sidecar.look_after()


async def charged(bench: Bench) -> list[tuple[int | None, UsageSource]]:
    """The output tokens of all charges, and where their counts are from."""
    await bench.settled_in_the_end()
    found = [await bench.sidecar.reader.charge(each.charge_id) for each in await bench.history() if each.charge_id is not None]
    return [(each.usage.output_tokens, each.usage.source) for each in found if isinstance(each, Charge) and each.usage]


@pytest.mark.parametrize("resumes", [True, False])
async def test_a_call_survives_a_crash(bench: Bench, resumes: bool) -> None:
    """What was reported is on disk. From the start on there is a grace in which it can be resumed."""
    await bench.account(permanent=100)
    before = await opened(bench)
    assert isinstance(await report(before.stream, 700), GoOn)
    held = (await bench.summary()).held
    await bench.restart()
    await bench.sidecar.look_after()
    assert (await bench.summary()).held == held > 0
    if resumes:
        again = await opened(bench)
        assert (again.replayed, again.reservation.metered) == (True, MeteredCall(Usage(output_tokens=700)))
        await grace_passes(bench)
        assert isinstance(await again.stream.finish(RequestId("finish"), Usage(output_tokens=750)), Done)
    else:
        await grace_passes(bench)
    expected = (750, UsageSource.PROVIDER) if resumes else (700, UsageSource.PARTIAL_STREAM)
    assert await charged(bench) == [expected]
    assert (await bench.summary()).held == 0


async def test_a_call_that_expired_while_the_sidecar_was_down_is_charged(bench: Bench) -> None:
    """Days later, too: a report is a fact."""
    await bench.account(permanent=100)
    await report((await opened(bench, ttl=2 * SECOND)).stream, 700)
    await bench.crash()
    bench.clock.advance(3 * DAY)
    await bench.start()
    await bench.sidecar.look_after()
    assert (await bench.summary()).held == 0, "its hold is over"
    await grace_passes(bench)
    assert await charged(bench) == [(700, UsageSource.PARTIAL_STREAM)]


async def test_an_expired_call_is_kept_through_restarts_until_it_is_charged(bench: Bench) -> None:
    """It is in the image of what may still change."""
    await bench.account(permanent=100)
    await report((await opened(bench, ttl=2 * SECOND)).stream, 700)
    bench.clock.advance(HOUR)
    await bench.sidecar.tidy()
    bench.journal.min_bytes_between_images = 0
    bench.sidecar.books.write_image()
    await bench.restart()
    await grace_passes(bench)
    assert await charged(bench) == [(700, UsageSource.PARTIAL_STREAM)]


async def test_a_caller_that_is_gone_before_its_call_is_open_leaves_nothing_held(bench: Bench) -> None:
    """The hold was recorded, and no stream was attached to it."""
    await bench.account(permanent=100)
    opening = asyncio.ensure_future(opened(bench))
    while not any(book.open_reservations for book in bench.sidecar.books):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert not bench.sidecar.metered_calls._attached
    await grace_passes(bench)
    assert (await bench.summary()).held == 0
    assert await charged(bench) == []


async def test_a_report_that_could_not_be_written_does_not_count(bench: Bench) -> None:
    """The stream fails. Once the disk is well, the call is charged for what was acknowledged, or resumed."""
    await bench.account(permanent=100)
    call = await opened(bench)
    await report(call.stream, 100)
    await bench.break_disk()
    with pytest.raises(StorageUnavailable):
        await report(call.stream, 200)
    bench.sidecar.metered_calls.leave(call.stream)
    await grace_passes(bench)
    await bench.mend_disk()
    await bench.sidecar.look_after()
    await grace_passes(bench)
    assert await charged(bench) == [(100, UsageSource.PARTIAL_STREAM)]


async def test_a_hold_that_cannot_be_raised_is_used_up_and_tried_again(bench: Bench) -> None:
    """The central store is away: what is held is still good. It is asked again with a report a while later."""
    await bench.account(permanent=1_000)
    call = await opened(bench)
    bench.wire.is_cut = True
    assert await report(call.stream, 60_000) is StopReason.HOLD_USED_UP
    bench.wire.is_cut = False
    sent = len(bench.wire.sent)
    assert await report(call.stream, 60_000) is StopReason.HOLD_USED_UP
    assert len(bench.wire.sent) == sent
    bench.clock.advance(LONGEST_WAIT)
    assert isinstance(await report(call.stream, 60_001), GoOn)
    assert isinstance(await call.stream.finish(RequestId("f"), None), Done)


async def test_a_hold_is_raised_as_far_as_the_account_allows_one(bench: Bench) -> None:
    """It may have a limit for one call."""
    await bench.account(permanent=100, max_reservation=credits(4))
    call = await opened(bench)
    await report(call.stream, 900)
    await report(call.stream, 1_800)
    assert (await bench.summary()).held == credits(4)
    assert await report(call.stream, 2_400) is StopReason.HOLD_USED_UP


async def test_a_call_that_ended_otherwise_is_not_ended_again(bench: Bench) -> None:
    """It was released while its stream was broken."""
    await bench.account(permanent=100)
    call = await opened(bench)
    bench.sidecar.metered_calls.leave(call.stream)
    await bench.sidecar.meter.answer(Release(RequestId("r"), call.reservation.reservation_id))
    await grace_passes(bench)
    assert not bench.sidecar.metered_calls._broken
    found = await bench.sidecar.reader.reservation(call.reservation.reservation_id)
    assert isinstance(found, Reservation)
    assert found.state is ReservationState.RELEASED
    assert await charged(bench) == []


@pytest.mark.parametrize("ends", ["finish", "wait"])
@pytest.mark.parametrize("seed", [*range(3), *more(*range(3, 30))])
async def test_every_token_reported_is_charged_once(bench: Bench, ends: str, seed: int) -> None:
    """Whatever breaks, and however often the sidecar dies; a call that is over is begun anew under another id."""
    await bench.account(permanent=10_000)
    rng = Random(seed)  # noqa: S311 - a test that can be repeated
    expected: list[int] = []
    number, reported = 0, 0
    call = await opened(bench, f"open-{number}")
    for step in (*rng.choices(("report", "break", "crash", "finish", "wait"), (6, 2, 1, 1, 1), k=12), ends):
        match step:
            case "report":
                reported += rng.randint(1, 900)
                assert isinstance(await report(call.stream, reported), GoOn)
                continue
            case "break":
                bench.sidecar.metered_calls.leave(call.stream)
            case "crash":
                await bench.restart()
            case "finish":
                done = await call.stream.finish(RequestId(f"f-{number}"), Usage(output_tokens=reported))
                assert isinstance(done, Done)
            case _:
                bench.sidecar.metered_calls.leave(call.stream)
                await grace_passes(bench)
        if step in ("finish", "wait"):
            expected += [reported] if reported or step == "finish" else []
            number, reported = number + 1, 0
        call = await opened(bench, f"open-{number}")
        assert call.replayed is (step in ("break", "crash"))
    bench.sidecar.metered_calls.leave(call.stream)
    await grace_passes(bench)
    assert sorted(tokens or 0 for tokens, _ in await charged(bench)) == sorted(expected)
    assert (await bench.summary()).held == 0
