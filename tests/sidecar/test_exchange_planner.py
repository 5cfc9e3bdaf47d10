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
from creditmeter.core.ids import AccountId, LeaseId, RequestId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.burn import FIRST_LEASE, HORIZON
from creditmeter.sidecar.account_records import AccountRecords, Mark
from creditmeter.sidecar.exchange_plan import WaitingRequest
from creditmeter.sidecar.exchange_planner import REFILL_PAUSE, ExchangePlanner

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
    """The central store's answer when it gave so much."""
    nothing = mc(0)
    balance = BalanceSummary(START.now, nothing, nothing, nothing, nothing, nothing, ())
    return Answer(1, Account(ACME, Instant(0)), balance, (), granted=mc(granted))


@pytest.fixture
def records() -> AccountRecords:
    """Of a sidecar that has just started."""
    return AccountRecords()


@pytest.fixture
def planner(records: AccountRecords) -> ExchangePlanner:
    """Of a sidecar that has just started."""
    return ExchangePlanner(records)


class Queue:
    """Requests that wait for credit."""

    def __init__(self, planner: ExchangePlanner, stack: ExitStack) -> None:
        self._planner = planner
        self._stack = stack

    def add(self, amount: int, smallest: int | None = None, *, of: AccountId = ACME, patience: float = LONG) -> WaitingRequest:
        """One more request; a part of what it waits for would do from `smallest` on."""
        until = asyncio.get_running_loop().time() + patience
        request = self._stack.enter_context(self._planner.waiting_request(of, RequestId(f"r{amount}"), until))
        request.amount, request.smallest = mc(amount), mc(amount if smallest is None else smallest)
        return request


@pytest.fixture
def queue(planner: ExchangePlanner) -> Iterator[Queue]:
    """No request at first."""
    with ExitStack() as stack:
        yield Queue(planner, stack)


def is_refilled(records: AccountRecords) -> bool:
    """Whether the next settlement includes the account, so that a message asks for a refill."""
    return records.take(Mark.UNSETTLED) == [ACME]


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
    planner: ExchangePlanner,
    queue: Queue,
    what: str,
    idle: int,
    waiting: tuple[tuple[int, int], ...],
    required: int,
    smallest: int,
) -> None:
    """What all waiting requests lack together, and what the most modest of them lacks."""
    for amount, least in waiting:
        queue.add(amount, least)
    need = planner.plan(book(idle), START).need
    assert need is not None
    assert (need.required, need.smallest) == (required, smallest), what
    assert need.wanted == FIRST_LEASE * required, "nothing is known of the rate yet"


async def test_nothing_is_asked_for_without_need(planner: ExchangePlanner, queue: Queue) -> None:
    """No request waits here, or what is in hand will do for all."""
    assert planner.plan(book(), START).need is None
    queue.add(5, of=OTHER)
    assert planner.plan(book(), START).need is None
    queue.add(2)
    queue.add(3)
    assert planner.plan(book(5), START).need is None


async def test_the_longest_patience_counts(planner: ExchangePlanner, queue: Queue) -> None:
    """Of those that lack credit. One whose time is over has none."""
    for amount, patience in ((3, LONG), (9, -1.0)):
        queue.add(amount, patience=patience)
    need = planner.plan(book(5), START).need
    assert need is not None
    assert need.patience == 0
    queue.add(9, patience=LONG / 2)
    queue.add(9, patience=LONG / 4)
    need = planner.plan(book(5), START).need
    assert need is not None
    assert LONG / 2 - 10 < need.patience / 1_000_000 <= LONG / 2


async def test_a_request_that_waits_no_longer_is_not_asked_for(planner: ExchangePlanner) -> None:
    """Whether it was served or gave up."""
    until = asyncio.get_running_loop().time() + LONG
    with planner.waiting_request(ACME, RequestId("r"), until) as request:
        request.amount = request.smallest = mc(5)
        assert planner.urgent() == [ACME]
    assert planner.urgent() == []
    assert planner.plan(book(), START).need is None


# Credit in hand.


