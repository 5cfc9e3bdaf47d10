"""A worker of a replay: takes calls from the queue, and reserves, commits, releases or refunds each."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from creditmeter.cli.replay.calls import Call, Ending
from creditmeter.cli.replay.tally import Tally
from creditmeter.client.stubs import Connection, CreditmeterError, Retry, call
from creditmeter.v1 import metering_pb2, reservations_pb2, work_pb2

_Request = TypeVar("_Request", bound=Message)
_Reply = TypeVar(
    "_Reply",
    metering_pb2.ReserveResponse,
    metering_pb2.CommitResponse,
    metering_pb2.ReleaseResponse,
    metering_pb2.RefundResponse,
)

EXPECTED = {
    "Reserve": frozenset(
        {"ACCOUNT_CLOSED", "ACCOUNT_SUSPENDED", "AMOUNT_ABOVE_LIMIT", "CENTRAL_UNAVAILABLE", "INSUFFICIENT_CREDITS"}
        | {"CONTENDED", "DAILY_LIMIT_EXCEEDED", "DAY_NOT_BEGUN"}
        | {"LIMIT_EXCEEDED", "OVERLOADED", "RECALL_PENDING", "SHUTTING_DOWN", "STORAGE_UNAVAILABLE", "UNPRICED"}
    ),
    "Commit": frozenset[str](),
    "Release": frozenset({"RESERVATION_EXPIRED"}),
    "Refund": frozenset({"CENTRAL_UNAVAILABLE", "REFUND_EXCEEDS_CHARGE"}),
}
"""The reasons for which a sound sidecar may refuse. A commit is a record of fact: it is never refused."""


LAST_WORDS = Retry(total=0, attempt=2)
"""For the release of holds when a replay is broken off: one attempt, in seconds."""


class CallRefusedError(Exception):
    """The sidecar refused, and the refusal was counted."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What all calls share: the name of the run, the bound on output, the time of a hold, and how long a call is repeated."""

    run: str
    max_output_tokens: int
    hold_seconds: int
    retry: Retry


class Worker:
    """Works on calls until the queue gives None. It dies in a call that ends with KILL; then another takes its place.

    `_holds` tells whether it releases its hold when it is cancelled. A worker that dies does not.
    """

    def __init__(self, client: Connection, settings: CallSettings, tally: Tally, done: Callable[[], None]) -> None:
        self._client = client
        self._settings = settings
        self._tally = tally
        self._done = done
        self._holds = False

    async def work(self, calls: "asyncio.Queue[Call | None]") -> None:
        """Take calls from the queue until that gives None.

        Raises:
            CreditmeterError: the sidecar did not answer for as long as a call is repeated.
        """
        while (next_call := await calls.get()) is not None:
            self._tally.calls += 1
            self._holds = True
            try:
                with contextlib.suppress(CallRefusedError):
                    await self._perform(next_call)
            except asyncio.CancelledError:
                if self._holds:  # the replay is broken off: free its hold for others
                    await self._give_back(next_call)
                raise
            self._done()

    async def _perform(self, one: Call) -> None:
        reserved = await self._asked("Reserve", self._client.metering.Reserve, self._reserve(one))
        reservation = reserved.reservation
        match one.ending:
            case Ending.KILL:
                await self._die()
            case Ending.RELEASE:
                await self._release(one, reservation.reservation_id)
            case Ending.COMMIT | Ending.REFUND:
                charge_id = await self._commit(one, reservation)
                if one.ending is Ending.REFUND:
                    await self._refund(one, charge_id)

    def _reserve(self, one: Call) -> metering_pb2.ReserveRequest:
        return metering_pb2.ReserveRequest(
            request_id=self._request_id(one, "reserve"),
            account_id=one.account_id,
            work=work_pb2.Work(
                action="text",
                request_model=one.model,
                input_tokens=one.traced.input_tokens,
                max_output_tokens=self._settings.max_output_tokens,
            ),
            ttl=Duration(seconds=self._settings.hold_seconds),
            labels={"replay": self._settings.run},
        )

    async def _commit(self, one: Call, reservation: reservations_pb2.Reservation) -> str:
        usage = work_pb2.Usage(input_tokens=one.traced.input_tokens, output_tokens=one.traced.output_tokens)
        request = metering_pb2.CommitRequest(
            request_id=self._request_id(one, "commit"), reservation_id=reservation.reservation_id, usage=usage
        )
        reply = await self._asked("Commit", self._client.metering.Commit, request)
        self._tally.charge(reply.charge, reservation.held_microcredits)
        return reply.charge.charge_id

    async def _release(self, one: Call, reservation_id: str) -> None:
        request = metering_pb2.ReleaseRequest(
            request_id=self._request_id(one, "release"), reservation_id=reservation_id, reason="the call failed"
        )
        await self._asked("Release", self._client.metering.Release, request)
        self._tally.released += 1

    async def _refund(self, one: Call, charge_id: str) -> None:
        request = metering_pb2.RefundRequest(
            request_id=self._request_id(one, "refund"), charge_id=charge_id, reason="the result was of no use"
        )
        reply = await self._asked("Refund", self._client.metering.Refund, request)
        self._tally.refund(one.account_id, reply.refund)

    async def _die(self) -> None:
        """End like a process that is killed during the model's call: at once, and without a call to the sidecar."""
        this = asyncio.current_task()
        assert this is not None, "a worker runs in a task"
        self._holds = False
        this.cancel()
        await asyncio.sleep(0)

    async def _give_back(self, one: Call) -> None:
        """Release the hold of a call that is broken off. The Reserve is repeated, because its reply names the reservation."""
        with contextlib.suppress(CreditmeterError):
            reply = await call(self._client.metering.Reserve, self._reserve(one), LAST_WORDS)
            request = metering_pb2.ReleaseRequest(
                request_id=self._request_id(one, "give-back"),
                reservation_id=reply.reservation.reservation_id,
                reason="the replay was broken off",
            )
            await call(self._client.metering.Release, request, LAST_WORDS)

    async def _asked(self, rpc: str, method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Reply]", request: _Request) -> _Reply:
        """The reply to a call. Its latency, or the reason of its refusal, is counted.

        Raises:
            CreditmeterError: the sidecar did not answer.
            CallRefusedError: the sidecar refused.
        """
        started = time.perf_counter()
        try:
            reply = await call(method, request, self._settings.retry)
        except CreditmeterError as error:
            if not error.reason and error.is_retryable:
                raise
            counted = self._tally.refusals if error.reason in EXPECTED[rpc] else self._tally.failures
            counted[f"{rpc}: {error.reason or error}"] += 1
            raise CallRefusedError from error
        if rpc in self._tally.latencies:
            self._tally.latencies[rpc].append(time.perf_counter() - started)
        self._tally.replayed += reply.replayed
        return reply

    def _request_id(self, one: Call, step: str) -> str:
        return f"{self._settings.run}/{one.number}/{step}"
