"""A caller that repeats a request after RECALL_PENDING comes to a final answer, also if the store or a holder is slow."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.credit.requests import Done, Reserve
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.refusals import Contended, InsufficientCredits, RecallPending
from creditmeter.core.settlement.recalling import LEAST_PATIENCE
from creditmeter.sidecar.account_records import Mark
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import held, release, reserve

pytestmark = pytest.mark.both_engines

LONG = 20.0
"""Longer than any exchange takes on a busy machine."""

MOST_LOOKS = 20_000


async def answered(holder: Bench, before: int) -> None:
    """Wait until a sidecar's answer to a recall has arrived."""
    for _ in range(MOST_LOOKS):
        if any(each[0].answers for each in holder.wire.sent[before:]) and not holder.sidecar.records.any_marked(Mark.UNDER_WAY):
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not answer")


async def given_back(holder: Bench, before: int) -> None:
    """Wait until a sidecar has given back what was let go there."""
    async with asyncio.timeout(LONG):
        while len(holder.wire.sent) == before or holder.sidecar.records.any_marked(Mark.UNDER_WAY, Mark.FREED):
            await asyncio.sleep(0.001)


@pytest.fixture
async def third(bench: Bench) -> AsyncIterator[Bench]:
    """A third sidecar on the same central store."""
    third = bench.beside("third")
    await third.start()
    yield third
    await third.crash()


async def test_a_repeated_need_that_nothing_can_meet_comes_to_a_final_answer(bench: Bench, other: Bench) -> None:
    """With the first repetition after the holder has answered, however late that was."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)
    bench.wire.is_open.clear()
    for _ in range(3):
        refused = await reserve(other, "asked", 1, within=0.05)
        assert isinstance(refused, RecallPending)
        assert [each.sidecar_id for each in refused.awaited] == [bench.sidecar.sidecar_id]
        bench.clock.advance(SECOND // 4)
    before = len(bench.wire.sent) - 1
    bench.wire.is_open.set()
    await answered(bench, before)
    assert isinstance(await reserve(other, "asked", 1, within=0.0), InsufficientCredits)


@pytest.mark.parametrize("within", [None, 1.0])
async def test_a_reply_that_is_under_way_is_waited_for(bench: Bench, other: Bench, within: float | None) -> None:
    """When the wait for credit is over, but not past the caller's deadline. It may be final, and then the central store forgets
    who has answered.
    """
    await bench.account(permanent=3)
    await held(bench, "open", 3)
    bench.wire.is_open.clear()
    asked = Reserve(RequestId("asked"), ACCOUNT, amount=credits(1))
    over = asyncio.get_running_loop().time() + 1.0
    asking = asyncio.create_task(other.sidecar.meter.answer(asked, within, wait=Span(SECOND)))
    async with asyncio.timeout(LONG):
        record = other.sidecar.records.open(ACCOUNT)
        while not any(each.is_recalled for each in record.waiting):
            await asyncio.sleep(0.001)
        other.wire.is_open.clear()
        bench.wire.is_open.set()
        while len(other.wire.sent) < 2 or asyncio.get_running_loop().time() < over + 0.1:
            await asyncio.sleep(0.001)
        if within is None:
            assert not asking.done()
        else:
            await asyncio.wait({asking})
    other.wire.is_open.set()
    assert isinstance(await asking, InsufficientCredits if within is None else RecallPending)


async def test_a_holder_slower_than_recall_timeout(bench: Bench, other: Bench) -> None:
    """What it gave back while nobody waited is there for the caller that repeats; nobody who came later takes it."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    bench.wire.is_open.clear()
    assert isinstance(await reserve(other, "asked", 20, within=0.05), RecallPending)
    await release(bench, "gone", hold)
    before = len(bench.wire.sent) - 1
    bench.wire.is_open.set()
    await answered(bench, before)
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await bench.sidecar.settle()
    assert isinstance(await reserve(bench, "later", 1, within=0.0), Contended)
    assert isinstance(await reserve(other, "asked", 20, within=0.0), Done)
    assert isinstance(await reserve(bench, "later", 1), InsufficientCredits)


async def test_a_store_slower_than_recall_timeout(bench: Bench, other: Bench) -> None:
    """Each exchange ends after the caller's patience: the request is told to repeat, and the repetition is final."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)

    async def asked_slowly() -> object:
        other.wire.is_open.clear()
        before = len(other.wire.sent)
        asking = asyncio.create_task(reserve(other, "asked", 1, within=0.02))
        while len(other.wire.sent) == before:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.03)
        other.wire.is_open.set()
        return await asking

    before = len(bench.wire.sent)
    assert isinstance(await asked_slowly(), RecallPending)
    bench.clock.advance(SECOND // 4)
    await answered(bench, before)
    assert isinstance(await asked_slowly(), InsufficientCredits)


async def test_another_request_is_not_refused_by_answers_of_before(bench: Bench, other: Bench) -> None:
    """What was let go and acknowledged since counts: its holder is asked anew."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    before = len(bench.wire.sent)
    assert isinstance(await reserve(other, "first", 1, within=0.0), RecallPending)
    await answered(bench, before)
    bench.wire.is_open.clear()
    await release(bench, "gone", hold)
    assert isinstance(await reserve(other, "second", 1, within=0.02), RecallPending)
    bench.wire.is_open.set()
    assert isinstance(await reserve(other, "second", 1), Done)


