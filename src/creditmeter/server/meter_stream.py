"""The Meter RPC: reads the steps of a metered call from its stream, and writes what happens to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.requests import Done
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import account_key, origin_of
from creditmeter.core.instants import Span
from creditmeter.core.refusals import InvalidRequest, Refusal, StreamResumed
from creditmeter.core.values import replace
from creditmeter.server import metering_requests as read
from creditmeter.server.access.caller import Caller
from creditmeter.server.access.gate import Gate
from creditmeter.server.admission import Admission, caller_of
from creditmeter.server.admission import Caller as Name
from creditmeter.server.errors import Context, Problem, problem_of
from creditmeter.server.faults import Unusable
from creditmeter.server.open_streams import OpenStreams, Replies
from creditmeter.server.replies import charge_message, reservation_message
from creditmeter.sidecar.metered_calls import MeteredCalls
from creditmeter.sidecar.metered_stream import GoOn, MeteredStream, StopReason, stop_reason_of
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.v1 import metering_pb2

LAST_EVENT_SECONDS = 1.0
"""Longest wait at the end of a stream for an event that is being written: its caller may not read."""

_STOP_REASONS = {
    StopReason.HOLD_USED_UP: metering_pb2.METER_STOP_REASON_HOLD_USED_UP,
    StopReason.DAILY_LIMIT_EXCEEDED: metering_pb2.METER_STOP_REASON_DAILY_LIMIT_EXCEEDED,
    StopReason.RESERVATION_EXPIRED: metering_pb2.METER_STOP_REASON_RESERVATION_EXPIRED,
    StopReason.RESERVATION_ENDED: metering_pb2.METER_STOP_REASON_RESERVATION_ENDED,
}
_FIRST = InvalidRequest((("step", "must be open: it is the first message of a stream"),))
_LATER = InvalidRequest((("step", "must be progress or finish: the call is open already"),))


class MeterStreams:
    """Answers the streams of metered calls."""

    def __init__(
        self, calls: MeteredCalls, streams: OpenStreams, gate: Gate, max_hold_lifetime: Span, admission: Admission
    ) -> None:
        self._calls = calls
        self._gate = gate
        self._admission = admission
        self._streams = streams
        self._max_hold_lifetime = max_hold_lifetime

    async def answer(self, requests: AsyncIterator[Any], context: Context) -> Problem | None:
        """Meter one call, until it is charged or its stream ends. Returns why the stream ends with an error."""
        async with contextlib.aclosing(self._streams.until_end(requests)) as steps:
            first = await anext(steps, None)
            if first is None:
                return self._unfinished()
            if isinstance(first, Unusable):
                return first.problem
            caller = Caller(self._gate, context)
            if problem := await caller.may_open(first):
                return problem
            asked = read.reserve_of(first.open, self._max_hold_lifetime) if first.HasField("open") else _FIRST
            if isinstance(asked, Refusal):
                return problem_of(_of_open(asked))
            request, wait = asked
            events = _Events(context)
            within = context.time_remaining()
            async with self._admission.short_turn(account_key(request.account_id), caller_of(context)) as refusal:
                request = replace(request, is_metered=True)
                opened = refusal or await self._calls.open(request, within, wait, events.on_stop, caller.credential_id)
            if isinstance(opened, Refusal):
                return problem_of(opened)
            events.stream, done = opened
            try:
                reservation = reservation_message(done.reply)
                await events.write(opened=metering_pb2.MeterOpened(reservation=reservation, replayed=done.replayed))
                if done.reply.state is not ReservationState.HELD:
                    await events.stop(_STOP_REASONS[stop_reason_of(done.reply)])
                if self._calls.is_stopping:
                    events.on_stop()
                ended = await self._metered(events, steps, caller_of(context))
                return self._unfinished() if ended is None else ended.problem
            except asyncio.CancelledError:
                if not events.stream.is_superseded:
                    raise
                events.task.uncancel()
                return problem_of(StreamResumed())
            finally:
                self._calls.leave(events.stream)
                await events.close()

    async def _metered(self, events: "_Events", steps: AsyncIterator[Any], caller: Name) -> "_Ended | None":
        """Take the steps of a call up to its finish, or to what ends its stream before. None if no more steps are read."""
        origin = origin_of(events.stream.reservation_id)
        key = None if origin is None else origin.account_key
        async for message in steps:
            if isinstance(message, Unusable):
                return _Ended(message.problem)
            step = message.WhichOneof("step")
            async with self._admission.short_turn(key, caller, frees=True) as overloaded:
                refusal = overloaded or await _taken(events, message)
            if refusal is not None or step == "finish":
                return _Ended(None if refusal is None else problem_of(refusal))
        return None

    def _unfinished(self) -> Problem | None:
        """Why a stream ends of which nothing more is read."""
        return self._streams.ending


@dataclass(frozen=True, slots=True)
class _Ended:
    """A stream ended: its call was charged, or there is a problem."""

    problem: Problem | None = None


class _Events:
    """What is written to one stream, one event after another."""

    stream: MeteredStream

    def __init__(self, context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None, "a call is a task"
        self.task = task
        self._replies = Replies(context)
        self._telling: asyncio.Task[None] | None = None

    async def write(self, **event: Any) -> None:
        """Write one event."""
        await self._replies.write(metering_pb2.MeterResponse(**event))

    async def stop(self, reason: metering_pb2.MeterStopReason.ValueType) -> None:
        """Say that the call should stop."""
        await self.write(stop=metering_pb2.MeterStop(reason=reason))

    def on_stop(self) -> None:
        """Another stream goes on with the call: end this one. Or the sidecar stops: say so."""
        if self.stream.is_superseded:
            self.task.cancel()
        elif self._telling is None:
            self._telling = asyncio.ensure_future(self.stop(metering_pb2.METER_STOP_REASON_SHUTTING_DOWN))

    async def close(self) -> None:
        """Wait until all is written: a stream of which a write is cancelled would have no end."""
        await self._replies.finished(LAST_EVENT_SECONDS)


async def _taken(events: "_Events", message: Any) -> Refusal | None:
    """Take a step of a call. Returns why it ends the stream."""
    match message.WhichOneof("step"):
        case "progress":
            return await _reported(events.stream, message.progress, events)
        case "finish":
            return await _finished(events.stream, message.finish, events)
        case _:
            return _LATER


async def _reported(stream: MeteredStream, progress: Any, events: _Events) -> Refusal | None:
    usage = read.progress_of(progress)
    verdict = usage if isinstance(usage, InvalidRequest) else await stream.report(usage)
    match verdict:
        case GoOn():
            await events.write(go_on=metering_pb2.MeterGoOn(output_tokens_left=verdict.output_tokens_left))
        case StopReason():
            await events.stop(_STOP_REASONS[verdict])
        case _:
            return verdict
    return None


async def _finished(stream: MeteredStream, finish: Any, events: _Events) -> Refusal | None:
    asked = read.finish_of(finish)
    outcome = asked if isinstance(asked, InvalidRequest) else await stream.finish(*asked)
    if isinstance(outcome, Refusal):
        return outcome
    await events.write(charged=_charged(outcome))
    return None


def _of_open(refusal: Refusal) -> Refusal:
    """The refusal of an open step, with the fields of the message that it came in."""
    if not isinstance(refusal, InvalidRequest) or refusal is _FIRST:
        return refusal
    return InvalidRequest(tuple((f"open.{name}", why) for name, why in refusal.violations))


def _charged(done: Outcome) -> metering_pb2.MeterCharged:
    assert isinstance(done, Done), "it was charged"
    charge, reservation = done.reply.charge, done.reply.reservation
    assert isinstance(charge, Charge), "a commit's receipt has the charge"
    assert reservation is not None, "and the reservation"
    return metering_pb2.MeterCharged(
        charge=charge_message(charge), reservation=reservation_message(reservation), replayed=done.replayed
    )
