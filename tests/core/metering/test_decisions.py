"""The life of a reservation, case by case: what happens, and where that leaves the reservation and the credit.

Each row plays steps on a book whose one lease has 20 microcredits, and names the outcome: the reservation's state, what it
holds and was charged, the excess that no lease covers, what is idle on the lease, and the refusal of the last step, if any.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pytest

from creditmeter.core.amounts import MAX_BALANCE
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.charges import Charge, RefundMode
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, RefundCharge, Release, Reserve
from creditmeter.core.credit.reservations import Hold, Reservation, ReservationState
from creditmeter.core.ids import ChargeId, RefundId, RequestId, ReservationId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.metering import decisions as metering
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.decisions import Limits, SettleFirst, Short
from creditmeter.core.refusals import (
    AccountClosed,
    AccountSuspended,
    AmountAboveLimit,
    InvalidRequest,
    RefundExceedsCharge,
    ReservationCommitted,
    ReservationExpired,
    ReservationReleased,
    TooManyOpenReservations,
)
from creditmeter.core.values import replace
from creditmeter.core.work import Work
from tests.core.builders import ACCOUNT, account, at, book, clocks, cost, hold, lease, mc, part

START = at("10 09:00")
LIMITS = Limits()
TTL = LIMITS.default_ttl
LATE_WINDOW = LIMITS.late_commit_window
RESERVATION = ReservationId("r1")
IN_TIME = Span(TTL - 1)
"""As late as a commit can be without being late."""


class Desk:
    """A book to play steps on. Holds that are due end before each step, as they do wherever decisions are taken."""

    def __init__(self, limit: int = 20) -> None:
        self.book = book(lease(START, limit), of=account())
        self.now = START
        self.decided: object = None
        self._count = 0

    def name(self) -> str:
        """A new name."""
        self._count += 1
        return f"n{self._count}"

    def take(self, decided: object) -> None:
        """Take over a decision."""
        self.decided = decided
        if isinstance(decided, Change):
            self.book.apply(decided)

    def expire(self) -> None:
        """End what is due."""
        self.book.apply(metering.expire(self.book, self.book.due(self.now)))

    @property
    def reservation(self) -> Reservation:
        """The reservation that the steps are about."""
        return self.book.reservations[RESERVATION]

    @property
    def charges(self) -> list[Charge]:
        """All charges."""
        return list(self.book.charges.values())


Step = Callable[[Desk], None]


def reserve(amount: int, ttl: Span | None = None) -> Step:
    """Reserve an amount."""

    def step(desk: Desk) -> None:
        desk.expire()
        request = Reserve(RequestId(desk.name()), ACCOUNT, amount=mc(amount), ttl=ttl)
        desk.take(metering.reserve(desk.book, request, hold(amount), clocks(desk.now), RESERVATION, LIMITS))

    return step


def extend(total: int | None = None, ttl: Span | None = None) -> Step:
    """Extend to a new total, a new deadline, or both."""

    def step(desk: Desk) -> None:
        desk.expire()
        request = Extend(RequestId(desk.name()), RESERVATION, amount=None if total is None else mc(total), ttl=ttl)
        wanted = None if total is None else hold(total)
        desk.take(metering.extend(desk.book, request, desk.reservation, wanted, clocks(desk.now), LIMITS))

    return step


def commit(amount: int, *, keep_open: bool = False) -> Step:
    """Commit a cost."""

    def step(desk: Desk) -> None:
        desk.expire()
        request = Commit(RequestId(desk.name()), RESERVATION, amount=mc(amount), keep_open=keep_open)
        name = ChargeId(desk.name())
        desk.take(metering.commit(desk.book, request, desk.reservation, cost(amount), clocks(desk.now), name, LIMITS))

    return step


def release(desk: Desk) -> None:
    """Release it."""
    desk.expire()
    request = Release(RequestId(desk.name()), RESERVATION, "cancelled")
    desk.take(metering.release(desk.book, request, desk.reservation, clocks(desk.now)))


def charge(amount: int, *, incurred: bool = False) -> Step:
    """Charge at once."""

    def step(desk: Desk) -> None:
        desk.expire()
        request = ChargeNow(RequestId(desk.name()), ACCOUNT, amount=mc(amount), already_incurred=incurred)
        desk.take(metering.charge_now(desk.book, request, cost(amount), clocks(desk.now), ChargeId("c1"), {}))

    return step


def refund(amount: int | None = None, *, of: str = "c1") -> Step:
    """Refund a charge, or a part of it."""

    def step(desk: Desk) -> None:
        request = RefundCharge(RequestId(desk.name()), ChargeId(of), None if amount is None else mc(amount))
        charged = desk.book.charges[ChargeId(of)]
        desk.take(metering.refund(desk.book, request, charged, clocks(desk.now), RefundId(desk.name())))

    return step


def wait(span: int) -> Step:
    """Let time go by; what is due ends."""

    def step(desk: Desk) -> None:
        desk.now = Instant(desk.now + span)
        desk.expire()

    return step


def become(state: AccountState) -> Step:
    """The account changes its state, by the last answer from the central store."""
    return lambda desk: desk.book.apply(Change(ACCOUNT, account=account(state=state)))


def distrust(desk: Desk) -> None:
    """The lease may not be used any more."""
    desk.book.distrust_leases()


def send(desk: Desk) -> None:
    """The charges are sent to the central store."""
    desk.book.apply(Change(ACCOUNT, charges=tuple(replace(each, sent=True) for each in desk.charges)))


def play(*steps: Step, limit: int = 20) -> Desk:
    """Play some steps on a new book."""
    desk = Desk(limit)
    for step in steps:
        step(desk)
    return desk


@dataclass(frozen=True)
class Case:
    """A row: steps, and where they lead."""

    what: str
    steps: tuple[Step, ...]
    state: str = "HELD"
    held: int = 0
    charged: int = 0
    excess: int = 0
    idle: int = 20
    refusal: type | None = None

    def __str__(self) -> str:
        return self.what


COMMITTED, RELEASED, EXPIRED = "COMMITTED", "RELEASED", "EXPIRED"
LATE = wait(TTL)
MOST, ONE_MORE = commit(MAX_BALANCE, keep_open=True), commit(1, keep_open=True)
BEYOND = MAX_BALANCE + 1

CASES = (
    Case("reserve", (reserve(10),), held=10, idle=10),
    Case("reserve all there is", (reserve(20),), held=20, idle=0),
    Case("reserve nothing", (reserve(0),), held=0, idle=20),
    # Extend.
    Case("extend to more", (reserve(10), extend(15)), held=15, idle=5),
    Case("extend to the same", (reserve(10), extend(10)), held=10, idle=10),
    Case("extend to less is invalid", (reserve(10), extend(9)), held=10, idle=10, refusal=InvalidRequest),
    Case("extend beyond what is idle: the hold stands", (reserve(10), extend(21)), held=10, idle=10, refusal=Short),
    Case("extend counts what is charged", (reserve(10), commit(6, keep_open=True), extend(12)), held=6, charged=6, idle=8),
    Case(
        "extend below charged and held",
        (reserve(10), commit(6, keep_open=True), extend(9)),
        held=4,
        charged=6,
        idle=10,
        refusal=InvalidRequest,
    ),
    Case("extend in the last moment", (reserve(10), wait(IN_TIME), extend(11)), held=11, idle=9),
    Case("extend at the deadline", (reserve(10), LATE, extend(11)), EXPIRED, refusal=ReservationExpired),
    Case("extend after commit", (reserve(10), commit(1), extend(11)), COMMITTED, 0, 1, 0, 19, ReservationCommitted),
    Case("extend after release", (reserve(10), release, extend(11)), RELEASED, refusal=ReservationReleased),
    # Commit: state, held, charged, excess, idle.
    Case("commit below the hold", (reserve(10), commit(7)), COMMITTED, 0, 7, 0, 13),
    Case("commit at the hold", (reserve(10), commit(10)), COMMITTED, 0, 10, 0, 10),
    Case("commit above the hold, from what is idle", (reserve(10), commit(15)), COMMITTED, 0, 15, 0, 5),
    Case("commit all there is", (reserve(10), commit(20)), COMMITTED, 0, 20, 0, 0),
    Case("commit above all there is", (reserve(10), commit(25)), COMMITTED, 0, 25, 5, 0),
    Case("commit nothing", (reserve(10), commit(0)), COMMITTED, 0, 0, 0, 20),
    Case("commit in the last moment", (reserve(10), wait(IN_TIME), commit(7)), COMMITTED, 0, 7, 0, 13),
    Case("commit twice", (reserve(10), commit(7), commit(7)), COMMITTED, 0, 7, 0, 13, ReservationCommitted),
    Case("commit after release", (reserve(10), release, commit(7)), RELEASED, refusal=ReservationReleased),
    Case("commit above the hold on a distrusted lease", (reserve(10), distrust, commit(15)), COMMITTED, 0, 15, 5, 10),
    # A late commit is charged like excess.
    Case("late at the deadline", (reserve(10), LATE, commit(7)), COMMITTED, 0, 7, 0, 13),
    Case("late, beyond what is idle", (reserve(10), LATE, commit(25)), COMMITTED, 0, 25, 5, 0),
    Case("late on a distrusted lease", (reserve(10), distrust, LATE, commit(7)), COMMITTED, 0, 7, 7, 20),
    Case("late of nothing", (reserve(10), LATE, commit(0)), COMMITTED, 0, 0, 0, 20),
    Case("late, keep_open ignored", (reserve(10), LATE, commit(7, keep_open=True)), COMMITTED, 0, 7, 0, 13),
    Case("late, once", (reserve(10), LATE, commit(7), commit(1)), COMMITTED, 0, 7, 0, 13, ReservationCommitted),
    Case("late in the window's last moment", (reserve(10), LATE, wait(LATE_WINDOW - 1), commit(7)), COMMITTED, 0, 7, 7, 20),
    Case("late at the window's end", (reserve(10), LATE, wait(LATE_WINDOW), commit(7)), EXPIRED, refusal=ReservationExpired),
    Case("the window is the deadline's, not the sweep's", (reserve(10), wait(LATE_WINDOW), commit(7)), COMMITTED, 0, 7, 7, 20),
    Case("released after expiry", (reserve(10), LATE, release), EXPIRED, refusal=ReservationExpired),
    Case("released after a late commit", (reserve(10), LATE, commit(7), release), COMMITTED, 0, 7, 0, 13, ReservationCommitted),
    # keep_open.
    Case("keep open below the hold", (reserve(10), commit(4, keep_open=True)), "HELD", 6, 4, 0, 10),
    Case("keep open nothing", (reserve(10), commit(0, keep_open=True)), "HELD", 10, 0, 0, 10),
    Case("keep open until used up", (reserve(10), commit(10, keep_open=True)), "HELD", 0, 10, 0, 10),
    Case("keep open above the hold", (reserve(10), commit(12, keep_open=True)), "HELD", 0, 12, 0, 8),
    Case("keep open, charged as much as a hold may be", (reserve(10), MOST, ONE_MORE), COMMITTED, 0, BEYOND, BEYOND - 20, 0),
    Case("used up, then more", (reserve(10), commit(10, keep_open=True), commit(3)), COMMITTED, 0, 13, 0, 7),
    Case(
        "three commits", (reserve(10), commit(2, keep_open=True), commit(3, keep_open=True), commit(4)), COMMITTED, 0, 9, 0, 11
    ),
    Case("keep open, then release", (reserve(10), commit(4, keep_open=True), release), RELEASED, 0, 4, 0, 16),
    Case("keep open, then expire", (reserve(10), commit(4, keep_open=True), LATE), EXPIRED, 0, 4, 0, 16),
    Case("keep open, expire, late", (reserve(10), commit(4, keep_open=True), LATE, commit(5)), COMMITTED, 0, 9, 0, 11),
    Case(
        "keep open, then extend and use it",
        (reserve(5), commit(5, keep_open=True), extend(9), commit(4)),
        COMMITTED,
        0,
        9,
        0,
        11,
    ),
    # Release.
    Case("release", (reserve(10), release), RELEASED),
    Case("release twice", (reserve(10), release, release), RELEASED, refusal=ReservationReleased),
    Case("release after commit", (reserve(10), commit(3), release), COMMITTED, 0, 3, 0, 17, ReservationCommitted),
    Case("release in the last moment", (reserve(10), wait(IN_TIME), release), RELEASED),
    # Expiry.
    Case("not yet", (reserve(10), wait(IN_TIME)), held=10, idle=10),
    Case("at the deadline", (reserve(10), LATE), EXPIRED),
    Case("at a stated deadline", (reserve(10, Span(SECOND)), wait(SECOND)), EXPIRED),
    Case("pushed: not at the old deadline", (reserve(10), extend(ttl=Span(TTL + 1)), LATE), held=10, idle=10),
    Case("pushed: at the new one", (reserve(10), extend(ttl=Span(TTL + 1)), wait(TTL + 1)), EXPIRED),
    Case("pushed: not forgotten by a sweep before", (reserve(10), extend(ttl=Span(TTL + 1)), LATE, wait(1)), EXPIRED),
    Case("never pulled in", (reserve(10), extend(ttl=Span(SECOND)), wait(IN_TIME)), held=10, idle=10),
    Case("no hold outlives an hour", (reserve(10, Span(2 * HOUR)), wait(HOUR)), EXPIRED),
    Case("not even by extending", (reserve(10, HOUR), wait(HOUR - 1), extend(ttl=HOUR), wait(1)), EXPIRED),
    # The state of the account.
    Case("suspended: open holds commit", (reserve(10), become(AccountState.SUSPENDED), commit(12)), COMMITTED, 0, 12, 0, 8),
    Case("closed: open holds commit", (reserve(10), become(AccountState.CLOSED), commit(7)), COMMITTED, 0, 7, 0, 13),
    Case("closed: late commits too", (reserve(10), become(AccountState.CLOSED), LATE, commit(7)), COMMITTED, 0, 7, 0, 13),
    Case("suspended: open holds are released", (reserve(10), become(AccountState.SUSPENDED), release), RELEASED),
    Case(
        "suspended: no hold is raised",
        (reserve(10), become(AccountState.SUSPENDED), extend(12)),
        held=10,
        idle=10,
        refusal=AccountSuspended,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_reservation(case: Case) -> None:
    """Where the steps of the row lead."""
    desk = play(*case.steps)
    it = desk.reservation
    excess = sum(each.excess for each in desk.charges)
    assert (it.state.value, it.held, it.charged, excess, desk.book.idle_on(next(iter(desk.book.leases.values())))) == (
        case.state,
        case.held,
        case.charged,
        case.excess,
        case.idle,
    )
    assert sum(each.cost for each in desk.charges) == case.charged
    assert it.charge_ids == tuple(each.charge_id for each in desk.charges)
    if case.refusal is None:
        assert desk.decided is None or isinstance(desk.decided, Change)
    else:
        assert isinstance(desk.decided, case.refusal)


def test_a_hold_is_all_or_nothing() -> None:
    """The missing amount is exact, and nothing is held."""
    desk = play(reserve(25))
    assert desk.decided == Short(mc(5))
    assert not desk.book.reservations


@pytest.mark.parametrize(
    ("now", "boot", "missing"),
    [(START, 0, 0), (START, 99, 0), (START, 100, 7), (Instant(at("11 00:00") - 1), 0, 0), (at("11 00:00"), 0, 7)],
)
def test_only_a_live_lease_is_held_on(now: Instant, boot: int, missing: int) -> None:
    """Past its trust or its day a lease authorises nothing, however much is idle on it."""
    it = book(lease(START, 20, trusted_until=Span(100)))
    request = Reserve(RequestId("q"), ACCOUNT, amount=mc(7))
    decided = metering.reserve(it, request, hold(7), clocks(now, boot), RESERVATION, LIMITS)
    assert decided == Short(mc(7)) if missing else isinstance(decided, Change)


def test_the_lease_that_ends_first_is_used_first() -> None:
    """Part by part, each with the moment at which it was authorised."""
    longer = replace(lease(at("11 00:00"), 20), opened_at=START)
    it = book(longer, lease(START, 4))
    request = Reserve(RequestId("q"), ACCOUNT, amount=mc(7))
    decided = metering.reserve(it, request, hold(7), clocks(START), RESERVATION, LIMITS)
    assert isinstance(decided, Change)
    assert decided.reservations[0].parts == (part(4, START), replace(part(3, START), lease_id=longer.lease_id))


def test_parts_keep_the_moment_they_were_authorised() -> None:
    """Extend adds a part, so does excess at commit; the charge uses them oldest first and names the first moment."""
    desk = play(reserve(4), wait(MINUTE), extend(7), wait(MINUTE), commit(9))
    charged = desk.charges[0]
    moments = ((4, START), (3, Instant(START + MINUTE)), (2, Instant(START + 2 * MINUTE)))
    assert charged.parts == tuple(part(amount, moment, opened=START) for amount, moment in moments)
    assert (charged.authorized_at, charged.committed_at) == (START, START + 2 * MINUTE)


def test_commits_of_one_reservation_are_counted() -> None:
    """From 1, the late one too; only that one is flagged late."""
    desk = play(reserve(9), commit(2, keep_open=True), commit(3, keep_open=True), LATE, commit(1))
    assert [(each.commit_number, each.cost, each.late) for each in desk.charges] == [(1, 2, False), (2, 3, False), (3, 1, True)]


def test_what_a_reservation_is_for_stays_with_it() -> None:
    """The price list is pinned at Reserve, the labels go on to the charge, and an extension may name other work."""
    it = book(lease(START, 20))
    first, second = Work("text", input_tokens=1), Work("text", input_tokens=2)
    request = Reserve(RequestId("q"), ACCOUNT, work=first, labels={"team": "search"})
    it.apply(_done(metering.reserve(it, request, Hold(mc(5), "v1", first), clocks(START), RESERVATION, LIMITS)))
    raise_ = Extend(RequestId("e"), RESERVATION, work=second)
    longer = Hold(mc(8), "v2", second)
    it.apply(_done(metering.extend(it, raise_, it.reservations[RESERVATION], longer, clocks(START), LIMITS)))
    held = it.reservations[RESERVATION]
    assert (held.work, held.rate_card_version, held.held) == (second, "v1", 8)
    settle = Commit(RequestId("c"), RESERVATION, amount=mc(6))
    paid = replace(cost(6), exact_credits=Decimal("5.5"))
    done = _done(metering.commit(it, settle, held, paid, clocks(START), ChargeId("c1"), LIMITS))
    assert (done.charges[0].labels, done.charges[0].exact_credits) == ({"team": "search"}, Decimal("5.5"))


def test_the_end_of_an_expired_hold_is_its_deadline() -> None:
    """Whenever the sweep came, and only once for each hold, however often its deadline was pushed."""
    desk = play(reserve(10), extend(ttl=Span(TTL + MINUTE)), extend(ttl=Span(TTL + 2 * MINUTE)))
    due = desk.book.due(Instant(START + HOUR))
    assert [each.reservation_id for each in due] == [RESERVATION]
    ended = metering.expire(desk.book, due).reservations[0]
    assert (ended.state, ended.ended_at) == (ReservationState.EXPIRED, START + TTL + 2 * MINUTE)


def test_nothing_is_decided_about_a_hold_that_is_due() -> None:
    """It has to be ended first: a decision that overlooked its deadline would be a fault."""
    desk = play(reserve(10))
    request = Release(RequestId("q"), RESERVATION)
    with pytest.raises(AssertionError, match="due"):
        metering.release(desk.book, request, desk.reservation, clocks(Instant(START + TTL)))


# Charging at once.


@pytest.mark.parametrize(
    ("what", "steps", "limit", "decided", "excess", "idle"),
    [
        ("within what is idle", (charge(7),), 20, Change, 0, 13),
        ("all of it", (charge(20),), 20, Change, 0, 0),
        ("more than is idle", (charge(21),), 20, Short, 0, 20),
        ("free at balance 0", (charge(0),), 0, Change, 0, 0),
        ("free with nothing trusted", (distrust, charge(0)), 20, Change, 0, 20),
        ("a fact, within what is idle", (charge(7, incurred=True),), 20, Change, 0, 13),
        ("a fact, beyond it", (charge(26, incurred=True),), 20, Change, 6, 0),
        ("a fact, with nothing trusted", (distrust, charge(7, incurred=True)), 20, Change, 7, 20),
        ("suspended", (become(AccountState.SUSPENDED), charge(7)), 20, AccountSuspended, 0, 20),
        ("suspended, free", (become(AccountState.SUSPENDED), charge(0)), 20, AccountSuspended, 0, 20),
        ("closed", (become(AccountState.CLOSED), charge(7)), 20, AccountClosed, 0, 20),
        ("closed, a fact", (become(AccountState.CLOSED), charge(7, incurred=True)), 20, Change, 0, 13),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_charge(what: str, steps: tuple[Step, ...], limit: int, decided: type, excess: int, idle: int) -> None:
    """Reserve and commit in one step; a cost that was incurred is never refused."""
    desk = play(*steps, limit=limit)
    assert isinstance(desk.decided, decided)
    assert sum(each.excess for each in desk.charges) == excess
    assert desk.book.idle_on(next(iter(desk.book.leases.values()))) == idle
    assert len(desk.charges) == (decided is Change)


def test_an_incurred_cost_is_taken_before_the_account_is_known() -> None:
    """A commit is a record of fact: it never waits for the network."""
    request = ChargeNow(RequestId("q"), ACCOUNT, amount=mc(7), already_incurred=True)
    decided = metering.charge_now(Book(ACCOUNT), request, cost(7), clocks(START), ChargeId("c1"), {"team": "search"})
    assert isinstance(decided, Change)
    assert (decided.charges[0].excess, decided.charges[0].labels) == (7, {"team": "search"})


# Refunds that the charge's own sidecar decides.


@pytest.mark.parametrize(
    ("what", "steps", "expected"),
    [
        ("all", (charge(10), refund()), 10),
        ("a part", (charge(10), refund(4)), 4),
        ("the rest after a part", (charge(10), refund(4), refund()), 6),
        ("in parts to the last", (charge(10), refund(4), refund(6)), 6),
        ("beyond", (charge(10), refund(11)), RefundExceedsCharge(mc(10))),
        ("beyond, after a part", (charge(10), refund(4), refund(7)), RefundExceedsCharge(mc(6))),
        ("all, twice", (charge(10), refund(), refund()), RefundExceedsCharge(mc(0))),
        ("a free charge", (charge(0), refund()), RefundExceedsCharge(mc(0))),
        ("a charge that was sent", (charge(10), send, refund()), SettleFirst()),
        ("a charge with excess", (charge(25, incurred=True), refund(1)), SettleFirst()),
        ("of a commit", (reserve(10), commit(7), refund(of="n3")), 7),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_local_refund(what: str, steps: tuple[Step, ...], expected: object) -> None:
    """Decided here until the charge is first sent; whether excess will be covered only the central store knows."""
    desk = play(*steps)
    if isinstance(expected, int):
        assert isinstance(desk.decided, Change)
        assert desk.decided.refunds[0].amount == expected
    else:
        assert desk.decided == expected


def test_a_refund_says_what_was_asked() -> None:
    """Mode, reason, moment and charge are sent to the central store; no credit returns before it has answered."""
    desk = play(charge(10))
    request = RefundCharge(RequestId("q"), ChargeId("c1"), mc(4), RefundMode.GOODWILL, "it was wrong")
    done = _done(metering.refund(desk.book, request, desk.charges[0], clocks(desk.now), RefundId("f1")))
    made = done.refunds[0]
    assert (made.refund_id, made.charge_id, made.mode, made.reason) == ("f1", "c1", RefundMode.GOODWILL, "it was wrong")
    assert (made.refunded_at, made.posting, done.leases) == (START, None, ())


# Limits.


def _limited(of: Book, amount: int, name: str = "q") -> object:
    request = Reserve(RequestId(name), ACCOUNT, amount=mc(amount))
    return metering.reserve(
        of, request, hold(amount), clocks(START), ReservationId(name), replace(LIMITS, max_open_reservations=2)
    )


def test_open_reservations_are_limited() -> None:
    """By the server's default or by the account's own; one that ends makes room."""
    for limit, own in ((2, 0), (1, 1), (3, 3)):
        it = book(lease(START, 20), of=account(max_open_reservations=own))
        for number in range(limit):
            it.apply(_done(_limited(it, 1, f"r{number}")))
        assert _limited(it, 1) == TooManyOpenReservations(limit, LIMITS.retry_after)
        it.apply(metering.expire(it, it.due(Instant(START + TTL))[:1]))
        assert isinstance(_limited(it, 1), Change)


@pytest.mark.parametrize(("amount", "allowed"), [(5, True), (6, False)])
def test_the_amount_of_one_reservation_is_limited(amount: int, allowed: bool) -> None:
    """For holds, extended holds and charges alike; a cost that was incurred is a fact."""
    it = book(lease(START, 20), of=account(max_reservation=5))
    refused = AmountAboveLimit(mc(5), mc(amount))
    decided = _limited(it, amount)
    assert isinstance(decided, Change) if allowed else decided == refused
    it.apply(_done(_limited(it, 1, "r1")))
    longer = Extend(RequestId("e"), RESERVATION, amount=mc(amount))
    extended = metering.extend(it, longer, it.reservations[RESERVATION], hold(amount), clocks(START), LIMITS)
    assert isinstance(extended, Change) if allowed else extended == refused
    for incurred in (False, True):
        request = ChargeNow(RequestId("c"), ACCOUNT, amount=mc(amount), already_incurred=incurred)
        charged = metering.charge_now(it, request, cost(amount), clocks(START), ChargeId("c1"), {})
        assert isinstance(charged, Change) if allowed or incurred else charged == refused


@pytest.mark.parametrize(
    ("state", "refusal"),
    [(AccountState.ACTIVE, None), (AccountState.SUSPENDED, AccountSuspended), (AccountState.CLOSED, AccountClosed)],
)
def test_only_an_active_account_starts_work(state: AccountState, refusal: type | None) -> None:
    """However much is idle."""
    decided = _limited(book(lease(START, 20), of=account(state=state)), 1)
    assert isinstance(decided, refusal or Change)


def _done(decided: object) -> Change:
    assert isinstance(decided, Change)
    return decided
