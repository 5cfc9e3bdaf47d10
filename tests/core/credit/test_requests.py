"""Two requests with one id are told apart by the first field in which they differ."""

from collections.abc import Mapping

import pytest

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.requests import (
    ChargeNow,
    Commit,
    Extend,
    RefundCharge,
    Release,
    Request,
    Reserve,
    difference,
)
from creditmeter.core.ids import AccountId, ChargeId, RequestId, ReservationId
from creditmeter.core.instants import SECOND
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work

ID = RequestId("job42")
ACME = AccountId("acme")
RESERVATION = ReservationId("res-1")
FIVE = Microcredits(5)
LABELS: Mapping[str, str] = {"team": "search"}

REQUESTS: tuple[Request, ...] = (
    Reserve(ID, ACME, work=Work("text"), ttl=SECOND, labels=LABELS),
    Extend(ID, RESERVATION, amount=FIVE),
    Commit(ID, RESERVATION, usage=Usage("text", input_tokens=0)),
    Release(ID, RESERVATION, "cancelled"),
    ChargeNow(ID, ACME, amount=FIVE),
    RefundCharge(ID, ChargeId("chg-1"), FIVE),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_a_request_does_not_differ_from_its_copy(request_: Request) -> None:
    """A retry is equal by value, not by identity; labels are compared by what they say."""
    assert difference(request_, replace(request_)) is None
    if isinstance(request_, Reserve):
        assert difference(request_, replace(request_, labels=dict(LABELS))) is None


@pytest.mark.parametrize("first", REQUESTS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("second", REQUESTS, ids=lambda each: type(each).__name__)
def test_requests_of_two_kinds_differ_in_the_rpc(first: Request, second: Request) -> None:
    """The kind of request belongs to what an id stands for."""
    assert difference(first, second) == (None if first is second else "rpc")


RESERVE, EXTEND, COMMIT, RELEASE, CHARGE, REFUND = REQUESTS


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (RESERVE, Reserve(ID, AccountId("other"), work=Work("text"), ttl=SECOND, labels=LABELS), "account_id"),
        (RESERVE, Reserve(ID, ACME, work=Work("image"), ttl=SECOND, labels=LABELS), "work.action"),
        (RESERVE, Reserve(ID, ACME, amount=FIVE, ttl=SECOND, labels=LABELS), "work"),
        (RESERVE, Reserve(ID, ACME, work=Work("text"), labels=LABELS), "ttl"),
        (RESERVE, Reserve(ID, ACME, work=Work("text"), ttl=SECOND, allow_partial=True, labels=LABELS), "allow_partial"),
        (RESERVE, Reserve(ID, ACME, work=Work("text"), ttl=SECOND, labels={"team": "ads"}), "labels"),
        (EXTEND, Extend(ID, ReservationId("res-2"), amount=FIVE), "reservation_id"),
        (EXTEND, Extend(ID, RESERVATION, amount=Microcredits(6)), "amount"),
        (EXTEND, Extend(ID, RESERVATION, amount=FIVE, ttl=SECOND), "ttl"),
        (COMMIT, Commit(ID, RESERVATION, usage=Usage("text")), "usage.input_tokens"),
        (COMMIT, Commit(ID, RESERVATION, usage=Usage("text", input_tokens=0), keep_open=True), "keep_open"),
        (RELEASE, Release(ID, RESERVATION, "failed"), "reason"),
        (CHARGE, ChargeNow(ID, ACME, amount=FIVE, already_incurred=True), "already_incurred"),
        (REFUND, RefundCharge(ID, ChargeId("chg-2"), FIVE), "charge_id"),
        (REFUND, RefundCharge(ID, ChargeId("chg-1")), "amount"),
        (REFUND, RefundCharge(ID, ChargeId("chg-1"), FIVE, RefundMode.GOODWILL), "mode"),
        (REFUND, RefundCharge(ID, ChargeId("chg-1"), FIVE, reason="late"), "reason"),
    ],
)
def test_the_differing_field_is_named(first: Request, second: Request, field: str) -> None:
    """A count of 0 and an unknown one differ too."""
    assert difference(first, second) == field
    assert difference(second, first) == field