async def test_what_is_let_go_after_an_answer_is_given_back_at_once(bench: Bench, other: Bench) -> None:
    """Its caller may be about to repeat the request, and must not be refused by the answer of before."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    before = len(bench.wire.sent)
    assert isinstance(await reserve(other, "asked", 1, within=0.0), RecallPending)
    await answered(bench, before)
    before = len(bench.wire.sent)
    await release(bench, "gone", hold)
    await given_back(bench, before)
    assert not bench.wire.sent[-1][0].answers
    assert isinstance(await reserve(other, "asked", 20, within=0.0), Done)


async def test_a_need_that_is_never_repeated_holds_nobody_up_for_longer_than_the_grace(
    bench: Bench, other: Bench, third: Bench
) -> None:
    """Whoever asks meanwhile is told to repeat the request, and is not refused."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    before = len(bench.wire.sent)
    assert isinstance(await reserve(other, "given up", 20, within=0.0), RecallPending)
    await answered(bench, before)
    before = len(bench.wire.sent)
    await release(bench, "gone", hold)
    await given_back(bench, before)
    bench.clock.advance(REPEAT_GRACE - 1)
    assert isinstance(await reserve(third, "patient", 20, within=0.0), Contended)
    bench.clock.advance(LEAST_PATIENCE + 1)
    assert isinstance(await reserve(third, "patient", 20, within=0.0), Done)


async def test_a_need_that_others_come_before_keeps_its_place(bench: Bench, other: Bench, third: Bench) -> None:
    """When the one before it is not repeated, it is next."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    before = len(bench.wire.sent)
    assert isinstance(await reserve(other, "given up", 20, within=0.0), RecallPending)
    await answered(bench, before)
    before = len(bench.wire.sent)
    await release(bench, "gone", hold)
    await given_back(bench, before)
    bench.clock.advance(REPEAT_GRACE - SECOND)
    assert isinstance(await reserve(third, "second", 20, within=0.0), Contended)
    bench.clock.advance(SECOND + LEAST_PATIENCE)
    assert isinstance(await reserve(bench, "last", 20, within=0.0), Contended)
    assert isinstance(await reserve(third, "second", 20, within=0.0), Done)


async def test_a_grant_while_a_need_may_be_repeated(bench: Bench, other: Bench) -> None:
    """It is used, although all that had credit were heard before."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)
    before = len(bench.wire.sent)
    assert isinstance(await reserve(other, "asked", 5, within=0.0), RecallPending)
    await answered(bench, before)
    await bench.grant("more", 5)
    assert isinstance(await reserve(other, "asked", 5, within=0.0), Done)


async def test_requests_of_one_sidecar_are_refused_one_by_one(bench: Bench, other: Bench) -> None:
    """A new one, for which the holder is asked anew, does not keep the one before it from its final answer."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)
    before = len(bench.wire.sent)
    assert isinstance(await reserve(other, "old", 1, within=0.0), RecallPending)
    await answered(bench, before)
    bench.clock.advance(Span(SECOND // 4))
    bench.wire.is_open.clear()
    assert isinstance(await reserve(other, "new", 1, within=0.0), RecallPending)
    both = await asyncio.gather(reserve(other, "old", 1, within=0.02), reserve(other, "newest", 1, within=0.02))
    assert [type(each) for each in both] == [InsufficientCredits, RecallPending]
    bench.wire.is_open.set()
    assert isinstance(await reserve(other, "new", 1), InsufficientCredits)
    assert (await other.summary()).held == credits(20)


async def test_a_request_that_takes_a_part_keeps_no_place(bench: Bench, other: Bench) -> None:
    """Also if it did not wait for the rest: the central store is told at once that nobody waits."""
    await bench.account(permanent=20)
    await held(bench, "open", 15)
    await bench.settled_in_the_end()
    bench.wire.is_open.clear()
    asked = Reserve(RequestId("part"), ACCOUNT, amount=credits(20), allow_partial=True)
    assert isinstance(await other.sidecar.meter.answer(asked, within=0.0), Done)
    async with asyncio.timeout(LONG):
        while len(other.wire.sent) == 1 or other.sidecar.records.any_marked(Mark.UNDER_WAY):
            await asyncio.sleep(0.001)
    told = other.wire.sent[-1][0]
    assert not told.keeps_place
    assert told.need is None or not told.need.required
    bench.wire.is_open.set()
