"""The six requests that change something: how each is read, decided and answered, by itself or among others."""

import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple

from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.requests import Done, Receipt
from creditmeter.core.ids import AccountId, AccountKey, account_key, is_id, origin_of
from creditmeter.core.instants import Span
from creditmeter.core.refusals import InvalidRequest, Refusal
from creditmeter.server import metering_requests as read
from creditmeter.server.admission import Admission, caller_of
from creditmeter.server.errors import Context, Problem, abort, allowed, problem_of
from creditmeter.server.faults import problem_of_fault
from creditmeter.server.long_calls import LongCall, LongCalls
from creditmeter.server.replies import charge_message, refund_message, reservation_message
from creditmeter.sidecar.meter import Deciding, Meter
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.v1 import charges_pb2, metering_pb2, reservations_pb2

RPCS: Mapping[str, str] = {
    "reserve": "Reserve",
    "extend": "Extend",
    "commit": "Commit",
    "release": "Release",
    "charge": "Charge",
    "refund": "Refund",
}
"""The RPC that does by itself what a field of `Mutation` asks for."""


class Decided(NamedTuple):
    """The result of one mutation, which may leave once it is durable. `problem` is why it failed."""

    kind: str
    result: metering_pb2.MutationResult
    problem: Problem | None = None


FREEING = frozenset({"commit", "release"})
"""The mutations that free credit: they are refused last."""

Later = Callable[[], Coroutine[Any, Any, Decided]]
"""A mutation that has to wait for the central store."""


class _Way(NamedTuple):
    """How requests of one kind are read, and how their replies are written."""

    read: Callable[[Any], read.Asked | InvalidRequest]
    write: Callable[[Done[Receipt]], Any]


class Mutations:
    """Reads mutations, has the meter decide about them, and writes the replies."""

    def __init__(self, meter: Meter, max_hold_lifetime: Span, long_calls: LongCalls | None = None) -> None:
        self._meter = meter
        self._long_calls = long_calls or LongCalls()
        self.admission = Admission()
        self._ways = {
            "reserve": _Way(lambda message: read.reserve_of(message, max_hold_lifetime), _reserve_response),
            "extend": _Way(read.extend_of, _extend_response),
            "commit": _Way(read.commit_of, _commit_response),
            "release": _Way(read.release_of, _release_response),
            "charge": _Way(read.charge_of, _charge_response),
            "refund": _Way(read.refund_of, _refund_response),
        }

    async def answer(self, kind: str, message: Any, context: Context, credential_id: str = "") -> Any:
        """The reply to a request that came by itself. It is written while what it rests on goes to disk, and leaves after
        that. `credential_id` is what its caller shows.
        """
        way = self._ways[kind]
        request, wait = await allowed(context, way.read(message))
        key = _account_of(kind, message)
        await allowed(context, await self.admission.begin(key, caller_of(context), frees=kind in FREEING))
        try:
            outcome = self._meter.decide(request, context.time_remaining(), wait=wait, credential_id=credential_id)
            if not callable(outcome):
                return await self._answered(way, outcome, context)
        finally:
            self.admission.end(key)
        # What waits for the central store holds up no other call.
        with self._long_calls.place(LongCall.CENTRAL, context) as refusal:
            await allowed(context, refusal)
            decided = await outcome()
        return await self._answered(way, decided, context)

    async def _answered(self, way: _Way, outcome: Outcome, context: Context) -> Any:
        if isinstance(outcome, Refusal):
            await self._meter.durable()
            await abort(context, problem_of(outcome))
        self._meter.hand_over()
        reply = way.write(outcome)
        began = time.perf_counter()
        await self._meter.durable()
        if not outcome.replayed:
            self.admission.wrote(time.perf_counter() - began)
        return reply

    def decide(self, mutation: metering_pb2.Mutation, within: float | None, credential_id: str) -> Decided | Later:
        """Decide about one mutation of several, at once if that is possible; else return what is to be called and awaited. What
        goes wrong is the result. It may leave once `durable` returns. `credential_id` is what its caller shows.
        """
        kind = mutation.WhichOneof("request")
        if kind is None:
            return failed("", problem_of(_NO_REQUEST))
        way = self._ways[kind]
        try:
            asked = way.read(getattr(mutation, kind))
            if isinstance(asked, InvalidRequest):
                return failed(kind, problem_of(asked))
            request, wait = asked
            outcome = self._meter.decide(request, within, wait=wait, credential_id=credential_id)
            return partial(self._later, kind, outcome) if callable(outcome) else self._written(kind, outcome)
        except Exception as error:  # noqa: BLE001 - a mutation that fails does not end those beside it
            return fault(kind, error)

    async def _later(self, kind: str, deciding: Deciding) -> Decided:
        try:
            return self._written(kind, await deciding())
        except Exception as error:  # noqa: BLE001 - as above
            return fault(kind, error)

    def _written(self, kind: str, outcome: Outcome) -> Decided:
        if isinstance(outcome, Refusal):
            return failed(kind, problem_of(outcome))
        return Decided(kind, metering_pb2.MutationResult(**{kind: self._ways[kind].write(outcome)}))

    def hand_over(self) -> None:
        """Have what was decided go to disk at once."""
        self._meter.hand_over()

    @property
    def loads(self) -> int:
        """As `Meter.loads`."""
        return self._meter.loads

    async def durable(self, since: int | None = None) -> None:
        """Wait until all that was decided so far is on disk. `since` is what `loads` was before the first of it was decided, if
        other work went on since then.

        Raises:
            StorageUnavailable: it could not be written, and it is unknown what of it took effect.
        """
        await self._meter.durable(since)


