"""Charges and their refunds as they are posted: once, whatever is sent again, and paid in the right order."""

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import DAY, HOUR
from creditmeter.core.settlement.answering import EXCESS_PATIENCE
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from tests.central.accounts import (
    ACME,
    available,
    balance_summary,
    count,
    give,
    history,
    lines,
    opened,
    posted,
    remaining,
    update,
)
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


async def test_a_charge_is_drawn_in_the_order_of_deduction(store: CentralStore, here: Peer) -> None:
    """Daily, monthly, permanent; one line says it all."""
    await opened(store, daily=3, monthly=4, permanent=10)
    await here.exchange(need=12)
    usage = Usage(action="text", response_model="gpt", tool="search", quantity=2)
    charge = replace(here.charge("c", 12, usage=usage), labels={"team": "a"})
    answer = await here.exchange(charge)
    posting = answer.postings[charge.charge_id]
    assert [(each.kind, each.amount) for each in posting.draws] == [
        (GrantKind.DAILY, 3),
        (GrantKind.MONTHLY, 4),
        (GrantKind.PERMANENT, 5),
    ]
    assert (posting.covered, posting.debt, posting.uncovered, posting.posted_at) == (12, 0, 0, NOON)
    assert await posted(store, charge.charge_id) == replace(charge, sent=True, posting=posting)
    (line,) = [each for each in await history(store) if each.type is EntryType.CHARGED]
    assert (line.amount, line.draws, line.charge_id) == (-12, posting.draws, charge.charge_id)
    assert (line.action, line.model, line.tool, line.quantity) == ("text", "gpt", "search", 2)
    assert (line.labels, line.rate_card_version, line.occurred_at) == ({"team": "a"}, "v1", NOON)


