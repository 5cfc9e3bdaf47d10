"""Several sidecars on one balance: credit that is idle on one serves the other, and no call is refused that could be paid."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.administration import AccountUpdate, VoidGrant
from creditmeter.core.credit.charges import Refund, RefundMode
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.messages import Fenced, Message, Reply
from creditmeter.core.credit.requests import Done, Extend
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Span
from creditmeter.core.refusals import (
    AccountSuspended,
    DayNotBegun,
    InsufficientCredits,
    RecallPending,
    RefundExceedsCharge,
    Refusal,
    RequestIdReused,
)
from creditmeter.sidecar.account_records import Mark
from creditmeter.sidecar.lease_keeper import MAX_AT_ONCE
from tests.clocks import NOON, ManualClock
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, refund, release, reserve

LEASE_TTL = Span(10 * MINUTE)
LONG = 20.0
"""Longer than any recall takes on a busy machine."""


async def test_credit_that_is_idle_elsewhere_comes_back(bench: Bench, other: Bench) -> None:
    """At once and in full: the sidecar that has it idle is notified, and gives it back."""
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 20))
    assert (await bench.summary()).leased == credits(20)
    assert isinstance(await reserve(other, "all", 20), Done)
    assert isinstance(await reserve(bench, "more", 1), InsufficientCredits)


async def test_own_credit_counts_before_it_is_renewed(bench: Bench, other: Bench) -> None:
    """A lease whose time is over authorises nothing until the store has answered; what is idle on it lowers the need all the
    same.
    """
    await bench.account(permanent=20)
    await release(other, "gone", await held(other, "r", 10))
    await release(bench, "small", await held(bench, "s", 1))
    assert (await bench.summary()).leased == credits(15)
    bench.clock.advance(LEASE_TTL + MINUTE)
    assert isinstance(await reserve(bench, "all", 20), Done)
    first, second = (each.need for sent in bench.wire.sent[:2] for each in sent)
    assert first is not None
    assert second is not None
    assert (first.required, second.required) == (credits(1), credits(15))


async def test_what_comes_back_here_while_the_store_is_asked(bench: Bench, other: Bench) -> None:
    """With what others have idle it makes enough: for the whole need, without it, their credit was not worth recalling."""
    await bench.account(permanent=20)
    await release(other, "gone", await held(other, "r", 10))
    hold = await held(bench, "h", 4)
    bench.wire.is_open.clear()
    asked = len(bench.wire.sent)
    waiting = asyncio.create_task(reserve(bench, "all", 20))
    while len(bench.wire.sent) == asked:
        await asyncio.sleep(0)
    await release(bench, "back", hold)
    bench.wire.is_open.set()
    assert isinstance(await waiting, Done)


async def test_an_extension_is_refused_for_what_it_lacks_only(bench: Bench) -> None:
    """What comes back here while the store is asked counts for it as for any other need."""
    await bench.account(permanent=100)
    hold = await held(bench, "x", 85)
    small = await held(bench, "y", 6)
    bench.sidecar._planner.give_back(ACCOUNT)
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await bench.sidecar.settle()
    bench.wire.is_open.clear()
    asked = len(bench.wire.sent)
    waiting = asyncio.create_task(bench.sidecar.meter.answer(Extend(RequestId("e"), hold.reservation_id, amount=credits(97))))
    while len(bench.wire.sent) == asked:
        await asyncio.sleep(0)
    await release(bench, "back", small)
    bench.wire.is_open.set()
    assert isinstance(await waiting, Done)
    refused = await bench.sidecar.meter.answer(Extend(RequestId("e2"), hold.reservation_id, amount=credits(101)))
    assert isinstance(refused, InsufficientCredits)
    assert (refused.required, refused.available) == (credits(4), credits(3))


async def test_what_was_released_a_moment_ago_counts(bench: Bench, other: Bench) -> None:
    """The central store knows it as held; its sidecar is asked before anybody is refused."""
    await bench.account(permanent=20)
    hold = await held(bench, "r", 20)
    await bench.sidecar.settle()
    assert isinstance(await reserve(other, "refused", 1), InsufficientCredits)
    await release(bench, "gone", hold)
    assert isinstance(await reserve(other, "granted", 20), Done)


async def test_ten_waiters_for_the_last_credits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """On ten sidecars, for three credits that an eleventh has idle: three are granted, and seven refused. On SQLite eleven
    processes' worth of transactions take turns, so each may wait for as long as it takes.
    """
    monkeypatch.setattr("creditmeter.central.engine.sqlite.PATIENCE_SECONDS", LONG)
    monkeypatch.setattr("creditmeter.sidecar.sidecar.PATIENCE_SECONDS", LONG)
    await bench.account(permanent=3)
    await release(bench, "gone", await held(bench, "r", 3))
    async with AsyncExitStack() as stack:
        waiters = [bench.beside(f"waiter-{number}") for number in range(10)]
        for each in waiters:
            await each.start(recall_timeout=LONG)
            stack.push_async_callback(each.crash)
        outcomes = await asyncio.gather(*(reserve(each, f"r{number}", 1) for number, each in enumerate(waiters)))
    assert sum(isinstance(each, Done) for each in outcomes) == 3
    assert {type(each) for each in outcomes if isinstance(each, Refusal)} == {InsufficientCredits}


async def test_a_sidecar_that_does_not_answer_a_recall(bench: Bench, other: Bench) -> None:
    """The request is not refused for lack of credit, since there is some. Once the sidecar sends a message again, it is
    granted.
    """
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 20))
    bench.wire.is_open.clear()
    assert isinstance(await reserve(other, "all", 20, within=0.1), RecallPending)
    assert isinstance(await reserve(other, "brief", 20, within=0.0), RecallPending), "a caller's own deadline counts too"
    bench.wire.is_open.set()
    while isinstance(outcome := await reserve(other, "all", 20), RecallPending):
        pass
    assert isinstance(outcome, Done)


async def test_excess_while_another_sidecar_has_idle_credit(bench: Bench, other: Bench) -> None:
    """What a call cost beyond its hold is paid with credit that is recalled for it; only what no sidecar has is written off."""
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 9))
    leased = (await bench.summary()).leased
    hold = await held(other, "dear", 1)
    done = await commit(other, "commit", hold, 22)
    while other.sidecar.books.open(ACCOUNT).has_unposted:
        await other.sidecar.settle()
    found = await other.sidecar.reader.charge(charge_id(done))
    assert not isinstance(found, Refusal)
    assert found.posting is not None
    assert leased > 0
    assert (found.posting.covered, found.posting.uncovered) == (credits(20), credits(2))


async def test_two_sidecars_refund_one_charge_at_once(bench: Bench, other: Bench) -> None:
    """The central store decides: together they give back no more than was charged."""
    await bench.account(permanent=20)
    done = await charge(bench, "c", 10)
    await bench.sidecar.settle()
    outcomes = await asyncio.gather(
        refund(bench, "one", charge_id(done), 7), refund(other, "two", charge_id(done), 7, mode=RefundMode.GOODWILL)
    )
    assert {type(each) for each in outcomes} == {Done, RefundExceedsCharge}
    assert (await other.summary()).available == credits(17)


async def test_a_refund_repeated_at_another_sidecar_is_made_once(bench: Bench, other: Bench) -> None:
    """Its first sidecar decided it and posted it with the charge; the worker was moved before it received the reply."""
    await bench.account(permanent=20)
    paid = charge_id(await charge(bench, "c", 10))
    first = await refund(bench, "f", paid, 4)
    await bench.sidecar.settle()
    again = await refund(other, "f", paid, 4)
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert again.replayed
    assert (await bench.summary()).available == credits(14)
    assert await refund(other, "f", paid, 3) == RequestIdReused("amount")
    assert await refund(other, "f", paid, 4, mode=RefundMode.GOODWILL) == RequestIdReused("mode")
    another = charge_id(await charge(bench, "c2", 1))
    await bench.sidecar.settle()
    assert await refund(other, "f", another, 4) == RequestIdReused("charge_id")


async def test_one_request_charged_through_two_sidecars_is_charged_once(bench: Bench, other: Bench) -> None:
    """A worker moved and tried again. The first one posted wins; refunding the other refunds the first."""
    await bench.account(permanent=20)
    first, second = await charge(bench, "job", 4), await charge(other, "job", 6)
    await bench.sidecar.settle()
    await other.sidecar.settle()
    found = await other.sidecar.reader.charge(charge_id(second))
    assert not isinstance(found, Refusal)
    assert found.posting is not None
    assert (found.posting.duplicate_of, found.posting.covered) == (charge_id(first), 0)
    assert (await bench.summary()).available == credits(16)
    await refund(other, "refund", charge_id(second))
    assert (await bench.summary()).available == credits(20)


async def test_what_is_idle_of_a_voided_grant_is_asked_for(bench: Bench, other: Bench) -> None:
    """Its holder gives it back at once, and it is free. A hold commits against it, and not on what was given since;
    and no refund brings it back.
    """
    await bench.account(permanent=10)
    hold = await held(bench, "r", 6)
    await release(bench, "gone", await held(bench, "idle", 2))
    (given,) = await bench.history()
    assert given.grant_id is not None
    bench.clock.advance(MINUTE)
    voiding = VoidGrant(RequestId("void"), ACCOUNT, given.grant_id)
    voided = await bench.central.administration.void_grant(voiding)
    assert isinstance(voided, Done)
    assert voided.reply.amount <= credits(2)
    async with asyncio.timeout(LONG):
        while (await other.summary()).leased != credits(6):
            await asyncio.sleep(0)
    assert isinstance(await reserve(other, "all", 1), InsufficientCredits)
    await bench.grant("more", 5)
    made = charge_id(await commit(bench, "c", hold, 6))
    async with asyncio.timeout(LONG):
        while (await bench.history())[-1].type is not EntryType.CHARGED:
            await bench.sidecar.settle()
    assert isinstance(await refund(other, "f", made), Done)
    lines = await bench.history()
    assert lines[-1].balance_after == credits(5)
    assert [each.amount for each in lines if each.type is EntryType.CHARGED] == [-credits(6)]
    assert sum(each.amount for each in lines if each.type is EntryType.VOIDED) == -credits(10)


async def test_credit_that_is_voided_is_not_spent_by_new_work(bench: Bench, other: Bench) -> None:
    """Although the sidecar that has it out leases what was bought since, and its hold of before is released then."""
    await bench.account(permanent=6)
    old = await held(bench, "old", 6)
    (given,) = await bench.history()
    assert given.grant_id is not None
    bench.clock.advance(MINUTE)
    await bench.central.administration.void_grant(VoidGrant(RequestId("void"), ACCOUNT, given.grant_id))
    await bench.grant("bought", 6)
    new = await held(bench, "new", 6)
    await release(bench, "gone", old)
    assert isinstance(await reserve(other, "too much", 6), InsufficientCredits)
    await commit(bench, "c", new, 6)
    async with asyncio.timeout(LONG):
        while (await bench.history())[-1].type is not EntryType.CHARGED:
            await bench.sidecar.settle()
    lines = await bench.history()
    assert lines[-1].balance_after == 0
    moved = {type_: sum(each.amount for each in lines if each.type is type_) for type_ in EntryType}
    assert (moved[EntryType.CHARGED], moved[EntryType.VOIDED]) == (-credits(6), -credits(6))


async def test_a_refund_that_was_acknowledged_never_reads_as_less(bench: Bench, other: Bench) -> None:
    """Its charge turned out to be a duplicate of one that cost less: it is moved to that one, and reads as it was promised,
    everywhere. All that the job cost is back.
    """
    await bench.account(permanent=20)
    first, second = await charge(bench, "job", 4), await charge(other, "job", 6)
    refunded = await refund(other, "refund", charge_id(second))
    assert isinstance(refunded, Done)
    promised = refunded.reply.refund
    assert promised is not None
    for each in (bench, other, other):
        await each.sidecar.settle()
    for each in (bench, other):
        found = await each.sidecar.reader.refund(promised.refund_id)
        assert isinstance(found, Refund)
        assert found.posting is not None
        assert (found.amount, found.charge_id) == (promised.amount, charge_id(first)) == (credits(6), charge_id(first))
        assert (found.posting.restored, found.posting.never_paid) == (credits(4), credits(2))
        assert (await each.summary()).available == credits(20)
    again = await refund(bench, "refund", charge_id(first))
    assert isinstance(again, Done)
    assert again.replayed
    assert (await refund(bench, "more", charge_id(first))) == RefundExceedsCharge(credits(0))


async def test_credit_that_is_granted_is_usable_at_once(bench: Bench, other: Bench) -> None:
    """While all that was there is out on a lease."""
    await bench.account(permanent=10)
    await held(bench, "r", 10)
    assert isinstance(await reserve(other, "too early", 5), InsufficientCredits)
    await bench.grant("more", 5)
    assert isinstance(await reserve(other, "now", 5), Done)


async def test_a_waiter_is_told_of_a_grant(bench: Bench) -> None:
    """It waits for credit that does not come back, and gets what is granted meanwhile."""
    await bench.account(permanent=10)
    await held(bench, "r", 10)
    bench.wire.is_open.clear()
    patient = bench.beside("patient")
    await patient.start(recall_timeout=LONG)
    waiting = asyncio.create_task(reserve(patient, "waits", 5))
    while not patient.sidecar.books.open(ACCOUNT).account:
        await asyncio.sleep(0)
    await bench.grant("more", 5)
    assert isinstance(await waiting, Done)
    bench.wire.is_open.set()
    await patient.crash()


async def test_yesterdays_holds_do_not_lower_todays_credit(bench: Bench, other: Bench, clock: ManualClock) -> None:
    """8 held over a local midnight, 20 a day: the new day has 20; what the hold does not use lapses."""
    await bench.account(daily=20)
    clock.advance(12 * HOUR - MINUTE)
    hold = await held(bench, "before midnight", 8)
    clock.advance(2 * MINUTE)
    assert isinstance(await reserve(other, "all of the new day", 20), Done)
    await commit(bench, "after midnight", hold, 5)
    await bench.sidecar.settle()
    assert sum(-each.amount for each in await bench.history() if each.type is EntryType.LAPSED) == credits(15)
    assert isinstance(await reserve(bench, "more", 1), InsufficientCredits)


async def test_a_suspended_account_is_recalled_at_once(bench: Bench, other: Bench) -> None:
    """Every sidecar that has a lease is notified: it gives back what is idle, and starts nothing more."""
    await bench.account(permanent=40)
    await held(bench, "here", 1)
    hold = await held(other, "there", 1)
    await bench.update("suspend", AccountUpdate(state=AccountState.SUSPENDED))
    while (await bench.summary()).leased > credits(2):
        await asyncio.sleep(0)
    for each in (bench, other):
        assert isinstance(await reserve(each, "new", 1), AccountSuspended)
    assert isinstance(await commit(other, "still", hold, 1), Done)


@pytest.mark.parametrize("skew", [-2 * SECOND, 2 * SECOND])
async def test_clocks_that_differ_spend_nothing_twice(bench: Bench, clock: ManualClock, skew: int) -> None:
    """A sidecar that is 2 s behind or ahead of the central store at midnight: a day's credit is spent once, on its day."""
    skewed = bench.beside("skewed", ManualClock(NOON))
    skewed.clock.step_wall(skew)
    await skewed.start(recall_timeout=0.1)
    await bench.account(daily=10)

    def advance(span: int) -> None:
        clock.advance(span)
        skewed.clock.advance(span)

    advance(12 * HOUR - SECOND)
    for moment in range(6):
        outcomes = [await charge(each, f"{moment}", 3) for each in (bench, skewed)]
        assert all(isinstance(each, Done | InsufficientCredits | RecallPending | DayNotBegun) for each in outcomes)
        advance(SECOND)
    advance(MINUTE)
    for each in (bench, skewed):
        await each.sidecar.settle()
    entries = await bench.history()
    assert not any(each.type is EntryType.WRITTEN_OFF for each in entries)
    drawn = {
        each.grant_id: sum(draw.amount for entry in entries for draw in entry.draws if draw.grant_id == each.grant_id)
        for each in entries
        if each.type is EntryType.GRANTED
    }
    assert len(drawn) == 2
    assert all(amount <= credits(10) for amount in drawn.values())
    for each in (bench, skewed):
        await each.sidecar.stop(LONG)
    await skewed.crash()


