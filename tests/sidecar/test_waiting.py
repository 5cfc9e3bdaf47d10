"""How long a request waits for credit, and what it is told when that was not enough."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from creditmeter.core.credit.messages import Fenced, Message, Reply
from creditmeter.core.credit.requests import ChargeNow, Done, Extend, Reserve
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import MINUTE, SECOND, Instant, Span
from creditmeter.core.refusals import Contended, DayNotBegun, InsufficientCredits, RecallPending, ShuttingDown
from creditmeter.sidecar import asking
from creditmeter.sidecar.asking import QUICK_ROUNDS
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.sidecar.waiting import waits_until
from tests.clocks import NOON, ManualClock
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import held, release, reserve

pytestmark = pytest.mark.both_engines

LONG = Span(20 * SECOND)
"""Longer than any recall takes on a busy machine."""

BRIEF = Span(SECOND // 10)


@asynccontextmanager
async def credit_out(bench: Bench, other: Bench, amount: int = 20) -> AsyncIterator[None]:
    """All of the account's credit is idle on `bench`, whose messages arrive only after the block; `other` waits for 0.1 s."""
    await bench.account(permanent=amount)
    await release(bench, "gone", await held(bench, "r", amount))
    await other.crash()
    await other.start(recall_timeout=0.1)
    bench.wire.is_open.clear()
    yield
    bench.wire.is_open.set()


async def patient(bench: Bench, request_id: str, amount: float, wait: Span, within: float | None = None) -> Outcome:
    """Reserve credits, and wait so long."""
    asked = Reserve(RequestId(request_id), ACCOUNT, amount=credits(amount))
    return await bench.sidecar.meter.answer(asked, within, wait=wait)


async def has_asked(bench: Bench) -> None:
    """Wait until a request waits for recalled credit."""
    while not any(each.notified_until for record in bench.sidecar.records for each in record.waiting):
        await asyncio.sleep(0)


async def test_a_request_waits_for_as_long_as_it_says(bench: Bench, other: Bench) -> None:
    """Longer than `recall_timeout`, and then it gets the credit that returned."""
    async with credit_out(bench, other):
        waiting = asyncio.create_task(patient(other, "patient", 20, LONG))
        assert isinstance(await reserve(other, "other", 20), RecallPending), "by then the setting's time is over"
        await has_asked(other)
    assert isinstance(await waiting, Done)


async def test_all_three_requests_may_wait(bench: Bench, other: Bench) -> None:
    """Extend and Charge as Reserve does."""
    async with credit_out(bench, other):
        await bench.grant("more", 5)
        hold = await held(other, "h", 5)
        meter = other.sidecar.meter
        more = asyncio.create_task(meter.answer(Extend(RequestId("e"), hold.reservation_id, amount=credits(15)), wait=LONG))
        charged = asyncio.create_task(meter.answer(ChargeNow(RequestId("c"), ACCOUNT, amount=credits(10)), wait=LONG))
        assert isinstance(await reserve(other, "other", 20), RecallPending)
    assert isinstance(await more, Done)
    assert isinstance(await charged, Done)


async def test_a_request_that_does_not_wait_has_the_credit_returned_all_the_same(bench: Bench, other: Bench) -> None:
    """So it is there when the request is repeated."""
    async with credit_out(bench, other):
        refused = await patient(other, "now", 20, Span(0))
        assert isinstance(refused, RecallPending)
    while (await other.summary()).leased:
        await asyncio.sleep(0)
    assert isinstance(await patient(other, "now", 20, Span(0)), Done)


async def test_a_wait_is_no_part_of_the_request(bench: Bench) -> None:
    """A repetition may wait for another time, and gets the first reply."""
    await bench.account(permanent=20)
    first, again = await patient(bench, "r", 5, LONG), await patient(bench, "r", 5, Span(0))
    assert isinstance(first, Done)
    assert again == Done(first.reply, replayed=True)


async def test_a_wait_ends_before_the_callers_deadline() -> None:
    """So that the caller hears why, however long it is willing to wait."""
    now = asyncio.get_running_loop().time()
    for within, wait, most in ((None, 5.0, 5.0), (10.0, 5.0, 5.0), (2.0, 60.0, 1.95), (0.02, 60.0, 0.01), (-1.0, 60.0, 0.0)):
        assert waits_until(within, wait) - now == pytest.approx(most, abs=0.05)


async def test_who_is_awaited_is_named(bench: Bench, other: Bench) -> None:
    """The sidecar that has not answered, and what may come back from it."""
    async with credit_out(bench, other):
        refused = await patient(other, "r", 20, BRIEF)
        assert isinstance(refused, RecallPending)
        assert [(each.sidecar_id, each.amount) for each in refused.awaited] == [(bench.sidecar.sidecar_id, credits(20))]
        assert refused.awaited[0].until > NOON + MINUTE


