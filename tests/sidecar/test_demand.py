"""What a sidecar asks for and gives back: the sum of what waits, some in hand, and nothing that others need more."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, AccountState
from creditmeter.core.credit.leases import Lease, Moment
from creditmeter.core.credit.messages import Answer, BalanceSummary
from creditmeter.core.ids import AccountId, LeaseId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.burn import FIRST_LEASE, HORIZON
from creditmeter.sidecar.demand import REFILL_PAUSE, Demand, Waiter

ACME, OTHER = AccountId("acme"), AccountId("other")
LATER = 1e9
"""A reading of the event loop's clock that no test reaches."""

START = Moment(Instant(10**15), Span(10**9))
LONG = 1_000.0
"""Seconds that no test takes."""


def mc(amount: int) -> Microcredits:
    """Some microcredits."""
    return Microcredits(amount)


def later(span: int) -> Moment:
    """Both clocks, so long after the start."""
    return Moment(Instant(START.now + span), Span(START.boot + span))


def book(idle: int = 0, state: AccountState = AccountState.ACTIVE) -> Book:
    """A book with so much credit in hand."""
    made = Book(ACME)
    ends_at, trusted = Instant(START.now + 10**12), Span(START.boot + 10**12)
    lease = Lease(LeaseId("lea"), ACME, START.now, ends_at, mc(idle), trusted_until=trusted)
    made.apply(Change(ACME, leases=(lease,) if idle else (), account=Account(ACME, Instant(0), state=state)))
    return made


def answer(granted: int = 0) -> Answer:
    """What the central store says when it gave so much."""
    nothing = mc(0)
    standing = BalanceSummary(START.now, nothing, nothing, nothing, nothing, nothing, ())
    return Answer(1, Account(ACME, Instant(0)), standing, (), granted=mc(granted))


@pytest.fixture
def demand() -> Demand:
    """Of a sidecar that has just started."""
    return Demand()


class Line:
    """Requests that stand in line."""

    def __init__(self, demand: Demand, stack: ExitStack) -> None:
        self._demand = demand
        self._stack = stack

    def joins(self, amount: int, smallest: int | None = None, *, of: AccountId = ACME, patience: float = LONG) -> Waiter:
        """One more request; a part of what it waits for would do from `smallest` on."""
        until = asyncio.get_running_loop().time() + patience
        waiter = self._stack.enter_context(self._demand.line(of, until))
        waiter.amount, waiter.smallest = mc(amount), mc(amount if smallest is None else smallest)
        return waiter


@pytest.fixture
def line(demand: Demand) -> Iterator[Line]:
    """Nobody at first."""
    with ExitStack() as stack:
        yield Line(demand, stack)


# What is asked for.


@pytest.mark.parametrize(
    ("what", "idle", "waiting", "required", "smallest"),
    [
        ("one request", 0, ((5, 5),), 5, 5),
        ("what is in hand is not asked for", 3, ((5, 5),), 2, 2),
        ("several share one need", 0, ((5, 5), (3, 3)), 8, 3),
        ("the most modest of them says what is of use", 2, ((5, 5), (3, 3)), 6, 1),
        ("a part will do", 2, ((5, 1),), 3, 1),
        ("a part of one of them will do", 2, ((9, 9), (5, 1)), 12, 1),
        ("what is in hand is for the first for whom it will do", 3, ((3, 3), (7, 7)), 7, 7),
        ("enough for each of them, but not for both", 6, ((5, 5), (5, 5)), 4, 4),
    ],
)
async def test_what_is_required(
    demand: Demand, line: Line, what: str, idle: int, waiting: tuple[tuple[int, int], ...], required: int, smallest: int
) -> None:
    """What all who wait lack together, and what the most modest of them lacks."""
    for amount, least in waiting:
        line.joins(amount, least)
    need = demand.speech(book(idle), START).need
    assert need is not None
    assert (need.required, need.smallest) == (required, smallest), what
    assert need.wanted == FIRST_LEASE * required, "nothing is known of the rate yet"


async def test_nothing_is_asked_for_without_need(demand: Demand, line: Line) -> None:
    """Nobody waits here, or what is in hand will do for all."""
    assert demand.speech(book(), START).need is None
    line.joins(5, of=OTHER)
    assert demand.speech(book(), START).need is None
    line.joins(2)
    line.joins(3)
    assert demand.speech(book(5), START).need is None


