"""The life of one hold: reserved, perhaps extended, and committed or released once.

A commit and a release are tasks of their own: who is cancelled stops waiting for them, and they come to their end. The block is
left only then. What is done when it is left otherwise, `ending.py` decides.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from creditmeter.client import requests
from creditmeter.client.counting import StreamCount
from creditmeter.client.ending import Ending, Outcome, ending
from creditmeter.client.errors import (
    CreditmeterError,
    InvalidRequest,
    NotFound,
    NotImplementedBySidecar,
    Problem,
    ReservationCommitted,
    ReservationElsewhere,
    ReservationEnded,
    ReservationReleased,
    StreamResumed,
)
from creditmeter.client.known import Call, as_partial, estimate
from creditmeter.client.messages import decoded
from creditmeter.client.metering import Metering
from creditmeter.client.request_ids import StepIds, random_id
from creditmeter.client.reserving import reserved
from creditmeter.client.retrying import Retry
from creditmeter.client.session import Session, log, to_its_end
from creditmeter.client.streaming import Streaming
from creditmeter.client.tokenizers import Tokenizer
from creditmeter.client.values import Charge, Reservation, Usage
from creditmeter.client.words import MeterStopReason, ReservationState
from creditmeter.v1 import metering_pb2, reservations_pb2

_Result = TypeVar("_Result")

MOST_TURNS = 100
"""How often a job whose hold was released may be run again under the same id."""

BRIEF = Retry(total=2, longest_delay=0.25, attempt=2)
"""For the release of a hold whose block was left: if it fails, the hold ends at its deadline. In seconds."""

_MOST_ENDINGS = 3
"""A commit that is sent again, then what is known since, or an estimate where that is refused."""

_GONE = (ReservationEnded, ReservationElsewhere, NotFound)
"""After these nothing more can be done with a hold."""


class _Asked(NamedTuple):
    """A commit that was asked for, and the call that it charges."""

    request: metering_pb2.CommitRequest
    call: Call


class Holding:
    """A hold and what is known of it. `session` gives that of the running loop."""

    def __init__(
        self, session: Callable[[], Session], request: metering_pb2.ReserveRequest, ids: StepIds, *, is_metered: bool = False
    ) -> None:
        self._session = session
        self._request = request
        self._ids = ids
        self._is_metered = is_metered
        self._metering: Metering | None = None
        self._streaming: Streaming | None = None
        self._outcome = Outcome.OPEN
        self._unanswered: _Asked | None = None
        self._release_reason: str | None = None
        self._steps: list[Usage | None] = []
        self._under_way: set[asyncio.Task[object]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._reservation_id = ""
        self._reservation: Reservation | reservations_pb2.Reservation | None = None
        self._was_left = False
        self.call = Call()
        self.charge: Charge | None = None

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
            found, metering = await self._asked(session)
            if found.state is ReservationState.HELD:
                await self._go_on(found, metering)
                return
            if metering is not None:
                await metering.end()
            if found.state is ReservationState.COMMITTED:
                raise ReservationCommitted(_charged_already(self._ids.job_id, found))
            self._ids = self._ids.next()
        raise ReservationReleased(_too_many_turns(self._ids.job_id))

    @property
    def reservation(self) -> Reservation | None:
        """The reservation, as the sidecar last said. It is decoded when somebody asks for it."""
        if isinstance(self._reservation, reservations_pb2.Reservation):
            self._reservation = decoded(Reservation, self._reservation)
        return self._reservation

    @property
    def stop_reason(self) -> MeterStopReason | None:
        """Why the last stream ended before its provider's did, if it did."""
        return None if self._streaming is None else self._streaming.stop_reason

    @property
    def known(self) -> Usage | None:
        """What a commit charges that says nothing. Of a stream without a chunk that is its input, as an estimate."""
        if self.call.count is None or self.call.usage is not None:
            return self.call.usage
        guess = self._known_or_estimate()
        return guess if isinstance(guess, Usage) else None

    def dispatched(self) -> None:
        """Note that a call is being sent to its provider: another one, if a commit of the last one was asked for."""
        if self.call.is_asked:
            self.call = Call()
        self.call.is_dispatched = True

    def report(self, usage: object) -> None:
        """Note what the call has used so far, and that it was dispatched.

        Raises:
            RuntimeError: its stream is counted.
        """
        self.dispatched()
        if self.call.count is not None:
            raise RuntimeError("stream() counts by itself: hand what else is known to commit()")
        self.call.report(usage, is_text=self._request.work.action == "text")

    async def stream(self, tokenizer: Tokenizer | None, text: Callable[[Any], str] | None) -> Streaming:
        """Count a stream, and report it to the sidecar, from now on until the next commit.

        Raises:
            RuntimeError: another stream was not committed yet, or the block was left.
            ValueError: the hold is of no text.
            CreditmeterError: a step before had no answer, and still has none.
        """
        async with self._one_at_a_time:  # so that a commit that is under way is of the stream before
            await self._commit_unanswered_step()
            if self._was_left:
                raise RuntimeError("the block of this hold was left: read its stream inside of it")
            if self.call.count is not None and self.call.usage is not None:
                raise RuntimeError("one stream for each commit: commit the first, with keep_open, before the second begins")
        work = None if self.reservation is None else self.reservation.work
        if work is None or work.action != "text":
            raise ValueError("a stream needs a hold of text: client.hold(account, model=…, input_tokens=…)")
        count = StreamCount(work.request_model, work.max_output_tokens, tokenizer, text)
        self.call = Call(is_dispatched=True, count=count)
        if self._metering is None:
            self._metering = Metering(self._session(), self._reserve)
            self._metering.start(0 if self.reservation is None else self.reservation.max_output_tokens)
        self._streaming = Streaming(count, self._metering, lambda: self.call.count is count and not self._was_left)
        return self._streaming

    async def extend(self, request: metering_pb2.ExtendRequest) -> Reservation:
        """Raise the hold or push its deadline. The id of the request is set here."""
        request.request_id = self._ids.of("extend", random_id())
        result = await self._session().send(metering_pb2.Mutation(extend=request))
        if request.WhichOneof("bound") == "work":
            self._request.work.CopyFrom(request.work)
        self._reservation = found = decoded(Reservation, result.extend.reservation)
        return found

    async def commit(self, cost: Usage | int, *, keep_open: bool) -> Charge:
        """Charge the hold, and wait until that is done; it is done although the waiting one is cancelled."""
        if self._is_taken_over:
            raise StreamResumed(_taken_over(self._ids.job_id))
        call, self._release_reason = self.call, None
        call.is_dispatched = call.is_asked = True
        return await self._done(lambda: self._commit_next(cost, call, keep_open=keep_open))

    async def release(self, reason: str) -> None:
        """Give the hold back, in the same way."""
        self._release_reason = reason
        await self._done(lambda: self._release_next(reason))

    async def leave(self, *, failed: bool) -> bool:
        """End the hold as its block is left, and return whether the caller was cancelled meanwhile. It raises nothing."""
        self._was_left, was_cancelled = True, False
        for task in tuple(self._under_way):
            was_cancelled |= await to_its_end(task)
        for _ in range(_MOST_ENDINGS):
            what = Ending.NOTHING if self._is_taken_over else self._ending(failed=failed)
            if what is Ending.NOTHING:
                break
            task = self._session().begin(lambda what=what: self._end(what))  # type: ignore[misc]  # of this round
            was_cancelled |= await to_its_end(task)
            if not task.result():
                break
        return await self._stop_metering() or was_cancelled

    async def _stop_metering(self) -> bool:
        """End the stream that meters the hold, and return whether the caller was cancelled meanwhile."""
        return self._metering is not None and await to_its_end(asyncio.ensure_future(self._metering.end()))

    def _ending(self, *, failed: bool) -> Ending:
        return ending(
            Outcome.RELEASING if self._outcome is Outcome.OPEN and self._release_reason is not None else self._outcome,
            dispatched=self.call.is_dispatched,
            streamed=self.call.count is not None,
            reported=self.call.usage is not None,
            failed=failed,
        )

    @property
    def _is_taken_over(self) -> bool:
        """Whether another run of the job goes on with the hold, and has charged what this one reported."""
        return self._metering is not None and self._metering.is_taken_over

    async def _asked(self, session: Session) -> tuple[Reservation, Metering | None]:
        """What is held, and the stream by which that was asked for, if it was."""
        self._reserve = metering_pb2.ReserveRequest()
        self._reserve.CopyFrom(self._request)
        metering = Metering(session, self._reserve) if self._is_metered else None
        try:
            found = await reserved(session, self._reserve, self._ids, metering)
        except BaseException:
            if metering is not None:
                await metering.end()
            raise
        return found, metering if metering is not None and metering.is_open else None

    async def _go_on(self, found: Reservation, metering: Metering | None) -> None:
        """Go on with a hold. What an earlier run of the job reported of its call, and did not commit, is charged first."""
        self._reservation, self._reservation_id = found, found.reservation_id
        self._steps, self._metering = [None for _ in found.charge_ids], metering
        if metering is not None:
            metering.start(found.max_output_tokens)
        if found.progress is None:
            return
        try:
            if self._metering is None:  # that run may be alive: it reports nothing more once this one has the stream
                self._metering = Metering(self._session(), self._reserve)
                with contextlib.suppress(NotImplementedBySidecar):
                    await self._metering.open()
                self._metering.start(found.max_output_tokens)
            await self.commit(as_partial(found.progress), keep_open=True)
        except BaseException:  # the sidecar charges it when no stream is left
            await self._stop_metering()
            raise

    async def _done(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        async def alone() -> _Result:
            async with self._one_at_a_time:
                return await work()

        task = self._session().begin(alone)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.wait({task})
        return task.result()

    def _asked_for(self, cost: Usage | int, call: Call, *, keep_open: bool = False) -> _Asked:
        """The next commit. A step has the number that follows those of all steps before it."""
        step = self._ids.of("commit", len(self._steps) + 1) if keep_open else self._ids.of("commit")
        return _Asked(requests.commit(step, self._reservation_id, cost, keep_open=keep_open), call)

    async def _commit_next(self, cost: Usage | int, call: Call, *, keep_open: bool) -> Charge:
        """Commit, after a step that had no answer. The same commit once more is a repetition."""
        if self._unanswered is None or self._unanswered.request != self._asked_for(cost, call, keep_open=keep_open).request:
            await self._commit_unanswered_step()
        return await self._commit(self._asked_for(cost, call, keep_open=keep_open))

    async def _release_next(self, reason: str) -> None:
        await self._commit_unanswered_step()
        await self._release(reason, self._session().retry)

    async def _commit_unanswered_step(self) -> None:
        """Send a step that had no answer again. Of commits that end the hold one takes effect: they have one id."""
        if self._unanswered is not None and self._unanswered.request.keep_open:
            await self._commit(self._unanswered)

    async def _commit(self, asked: _Asked) -> Charge:
        keep_open = asked.request.keep_open
        if self._metering is not None and keep_open:
            await self._metering.pause()
        try:
            reply = (await self._session().send(metering_pb2.Mutation(commit=asked.request))).commit
        except CreditmeterError as error:
            self._not_committed(asked, error)
            raise
        self._reservation, self.charge = reply.reservation, decoded(Charge, reply.charge)
        is_held = ReservationState.of(reply.reservation.state) is ReservationState.HELD
        self._outcome = Outcome.OPEN if is_held else Outcome.ENDED
        self._unanswered = None
        if keep_open:
            self._steps.append(self.charge.usage)
        if self.call is asked.call:
            self.call = Call()
        if self._metering is not None:
            self._metering.resume(anew=True)
        return self.charge

    def _not_committed(self, asked: _Asked, error: CreditmeterError) -> None:
        """Note that a commit was refused, or had no answer."""
        is_unknown = error.is_outcome_unknown
        if self._metering is not None and not is_unknown:
            self._metering.resume(anew=False)
        self._unanswered = asked if is_unknown else None
        asked.call.is_asked = is_unknown
        if is_unknown:
            self._outcome = Outcome.UNKNOWN
        else:
            self._outcome = Outcome.ENDED if isinstance(error, _GONE) else Outcome.OPEN

    async def _release(self, reason: str, retry: Retry) -> None:
        request = requests.release(self._ids.of("release"), self._reservation_id, reason)
        try:
            result = await self._session().send(metering_pb2.Mutation(release=request), retry)
        except _GONE:
            self._outcome = Outcome.ENDED
            raise
        except InvalidRequest:
            self._release_reason = ""  # at the end of the block it is released without this reason
            raise
        self._outcome = Outcome.ENDED
        self._reservation = result.release.reservation

    async def _end(self, what: Ending) -> bool:
        """End the hold in this way. Returns whether there may be more to do."""
        try:
            async with self._one_at_a_time:
                await self._ended(what)
        except ReservationEnded:
            log.debug("hold %s had ended before its block was left", self._reservation_id, exc_info=True)
            return False
        except InvalidRequest as error:
            log.warning("what was reported of hold %s cannot be read: %s", self._reservation_id, error)
            was_reported, self.call = self.call.usage is not None, Call(is_dispatched=True)
            return was_reported and what is Ending.COMMIT_KNOWN
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not replace the exception that the block is left by
            is_fault = not isinstance(error, CreditmeterError)
            log.warning("could not %s (hold %s): %s", what.value, self._reservation_id, error, exc_info=is_fault)
            return False
        return True

    async def _ended(self, what: Ending) -> None:
        if what is Ending.RELEASE:
            if self.call.is_dispatched:
                log.warning("hold %s is released: its call was dispatched and not committed", self._reservation_id)
            await self._release("the block was left without a commit", BRIEF)
        elif what is Ending.RELEASE_AGAIN:
            await self._release(self._release_reason or "", BRIEF)
        elif what is Ending.COMMIT_AGAIN:
            assert self._unanswered is not None, "its outcome is unknown"
            await self._commit(self._unanswered)
        else:
            await self._commit(self._asked_for(self._known_or_estimate(), self.call))

    def _known_or_estimate(self) -> Usage | int:
        """What a call that broke off is charged."""
        assert self.reservation is not None, "the hold was begun"
        known, count = self.call.usage, self.call.count
        if known is None:
            return estimate(self._request, self.reservation.held_microcredits, self._steps)
        return known if count is not None and count.is_exact else as_partial(known)


def _charged_already(job_id: str, found: Reservation) -> Problem:
    charges = ",".join(found.charge_ids)
    return Problem(
        "FAILED_PRECONDITION",
        "RESERVATION_COMMITTED",
        f"{job_id} was charged already, as {charges}: a job that is to be charged again needs another job_id",
        {"charge_ids": charges},
    )


def _taken_over(job_id: str) -> Problem:
    return Problem(
        "ABORTED", "STREAM_RESUMED", f"another run of {job_id} goes on with its hold, and has charged what this one used"
    )


def _too_many_turns(job_id: str) -> Problem:
    message = f"{job_id} was released {MOST_TURNS} times: use another job_id"
    return Problem("FAILED_PRECONDITION", "RESERVATION_RELEASED", message)