async def test_a_charge_that_comes_again_is_posted_once(store: CentralStore, here: Peer) -> None:
    """By its id, in any later message: it gets the posting it has."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    charge = here.charge("c", 4)
    first = (await here.exchange(charge)).postings
    assert (await here.exchange(charge)).postings == first
    assert await remaining(store) == (0, 0, 6)
    assert await count(store, "charges") == 1
    assert (await balance_summary(store)).leased == 6


async def test_a_request_is_charged_once_through_two_sidecars(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """The first one posted wins; the other names it, costs nothing, and its credit is free again."""
    await opened(store, permanent=20)
    await here.exchange(need=10)
    await elsewhere.exchange(need=10)
    first = here.charge("c", 4, request="job")
    second = elsewhere.charge("c", 7, request="job")
    await here.exchange(first)
    posting = (await elsewhere.exchange(second)).postings[second.charge_id]
    assert (posting.covered, posting.duplicate_of) == (0, first.charge_id)
    await elsewhere.holds(0)
    await here.holds(0)
    assert await available(store) == 16
    assert (await posted(store, second.charge_id)).cost == 7
    assert [line[0] for line in await lines(store)] == ["GRANTED", "CHARGED"]


async def test_a_commit_is_charged_once(store: CentralStore, here: Peer) -> None:
    """A journal that was set back may commit the same reservation again, under another id and another request."""
    await opened(store, permanent=20)
    await here.exchange(need=10)
    first = here.charge("c", 4, commit=("res", 1))
    again = here.charge("d", 4, commit=("res", 1))
    other = here.charge("e", 2, commit=("res", 2))
    answer = await here.exchange(first)
    answer = await here.exchange(again, other)
    assert answer.postings[again.charge_id].duplicate_of == first.charge_id
    assert answer.postings[other.charge_id].covered == 2


async def test_two_charges_of_one_request_in_one_message(store: CentralStore, here: Peer) -> None:
    """The first in the message is the first posted."""
    await opened(store, permanent=20)
    await here.exchange(need=10)
    first, second = here.charge("c", 4, request="job"), here.charge("d", 3, request="job")
    postings = (await here.exchange(first, second)).postings
    assert [postings[each.charge_id].duplicate_of for each in (first, second)] == [None, first.charge_id]


# Cost that no lease stands behind.


async def test_excess_is_drawn_on_what_is_available(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """Not on what others hold; what is not there is written off, and said so."""
    await opened(store, permanent=10)
    await elsewhere.exchange(need=4)
    charge = here.charge("c", 0, excess=9)
    assert (await here.exchange(charge)).postings == {}, "it is not known yet whether the others use what they have"
    await elsewhere.holds(4)
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert (posting.covered, posting.debt, posting.uncovered) == (6, 0, 3)
    assert (await lines(store))[1:] == [("CHARGED", -6, 4), ("WRITTEN_OFF", 0, 4)]
    assert (await history(store))[-1].note == "3 of 9 microcredits written off"
    assert (await elsewhere.exchange(elsewhere.charge("mine", 4))).balance.leased == 0


async def test_excess_gets_what_others_have_idle(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """It waits until they gave it back, and goes before any lease that is asked for meanwhile."""
    await opened(store, permanent=10)
    await elsewhere.exchange(need=4)
    charge = here.charge("c", 0, excess=9)
    waiting = await here.exchange(charge)
    assert (waiting.postings, waiting.balance.unposted) == ({}, 0)
    assert await lines(store) == [("GRANTED", 10, 10)]
    refused = await elsewhere.exchange(need=2, leases=elsewhere.reports(held=1, idle=False))
    assert (refused.granted, refused.free) == (0, 9)
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert (posting.covered, posting.debt, posting.uncovered) == (9, 0, 0)


async def test_excess_does_not_wait_for_ever(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """Whoever has idle credit may be gone: then it is debt, or lost."""
    await opened(store, permanent=10, overdraft=1)
    await elsewhere.exchange(need=4)
    charge = here.charge("c", 0, excess=9)
    assert (await here.exchange(charge)).postings == {}
    clock.advance(EXCESS_PATIENCE - 1)
    assert (await here.exchange(charge)).postings == {}
    clock.advance(1)
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert (posting.covered, posting.debt, posting.uncovered) == (6, 1, 2)
    assert (await here.exchange(here.charge("d", 0, excess=1))).postings == {}, "the next one waits anew"


async def test_excess_goes_before_new_leases(store: CentralStore, here: Peer) -> None:
    """Of one message too."""
    await opened(store, permanent=10)
    answer = await here.exchange(here.charge("c", 0, excess=8), need=5)
    assert (answer.granted, answer.free) == (0, 2)


async def test_cost_above_a_hold_is_excess(store: CentralStore, here: Peer) -> None:
    """Part by part: what a lease stands behind is drawn as such."""
    await opened(store, daily=3, permanent=10)
    await here.exchange(need=5)
    charge = here.charge("c", 5, excess=4)
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert [each.amount for each in posting.draws] == [3, 2, 4]


async def test_a_part_beyond_its_lease_is_excess(store: CentralStore, here: Peer) -> None:
    """Nobody spends more on a lease than it has out, whatever a journal that was set back says."""
    await opened(store, permanent=10)
    await here.exchange(need=5)
    lease = here.lease
    await here.exchange(leases=())
    charge = here.charge("c", 5, lease=lease)
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert posting.covered == 5
    assert (await balance_summary(store)).leased == 0
    unknown = here.charge("d", 6, lease=here.lease.__class__("lea-unknown"))
    posting = (await here.exchange(unknown)).postings[unknown.charge_id]
    assert (posting.covered, posting.uncovered) == (5, 1)


async def test_what_is_owed_is_bounded_by_the_overdraft(store: CentralStore, here: Peer) -> None:
    """Up to the limit it is debt, beyond it is written off; the next charge finds the limit used up."""
    await opened(store, permanent=2, overdraft=5)
    charge = here.charge("c", 0, excess=10)
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert (posting.covered, posting.debt, posting.uncovered) == (2, 5, 3)
    again = here.charge("d", 0, excess=1)
    assert (await here.exchange(again)).postings[again.charge_id].uncovered == 1
    seen = await balance_summary(store)
    assert (seen.debt, seen.available) == (5, 0)


async def test_debt_is_repaid_by_later_credit_the_oldest_first(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Before anything is leased; each repayment is a line of its charge."""
    await opened(store, overdraft=10)
    old, new = here.charge("old", 0, excess=4), here.charge("new", 0, excess=5)
    await here.exchange(old)
    clock.advance(HOUR)
    await here.exchange(new)
    grant = await give(store, "gift", 6)
    assert grant.remaining == 0
    assert (await lines(store))[-3:] == [("GRANTED", 6, 6), ("DEBT_REPAID", -4, 2), ("DEBT_REPAID", -2, 0)]
    for charge, covered, debt in ((old, 4, 0), (new, 2, 3)):
        stored = (await posted(store, charge.charge_id)).posting
        assert stored is not None
        assert (stored.covered, stored.debt) == (covered, debt)
    await give(store, "more", 10)
    assert (await balance_summary(store)).debt == 0
    assert await available(store) == 7