async def test_what_is_in_hand_is_refilled_below_half_of_the_rate(planner: ExchangePlanner, records: AccountRecords) -> None:
    """Up to what is used in a horizon, and asked for only when it is needed: nothing of it is required."""
    for span in (0, HORIZON):
        planner.used(book(), mc(100), later(span))
    at = later(HORIZON)
    for idle, lacking in ((0, 200), (99, 101), (100, 0), (500, 0)):
        need = planner.plan(book(idle), at).need
        assert (need.wanted if need else 0) == lacking
        assert need is None or (need.required, need.smallest) == (0, 0)
        records.take(Mark.UNSETTLED)
        planner.used(book(idle), mc(0), at)
        assert is_refilled(records) is bool(lacking)


async def test_a_known_rate_says_how_much_is_wanted(planner: ExchangePlanner, queue: Queue) -> None:
    """No longer a multiple of what is needed now."""
    for span in (0, HORIZON):
        planner.used(book(), mc(100), later(span))
    queue.add(50)
    need = planner.plan(book(), later(HORIZON)).need
    assert need is not None
    assert (need.required, need.wanted) == (50, 200)


async def test_a_refill_that_got_nothing_is_not_asked_for_again_soon(
    planner: ExchangePlanner, records: AccountRecords, queue: Queue
) -> None:
    """The central store had nothing to spare; a request that waits is asked for all the same."""
    planner.used(book(), mc(100), START)
    plan = planner.plan(book(), START)
    planner.note_answer(ACME, plan, answer(granted=1), START.boot)
    assert is_refilled(records)
    planner.used(book(), mc(0), START)
    assert is_refilled(records)
    planner.note_answer(ACME, plan, answer(), START.boot)
    planner.used(book(), mc(0), later(REFILL_PAUSE - 1))
    assert not is_refilled(records)
    assert planner.plan(book(), later(REFILL_PAUSE - 1)).need is None
    planner.used(book(), mc(0), later(REFILL_PAUSE))
    assert is_refilled(records)
    planner.note_answer(ACME, plan, answer(), START.boot)
    queue.add(5)
    need = planner.plan(book(), START).need
    assert need is not None
    assert need.required == 5


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
async def test_an_account_that_is_not_active_is_not_refilled(planner: ExchangePlanner, state: AccountState) -> None:
    """It can start no new work."""
    planner.used(book(), mc(100), START)
    assert planner.plan(book(state=state), START).need is None


async def test_an_account_that_is_not_used_is_forgotten(planner: ExchangePlanner, records: AccountRecords) -> None:
    """As soon as its rate is nothing."""
    planner.used(book(), mc(100), START)
    assert is_refilled(records)
    for span, is_known in ((HORIZON, True), (2 * HORIZON, False)):
        planner.forget_unused(later(span).boot)
        assert bool(list(records)) is is_known


# Credit that is given back.


async def test_what_is_recalled_is_given_back(planner: ExchangePlanner) -> None:
    """All that is idle, with the next message and with no other; a refill is not asked for with it."""
    planner.used(book(), mc(100), START)
    planner.recall(ACME)
    assert planner.urgent() == [ACME]
    plan = planner.plan(book(7), START)
    assert (plan.gives_back, plan.keep, plan.need) == (True, 0, None)
    assert planner.urgent() == []
    assert not planner.plan(book(7), START).gives_back


async def test_a_recall_while_a_message_is_under_way_needs_another_one(planner: ExchangePlanner) -> None:
    """That message may have been applied before."""
    planner.recall(ACME)
    plan = planner.plan(book(7), START)
    planner.recall(ACME)
    planner.note_answer(ACME, plan, answer(), START.boot)
    assert planner.urgent() == [ACME]
    assert planner.plan(book(7), START).gives_back