async def test_a_repost_after_a_week_means_nothing_new(bench: Bench, other: Bench, clock: ManualClock) -> None:
    """The reply to a settlement was lost, and the sidecar was away for a week: its charge is there, once."""
    await bench.account(permanent=20)
    await charge(bench, "c", 7)
    copy = bench.copy_of_journal("before")
    await bench.sidecar.settle()
    await bench.crash()
    bench.put_back(copy)
    clock.advance(7 * DAY)
    await charge(other, "others go on", 1)
    await other.sidecar.settle()
    await bench.start()
    await bench.sidecar.settle()
    assert [each.amount for each in await bench.history() if each.type is EntryType.CHARGED] == [-credits(7), -credits(1)]
    assert (await bench.summary()).available == credits(12)


async def test_two_requests_for_what_is_enough_for_one(bench: Bench) -> None:
    """Credit returned while both waited: one is served, and the other is refused, not left waiting."""
    await bench.account(permanent=6)
    hold = await held(bench, "h", 6)
    bench.wire.is_open.clear()
    settling = asyncio.create_task(bench.sidecar._exchanger.exchange([ACCOUNT]))
    while len(bench.wire.sent) < 2:
        await asyncio.sleep(0)
    both = [asyncio.create_task(reserve(bench, name, 5, within=2.0)) for name in ("a", "b")]
    for _ in range(20):
        await asyncio.sleep(0)
    await release(bench, "gone", hold)
    bench.wire.is_open.set()
    await settling
    outcomes = await asyncio.gather(*both)
    assert sorted(type(each).__name__ for each in outcomes) == ["Done", "InsufficientCredits"]


