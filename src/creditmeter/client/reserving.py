"""Asks for a hold. What may be held although nobody hears of it is released in the background."""

import asyncio
from dataclasses import replace

from creditmeter.client import requests
from creditmeter.client.errors import CreditmeterError, NotImplementedBySidecar, ReservationEnded
from creditmeter.client.messages import decoded
from creditmeter.client.metering import Metering
from creditmeter.client.request_ids import StepIds
from creditmeter.client.retrying import waits_for
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
    """The reservation as it stands now. If that is not known, or it is cancelled, what is held by then is released."""
    try:
        if metering is None:
            return await _reserved(session, request)
        try:
            return await metering.open()
        except NotImplementedBySidecar:
            return await _reserved(session, request)
    except _Unread as unread:
        _begin_to_release(session, request, ids)
        raise unread.why from None
    except CreditmeterError as error:
        if error.is_outcome_unknown:
            _begin_to_release(session, request, ids)
        raise
    except asyncio.CancelledError:
        await insisting(lambda: _released_again(session, request, ids))
        raise


class _Unread(Exception):
    """Something may be held, and how it stands could not be read."""

    def __init__(self, why: CreditmeterError) -> None:
        self.why = why


async def _reserved(session: Session, request: metering_pb2.ReserveRequest) -> Reservation:
    reply = (await session.send(metering_pb2.Mutation(reserve=request))).reserve
    if not reply.replayed:
        return decoded(Reservation, reply.reservation)
    try:
        return await _as_it_is(session, reply)
    except CreditmeterError as error:
        raise _Unread(error) from error


async def _as_it_is(session: Session, reply: metering_pb2.ReserveResponse) -> Reservation:
    """The reservation of a request that was seen before, whose reply is the first one again."""
    asked = metering_pb2.GetReservationRequest(reservation_id=reply.reservation.reservation_id)
    return decoded(Reservation, (await session.read(session.metering.GetReservation, asked)).reservation)


def _begin_to_release(session: Session, request: metering_pb2.ReserveRequest, ids: StepIds) -> None:
    session.given_up_by(request.request_id, session.begin(lambda: _released_again(session, request, ids)))


async def _released_again(session: Session, request: metering_pb2.ReserveRequest, ids: StepIds) -> None:
    """Find out what a request holds whose reply was lost, by repeating it, and release that. A call of which something was
    reported is left to the sidecar, which charges it.

    The first one may still wait at the sidecar, for as long as it says. The repetition waits as long, so it is answered when
    the first one has ended. A warning says so if nobody knows what became of it.
    """
    retry, is_held = session.retry, False
    patient = replace(retry, total=max(retry.total, waits_for(request)))
    try:
        reply = (await session.send(metering_pb2.Mutation(reserve=request), patient)).reserve
        is_held = True
        if reply.replayed and (await _as_it_is(session, reply)).progress is not None:
            return
        reservation_id, reason = reply.reservation.reservation_id, "the caller gave up while it was reserved"
        await session.send(metering_pb2.Mutation(release=requests.release(ids.of("release"), reservation_id, reason)))
    except ReservationEnded:
        log.debug("%s had ended before it was given up", request.request_id)
    except CreditmeterError as error:
        if is_held or error.is_retryable or error.is_outcome_unknown:
            log.warning("%s may hold credit until its deadline: %s", request.request_id, error)