async def test_the_longest_patience_counts(demand: Demand, line: Line) -> None:
    """Of those that lack credit; one whose time is over does not wait, and makes nobody wait."""
    for amount, patience in ((3, LONG), (9, -1.0)):
        line.joins(amount, patience=patience)
    need = demand.speech(book(5), START).need
    assert need is not None
    assert need.patience == 0
    line.joins(9, patience=LONG / 2)
    line.joins(9, patience=LONG / 4)
    need = demand.speech(book(5), START).need
    assert need is not None
    assert LONG / 2 - 10 < need.patience / 1_000_000 <= LONG / 2


async def test_a_request_that_left_the_line_is_not_asked_for(demand: Demand) -> None:
    """Whether it was served or gave up."""
    until = asyncio.get_running_loop().time() + LONG
    with demand.line(ACME, until) as waiter:
        waiter.amount = waiter.smallest = mc(5)
        assert demand.urgent() == [ACME]
    assert demand.urgent() == []
    assert demand.speech(book(), START).need is None


# Credit in hand.


async def test_what_is_in_hand_is_refilled_below_half_of_the_rate(demand: Demand) -> None:
    """Up to what is used in a horizon, and asked for only when it is needed: nothing of it is required."""
    for span in (0, HORIZON):
        demand.used(book(), mc(100), later(span))
    at = later(HORIZON)
    for idle, lacking in ((0, 200), (99, 101), (100, 0), (500, 0)):
        need = demand.speech(book(idle), at).need
        assert (need.wanted if need else 0) == lacking
        assert need is None or (need.required, need.smallest) == (0, 0)
        assert demand.used(book(idle), mc(0), at) is bool(lacking)


async def test_a_known_rate_says_how_much_is_wanted(demand: Demand, line: Line) -> None:
    """No longer a multiple of what is needed now."""
    for span in (0, HORIZON):
        demand.used(book(), mc(100), later(span))
    line.joins(50)
    need = demand.speech(book(), later(HORIZON)).need
    assert need is not None
    assert (need.required, need.wanted) == (50, 200)


async def test_a_refill_that_got_nothing_is_not_asked_for_again_soon(demand: Demand, line: Line) -> None:
    """The central store had nothing to spare; a request that waits is asked for all the same."""
    demand.used(book(), mc(100), START)
    speech = demand.speech(book(), START)
    demand.answered(ACME, speech, answer(granted=1), START.boot)
    assert demand.used(book(), mc(0), START)
    demand.answered(ACME, speech, answer(), START.boot)
    assert not demand.used(book(), mc(0), later(REFILL_PAUSE - 1))
    assert demand.speech(book(), later(REFILL_PAUSE - 1)).need is None
    assert demand.used(book(), mc(0), later(REFILL_PAUSE))
    demand.answered(ACME, speech, answer(), START.boot)
    line.joins(5)
    need = demand.speech(book(), START).need
    assert need is not None
    assert need.required == 5


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
async def test_an_account_that_is_not_active_is_not_refilled(demand: Demand, state: AccountState) -> None:
    """It can start no new work."""
    demand.used(book(), mc(100), START)
    assert demand.speech(book(state=state), START).need is None


async def test_an_account_that_is_not_used_is_forgotten(demand: Demand) -> None:
    """As soon as its rate is nothing."""
    demand.used(book(), mc(100), START)
    for span, is_known in ((HORIZON, True), (2 * HORIZON, False)):
        demand.forget(later(span).boot)
        assert bool(demand._burns) is is_known


# Credit that goes back.


async def test_what_others_wait_for_goes_back(demand: Demand) -> None:
    """All that is idle, with the next message and with no other; a refill is not asked for with it."""
    demand.used(book(), mc(100), START)
    demand.recall(ACME)
    assert demand.urgent() == [ACME]
    speech = demand.speech(book(7), START)
    assert (speech.give_back, speech.keep, speech.need) == (True, 0, None)
    assert demand.urgent() == []
    assert not demand.speech(book(7), START).give_back