_NO_REQUEST = InvalidRequest((("request", f"is missing: give one of {', '.join(RPCS)}"),))


def failed(kind: str, problem: Problem) -> Decided:
    """The result of a mutation that ended with an error."""
    return Decided(kind, metering_pb2.MutationResult(error=problem.as_status()), problem)


def fault(kind: str, error: Exception) -> Decided:
    """The result of a mutation that met a fault."""
    return failed(kind, problem_of_fault(f"/creditmeter.v1.MeteringService/{RPCS[kind]}", error))


def account_of(mutation: metering_pb2.Mutation) -> AccountKey | None:
    """The key of the account that a mutation is of; None if it names none.

    What is no id is looked at no further: ids that were looked at are kept for a while, and it may be as long as a message.
    """
    kind = mutation.WhichOneof("request")
    return None if kind is None else _account_of(kind, getattr(mutation, kind))


def _account_of(kind: str, message: Any) -> AccountKey | None:
    named = str(getattr(message, _NAMED.get(kind, "reservation_id")))
    if not is_id(named):
        return None
    if _NAMED.get(kind) == "account_id":
        return account_key(AccountId(named))
    origin = origin_of(named)
    return origin.account_key if origin is not None else None


_NAMED: Mapping[str, str] = {"reserve": "account_id", "charge": "account_id", "refund": "charge_id"}
"""The field of a mutation that says which account it is of; of all others it is the reservation."""


def _reserve_response(done: Done[Receipt]) -> metering_pb2.ReserveResponse:
    return metering_pb2.ReserveResponse(reservation=_reservation(done), replayed=done.replayed)


def _extend_response(done: Done[Receipt]) -> metering_pb2.ExtendResponse:
    return metering_pb2.ExtendResponse(reservation=_reservation(done), replayed=done.replayed)


def _commit_response(done: Done[Receipt]) -> metering_pb2.CommitResponse:
    return metering_pb2.CommitResponse(charge=_charge(done), reservation=_reservation(done), replayed=done.replayed)


def _release_response(done: Done[Receipt]) -> metering_pb2.ReleaseResponse:
    return metering_pb2.ReleaseResponse(reservation=_reservation(done), replayed=done.replayed)


def _charge_response(done: Done[Receipt]) -> metering_pb2.ChargeResponse:
    return metering_pb2.ChargeResponse(charge=_charge(done), replayed=done.replayed)


def _refund_response(done: Done[Receipt]) -> metering_pb2.RefundResponse:
    found = done.reply.refund
    assert isinstance(found, Refund), "a refund's receipt has the refund"
    return metering_pb2.RefundResponse(refund=refund_message(found), replayed=done.replayed)


def _reservation(done: Done[Receipt]) -> reservations_pb2.Reservation | None:
    found = done.reply.reservation
    return reservation_message(found) if found else None


def _charge(done: Done[Receipt]) -> charges_pb2.Charge:
    found = done.reply.charge
    assert isinstance(found, Charge), "a charge's receipt has the charge"
    return charge_message(found)
