"""MeteringService: for workers."""

from collections.abc import Callable
from typing import Generic, TypeVar

from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.requests import Done, Receipt
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, ChargeId, RefundId, ReservationId
from creditmeter.core.instants import Instant, Span
from creditmeter.server import metering_requests as read
from creditmeter.server.errors import Context, allowed
from creditmeter.server.fields import Fields
from creditmeter.server.paging import page_of
from creditmeter.server.replies import charge_message, quote_message, refund_message, reservation_message
from creditmeter.sidecar.meter import Meter
from creditmeter.sidecar.posting_waits import PostingWaits
from creditmeter.sidecar.reader import Reader
from creditmeter.v1 import charges_pb2, metering_pb2, metering_pb2_grpc, reservations_pb2

_Message = TypeVar("_Message")


class MeteringService(metering_pb2_grpc.MeteringServiceServicer):
    """Reads each request, passes it to the sidecar, and writes the reply.

    A method of the contract that is not defined here answers NOT_IMPLEMENTED.
    """

    def __init__(self, meter: Meter, reader: Reader, posting_waits: PostingWaits, max_hold_lifetime: Span) -> None:
        self._meter = meter
        self._posting_waits = posting_waits
        self._reader = reader
        self._max_hold_lifetime = max_hold_lifetime

    async def Quote(self, request: metering_pb2.QuoteRequest, context: Context) -> metering_pb2.QuoteResponse:
        """The price of work, without holding anything."""
        works, account_id = await allowed(context, read.quote_of(request))
        quotes = await allowed(context, await self._reader.quote(works, account_id))
        return metering_pb2.QuoteResponse(quotes=[quote_message(each, quotes.available) for each in quotes.quotes])

    async def Reserve(self, request: metering_pb2.ReserveRequest, context: Context) -> metering_pb2.ReserveResponse:
        """Hold credit."""
        asked, wait = await allowed(context, read.reserve_of(request, self._max_hold_lifetime))
        reply = _Reply(_reserve_response)
        await allowed(context, await self._meter.reserve(asked, context.time_remaining(), reply, wait=wait))
        return reply.message

    async def Extend(self, request: metering_pb2.ExtendRequest, context: Context) -> metering_pb2.ExtendResponse:
        """Raise a hold, or move its deadline."""
        asked, wait = await allowed(context, read.extend_of(request))
        reply = _Reply(_extend_response)
        await allowed(context, await self._meter.extend(asked, context.time_remaining(), reply, wait=wait))
        return reply.message

    async def Commit(self, request: metering_pb2.CommitRequest, context: Context) -> metering_pb2.CommitResponse:
        """Charge the usage of a reserved call."""
        asked = await allowed(context, read.commit_of(request))
        reply = _Reply(_commit_response)
        await allowed(context, await self._meter.commit(asked, reply))
        return reply.message

    async def Release(self, request: metering_pb2.ReleaseRequest, context: Context) -> metering_pb2.ReleaseResponse:
        """Give a hold back."""
        asked = await allowed(context, read.release_of(request))
        reply = _Reply(_release_response)
        await allowed(context, await self._meter.release(asked, reply))
        return reply.message

    async def Charge(self, request: metering_pb2.ChargeRequest, context: Context) -> metering_pb2.ChargeResponse:
        """Reserve and commit in one step."""
        asked, wait = await allowed(context, read.charge_of(request))
        reply = _Reply(_charge_response)
        await allowed(context, await self._meter.charge(asked, context.time_remaining(), reply, wait=wait))
        return reply.message

    async def Refund(self, request: metering_pb2.RefundRequest, context: Context) -> metering_pb2.RefundResponse:
        """Give back a charge, or a part of it."""
        asked = await allowed(context, read.refund_of(request))
        done = await allowed(context, await self._meter.refund(asked))
        return metering_pb2.RefundResponse(refund=_refund(done), replayed=done.replayed)

    async def GetReservation(
        self, request: metering_pb2.GetReservationRequest, context: Context
    ) -> metering_pb2.GetReservationResponse:
        """A reservation of this sidecar."""
        fields = Fields(request)
        name = fields.id("reservation_id", ReservationId)
        found = await allowed(context, fields.refusal or await self._reader.reservation(name))
        return metering_pb2.GetReservationResponse(reservation=reservation_message(found))

    async def GetCharge(self, request: metering_pb2.GetChargeRequest, context: Context) -> metering_pb2.GetChargeResponse:
        """A charge of any sidecar."""
        fields = Fields(request)
        name, wait = fields.id("charge_id", ChargeId), fields.wait() or Span(0)
        await allowed(context, fields.refusal)
        posted = await self._posting_waits.posted(name, wait, context.time_remaining())
        found = await allowed(context, await self._reader.charge(name)) if posted is None else posted
        return metering_pb2.GetChargeResponse(charge=charge_message(found))

    async def GetRefund(self, request: metering_pb2.GetRefundRequest, context: Context) -> metering_pb2.GetRefundResponse:
        """A refund of any sidecar."""
        fields = Fields(request)
        name = fields.id("refund_id", RefundId)
        found = await allowed(context, fields.refusal or await self._reader.refund(name))
        return metering_pb2.GetRefundResponse(refund=refund_message(found))

    async def ListReservations(
        self, request: metering_pb2.ListReservationsRequest, context: Context
    ) -> metering_pb2.ListReservationsResponse:
        """The reservations of this sidecar, newest first."""
        fields = Fields(request)
        account_id = fields.id_if_set("account_id", AccountId)
        state = fields.enum("state", reservations_pb2.ReservationState, ReservationState)
        asked = await allowed(context, page_of(fields, request, tuple[Instant, ReservationId]))
        found = await self._reader.reservations(account_id, state, asked.limit, asked.after)
        reservations, token = asked.page(found, reservation_message, lambda each: (each.created_at, each.reservation_id))
        return metering_pb2.ListReservationsResponse(reservations=reservations, next_page_token=token)


class _Reply(Generic[_Message]):
    """A reply that is written while what it rests on goes to disk. It is sent after that."""

    message: _Message

    def __init__(self, write: Callable[[Done[Receipt]], _Message]) -> None:
        self._write = write

    def __call__(self, done: Done[Receipt]) -> None:
        self.message = self._write(done)


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


def _reservation(done: Done[Receipt]) -> reservations_pb2.Reservation | None:
    found = done.reply.reservation
    return reservation_message(found) if found else None


def _charge(done: Done[Receipt]) -> charges_pb2.Charge:
    found = done.reply.charge
    assert isinstance(found, Charge), "a charge's receipt has the charge"
    return charge_message(found)


def _refund(done: Done[Receipt]) -> charges_pb2.Refund:
    found = done.reply.refund
    assert isinstance(found, Refund), "a refund's receipt has the refund"
    return refund_message(found)