async def test_what_is_recalled_while_a_message_is_under_way_wants_another_one(demand: Demand) -> None:
    """That message may have been applied before."""
    demand.recall(ACME)
    speech = demand.speech(book(7), START)
    demand.recall(ACME)
    demand.answered(ACME, speech, answer(), START.boot)
    assert demand.urgent() == [ACME]
    assert demand.speech(book(7), START).give_back


async def test_what_nobody_uses_goes_back(demand: Demand) -> None:
    """Nobody waits to hear of it."""
    demand.give_back(ACME)
    assert demand.urgent() == []
    assert [demand.speech(book(7), START).give_back for _ in range(2)] == [True, False]
    demand.is_going_home = True
    assert [demand.speech(book(7), START).give_back for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    ("what", "idle", "waiting", "keep", "required"),
    [
        ("enough for the only one", 7, (5,), 5, 0),
        ("enough for nobody", 4, (5,), 0, 5),
        ("enough for some", 7, (5, 3, 2), 7, 3),
        ("who comes first is kept for first", 7, (3, 5, 2), 5, 5),
        ("enough for all", 20, (5, 3, 2), 10, 0),
    ],
)
async def test_what_was_got_for_those_in_line_is_kept(
    demand: Demand, line: Line, what: str, idle: int, waiting: tuple[int, ...], keep: int, required: int
) -> None:
    """What is not enough for one of them goes back, and is asked for again with the rest."""
    for amount in waiting:
        line.joins(amount)
    demand.recall(ACME)
    speech = demand.speech(book(idle), START)
    assert (speech.give_back, speech.keep) == (True, keep), what
    assert (speech.need.required if speech.need else 0) == required, what


async def test_a_recall_that_cannot_be_answered_is_forgotten(demand: Demand) -> None:
    """The central store is away: nothing is urgent about that account any more."""
    demand.recall(ACME)
    demand.recall(OTHER)
    demand.fail(ACME, CentralUnavailable("away"))
    assert demand.urgent() == [OTHER]


# Those in line.


async def test_own_requests_are_urgent_before_recalls(demand: Demand, line: Line) -> None:
    """Each account once; a parked request is not, until there is news."""
    demand.recall(OTHER)
    demand.recall(ACME)
    waiter = line.joins(5)
    assert demand.urgent() == [ACME, OTHER]
    waiter.parked_until = LATER
    assert set(demand.urgent()) == {ACME, OTHER}
    demand.speech(book(), START)
    assert demand.urgent() == [OTHER]


async def test_all_in_line_hear_the_answer(demand: Demand, line: Line) -> None:
    """Also those that are parked; not those that came after the message, and nobody of another account."""
    first, parked, other = line.joins(5), line.joins(5), line.joins(5, of=OTHER)
    parked.parked_until = LATER
    speech = demand.speech(book(), START)
    late = line.joins(5)
    said = answer(3)
    speech.tell(said)
    assert await first.hear() is said
    assert await parked.hear() is said
    for each in (first, late, other):
        assert each.is_asking


async def test_only_the_newest_answer_is_heard(demand: Demand, line: Line) -> None:
    """A request that thinks an answer over hears afterwards what was said meanwhile."""
    waiter = line.joins(5)
    waiter.tell(CentralUnavailable("away"))
    assert not waiter.is_asking
    said = answer(3)
    waiter.tell(said)
    assert await waiter.hear() is said
    assert waiter.is_asking


async def test_all_in_line_are_told_that_there_is_no_answer(demand: Demand, line: Line) -> None:
    """Of that account, whoever asked; they stay in line, to decide for themselves."""
    waiters = [line.joins(5), line.joins(3)]
    other = line.joins(5, of=OTHER)
    demand.fail(ACME, CentralUnavailable("away"))
    for each in waiters:
        with pytest.raises(CentralUnavailable):
            await each.hear()
    assert other.is_asking
    need = demand.speech(book(), START).need
    assert need is not None
    assert need.required == 8


async def test_a_suspended_account_is_still_asked_for(demand: Demand, line: Line) -> None:
    """Whoever waits gets its refusal from the central store, which may have resumed the account."""
    line.joins(5)
    need = demand.speech(book(state=AccountState.SUSPENDED), START).need
    assert need is not None
    assert need.required == 5
