"""Requests that come again."""

from creditmeter.core.credit.requests import Commit, Receipt, Release, Request, Reserve
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import ChargeId, RequestId, ReservationId
from creditmeter.core.instants import MINUTE, Instant
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.decisions import Limits, commit, reserve
from creditmeter.core.metering.replays import replay
from creditmeter.core.refusals import RequestIdReused
from creditmeter.core.values import replace
from tests.core.builders import ACCOUNT, at, book, clocks, cost, hold, lease, mc

START = at("10 09:00")
LATER = Instant(START + MINUTE)
LIMITS = Limits()
RESERVATION = ReservationId("r1")
RESERVE = Reserve(RequestId("reserve"), ACCOUNT, amount=mc(10))
COMMIT = Commit(RequestId("commit"), RESERVATION, amount=mc(7))


def reserved() -> tuple[Book, Receipt]:
    """A book of 20 microcredits after `RESERVE`, and its receipt."""
    it = book(lease(START, 20))
    return it, taken(it, reserve(it, RESERVE, hold(10), clocks(START), RESERVATION, LIMITS))


def committed(it: Book) -> Receipt:
    """The receipt of `COMMIT`, a minute later."""
    held = it.reservations[RESERVATION]
    return taken(it, commit(it, COMMIT, held, cost(7), clocks(LATER), ChargeId("c1"), LIMITS))


def taken(it: Book, decided: object) -> Receipt:
    """The receipt of a decision that the book takes over."""
    assert isinstance(decided, Change)
    it.apply(decided)
    (receipt,) = decided.receipts
    return receipt


def again(it: Book, request: Request) -> Receipt | RequestIdReused | None:
    """What a request gets that is sent with the id of one in the book, or with another one."""
    return replay(it.receipts.get(request.request_id), request)


def test_a_repeated_request_gets_its_first_reply() -> None:
    """Whatever became of the reservation since; a request that was refused leaves nothing, and may succeed later."""
    it, first = reserved()
    committed(it)
    assert it.reservations[RESERVATION].state is ReservationState.COMMITTED
    assert again(it, replace(RESERVE)) is first
    assert first.reservation is not None
    assert first.reservation.state is ReservationState.HELD
    assert again(it, Reserve(RequestId("later"), ACCOUNT, amount=mc(99))) is None


def test_another_request_with_the_same_id_is_refused_with_the_field() -> None:
    """The id is one namespace over all requests of an account."""
    it, _ = reserved()
    assert again(it, replace(RESERVE, amount=mc(11))) == RequestIdReused("amount")
    assert again(it, Release(RESERVE.request_id, RESERVATION)) == RequestIdReused("rpc")
    assert again(it, Release(RequestId("other"), RESERVATION)) is None


def test_a_retried_commit_replays() -> None:
    """It does not fail as already committed: receipts are looked at before the state is."""
    it, _ = reserved()
    receipt = committed(it)
    assert again(it, replace(COMMIT)) is receipt
    assert receipt.charge == it.charges[ChargeId("c1")]
    assert receipt.reservation == it.reservations[RESERVATION]