async def test_a_long_wait_ends_at_once_when_no_credit_can_come(bench: Bench, other: Bench) -> None:
    """What is held does not come back."""
    await bench.account(permanent=20)
    await held(bench, "r", 20)
    assert isinstance(await patient(other, "all", 20, LONG), InsufficientCredits)


async def test_a_sidecar_that_stops_does_not_let_requests_wait(bench: Bench, other: Bench) -> None:
    """They are told so at once, and may ask another sidecar."""
    async with credit_out(bench, other):
        waiting = asyncio.create_task(patient(other, "r", 20, LONG))
        await has_asked(other)
        other.sidecar.drain()
        assert isinstance(await waiting, ShuttingDown)


class _Thief:
    """Takes what was leased before the request that asked for it can look, so many times."""

    def __init__(self, bench: Bench, times: int) -> None:
        self._bench = bench
        self._times = times
        self._accept = bench.sidecar._exchanger._accept
        bench.sidecar._exchanger._accept = self.accept  # type: ignore[assignment,method-assign]  # nothing else is as quick
        self.taken = 0

    def accept(self, *answered: object) -> None:
        """Accept an answer, and give its credit back at once."""
        self._accept(*answered)  # type: ignore[arg-type]  # as they came
        if self.taken < self._times:
            self.taken += 1
            book = self._bench.sidecar.books.open(ACCOUNT)
            book.distrust_leases()


async def test_others_that_are_quicker_do_not_end_a_long_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on, with a pause before each further try."""
    monkeypatch.setattr(asking, "PAUSE_SECONDS", 0.001)
    await bench.account(permanent=20)
    thief = _Thief(bench, 3 * QUICK_ROUNDS)
    assert isinstance(await patient(bench, "r", 5, LONG), Done)
    assert thief.taken == 3 * QUICK_ROUNDS


async def test_a_request_that_others_were_quicker_than_is_told_so(bench: Bench) -> None:
    """No credit is out elsewhere, so it is not said to be."""
    await bench.account(permanent=20)
    thief = _Thief(bench, 1_000)
    assert isinstance(await patient(bench, "r", 5, Span(0)), Contended)
    assert thief.taken == QUICK_ROUNDS
    assert not bench.sidecar.records.open(ACCOUNT).unmet, "nothing was recalled for it: it has no place to keep"


async def test_a_sidecar_whose_clock_is_ahead_at_midnight_says_when_the_day_begins(bench: Bench, clock: ManualClock) -> None:
    """By the central store's clock."""
    await bench.account(daily=10)
    ahead = bench.beside("ahead", ManualClock(NOON))
    await ahead.start()
    ahead.central.on_reading.clear()  # it hears no more how late it is there, and its own clock runs fast
    ahead.clock.advance(2 * SECOND)
    for each in (clock, ahead.clock):
        each.advance(12 * 60 * MINUTE - SECOND)
    refused = await patient(ahead, "r", 5, Span(0))
    await ahead.crash()
    assert refused == DayNotBegun(Instant(NOON + 12 * 60 * MINUTE), Span(SECOND))


def stated(bench: Bench) -> list[Message]:
    """All messages that the sidecar sent."""
    return [each for sent in bench.wire.sent for each in sent]


async def test_a_request_that_waits_long_sends_nothing_meanwhile(bench: Bench, other: Bench) -> None:
    """It is notified."""
    async with credit_out(bench, other):
        waiting = asyncio.create_task(patient(other, "r", 20, LONG))
        await has_asked(other)
        asked = len(stated(other))
        assert isinstance(await patient(other, "brief", 1, BRIEF), RecallPending)
        assert len(stated(other)) - asked <= 3
    assert isinstance(await waiting, Done)


async def test_an_embedded_store_that_answers_ends_no_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its answers took together: a caller's patience with it begins anew with each."""
    await bench.account(permanent=20)
    await bench.crash()
    monkeypatch.setattr("creditmeter.sidecar.sidecar.PATIENCE_SECONDS", 0.5)
    await bench.start()
    exchange = bench.wire.exchange

    async def exchange_slowly(messages: Sequence[Message]) -> Sequence[Reply] | Fenced:
        await asyncio.sleep(0.1)
        return await exchange(messages)

    monkeypatch.setattr(bench.wire, "exchange", exchange_slowly)
    _Thief(bench, QUICK_ROUNDS - 1)
    assert isinstance(await patient(bench, "r", 5, LONG), Done)
