"""The life of one hold: reserved, perhaps extended, and committed or released once.

A commit and a release are tasks of their own: who is cancelled stops waiting for them, and they come to their end. The block is
left only then. What is done when it is left otherwise, `ending.py` decides.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from creditmeter.client import requests
from creditmeter.client.ending import Ending, Outcome, ending
from creditmeter.client.errors import (
    CreditmeterError,
    InvalidRequest,
    NotFound,
    Problem,
    ReservationCommitted,
    ReservationElsewhere,
    ReservationEnded,
    ReservationReleased,
)
from creditmeter.client.known import as_partial, estimate
from creditmeter.client.messages import decoded
from creditmeter.client.request_ids import StepIds
from creditmeter.client.retrying import Retry
from creditmeter.client.session import Session, insisting, log, to_its_end
from creditmeter.client.values import Charge, Reservation, Usage
from creditmeter.client.words import ReservationState
from creditmeter.v1 import metering_pb2

_Result = TypeVar("_Result")

MOST_TURNS = 100
"""How often a job whose hold was released may be run again under the same id."""

BRIEF = Retry(total=2, longest_delay=0.25, attempt=2)
"""For the release of a hold whose block was left: if it fails, the hold ends at its deadline. In seconds."""

_MOST_ENDINGS = 3
"""A commit that is sent again, then what is known since, or an estimate where that is refused."""

_GONE = (ReservationEnded, ReservationElsewhere, NotFound)
"""After these nothing more can be done with a hold."""


class Holding:
    """A hold and what is known of it. `session` gives that of the running loop."""

    def __init__(self, session: Callable[[], Session], request: metering_pb2.ReserveRequest, ids: StepIds) -> None:
        self._session = session
        self._request = request
        self._ids = ids
        self._outcome = Outcome.OPEN
        self._unanswered: metering_pb2.CommitRequest | None = None
        self._commits = 0
        self._extends = 0
        self._under_way: set[asyncio.Task[object]] = set()
        self._one_at_a_time = asyncio.Lock()
        self.reservation: Reservation | None = None
        self.is_dispatched = False
        self.known: Usage | None = None

    async def begin(self) -> None:
        """Hold the credit. A job that is run again goes on with the hold that it has, or gets another if that was given back.

        Raises:
            ReservationCommitted: the job was charged already.
            CreditmeterError: the sidecar refused or did not answer.
        """
        session = self._session()
        for _ in range(MOST_TURNS):
            self._request.request_id = self._ids.of("reserve")
            await session.given_up(self._request.request_id)
            found = await self._reserved(session)
            if found.state is ReservationState.COMMITTED:
                raise ReservationCommitted(_charged_already(self._ids.job_id, found))
            if found.state is ReservationState.HELD:
                self.reservation, self._commits = found, len(found.charge_ids)
                return
            self._ids = self._ids.next()
        raise ReservationReleased(_too_many_turns(self._ids.job_id))

    async def extend(self, request: metering_pb2.ExtendRequest) -> Reservation:
        """Raise the hold or push its deadline. The id of the request is set here."""
        request.request_id = self._ids.of("extend", self._extends + 1)
        try:
            result = await self._session().send(metering_pb2.Mutation(extend=request))
        except CreditmeterError as error:
            self._extends += not error.is_outcome_unknown
            raise
        self._extends += 1
        if request.WhichOneof("bound") == "work":
            self._request.work.CopyFrom(request.work)
        self.reservation = decoded(Reservation, result.extend.reservation)
        return self.reservation

    async def commit(self, cost: Usage | int, *, keep_open: bool) -> Charge:
        """Charge the hold, and wait until that is done; it is done although the waiting one is cancelled."""
        step = self._ids.of("commit", self._commits + 1) if keep_open else self._ids.of("commit")
        request = requests.commit(step, self._reservation_id, cost, keep_open=keep_open)
        return await self._done(lambda: self._commit(request))

    async def release(self, reason: str) -> None:
        """Give the hold back, in the same way."""
        await self._done(lambda: self._release(reason, self._session().retry))

    async def leave(self, *, failed: bool) -> bool:
        """End the hold as its block is left, and return whether the caller was cancelled meanwhile. It raises nothing."""
        was_cancelled = False
        for task in tuple(self._under_way):
            was_cancelled |= await to_its_end(task)
        for _ in range(_MOST_ENDINGS):
            what = ending(self._outcome, dispatched=self.is_dispatched, reported=self.known is not None, failed=failed)
            if what is Ending.NOTHING:
                break
            task = self._session().begin(lambda what=what: self._end(what))  # type: ignore[misc]  # of this round
            was_cancelled |= await to_its_end(task)
            if not task.result():
                break
        return was_cancelled

    @property
    def _reservation_id(self) -> str:
        assert self.reservation is not None, "the hold was begun"
        return self.reservation.reservation_id

    async def _reserved(self, session: Session) -> Reservation:
        """What is reserved, as it stands now. A task of its own asks for it, which a caller who is cancelled leaves behind: it
        releases what may be held although nobody hears of it.
        """
        request = metering_pb2.ReserveRequest()
        request.CopyFrom(self._request)
        task = session.keep(_reserved_or_released(session, request, self._ids))
        try:
            await asyncio.wait({task})
        except BaseException:
            if not task.cancel() and not task.cancelled() and task.exception() is None:  # the answer came at this moment
                await to_its_end(session.begin(lambda: _released_again(session, request, self._ids)))
            session.given_up_by(request.request_id, task)
            raise
        return task.result()

    async def _done(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        async def alone() -> _Result:
            async with self._one_at_a_time:
                return await work()

        task = self._session().begin(alone)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.wait({task})
        return task.result()

    async def _commit(self, request: metering_pb2.CommitRequest) -> Charge:
        try:
            reply = (await self._session().send(metering_pb2.Mutation(commit=request))).commit
        except CreditmeterError as error:
            if error.is_outcome_unknown:
                self._outcome, self._unanswered = Outcome.UNKNOWN, request
            elif isinstance(error, _GONE):
                self._outcome = Outcome.ENDED
            else:
                self._outcome = Outcome.OPEN
            raise
        self.reservation = decoded(Reservation, reply.reservation)
        self._outcome = Outcome.OPEN if self.reservation.state is ReservationState.HELD else Outcome.ENDED
        self._commits += request.keep_open
        self.is_dispatched, self.known = False, None
        return decoded(Charge, reply.charge)

    async def _release(self, reason: str, retry: Retry) -> None:
        request = _release_request(self._ids, self._reservation_id, reason)
        try:
            result = await self._session().send(metering_pb2.Mutation(release=request), retry)
        except _GONE:
            self._outcome = Outcome.ENDED
            raise
        self._outcome = Outcome.ENDED
        self.reservation = decoded(Reservation, result.release.reservation)

    async def _end(self, what: Ending) -> bool:
        """End the hold in this way. Returns whether there may be more to do."""
        try:
            async with self._one_at_a_time:
                await self._ended(what)
        except ReservationEnded:
            log.debug("hold %s had ended before its block was left", self._reservation_id, exc_info=True)
            return False
        except InvalidRequest:
            log.warning("what was reported of hold %s cannot be read", self._reservation_id, exc_info=True)
            was_reported, self.known = self.known is not None, None
            return was_reported and what is Ending.COMMIT_KNOWN
        except Exception:  # noqa: BLE001 - whatever it is, it must not replace the exception that the block is left by
            log.warning("could not %s (hold %s)", what.value, self._reservation_id, exc_info=True)
            return False
        return True

    async def _ended(self, what: Ending) -> None:
        if what is Ending.RELEASE:
            if self.is_dispatched:
                log.warning("hold %s is released: its call was dispatched and not committed", self._reservation_id)
            await self._release("the block was left without a commit", BRIEF)
        elif what is Ending.COMMIT_AGAIN:
            assert self._unanswered is not None, "its outcome is unknown"
            await self._commit(self._unanswered)
        else:
            assert self.reservation is not None, "the hold was begun"
            guess = estimate(self._request, self.reservation.held_microcredits)
            cost = guess if self.known is None else as_partial(self.known)
            await self._commit(requests.commit(self._ids.of("commit"), self._reservation_id, cost))


async def _reserved_or_released(session: Session, request: metering_pb2.ReserveRequest, ids: StepIds) -> Reservation:
    """The reservation as it stands now; if it is cancelled, what is held by then is released."""
    try:
        reply = (await session.send(metering_pb2.Mutation(reserve=request))).reserve
        if not reply.replayed:
            return decoded(Reservation, reply.reservation)
        asked = metering_pb2.GetReservationRequest(reservation_id=reply.reservation.reservation_id)
        return decoded(Reservation, (await session.read(session.metering.GetReservation, asked)).reservation)
    except CreditmeterError as error:
        if error.is_outcome_unknown:
            task = session.begin(lambda: _released_again(session, request, ids))
            session.given_up_by(request.request_id, task)
        raise
    except asyncio.CancelledError:
        await insisting(lambda: _released_again(session, request, ids))
        raise


async def _released_again(session: Session, request: metering_pb2.ReserveRequest, ids: StepIds) -> None:
    """Find out what a Reserve holds whose reply was lost, by repeating it without a wait, and release that."""
    again = metering_pb2.ReserveRequest()
    again.CopyFrom(request)
    again.wait.CopyFrom(Duration())
    try:
        held = (await session.send(metering_pb2.Mutation(reserve=again))).reserve.reservation
        release = _release_request(ids, held.reservation_id, "the caller gave up while it was reserved")
        await session.send(metering_pb2.Mutation(release=release))
    except CreditmeterError as error:
        if error.is_outcome_unknown:
            log.warning("%s may hold credit until its deadline", request.request_id, exc_info=True)


def _release_request(ids: StepIds, reservation_id: str, reason: str) -> metering_pb2.ReleaseRequest:
    return metering_pb2.ReleaseRequest(request_id=ids.of("release"), reservation_id=reservation_id, reason=reason)


def _charged_already(job_id: str, found: Reservation) -> Problem:
    charges = ",".join(found.charge_ids)
    return Problem(
        "FAILED_PRECONDITION",
        "RESERVATION_COMMITTED",
        f"{job_id} was charged already, as {charges}: a job that is to be charged again needs another job_id",
        {"charge_ids": charges},
    )


def _too_many_turns(job_id: str) -> Problem:
    message = f"{job_id} was released {MOST_TURNS} times: use another job_id"
    return Problem("FAILED_PRECONDITION", "RESERVATION_RELEASED", message)
