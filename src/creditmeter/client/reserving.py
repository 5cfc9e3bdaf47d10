"""Asks for a hold. What may be held although nobody hears of it is released in the background."""

import asyncio

from google.protobuf.duration_pb2 import Duration

from creditmeter.client import requests
from creditmeter.client.errors import CreditmeterError, NotImplementedBySidecar
from creditmeter.client.messages import decoded
from creditmeter.client.metering import Metering
from creditmeter.client.request_ids import StepIds
from creditmeter.client.session import Session, insisting, log, to_its_end
from creditmeter.client.values import Reservation
from creditmeter.v1 import metering_pb2


async def reserved(
    session: Session, request: metering_pb2.ReserveRequest, ids: StepIds, metering: Metering | None = None
) -> Reservation:
    """What is reserved, as it stands now; with `metering` it is opened for that. A task of its own asks for it, which a caller
    who is cancelled leaves behind: it releases what may be held.

    Raises:
        CreditmeterError: it was refused, or the sidecar did not answer.
    """
    task = session.keep(_reserved_or_released(session, request, ids, metering))
    try:
        await asyncio.wait({task})
    except BaseException:
        if not task.cancel() and not task.cancelled() and task.exception() is None:  # the answer came at this moment
            await to_its_end(session.begin(lambda: _released_again(session, request, ids)))
        session.given_up_by(request.request_id, task)
        raise
    return task.result()


async def _reserved_or_released(
    session: Session, request: metering_pb2.ReserveRequest, ids: StepIds, metering: Metering | None
) -> Reservation:
    """The reservation as it stands now; if it is cancelled, what is held by then is released."""
    try:
        if metering is None:
            return await _reserved(session, request)
        try:
            return await metering.open()
        except NotImplementedBySidecar:
            return await _reserved(session, request)
    except CreditmeterError as error:
        if error.is_outcome_unknown:
            task = session.begin(lambda: _released_again(session, request, ids))
            session.given_up_by(request.request_id, task)
        raise
    except asyncio.CancelledError:
        await insisting(lambda: _released_again(session, request, ids))
        raise


async def _reserved(session: Session, request: metering_pb2.ReserveRequest) -> Reservation:
    reply = (await session.send(metering_pb2.Mutation(reserve=request))).reserve
    return await _as_it_is(session, reply) if reply.replayed else decoded(Reservation, reply.reservation)


async def _as_it_is(session: Session, reply: metering_pb2.ReserveResponse) -> Reservation:
    """The reservation of a request that was seen before, whose reply is the first one again."""
    asked = metering_pb2.GetReservationRequest(reservation_id=reply.reservation.reservation_id)
    return decoded(Reservation, (await session.read(session.metering.GetReservation, asked)).reservation)


async def _released_again(session: Session, request: metering_pb2.ReserveRequest, ids: StepIds) -> None:
    """Find out what a request holds whose reply was lost, by repeating it without a wait, and release that. A call of which
    something was reported is left to the sidecar, which charges it.
    """
    again = metering_pb2.ReserveRequest()
    again.CopyFrom(request)
    again.wait.CopyFrom(Duration())
    try:
        reply = (await session.send(metering_pb2.Mutation(reserve=again))).reserve
        if reply.replayed and (await _as_it_is(session, reply)).progress is not None:
            return
        reservation_id, reason = reply.reservation.reservation_id, "the caller gave up while it was reserved"
        await session.send(metering_pb2.Mutation(release=requests.release(ids.of("release"), reservation_id, reason)))
    except CreditmeterError as error:
        if error.is_outcome_unknown:
            log.warning("%s may hold credit until its deadline", request.request_id, exc_info=True)
