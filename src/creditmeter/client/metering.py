"""The stream that meters one hold: it tells the sidecar what the call has used so far, and hears how it may go on.

A stream that breaks is opened again with the same request for as long as the hold lasts: a call without one is charged for what
it reported last, after 5 s. One report is under way at a time. The next one says what is known when the answer has come.
"""

import asyncio
import contextlib
import time
from typing import Any

import grpc

from creditmeter.client.errors import CreditmeterError, InvalidRequest, Problem, StreamResumed, Unreachable
from creditmeter.client.messages import decoded, encoded_usage
from creditmeter.client.retrying import repeated
from creditmeter.client.session import Session, log, to_its_end
from creditmeter.client.statuses import error_of
from creditmeter.client.streams import expired, happened, left, lost
from creditmeter.client.values import Reservation, Usage
from creditmeter.client.words import MeterStopReason, ReservationState
from creditmeter.v1 import metering_pb2

_CLOSING_SECONDS = 1.0
"""How long the sidecar may take to end its side of a stream whose hold has ended."""


class Metering:
    """The metering of one hold, opened by the request that reserves it. `stop_reason` says why the call should stop, if it
    should. `is_taken_over`: another run of the job goes on with the hold.
    """

    def __init__(self, session: Session, request: metering_pb2.ReserveRequest) -> None:
        self._session = session
        self._request = request
        self._opened: _Opened | None = None
        self._running: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._has_given_up = self._is_quiet = self.is_taken_over = False
        self._left = 0
        self.stop_reason: MeterStopReason | None = None
        self._newest: Usage | None = None
        self._newest_output = self._sent_output = self._answered_output = 0
        self._number = self._sent = self._answered = 0

    async def open(self) -> Reservation:
        """Begin the call, or go on with one that was begun. Returns what is held; `start` goes on from there.

        Raises:
            CreditmeterError: it was refused, or the sidecar did not answer.
        """
        self._opened = await repeated(self._open, self._request, self._session.retry, self._session.access.look_again)
        return self._opened.reservation

    @property
    def is_open(self) -> bool:
        """Whether `open` began the call."""
        return self._opened is not None

    def start(self, paid_output_tokens: int = 0) -> None:
        """Report from now on. `paid_output_tokens` is the output that the hold is known to pay for."""
        self._left = paid_output_tokens
        self._running = asyncio.ensure_future(self._run())
        self._running.add_done_callback(self._give_up)

    def tell(self, usage: Usage, output_tokens: int = 0) -> None:
        """Report this, which is cumulative. `output_tokens` is the output in it, as far as it is known."""
        self._newest, self._newest_output = usage, output_tokens
        self._number += 1
        self._news.set()

    def is_due(self, output_tokens: int, most: int) -> bool:
        """Whether so much output should be told of: `most` tokens since the last report, or fewer where little is left."""
        since = output_tokens - self._newest_output
        return self._number == 0 or since >= min(most, max(1, self._left // 8))

    async def may_go_on(self, output_tokens: int) -> bool:
        """Whether a call with so much output may go on. It waits for an answer where that is more than is known to be paid.

        Raises:
            Unreachable: no sidecar answered for as long as the client repeats its calls.
        """
        await self._until(lambda: not self._is_beyond(output_tokens))
        if self._is_beyond(output_tokens):
            message = "no sidecar says whether the call may go on"
            raise Unreachable(Problem("UNAVAILABLE", message=message))
        return self.stop_reason is None

    async def pause(self) -> None:
        """Report nothing more, and wait until no report is under way."""
        self._is_quiet = True
        await self._until(lambda: self._sent == self._answered)

    def resume(self, *, anew: bool) -> None:
        """Go on after a pause. `anew`: all that was reported is charged, so the count begins at 0."""
        self._is_quiet = False
        if anew:
            self.stop_reason = self._newest = None
            self._newest_output = self._sent_output = self._answered_output = self._left = 0
            self._number = self._sent = self._answered = 0
        self._news.set()

    async def end(self) -> None:
        """End the stream: the hold has ended."""
        self._ending.set()
        self._news.set()
        if self._running is None or self._running.done():
            if self._opened is not None:
                self._opened.call.cancel()
            return
        await asyncio.wait({self._running}, timeout=_CLOSING_SECONDS)
        self._running.cancel()
        await to_its_end(self._running)

    def _is_beyond(self, output_tokens: int) -> bool:
        """Whether it takes another answer to know that so much output is paid for."""
        is_known = self.stop_reason is not None or self._has_given_up or self._answered == self._number
        return not is_known and output_tokens - self._answered_output >= self._left

    async def _until(self, is_so: Any) -> None:
        retry = self._session.retry
        give_up_at = time.monotonic() + retry.total + retry.attempt
        while not (is_so() or self._has_given_up) and (seconds := give_up_at - time.monotonic()) > 0:
            self._changed.clear()
            await happened(self._changed, seconds)

    async def _run(self) -> None:
        """Keep a stream open until the hold has ended."""
        delays = self._session.retry.delays()
        while not self._ending.is_set():
            if not await self._attended():
                return
            await happened(self._ending, next(delays))

    def _give_up(self, _: "asyncio.Task[None]") -> None:
        """Nothing is reported any more. The task may have been cancelled before its first step, by a loop that ends."""
        if self._opened is not None:
            self._opened.call.cancel()
        self._has_given_up = True
        self._changed.set()

    async def _attended(self) -> bool:
        """Open a stream and report on it until it ends. Returns whether another one may do better."""
        opened, self._opened, was_open = self._opened, None, False
        try:
            if opened is None:
                opened = await self._open(self._session.retry.attempt)
                self._note(opened.reservation)
            was_open = True
            await self._attend(opened)
        except (grpc.aio.AioRpcError, CreditmeterError) as raised:
            error = error_of(raised) if isinstance(raised, grpc.aio.AioRpcError) else raised
            is_of_report = opened is not None and isinstance(error, InvalidRequest)
            if is_of_report:
                log.warning("a report cannot be read, and does not count: %s", error)
                self._answered, self._answered_output = self._sent, self._sent_output
                self._changed.set()
            elif isinstance(error, StreamResumed):
                self.is_taken_over, self.stop_reason = True, MeterStopReason.RESERVATION_ENDED
                return False
            elif not (error.is_retryable or error.is_outcome_unknown or self._may_have_another_token(error, was_open=was_open)):
                log.warning("the call goes on without being metered, and is charged when it is committed: %s", error)
                return False
        return True

    def _may_have_another_token(self, error: CreditmeterError, *, was_open: bool) -> bool:
        """Whether the token was revoked, and another one is or may be in its place by now."""
        return error.code == "UNAUTHENTICATED" and self._session.access.look_again() and was_open

    async def _open(self, timeout: float) -> "_Opened":
        """A stream whose call is open.

        Raises:
            grpc.aio.AioRpcError: it was refused, or no answer came in time.
        """
        call = self._session.metering.Meter()
        opening = asyncio.ensure_future(_opened(call, self._request))
        opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left to hear of it
        try:
            await asyncio.wait({opening}, timeout=timeout)
        except asyncio.CancelledError:
            opening.cancel()
            await left(call)
            raise
        if not opening.done():
            opening.cancel()
            call.cancel()
            raise expired()
        return opening.result()

    def _note(self, reservation: Reservation) -> None:
        """Note how the hold is that was found when the call was opened again."""
        self._sent, self._sent_output = self._answered, self._answered_output
        if reservation.state in (ReservationState.COMMITTED, ReservationState.RELEASED):
            self.stop_reason = MeterStopReason.RESERVATION_ENDED
        self._changed.set()

    async def _attend(self, opened: "_Opened") -> None:
        """Report on a stream until it ends.

        Raises:
            grpc.aio.AioRpcError: it broke.
        """
        self._news.set()
        writing = asyncio.ensure_future(self._write(opened.call))
        try:
            while (event := await opened.call.read()) is not grpc.aio.EOF:
                self._hear(event)
        except asyncio.CancelledError:
            await left(opened.call)
            raise
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    async def _write(self, call: Any) -> None:
        """Write what is to be reported, one report after the answer to the one before."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader hears why
            while not self._ending.is_set():
                await self._news.wait()
                self._news.clear()
                is_due = not self._is_quiet and self._sent == self._answered < self._number
                if self._newest is not None and is_due:
                    self._sent, self._sent_output = self._number, self._newest_output
                    await call.write(metering_pb2.MeterRequest(progress=encoded_usage(self._newest)))
            await call.done_writing()

    def _hear(self, event: metering_pb2.MeterResponse) -> None:
        """Note the answer to a report. A sidecar that stops says so unasked: another one goes on with the call."""
        reason = MeterStopReason.of(event.stop.reason) if event.HasField("stop") else None
        if reason is MeterStopReason.SHUTTING_DOWN:
            return
        self._answered, self._answered_output = self._sent, self._sent_output
        self._left = event.go_on.output_tokens_left
        self.stop_reason = reason
        self._changed.set()
        self._news.set()


class _Opened:
    """A stream whose call is open, and what is held for it."""

    def __init__(self, call: Any, reservation: Reservation) -> None:
        self.call = call
        self.reservation = reservation


async def _opened(call: Any, request: metering_pb2.ReserveRequest) -> _Opened:
    with contextlib.suppress(asyncio.InvalidStateError):  # the stream has ended, and says why when it is read
        await call.write(metering_pb2.MeterRequest(open=request))
    first = await call.read()
    if first is grpc.aio.EOF:
        raise lost(None)
    return _Opened(call, decoded(Reservation, first.opened.reservation))
