"""A caller that repeats a request after RECALL_PENDING comes to a final answer, also if the store or a holder is slow."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.refusals import InsufficientCredits, RecallPending
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
        assert isinstance(await reserve(other, "asked", 1, within=0.05), RecallPending)
        bench.clock.advance(SECOND // 4)
    before = len(bench.wire.sent) - 1
    bench.wire.is_open.set()
    await answered(bench, before)
    assert isinstance(await reserve(other, "asked", 1, within=0.0), InsufficientCredits)


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
    assert isinstance(await reserve(bench, "later", 1, within=0.0), RecallPending)
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
    async with asyncio.timeout(LONG):
        while len(bench.wire.sent) == before or bench.sidecar.records.any_marked(Mark.UNDER_WAY, Mark.FREED):
            await asyncio.sleep(0.001)
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
    await release(bench, "gone", hold)
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await bench.sidecar.settle()
    while (await bench.summary()).leased:
        await bench.sidecar._exchanger.one_finished()
    bench.clock.advance(REPEAT_GRACE - 1)
    assert isinstance(await reserve(third, "patient", 20, within=0.0), RecallPending)
    bench.clock.advance(1)
    assert isinstance(await reserve(third, "patient", 20, within=0.0), Done)


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