async def test_debt_is_repaid_by_the_next_days_grant(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Whoever touches the account first, and before a need is served."""
    await opened(store, daily=5, overdraft=3)
    await here.exchange(here.charge("c", 0, excess=8))
    clock.advance(DAY)
    answer = await here.exchange(need=2)
    assert (answer.granted, answer.free, answer.balance.debt) == (2, 0, 0)


async def test_debt_is_not_repaid_with_what_is_out(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """A lease is a promise."""
    await opened(store, permanent=10, overdraft=5)
    await elsewhere.exchange(need=10)
    charge = here.charge("c", 0, excess=5)
    await here.exchange(charge)
    await elsewhere.holds(10)
    await here.exchange(charge)
    assert (await balance_summary(store)).debt == 5
    await elsewhere.exchange(leases=elsewhere.reports(held=7, idle=False))
    assert (await balance_summary(store)).debt == 2
    assert (await elsewhere.exchange(elsewhere.charge("mine", 7))).balance.leased == 0


async def test_a_raised_limit_does_not_bring_back_what_was_written_off(store: CentralStore, here: Peer) -> None:
    """It counts for what comes after it."""
    await opened(store)
    await here.exchange(here.charge("c", 0, excess=4))
    await update(store, "limit", AccountUpdate(overdraft_limit=Microcredits(5)))
    later = here.charge("d", 0, excess=4)
    assert (await here.exchange(later)).postings[later.charge_id].debt == 4
    assert (await balance_summary(store)).debt == 4


# Refunds that a sidecar decided before it sent the charge.


async def test_a_refund_goes_with_its_charge(store: CentralStore, here: Peer) -> None:
    """In one message, or after it; once, however often it is sent."""
    await opened(store, permanent=10)
    await here.exchange(need=8)
    charge = here.charge("c", 8)
    first = here.refund(charge.charge_id, 3)
    answer = await here.exchange(charge, refunds=[first])
    assert answer.refund_postings[first.refund_id].restored == 3
    again = await here.exchange(refunds=[first, here.refund(charge.charge_id, 5, name="2")])
    assert again.refund_postings[first.refund_id] == answer.refund_postings[first.refund_id]
    assert await remaining(store) == (0, 0, 10)
    assert [line[0] for line in await lines(store)] == ["GRANTED", "CHARGED", "REFUNDED", "REFUNDED"]
    assert await store.reader.find_refund(first.refund_id) == replace(first, posting=answer.refund_postings[first.refund_id])
    stored = (await posted(store, charge.charge_id)).posting
    assert stored is not None
    assert (stored.covered, stored.refunded, [each.returned for each in stored.draws]) == (8, 8, [8])


async def test_a_goodwill_refund_is_a_new_grant(store: CentralStore, here: Peer) -> None:
    """It names the charge; the grants drawn on stay as they are."""
    await opened(store, daily=8)
    await here.exchange(need=8)
    charge = here.charge("c", 8)
    await here.exchange(charge, refunds=[here.refund(charge.charge_id, 3, mode=RefundMode.GOODWILL)])
    assert await remaining(store) == (0, 0, 3)
    assert (await lines(store))[-2:] == [("REFUNDED", 0, 0), ("GRANTED", 3, 3)]
    assert [each.charge_id for each in (await balance_summary(store)).grants] == [charge.charge_id]


@pytest.mark.parametrize("refunded", [2, 8])
async def test_refunding_a_duplicate_refunds_the_first(store: CentralStore, here: Peer, elsewhere: Peer, refunded: int) -> None:
    """Its sidecar could not know; what the user paid comes back, also to a grant that was used up; once."""
    await opened(store, permanent=8)
    await here.exchange(need=8)
    first = here.charge("c", 8, request="job")
    await here.exchange(first)
    await give(store, "more", 8)
    await elsewhere.exchange(need=8)
    second = elsewhere.charge("c", 8, request="job")
    refund = elsewhere.refund(second.charge_id, refunded)
    answer = await elsewhere.exchange(second, refunds=[refund])
    assert answer.refund_postings[refund.refund_id].restored == refunded
    assert (await elsewhere.exchange(refunds=[refund])).refund_postings == answer.refund_postings
    assert (await elsewhere.exchange(second, refunds=[refund])).refund_postings == answer.refund_postings
    await elsewhere.holds(0)
    assert await available(store) == 8 + refunded
    stored = (await posted(store, first.charge_id)).posting
    assert stored is not None
    assert stored.refunded == refunded


async def test_no_more_comes_back_than_the_first_cost(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """The duplicate may have cost more. That was freed with it. The refund is of the first now, and reads as promised."""
    await opened(store, permanent=20)
    await here.exchange(need=5)
    await elsewhere.exchange(need=9)
    first = here.charge("c", 5, request="job")
    await here.exchange(first)
    second = elsewhere.charge("c", 9, request="job")
    refund = elsewhere.refund(second.charge_id, 9)
    answer = await elsewhere.exchange(second, refunds=[refund])
    posting = answer.refund_postings[refund.refund_id]
    assert (posting.restored, posting.lapsed, posting.never_paid) == (5, 0, 4)
    assert await store.reader.find_refund(refund.refund_id) == replace(refund, charge_id=first.charge_id, posting=posting)
    assert (await elsewhere.exchange(refunds=[refund])).refund_postings == answer.refund_postings
    await elsewhere.holds(0)
    assert await available(store) == 20


async def test_charges_and_refunds_are_found_by_their_ids(store: CentralStore, here: Peer) -> None:
    """And nothing is found that is not there, whatever it is called."""
    await opened(store, permanent=10)
    await here.exchange(need=8)
    charge = here.charge("c", 8)
    assert await store.reader.find_charge(charge.charge_id) is None
    await here.exchange(charge)
    assert (await posted(store, charge.charge_id)).request_id == RequestId("s1/c")
    assert await store.reader.find_charge(charge.charge_id.__class__("anything")) is None
    assert await store.reader.find_refund(here.refund(charge.charge_id, 1).refund_id) is None
    assert ACME in charge.account_id


async def test_a_repayment_says_of_which_charge_it_is(store: CentralStore, here: Peer) -> None:
    """By label, model and tool it is found like the charge's own line; an explicit quantity of none stays none."""
    await opened(store, overdraft=9)
    work = Usage(action="tool", tool="web_search", quantity=0)
    await here.exchange(replace(here.charge("c", 0, excess=4, usage=work), labels={"job": "j"}))
    await give(store, "pack", 9)
    charged, _, repaid = await history(store)
    assert repaid.type is EntryType.DEBT_REPAID
    for line in (charged, repaid):
        assert (line.action, line.tool, line.quantity, line.labels) == ("tool", "web_search", 0, {"job": "j"})
