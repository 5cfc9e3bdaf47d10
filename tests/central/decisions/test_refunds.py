"""Refunds that the central store decides: in parts, once, no more than was paid, and where the credit goes."""

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import MAX_BALANCE
from creditmeter.core.credit.charges import Charge, RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import ChargeId, charge_id
from creditmeter.core.instants import DAY, HOUR
from creditmeter.core.refusals import ChargeNotFound, InvalidRequest, RefundExceedsCharge, RequestIdReused
from tests.central.accounts import (
    ACME,
    available,
    balance_summary,
    give,
    giving_back,
    history,
    lines,
    opened,
    posted,
    refund,
    remaining,
)
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


async def spent(here: Peer, amount: int, *, excess: int = 0) -> Charge:
    """A charge of this much that is posted."""
    if amount:
        await here.exchange(need=amount)
    charge = here.charge("c", amount, excess=excess)
    await here.exchange(charge)
    return charge


async def test_a_refund_gives_back_all_that_is_left(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Unless an amount is named; its line says what came back to which grant."""
    await opened(store, daily=3, permanent=10)
    charge = await spent(here, 8)
    clock.advance(HOUR)
    made = await refund(store, charge.charge_id)
    assert (made.amount, made.charge_id, made.reason) == (8, charge.charge_id, "it failed")
    assert made.posting is not None
    assert (made.posting.restored, made.posting.lapsed, made.posting.posted_at) == (8, 0, NOON + HOUR)
    assert await remaining(store) == (3, 0, 10)
    line = (await history(store))[-1]
    assert (line.type, line.amount, line.refund_id, line.note) == (EntryType.REFUNDED, 8, made.refund_id, "it failed")
    assert [(each.kind, each.amount) for each in line.draws] == [(GrantKind.PERMANENT, 5), (GrantKind.DAILY, 3)]
    assert await store.reader.find_refund(made.refund_id) == made


async def test_a_refund_in_parts_gives_back_the_last_drawn_first(store: CentralStore, here: Peer) -> None:
    """Part by part, and what is left at the end."""
    await opened(store, daily=3, permanent=10)
    charge = await spent(here, 8)
    await refund(store, charge.charge_id, 4, name="one")
    assert await remaining(store) == (0, 0, 9)
    await refund(store, charge.charge_id, 2, name="two")
    assert await remaining(store) == (1, 0, 10)
    assert (await refund(store, charge.charge_id, name="rest")).amount == 2
    stored = (await posted(store, charge.charge_id)).posting
    assert stored is not None
    assert (stored.covered, stored.refunded, [each.returned for each in stored.draws]) == (8, 8, [3, 5])


async def test_no_more_comes_back_than_is_left(store: CentralStore, here: Peer) -> None:
    """The refusal says how much that is, and changes nothing."""
    await opened(store, permanent=10)
    charge = await spent(here, 8)
    assert await store.refunds.refund(*giving_back(charge.charge_id, 9, name="nine")) == RefundExceedsCharge(charge.cost)
    await refund(store, charge.charge_id)
    for amount in (1, None):
        refused = await store.refunds.refund(*giving_back(charge.charge_id, amount, name="more"))
        assert refused == RefundExceedsCharge(charge.excess)
    assert await available(store) == 10


async def test_refunding_twice_refunds_once(store: CentralStore, here: Peer) -> None:
    """The first reply comes again, whatever was refunded since and whichever id the copy was to get."""
    await opened(store, permanent=10)
    charge = await spent(here, 8)
    first = await refund(store, charge.charge_id, 3)
    await refund(store, charge.charge_id, name="rest")
    asked, _ = giving_back(charge.charge_id, 3)
    assert await store.refunds.refund(asked, here.refund(charge.charge_id, 3).refund_id) == Done(first, replayed=True)
    assert await store.refunds.refund(*giving_back(charge.charge_id, 4)) == RequestIdReused("amount")
    assert await available(store) == 10


@pytest.mark.parametrize("of_nobody", [False, True])
async def test_an_unknown_charge_is_not_found(store: CentralStore, here: Peer, of_nobody: bool) -> None:
    """Of an account that is there, and of one that is not."""
    if not of_nobody:
        await opened(store)
    unknown = charge_id(ACME, here.sidecar_id, "unknown")
    assert await store.refunds.refund(*giving_back(unknown)) == ChargeNotFound(unknown)
    assert await store.refunds.refund(*giving_back(ChargeId("anything"))) == ChargeNotFound("anything")


async def test_what_belongs_to_a_grant_that_ended_lapses(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """The refund says how much was restored and how much lapsed, and history has a line for each."""
    await opened(store, daily=3, permanent=10)
    charge = await spent(here, 8)
    clock.advance(DAY)
    made = await refund(store, charge.charge_id)
    assert made.posting is not None
    assert (made.amount, made.posting.restored, made.posting.lapsed) == (8, 5, 3)
    assert await remaining(store) == (3, 0, 10)
    lapsed = [each for each in await history(store) if each.type is EntryType.LAPSED]
    assert [(each.amount, each.refund_id, each.charge_id) for each in lapsed] == [(-3, made.refund_id, charge.charge_id)]


async def test_goodwill_outlives_the_grant_that_was_drawn_on(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """It is new credit without an end, that names the charge."""
    await opened(store, daily=8)
    charge = await spent(here, 8)
    clock.advance(DAY)
    made = await refund(store, charge.charge_id, 5, mode=RefundMode.GOODWILL)
    assert made.posting is not None
    assert (made.posting.restored, made.posting.lapsed) == (5, 0)
    assert await remaining(store) == (8, 0, 5)
    assert [each.charge_id for each in (await balance_summary(store)).grants if each.charge_id] == [charge.charge_id]
    assert (await lines(store))[-2:] == [("REFUNDED", 0, 8), ("GRANTED", 5, 13)]
    assert await store.refunds.refund(*giving_back(charge.charge_id, 4, name="more")) == RefundExceedsCharge(
        here.charge("three", 0, excess=3).cost
    )


@pytest.mark.parametrize("mode", RefundMode)
async def test_debt_of_the_charge_is_cancelled_first(store: CentralStore, here: Peer, mode: RefundMode) -> None:
    """It was never paid, so nothing moves; what was written off is not refundable."""
    await opened(store, permanent=4, overdraft=5)
    charge = await spent(here, 0, excess=12)
    made = await refund(store, charge.charge_id, 6, mode=mode)
    assert made.posting is not None
    assert (made.amount, made.posting.restored) == (6, 1)
    seen = await balance_summary(store)
    assert (seen.debt, seen.available) == (0, 1)
    assert (await refund(store, charge.charge_id, name="rest")).amount == 3
    stored = (await posted(store, charge.charge_id)).posting
    assert stored is not None
    assert (stored.covered, stored.debt, stored.uncovered, stored.refunded) == (4, 0, 3, 4)


async def test_credit_that_comes_back_repays_other_debt(store: CentralStore, here: Peer) -> None:
    """Before anybody can use it."""
    await opened(store, permanent=4, overdraft=5)
    paid = await spent(here, 4)
    owing = here.charge("owing", 0, excess=3)
    await here.exchange(owing)
    await refund(store, paid.charge_id)
    seen = await balance_summary(store)
    assert (seen.debt, seen.available) == (0, 1)
    assert (await lines(store))[-1] == ("DEBT_REPAID", -3, 1)


async def test_what_repaid_debt_can_be_refunded(store: CentralStore, here: Peer) -> None:
    """It went to the charge like any other draw."""
    await opened(store, overdraft=5)
    charge = await spent(here, 0, excess=5)
    await give(store, "gift", 8)
    await refund(store, charge.charge_id)
    assert await available(store) == 8
    assert [line[0] for line in await lines(store)] == ["CHARGED", "GRANTED", "DEBT_REPAID", "REFUNDED"]


async def test_a_duplicates_refund_is_of_the_charge_that_was_paid(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """The user knows one job; both charges together give back what was paid, also to a grant that was used up."""
    await opened(store, permanent=8)
    await here.exchange(need=8)
    first = here.charge("c", 8, request="job")
    await here.exchange(first)
    await give(store, "more", 9)
    await elsewhere.exchange(need=9)
    second = elsewhere.charge("c", 9, request="job")
    await elsewhere.exchange(second)
    await elsewhere.exchange(leases=())
    made = await refund(store, second.charge_id, 3)
    assert made.charge_id == first.charge_id
    assert (await refund(store, first.charge_id, name="rest")).amount == 5
    assert await available(store) == 17


@pytest.mark.parametrize("mode", RefundMode)
async def test_nothing_comes_back_to_an_account_that_has_all_it_may_have(
    store: CentralStore, here: Peer, mode: RefundMode
) -> None:
    """Not in either way. Once something is spent the same request is granted."""
    await opened(store, permanent=10)
    charge = await spent(here, 8)
    await give(store, "most", MAX_BALANCE - 2)
    refused = await store.refunds.refund(*giving_back(charge.charge_id, mode=mode))
    assert isinstance(refused, InvalidRequest)
    await here.exchange(need=8)
    await here.exchange(here.charge("d", 8))
    assert (await refund(store, charge.charge_id, mode=mode)).amount == 8
    assert await available(store) == MAX_BALANCE
