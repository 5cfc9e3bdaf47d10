"""MeteringService: for workers."""

from collections.abc import AsyncIterator
from typing import Any

from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, ChargeId, RefundId, ReservationId
from creditmeter.core.instants import Instant, Span
from creditmeter.server import metering_requests as read
from creditmeter.server.access.caller import Caller
from creditmeter.server.access.gate import CREDENTIAL_ID, Gate
from creditmeter.server.errors import Context, abort, allowed
from creditmeter.server.fields import Fields
from creditmeter.server.frames import Frames, too_many
from creditmeter.server.long_calls import LongCall, LongCalls
from creditmeter.server.meter_stream import MeterStreams
from creditmeter.server.mutations import Mutations
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.paging import page_of
from creditmeter.server.pipeline import ANSWER_BYTES, PipelineStream
from creditmeter.server.replies import charge_message, quote_message, refund_message, reservation_message
from creditmeter.server.unread import Room
from creditmeter.server.unread_replies import UnreadReplies
from creditmeter.sidecar.posting_waits import PostingWaits
from creditmeter.sidecar.reader import Reader
from creditmeter.v1 import metering_pb2, metering_pb2_grpc, reservations_pb2


class MeteringService(metering_pb2_grpc.MeteringServiceServicer):
    """Reads each request, passes it to the sidecar, and writes the reply."""

    def __init__(
        self,
        mutations: Mutations,
        frames: Frames,
        meter_streams: MeterStreams,
        streams: OpenStreams,
        gate: Gate,
        reader: Reader,
        posting_waits: PostingWaits,
        unread: UnreadReplies,
        long_calls: LongCalls,
    ) -> None:
        self._mutations = mutations
        self._frames = frames
        self._meter_streams = meter_streams
        self._streams = streams
        self._gate = gate
        self._reader = reader
        self._posting_waits = posting_waits
        self._unread = unread
        self._long_calls = long_calls
        self._room = Room()

    async def Quote(self, request: metering_pb2.QuoteRequest, context: Context) -> metering_pb2.QuoteResponse:
        """The price of work, without holding anything."""
        works, account_id = await allowed(context, read.quote_of(request))
        quotes = await allowed(context, await self._reader.quote(works, account_id))
        return metering_pb2.QuoteResponse(quotes=[quote_message(each, quotes.available) for each in quotes.quotes])

    async def Reserve(self, request: metering_pb2.ReserveRequest, context: Context) -> metering_pb2.ReserveResponse:
        """Hold credit."""
        reply: metering_pb2.ReserveResponse = await self._mutations.answer("reserve", request, context, CREDENTIAL_ID.get())
        return reply

    async def Extend(self, request: metering_pb2.ExtendRequest, context: Context) -> metering_pb2.ExtendResponse:
        """Raise a hold, or move its deadline."""
        reply: metering_pb2.ExtendResponse = await self._mutations.answer("extend", request, context)
        return reply

    async def Commit(self, request: metering_pb2.CommitRequest, context: Context) -> metering_pb2.CommitResponse:
        """Charge the usage of a reserved call."""
        reply: metering_pb2.CommitResponse = await self._mutations.answer("commit", request, context)
        return reply

    async def Release(self, request: metering_pb2.ReleaseRequest, context: Context) -> metering_pb2.ReleaseResponse:
        """Give a hold back."""
        reply: metering_pb2.ReleaseResponse = await self._mutations.answer("release", request, context)
        return reply

    async def Charge(self, request: metering_pb2.ChargeRequest, context: Context) -> metering_pb2.ChargeResponse:
        """Reserve and commit in one step."""
        reply: metering_pb2.ChargeResponse = await self._mutations.answer("charge", request, context, CREDENTIAL_ID.get())
        return reply

    async def Refund(self, request: metering_pb2.RefundRequest, context: Context) -> metering_pb2.RefundResponse:
        """Give back a charge, or a part of it."""
        reply: metering_pb2.RefundResponse = await self._mutations.answer("refund", request, context)
        return reply

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
        posted = None
        if wait > 0:
            with self._long_calls.place(LongCall.CHARGE, context) as refusal:
                await allowed(context, refusal)
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

    async def Batch(self, request: metering_pb2.BatchRequest, context: Context) -> metering_pb2.BatchResponse:
        """Apply mutations in order, each by itself."""
        count = len(request.mutations)
        await allowed(context, too_many(count) or self._unread.refused(context, ANSWER_BYTES * count))
        results = await self._frames.apply(request.mutations, context.time_remaining, Caller(self._gate, context))
        reply = metering_pb2.BatchResponse(results=results)
        self._unread.hold(context, reply.ByteSize())
        return reply

    async def Pipeline(  # type: ignore[override]  # replies are written, not yielded: frames end in any order
        self, request_iterator: AsyncIterator[Any], context: Context
    ) -> None:
        """Apply frames of mutations, until the caller has no more or the server stops."""
        with self._long_calls.place(LongCall.PIPELINE, context) as refusal:
            await allowed(context, refusal)
            stream = PipelineStream(self._frames, self._streams, self._gate, context, self._room)
            problem = await stream.answer(request_iterator)
        if problem is not None:
            await abort(context, problem)

    async def Meter(  # type: ignore[override]  # as above
        self, request_iterator: AsyncIterator[Any], context: Context
    ) -> None:
        """Meter one streamed call."""
        with self._long_calls.place(LongCall.METER, context) as refusal:
            await allowed(context, refusal)
            problem = await self._meter_streams.answer(request_iterator, context)
        if problem is not None:
            await abort(context, problem)