async def test_what_no_request_uses_is_given_back(planner: ExchangePlanner) -> None:
    """That is not urgent."""
    planner.give_back(ACME)
    assert planner.urgent() == []
    assert [planner.plan(book(7), START).gives_back for _ in range(2)] == [True, False]
    planner.returns_all = True
    assert [planner.plan(book(7), START).gives_back for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    ("what", "idle", "waiting", "keep", "required"),
    [
        ("enough for the only one", 7, (5,), 5, 0),
        ("enough for none", 4, (5,), 0, 5),
        ("enough for some", 7, (5, 3, 2), 7, 3),
        ("the first request is served first", 7, (3, 5, 2), 5, 5),
        ("enough for all", 20, (5, 3, 2), 10, 0),
    ],
)
async def test_what_was_leased_for_waiting_requests_is_kept(
    planner: ExchangePlanner, queue: Queue, what: str, idle: int, waiting: tuple[int, ...], keep: int, required: int
) -> None:
    """What is not enough for one of them goes back, and is asked for again with the rest."""
    for amount in waiting:
        queue.add(amount)
    planner.recall(ACME)
    plan = planner.plan(book(idle), START)
    assert (plan.gives_back, plan.keep) == (True, keep), what
    assert (plan.need.required if plan.need else 0) == required, what


async def test_a_recall_that_cannot_be_answered_is_forgotten(planner: ExchangePlanner) -> None:
    """The central store is away: nothing is urgent about that account any more."""
    planner.recall(ACME)
    planner.recall(OTHER)
    planner.fail(ACME, CentralUnavailable("away"))
    assert planner.urgent() == [OTHER]


# Waiting requests.


async def test_a_wait_that_ends_is_reported_until_the_store_cannot_be_reached(planner: ExchangePlanner) -> None:
    """The central store recalls for that request no more. If it is away, the next message is early enough."""
    with planner.waiting_request(ACME, RequestId("r"), LATER) as waiting:
        waiting.is_recalled = True
    assert planner.urgent() == [ACME]
    planner.fail(ACME, CentralUnavailable("away"))
    assert planner.urgent() == []


async def test_own_requests_are_urgent_before_recalls(planner: ExchangePlanner, queue: Queue) -> None:
    """Each account once; a request that expects a notification is not urgent."""
    planner.recall(OTHER)
    planner.recall(ACME)
    request = queue.add(5)
    assert planner.urgent() == [ACME, OTHER]
    request.notified_until = LATER
    assert set(planner.urgent()) == {ACME, OTHER}
    planner.plan(book(), START)
    assert planner.urgent() == [OTHER]


async def test_all_waiting_requests_receive_the_answer(planner: ExchangePlanner, queue: Queue) -> None:
    """Also those that expect a notification; not those that came after the message, and none of another account."""
    first, notified, other = queue.add(5), queue.add(5), queue.add(5, of=OTHER)
    notified.notified_until = LATER
    plan = planner.plan(book(), START)
    late = queue.add(5)
    reply = answer(3)
    plan.pass_on(reply)
    assert await first.receive() is reply
    assert await notified.receive() is reply
    for each in (first, late, other):
        assert each.needs_exchange


async def test_only_the_newest_answer_is_received(planner: ExchangePlanner, queue: Queue) -> None:
    """An answer that arrives while the request is decided anew is received afterwards."""
    request = queue.add(5)
    request.pass_on(CentralUnavailable("away"))
    assert not request.needs_exchange
    reply = answer(3)
    request.pass_on(reply)
    assert await request.receive() is reply
    assert request.needs_exchange


async def test_all_waiting_requests_receive_an_error(planner: ExchangePlanner, queue: Queue) -> None:
    """Of that account, whichever of them the message was for. They go on waiting until they are decided."""
    requests = [queue.add(5), queue.add(3)]
    other = queue.add(5, of=OTHER)
    planner.fail(ACME, CentralUnavailable("away"))
    for each in requests:
        with pytest.raises(CentralUnavailable):
            await each.receive()
    assert other.needs_exchange
    need = planner.plan(book(), START).need
    assert need is not None
    assert need.required == 8


async def test_a_suspended_account_is_still_asked_for(planner: ExchangePlanner, queue: Queue) -> None:
    """A waiting request is refused by the central store only, since the account may be active again."""
    queue.add(5)
    need = planner.plan(book(state=AccountState.SUSPENDED), START).need
    assert need is not None
    assert need.required == 5