async def test_an_account_that_is_active_again_is_served(bench: Bench, other: Bench) -> None:
    """Also by a sidecar that returned its leases meanwhile, so that it got no notification."""
    await bench.account(permanent=40)
    await held(other, "before", 1)
    await bench.update("suspend", AccountUpdate(state=AccountState.SUSPENDED))
    while getattr(other.sidecar.books.open(ACCOUNT).account, "state", None) is not AccountState.SUSPENDED:
        await asyncio.sleep(0)
    assert isinstance(await reserve(other, "meanwhile", 1), AccountSuspended)
    other.wire.is_cut = True
    assert isinstance(await reserve(other, "alone", 1), AccountSuspended), "as far as is known"
    other.wire.is_cut = False
    other.clock.advance(MINUTE)
    await other.round()
    await bench.update("activate", AccountUpdate(state=AccountState.ACTIVE))
    assert isinstance(await reserve(other, "after", 1), Done)


async def test_a_slot_that_becomes_free_is_used_at_once(bench: Bench) -> None:
    """As many exchanges are under way as may be. When one of them ends, the next account that waits gets its slot."""
    await bench.account(permanent=1)
    gates: dict[AccountId, asyncio.Event] = {}
    real = bench.wire._real.exchange

    async def gated(messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        gate = gates[messages[0].account_id] = asyncio.Event()
        await gate.wait()
        return await real(messages)

    bench.wire._real.exchange = gated  # type: ignore[method-assign]
    accounts = [AccountId(f"account-{number}") for number in range(MAX_AT_ONCE + 1)]
    for account_id in accounts:
        bench.sidecar._planner.recall(account_id)
        for _ in range(20):
            await asyncio.sleep(0.001)
    assert list(gates) == accounts[:-1]
    gates[accounts[0]].set()
    while accounts[-1] not in gates:
        await asyncio.sleep(0.001)
    for gate in gates.values():
        gate.set()


async def test_excess_is_paid_with_what_became_idle_here_since(bench: Bench) -> None:
    """It was all held when the call was committed; cost comes before any lease, this sidecar's own too."""
    await bench.account(permanent=10)
    dear, other_hold = await held(bench, "dear", 5), await held(bench, "r", 5)
    paid = charge_id(await commit(bench, "c", dear, 10))
    await release(bench, "back", other_hold)
    await bench.sidecar.settle()
    found = await bench.sidecar.reader.charge(paid)
    assert getattr(found, "posting", None)
    assert (found.posting.covered, found.posting.uncovered) == (credits(10), 0)  # type: ignore[union-attr]
    assert (await bench.summary()).available == 0


async def test_a_balance_shows_cost_that_waits_for_recalled_credit(bench: Bench, other: Bench) -> None:
    """A caller reads its own writes: what a call cost beyond its hold is not available, and its parts count once."""
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 14))
    hold = await held(other, "dear", 3)
    bench.wire.is_open.clear()
    await commit(other, "commit", hold, 12)
    summary = await other.summary()
    assert (summary.available, summary.unposted) == (credits(8), credits(12))
    bench.wire.is_open.set()


async def test_a_message_that_is_sent_again_does_not_answer_a_recall(bench: Bench, other: Bench) -> None:
    """It states what was held before. What was released and acknowledged since is recalled all the same."""
    await bench.account(permanent=10)
    hold = await held(bench, "r", 10)
    bench.wire.is_open.clear()
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    slow = asyncio.create_task(bench.sidecar.settle())
    while len(bench.wire.sent) < 2:
        await asyncio.sleep(0.001)
    await release(bench, "back", hold)
    waiting = asyncio.create_task(reserve(other, "w", 10))
    while not other.wire.sent or not bench.sidecar._planner.urgent():
        await asyncio.sleep(0.001)
    bench.wire.is_open.set()
    assert isinstance(await waiting, Done)
    await slow
