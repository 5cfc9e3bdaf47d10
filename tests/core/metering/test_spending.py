"""Daily limits of credentials: what they let through, and what is counted against them."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.access import DailyLimit
from creditmeter.core.amounts import MAX_BALANCE
from creditmeter.core.credit.charges import Posting
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, Release, Reserve
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, ChargeId, RequestId, ReservationId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant, Span
from creditmeter.core.metering import decisions as metering
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.metering.spending import NOBODY, Spender, Spending, Spent
from creditmeter.core.refusals import DailyLimitExceeded
from creditmeter.core.values import replace
from creditmeter.forms.spending import SPENT
from tests.core.builders import account, at, book, charge, clocks, cost, hold, lease, mc

NOON = at("10 12:00")
LIMITS = Limits()
WORKER = DailyLimit("worker", mc(20))
MOST = {"a": DailyLimit("a", mc(20)), "b": DailyLimit("b", mc(7)), "c": None}
"""The limits of three credentials."""


@dataclass
class Desk:
    """Two accounts with plenty of credit, on which requests are decided as a meter decides them."""

    now: Instant = NOON
    spending: Spending = field(default_factory=Spending)
    beyond: Counter[str] = field(default_factory=Counter)
    """What facts cost today that no hold had room for, by credential."""

    def __post_init__(self) -> None:
        self.books = [Book(AccountId("acme")), Book(AccountId("bolt"))]
        self._count = 0
        self.pass_time(0)

    def name(self) -> str:
        """A new name."""
        self._count += 1
        return f"n{self._count}"

    def pass_time(self, span: int) -> None:
        """Let time pass. What is due ends, and each day has a lease."""
        if self.now // DAY != (self.now + span) // DAY:
            self.beyond.clear()
        self.now = Instant(self.now + span)
        todays = lease(Instant(self.now // DAY * DAY), 1_000)
        for each in self.books:
            self.take(each, metering.expire(each, each.due(self.now)))
            if todays.lease_id not in each.leases:
                self.take(each, Change(each.account_id, leases=(todays,), account=account()))

    def take(self, where: Book, decided: object) -> bool:
        """Take over a decision. Returns whether it changes anything."""
        if isinstance(decided, Change):
            self.spending.note(where, decided)
            where.apply(decided)
        return isinstance(decided, Change)

    def spender(self, credential_id: str) -> Spender:
        """A credential as it is now."""
        return Spender(credential_id, MOST.get(credential_id), self.spending.used(credential_id, self.now))

    def reserve(self, where: Book, credential_id: str, amount: int) -> object:
        """Hold an amount."""
        asked = Reserve(RequestId(self.name()), where.account_id, amount=mc(amount))
        made, moment = ReservationId(self.name()), clocks(self.now)
        return metering.reserve(where, asked, hold(amount), moment, made, LIMITS, self.spender(credential_id))

    def charge(self, where: Book, credential_id: str, amount: int, *, incurred: bool) -> object:
        """Charge an amount at once."""
        asked = ChargeNow(RequestId(self.name()), where.account_id, amount=mc(amount), already_incurred=incurred)
        made, moment = ChargeId(self.name()), clocks(self.now)
        if incurred:
            self.beyond[credential_id] += amount
        return metering.charge_now(where, asked, cost(amount), moment, made, {}, self.spender(credential_id))

    def extend(self, where: Book, one: Reservation, amount: int) -> object:
        """Raise a hold by an amount."""
        wanted = amount + one.charged + one.held
        asked = Extend(RequestId(self.name()), one.reservation_id, amount=mc(wanted))
        return metering.extend(where, asked, one, hold(wanted), clocks(self.now), LIMITS, self.spender(one.credential_id))

    def commit(self, where: Book, one: Reservation, amount: int, *, keep_open: bool = False) -> object:
        """Charge an amount of a hold."""
        asked = Commit(RequestId(self.name()), one.reservation_id, amount=mc(amount), keep_open=keep_open)
        decided = metering.commit(where, asked, one, cost(amount), clocks(self.now), ChargeId(self.name()), LIMITS)
        if isinstance(decided, Change):
            self.beyond[one.credential_id] += max(0, amount - one.held)
        return decided

    def release(self, where: Book, one: Reservation) -> object:
        """Give a hold back."""
        return metering.release(where, Release(RequestId(self.name()), one.reservation_id), one, clocks(self.now))

    def counted(self, credential_id: str) -> int:
        """What was charged on a credential today, and what it holds, added up one by one."""
        today = [each for one in self.books for each in one.charges.values() if each.committed_at // DAY == self.now // DAY]
        held = [each.held for one in self.books for each in one.reservations.values() if each.credential_id == credential_id]
        return sum(held) + sum(each.cost for each in today if each.credential_id == credential_id)


STEPS = st.tuples(
    st.sampled_from(["reserve", "charge", "incurred", "extend", "commit", "part", "release", "minutes", "hours"]),
    st.sampled_from([0, 1]),
    st.sampled_from([*MOST, ""]),
    st.integers(0, 12),
    st.integers(0, 5),
)


@given(st.lists(STEPS, max_size=60))
def test_no_order_of_requests_passes_a_limit(steps: list[tuple[str, int, str, int, int]]) -> None:
    """Of several credentials on two accounts, over days: what is spent and held is as it adds up one by one, and is beyond the
    limit by no more than incurred costs were beyond their holds.
    """
    desk = Desk()
    for kind, account_number, credential_id, amount, which in steps:
        where = desk.books[account_number]
        there = list(where.reservations.values())
        decided: object = None
        match kind:
            case "minutes" | "hours":
                desk.pass_time(amount * (MINUTE if kind == "minutes" else HOUR))
            case "reserve":
                decided = desk.reserve(where, credential_id, amount)
            case "charge" | "incurred":
                decided = desk.charge(where, credential_id, amount, incurred=kind == "incurred")
            case _ if not there:
                continue
            case "extend" if there[which % len(there)].state is ReservationState.HELD:
                decided = desk.extend(where, there[which % len(there)], amount)
            case "commit" | "part":
                decided = desk.commit(where, there[which % len(there)], amount, keep_open=kind == "part")
            case _:
                decided = desk.release(where, there[which % len(there)])
        desk.take(where, decided)
        for each in (*MOST, ""):
            used, limit = desk.counted(each), MOST.get(each)
            assert each == "" or desk.spending.used(each, desk.now) == used
            assert limit is None or used <= limit.amount + desk.beyond[each]


def test_a_refusal_says_what_is_left_and_until_when() -> None:
    """What is spent and what is held both count; exactly what is left may be had."""
    desk = Desk()
    one = desk.books[0]
    assert desk.take(one, desk.charge(one, "a", 5, incurred=False))
    assert desk.take(one, desk.reserve(desk.books[1], "a", 12))
    refused = desk.reserve(one, "a", 4)
    assert refused == DailyLimitExceeded("a", mc(20), mc(4), mc(3), at("11 00:00"), Span(12 * HOUR))
    assert desk.charge(one, "a", 4, incurred=False) == refused
    assert desk.take(one, desk.reserve(one, "a", 3))
    assert isinstance(desk.reserve(one, "a", 1), DailyLimitExceeded)
    assert desk.take(one, desk.reserve(one, "a", 0)), "what is free needs nothing"
    assert desk.take(one, desk.reserve(one, "b", 7)), "each has a limit of its own"


def test_facts_are_never_refused_and_count() -> None:
    """A commit beyond its hold, and a charge of a cost that was incurred. Nothing is left afterwards, not less."""
    desk = Desk()
    one = desk.books[0]
    assert desk.take(one, desk.reserve(one, "b", 5))
    (held,) = one.reservations.values()
    assert desk.take(one, desk.commit(one, held, 9))
    assert desk.take(one, desk.charge(one, "b", 100, incurred=True))
    refused = desk.reserve(one, "b", 1)
    assert isinstance(refused, DailyLimitExceeded)
    assert (refused.available, desk.spending.used("b", desk.now)) == (0, 109)


@pytest.mark.parametrize("ends", ["commit", "release", "expire"])
def test_what_ends_frees_what_it_did_not_use(ends: str) -> None:
    """However it ends."""
    desk = Desk()
    one = desk.books[0]
    assert desk.take(one, desk.reserve(one, "b", 7))
    (held,) = one.reservations.values()
    if ends == "expire":
        desk.pass_time(LIMITS.default_ttl)
    else:
        assert desk.take(one, desk.commit(one, held, 2) if ends == "commit" else desk.release(one, held))
    assert desk.spending.used("b", desk.now) == (2 if ends == "commit" else 0)


def test_a_hold_of_yesterday_counts_today() -> None:
    """While it is open, and what it is charged. What was charged before midnight does not."""
    desk = Desk(Instant(at("11 00:00") - MINUTE))
    one = desk.books[0]
    assert desk.take(one, desk.charge(one, "b", 3, incurred=False))
    assert desk.take(one, desk.reserve(one, "b", 4))
    (held,) = one.reservations.values()
    desk.pass_time(MINUTE)
    assert desk.spending.used("b", desk.now) == 4
    assert isinstance(desk.reserve(one, "b", 4), DailyLimitExceeded)
    assert desk.take(one, desk.commit(one, held, 4))
    assert desk.spending.used("b", desk.now) == 4
    assert desk.take(one, desk.reserve(one, "b", 3))


def test_an_extend_counts_for_who_opened_the_hold() -> None:
    """Only what it adds. A deadline that is pushed asks for nothing."""
    desk = Desk()
    one = desk.books[0]
    assert desk.take(one, desk.reserve(one, "b", 5))
    (held,) = one.reservations.values()
    refused = desk.extend(one, held, 3)
    assert isinstance(refused, DailyLimitExceeded)
    assert (refused.required, refused.available) == (3, 2)
    assert desk.take(one, desk.extend(one, held, 2))
    (held,) = one.reservations.values()
    longer = Extend(RequestId("e"), held.reservation_id, ttl=Span(HOUR))
    assert isinstance(metering.extend(one, longer, held, None, clocks(desk.now), LIMITS, desk.spender("b")), Change)


def test_a_charge_that_is_sent_or_posted_counts_once() -> None:
    """It is in further changes then."""
    made = replace(charge("c", excess=5, committed=NOON), credential_id="a")
    posted = Posting(NOON, covered=mc(5), debt=mc(0), uncovered=mc(0), refunded=mc(0), draws=())
    it, spending = book(), Spending()
    for each in (made, replace(made, sent=True), replace(made, sent=True, posting=posted)):
        change = Change(it.account_id, charges=(each,))
        spending.note(it, change)
        it.apply(change)
    assert spending.used("a", NOON) == 5


def spend_on(spending: Spending, day: int, amount: int) -> None:
    """Charge an amount on a day, so many days from now on."""
    made = charge("c", excess=amount, committed=Instant(NOON + day * DAY))
    spending.charge(replace(made, credential_id="a"))


def used_on(spending: Spending, day: int) -> int:
    """What counts on a day, so many days from now on."""
    return spending.used("a", Instant(NOON + day * DAY))


def test_each_charge_counts_for_its_own_day() -> None:
    """Also while a clock is ahead over midnight and comes back: the day goes on with what was spent on it, whatever was asked
    meanwhile.
    """
    spending = Spending()
    spend_on(spending, 0, 5)
    assert used_on(spending, 1) == 0
    assert used_on(spending, 0) == 5
    spend_on(spending, 1, 3)
    spend_on(spending, 0, 1)
    assert [used_on(spending, each) for each in (-1, 0, 1, 2)] == [0, 6, 3, 0]


@pytest.mark.parametrize(
    ("days", "kept"),
    [((0, 1, 2), {1: 1, 2: 1}), ((5, 6, 0, 0), {6: 1, 0: 2}), ((5, 0, 5, 1), {5: 2, 1: 1}), ((0, 5, 0, 6, 0), {6: 1, 0: 3})],
)
def test_the_days_that_were_charged_last_are_kept(days: tuple[int, ...], kept: dict[int, int]) -> None:
    """However far a clock was ahead, the running day is one of them. After a restart they are the same."""
    spending, again = Spending(), Spending()
    for each in days:
        spend_on(spending, each, 1)
        spend_on(again, each, 1)
        again = Spending(SPENT.decode(SPENT.encode(again.spent)))
        assert again.spent == spending.spent
    assert {each: used_on(spending, each) for each in range(7) if used_on(spending, each)} == kept


def test_a_sum_has_a_bound() -> None:
    """Of incurred costs there may be any number, and each sum is stored as a number of 64 bits."""
    spending = Spending(Spent({NOON // DAY: {"a": MAX_BALANCE - 1}}))
    spend_on(spending, 0, 5)
    assert used_on(spending, 0) == MAX_BALANCE
    assert SPENT.decode(SPENT.encode(spending.spent)) == spending.spent


def test_nobody_has_no_limit() -> None:
    """Without a credential, and with one that has no limit."""
    assert NOBODY.refusal_of(10**18, NOON) is None
    assert Spender("a", None, mc(10**18)).refusal_of(10**18, NOON) is None
    assert Spender("a", WORKER, mc(30)).left == 0
