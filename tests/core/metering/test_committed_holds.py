"""What commits took off their holds, against what they charged."""

from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.requests import Commit
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import ChargeId, RequestId, ReservationId
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.committed_holds import CommittedHold, committed_hold
from creditmeter.core.metering.decisions import Limits, commit
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Work
from tests.core.builders import at, book, clocks, cost, lease, mc, part, reservation

START = at("10 09:00")
HELD = reservation("r", (part(10, START),), created=START, expires=at("10 10:00"))


def committed(
    before: Reservation, of: Cost, *, keep_open: bool = False, when: str = "10 09:30"
) -> tuple[CommittedHold | None, Reservation]:
    """What a commit takes off the hold, by the rules of the book; and the reservation after it."""
    request = Commit(RequestId("c"), ReservationId("r"), amount=of.amount, keep_open=keep_open)
    of_account = book(lease(START, 20), reservations=(before,))
    change = commit(of_account, request, before, of, clocks(at(when)), ChargeId("c"), Limits())
    assert isinstance(change, Change), change
    (receipt,) = change.receipts
    assert receipt.reservation is not None
    assert receipt.charge is not None
    return committed_hold(before, receipt.reservation, receipt.charge), receipt.reservation


def test_a_commit_takes_all_that_was_held() -> None:
    """What it charged, and what it gave back."""
    assert committed(HELD, cost(4))[0] == CommittedHold(None, mc(10), mc(4))
    of_work = replace(HELD, work=Work("text"))
    assert committed(of_work, cost(0))[0] == CommittedHold("text", mc(10), mc(0))


def test_commits_of_one_reservation_add_up_to_its_hold() -> None:
    """One that leaves it open takes what it charges: 3 + 7 of 10."""
    first, after = committed(HELD, cost(3), keep_open=True)
    assert first == CommittedHold(None, mc(3), mc(3))
    last, _ = committed(after, cost(5))
    assert last == CommittedHold(None, mc(7), mc(5))


def test_more_than_was_held_is_beyond_it() -> None:
    """By a microcredit."""
    for amount, exceeds in ((10, False), (11, True)):
        found, _ = committed(HELD, cost(amount))
        assert found is not None
        assert (found.held, found.charged, found.is_exceeded) == (10, amount, exceeds)


def test_a_late_commit_has_no_hold() -> None:
    """It ended at the deadline."""
    expired = HELD.end(ReservationState.EXPIRED, at("10 10:00"))
    assert committed(expired, cost(4), when="10 10:01")[0] is None


def test_an_estimate_says_nothing_of_what_was_used() -> None:
    """It is charged at the bound."""
    estimated = replace(cost(10), flags=(ChargeFlag.ESTIMATED,))
    assert committed(HELD, estimated)[0] is None
