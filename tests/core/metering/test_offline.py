"""The allowance for an outage of the central store: once an outage, ended by the next answer, charged as excess."""

import pytest

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.leases import Lease
from creditmeter.core.credit.requests import Commit, Release, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import ChargeId, RequestId, ReservationId
from creditmeter.core.instants import DAY, HOUR, SECOND, Instant
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.composing import Envelope, accept, compose, has_idle, has_unfinished
from creditmeter.core.metering.decisions import Limits, Short, commit, release, reserve
from creditmeter.core.metering.offline import allow
from creditmeter.core.values import replace
from tests.core.builders import ACCOUNT, ALWAYS, HERE, Central, account, at, book, clocks, cost, grant, hold, lease, mc

MORNING, SOON, NOON = at("10 09:00"), at("10 09:05"), at("10 12:00")
LIMITS = Limits()
ALLOWING = replace(account(), offline_allowance=mc(5))


def away(it: Book, now: Instant = MORNING, boot: int = 0) -> Lease:
    """The allowance that authorises from this moment on, because the store did not answer."""
    change = allow(it, HERE, clocks(now, boot))
    assert change is not None
    it.apply(change)
    (allowance,) = change.leases
    return allowance


def answered(it: Book, central: Central, seq: int, now: Instant = MORNING) -> None:
    """The central store is back, and answers a message about the account."""
    message, change = compose(it, Envelope(HERE, 1, seq), now, None, give_back=False)
    it.apply(change)
    reply = central.exchange(message, now)
    assert reply is not None
    it.apply(accept(it, message, reply, ALWAYS))


def tried(it: Book, name: str, amount: int, now: Instant = MORNING) -> Reservation | None:
    """A hold of this amount; None if credit for it is lacking."""
    asked = Reserve(RequestId(f"{name}/reserve"), ACCOUNT, amount=mc(amount))
    decided = reserve(it, asked, hold(amount), clocks(now), ReservationId(name), LIMITS)
    if isinstance(decided, Short):
        return None
    assert isinstance(decided, Change)
    it.apply(decided)
    return decided.reservations[0]


def held(it: Book, name: str, amount: int, now: Instant = MORNING) -> Reservation:
    """A hold of this amount."""
    made = tried(it, name, amount, now)
    assert made is not None
    return made


def committed(it: Book, made: Reservation, amount: int, now: Instant = MORNING) -> Charge:
    """The charge for a hold."""
    asked = Commit(RequestId(f"{made.reservation_id}/commit"), made.reservation_id)
    decided = commit(it, asked, made, cost(amount), clocks(now), ChargeId(f"of-{made.reservation_id}"), LIMITS)
    assert isinstance(decided, Change)
    it.apply(decided)
    return decided.charges[0]


# What it allows.


def test_without_an_allowance_nothing_is_allowed() -> None:
    """It is 0 by default, and unknown for an account that the sidecar does not know."""
    for it in (book(), Book(ACCOUNT)):
        assert allow(it, HERE, clocks(MORNING)) is None


def test_it_authorises_so_much_and_no_more() -> None:
    """Once an outage: to ask for it again changes nothing, whatever was used of it."""
    it = book(of=ALLOWING)
    away(it)
    assert it.idle(clocks(MORNING)) == 5
    committed(it, held(it, "a", 3), 3)
    for now in (MORNING, NOON, Instant(MORNING + 3 * DAY)):
        assert allow(it, HERE, clocks(now)) is None
        assert it.idle(clocks(now)) == 2
    held(it, "b", 2, NOON)
    assert tried(it, "c", 1, NOON) is None


def test_leases_are_used_first() -> None:
    """They cost no one anything; only what they lack is taken from the allowance, and only that is excess."""
    it = book(lease(MORNING, 4), of=ALLOWING)
    away(it)
    made = held(it, "a", 6)
    assert [each.amount for each in made.parts] == [4, 2]
    paid = committed(it, made, 6)
    assert (sum(each.amount for each in paid.parts), paid.excess, paid.authorized_at) == (4, 2, MORNING)


@pytest.mark.parametrize(("cost_of_it", "excess"), [(0, 0), (3, 0), (4, 0), (5, 1), (6, 2), (9, 5), (11, 7)])
def test_what_is_spent_on_it_is_excess(cost_of_it: int, excess: int) -> None:
    """The central store never leased it; what a call costs beyond its hold may be taken from it too."""
    it = book(lease(MORNING, 4), of=ALLOWING)
    allowance = away(it)
    paid = committed(it, held(it, "a", 6), cost_of_it)
    assert (paid.cost, paid.excess) == (cost_of_it, excess)
    assert it.leases[allowance.lease_id].spent == min(excess, 5)
    assert it.idle(clocks(MORNING)) == max(0, 9 - cost_of_it)
    message, _ = compose(it, Envelope(HERE, 1, 1), MORNING, None, give_back=True)
    assert [each.lease_id for each in message.leases] == [lease(MORNING, 4).lease_id], "no message names it"
    assert [each.excess for each in message.charges] == [excess]


