"""Requests to the meter, in credits of the test's account, and what their replies hold."""

from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Receipt, RefundCharge, Release, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import ChargeId, RequestId
from creditmeter.sidecar.outcomes import Outcome
from tests.sidecar.bench import ACCOUNT, Bench, credits


def receipt(outcome: Outcome) -> Receipt:
    """The receipt of a request that took effect."""
    assert isinstance(outcome, Done), outcome
    return outcome.reply


def reservation(outcome: Outcome) -> Reservation:
    """The reservation in a reply."""
    found = receipt(outcome).reservation
    assert found is not None
    return found


async def reserve(bench: Bench, request_id: str, amount: float, *, within: float | None = None, **more: object) -> Outcome:
    """Reserve an amount of credits."""
    asked = Reserve(RequestId(request_id), ACCOUNT, amount=credits(amount), **more)  # type: ignore[arg-type]  # as the test says
    return await bench.sidecar.meter.answer(asked, within)


async def held(bench: Bench, request_id: str, amount: float, **more: object) -> Reservation:
    """A reservation that was granted."""
    return reservation(await reserve(bench, request_id, amount, **more))  # type: ignore[arg-type]  # as the test says


async def commit(bench: Bench, request_id: str, hold: Reservation, amount: float, *, keep_open: bool = False) -> Outcome:
    """Commit a cost in credits."""
    asked = Commit(RequestId(request_id), hold.reservation_id, amount=credits(amount), keep_open=keep_open)
    return await bench.sidecar.meter.answer(asked)


async def release(bench: Bench, request_id: str, hold: Reservation) -> Outcome:
    """Release a hold."""
    return await bench.sidecar.meter.answer(Release(RequestId(request_id), hold.reservation_id))


async def charge(bench: Bench, request_id: str, amount: float, **more: object) -> Outcome:
    """Charge credits in one step."""
    asked = ChargeNow(RequestId(request_id), ACCOUNT, amount=credits(amount), **more)  # type: ignore[arg-type]  # as the test says
    return await bench.sidecar.meter.answer(asked)


async def refund(bench: Bench, request_id: str, charge_id: ChargeId, amount: float | None = None, **more: object) -> Outcome:
    """Refund credits of a charge; all that is left without an amount."""
    part = None if amount is None else credits(amount)
    asked = RefundCharge(RequestId(request_id), charge_id, part, **more)  # type: ignore[arg-type]  # as the test says
    return await bench.sidecar.meter.answer(asked)


def charge_id(outcome: Outcome) -> ChargeId:
    """The charge in a reply."""
    found = receipt(outcome).charge
    assert found is not None
    return found.charge_id