def test_it_is_no_reason_for_a_message() -> None:
    """Nothing on it is idle credit that could go back, also when a day ends."""
    it = book(of=ALLOWING)
    away(it)
    assert not has_idle(it)
    assert not has_unfinished(it, Instant(MORNING + 3 * DAY))


# Its end.


def test_it_ends_at_the_next_answer() -> None:
    """Holds on it stay good to the last credit, and what they spend is charged as excess."""
    central = Central(ALLOWING, grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    allowance = away(it)
    made = held(it, "a", 3)
    answered(it, central, 1)
    assert it.idle(clocks(MORNING)) == 0
    assert tried(it, "b", 1) is None
    assert (it.held, it.leases[allowance.lease_id].limit) == (3, 3)
    paid = committed(it, made, 3)
    assert (paid.parts, paid.excess) == ((), 3)
    answered(it, central, 2)
    assert (central.posting("of-a").covered, central.remaining()) == (3, {"g": 17})


def test_what_a_hold_leaves_after_the_end_is_gone() -> None:
    """It is neither used for new work nor given back."""
    central = Central(ALLOWING, grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    away(it)
    made = held(it, "a", 3)
    other = held(it, "b", 2)
    answered(it, central, 1)
    committed(it, made, 1)
    released = release(it, Release(RequestId("b/release"), other.reservation_id), other, clocks(MORNING))
    assert isinstance(released, Change)
    it.apply(released)
    assert (it.idle(clocks(MORNING)), it.held, has_idle(it)) == (0, 0, False)
    answered(it, central, 2)
    assert central.available(MORNING) == 19


def test_each_outage_has_its_own() -> None:
    """In full, whatever is still held of the one before."""
    central = Central(ALLOWING, grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    first = away(it)
    made = held(it, "a", 4)
    answered(it, central, 1)
    second = away(it, SOON)
    assert first.lease_id != second.lease_id
    assert it.idle(clocks(SOON)) == 5
    assert committed(it, made, 7, SOON).excess == 7
    assert it.idle(clocks(SOON)) == 2
    answered(it, central, 2, SOON)
    assert it.idle(clocks(SOON)) == 0
    assert central.posting("of-a").covered == 7


def test_a_change_of_the_allowance_counts_from_the_next_outage() -> None:
    """The answer brings it; what the running one allows stays as it was."""
    central = Central(replace(ALLOWING, offline_allowance=mc(9)), grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    away(it)
    answered(it, central, 1)
    assert away(it, NOON).limit == 9


# Restarts.


def restarted(it: Book) -> Book:
    """The book as a new run of the sidecar finds it in the journal."""
    again = Book(ACCOUNT)
    again.apply(
        Change(
            ACCOUNT,
            reservations=tuple(it.reservations.values()),
            charges=tuple(it.charges.values()),
            leases=tuple(it.leases.values()),
            receipts=tuple(it.receipts.values()),
            account=it.account,
        )
    )
    again.distrust_leases()
    return again


def test_a_restart_does_not_renew_it() -> None:
    """Nothing authorises at first; asked for again, the allowance is what was left of it, under its old name."""
    it = book(of=ALLOWING)
    first = away(it)
    committed(it, held(it, "a", 3), 3)
    held(it, "b", 1)
    it = restarted(it)
    assert it.idle(clocks(NOON)) == 0
    assert away(it, NOON).lease_id == first.lease_id
    assert it.idle(clocks(NOON)) == 1
    assert tried(it, "c", 2, NOON) is None


def test_a_restart_after_the_outage_does_not_bring_it_back() -> None:
    """It ended with the answer; the next outage has another one."""
    central = Central(ALLOWING, grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    first = away(it)
    held(it, "a", 3)
    answered(it, central, 1)
    it = restarted(it)
    assert away(it, NOON).lease_id != first.lease_id
    assert it.idle(clocks(NOON)) == 5


def test_it_is_forgotten_when_it_is_over() -> None:
    """As soon as nothing is held on it, and not while it runs."""
    central = Central(ALLOWING, grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    allowance = away(it)
    made = held(it, "a", 3)
    long_after = Instant(MORNING + 30 * DAY)
    it.drop_ended_leases(long_after)
    assert allowance.lease_id in it.leases
    answered(it, central, 1, Instant(MORNING + SECOND))
    it.drop_ended_leases(long_after)
    assert allowance.lease_id in it.leases
    committed(it, made, 2)
    it.drop_ended_leases(Instant(MORNING + HOUR))
    assert allowance.lease_id not in it.leases


def test_two_outages_at_one_reading_of_the_clock() -> None:
    """The wall clock was set back, so the time of day stands still: the second allowance is another one all the same."""
    central = Central(replace(ALLOWING, offline_allowance=mc(2)), grants=[grant("g", 20)])
    it = book(of=ALLOWING)
    first = away(it)
    held(it, "a", 4)
    answered(it, central, 1)
    assert away(it, boot=1).lease_id != first.lease_id
    assert it.idle(clocks(MORNING, 1)) == 2
