"""Frames: several mutations that travel together, in a Batch or on a Pipeline.

Each mutation succeeds or fails by itself. Those that the credit in hand is enough for are decided in one go, and share one sync
to disk; a frame of many lets other calls in between.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import grpc

from creditmeter.core.ids import AccountKey
from creditmeter.core.refusals import InvalidRequest
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.server.access.caller import Caller
from creditmeter.server.access.gate import AskingFirst
from creditmeter.server.counters import Counters
from creditmeter.server.errors import Problem
from creditmeter.server.mutations import RPCS, Decided, Later, Mutations, account_of, failed, fault
from creditmeter.sidecar.meter import RETRY_AFTER
from creditmeter.v1 import metering_pb2

MAX_MUTATIONS = 1_000
"""Most mutations in one frame."""

MAX_REFUSED = 10_000
"""Most mutations of a frame that fails alone: one result for each of them fits into a reply."""

TURN = 32
"""How many mutations are decided before other calls have their turn."""

PART = 16
"""Most mutations that are answered together, where a frame is answered in parts. Its caller works on some of them while the
others are decided.
"""

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""The largest message that a client takes, unless it says otherwise. A reply has no more results than fit into it."""

MAX_RESULT_BYTES = 256 * 1024
"""No result of one mutation is larger: its usage is what a request has, and a request's report is at most 64 KiB."""

Results = list[metering_pb2.MutationResult]
Send = Callable[[int, Results], Awaitable[None]]
"""Sends results of a frame. The number is that of the first one's mutation, from 0 on."""

_FULL = Problem(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "OVERLOADED",
    "the reply has no room for more results, so this mutation was not applied: send it again, with fewer others",
    retry_after=RETRY_AFTER,
)


def too_many(count: int) -> InvalidRequest | None:
    """The refusal of a frame with more mutations than one may have; None if it has not."""
    if count <= MAX_MUTATIONS:
        return None
    return InvalidRequest((("mutations", f"must be at most {MAX_MUTATIONS:,}, and there are {count:,}"),))


class Frames:
    """Applies frames, and counts each of their mutations as a call of its RPC."""

    def __init__(self, mutations: Mutations, metrics: Counters) -> None:
        self._mutations = mutations
        self._count = {kind: metrics.count_calls(rpc) for kind, rpc in RPCS.items()}

    async def apply(
        self, asked: Sequence[metering_pb2.Mutation], within: Callable[[], float | None], caller: Caller
    ) -> Results:
        """Apply mutations one after another, and return all results. `within` is for how many seconds more their caller waits.

        Once the reply is full, the rest are refused as OVERLOADED.
        """
        began = time.perf_counter()
        since = self._mutations.loads
        decided: list[Decided] = []
        size = 0
        for number, mutation in enumerate(asked):
            await self._take_turns(number)
            if size > MAX_REPLY_BYTES - MAX_RESULT_BYTES:
                one: Decided | Later = failed(mutation.WhichOneof("request") or "", _FULL)
            else:
                one = self._decide(mutation, within(), caller)
            one = await one() if callable(one) else one
            decided.append(one)
            size += one.result.ByteSize()
        return await self._durable(decided, began, since)

    async def apply_in_parts(self, asked: Sequence[metering_pb2.Mutation], send: Send, caller: Caller) -> None:
        """Apply mutations, those of one account one after another, and send the results in parts. A mutation that waits for
        credit holds up nothing but what comes after it for its account.
        """
        began = time.perf_counter()
        waiting: dict[AccountKey | None, asyncio.Task[Decided]] = {}
        part, sending = _Part(0, self._mutations.loads), None
        async with asyncio.TaskGroup() as group:
            for number, mutation in enumerate(asked):
                if number % PART == 0 and number:  # this part goes to disk and to its caller while the next one is decided
                    if sending is not None:
                        await sending
                    self._mutations.hand_over()
                    sending = group.create_task(self._send(part, number, began, send))
                    part = _Part(number, self._mutations.loads)
                    await asyncio.sleep(0)
                key = account_of(mutation)
                before = waiting.get(key)
                one = self._decide(mutation, None, caller) if before is None else partial(self._after, before, mutation, caller)
                if callable(one):
                    waiting[key] = task = group.create_task(one())
                    group.create_task(self._send_later(number, task, began, send))
                    part = await self._send(part, number + 1, began, send)
                else:
                    part.decided.append(one)
            await self._send(part, len(asked), began, send)

    async def _after(self, before: "asyncio.Task[Decided]", mutation: metering_pb2.Mutation, caller: Caller) -> Decided:
        """Decide about a mutation once the one before it was decided about."""
        await asyncio.wait([before])
        one = self._decide(mutation, None, caller)
        return await one() if callable(one) else one

    def _decide(self, mutation: metering_pb2.Mutation, within: float | None, caller: Caller) -> Decided | Later:
        """Decide about a mutation, if its caller may ask for it."""
        try:
            verdict = caller.judge(mutation)
        except Exception as error:  # noqa: BLE001 - a mutation that fails does not end those beside it
            return fault(mutation.WhichOneof("request") or "", error)
        if callable(verdict):
            return partial(self._once_judged, verdict, mutation, within)
        if isinstance(verdict, Problem):
            return failed(mutation.WhichOneof("request") or "", verdict)
        return self._mutations.decide(mutation, within)

    async def _once_judged(self, asking: AskingFirst, mutation: metering_pb2.Mutation, within: float | None) -> Decided:
        kind = mutation.WhichOneof("request") or ""
        try:
            verdict = await asking()
        except Exception as error:  # noqa: BLE001 - a mutation that fails does not end those beside it
            return fault(kind, error)
        one = failed(kind, verdict) if isinstance(verdict, Problem) else self._mutations.decide(mutation, within)
        return await one() if callable(one) else one

    async def _send(self, part: "_Part", next_number: int, began: float, send: Send) -> "_Part":
        """Send what was decided so far once it is durable, and begin the next part."""
        if part.decided:
            await send(part.first, await self._durable(part.decided, began, part.since))
        return _Part(next_number, self._mutations.loads)

    async def _send_later(self, number: int, task: "asyncio.Task[Decided]", began: float, send: Send) -> None:
        await send(number, await self._durable([await task], began))

    async def _take_turns(self, number: int) -> None:
        if number and number % TURN == 0:
            self._mutations.hand_over()
            await asyncio.sleep(0)

    async def _durable(self, decided: list[Decided], began: float, since: int | None = None) -> Results:
        """The results, once what they rest on is on disk. If it cannot be written, that is the result of each. `since` is as in
        `Mutations.durable`.
        """
        try:
            await self._mutations.durable(since)
        except StorageUnavailable as error:
            decided = [fault(each.kind, error) if each.kind else each for each in decided]
        seconds = time.perf_counter() - began
        for kind, _, problem in decided:
            if kind:
                code, reason = (problem.code, problem.reason) if problem is not None else (grpc.StatusCode.OK, "")
                self._count[kind](seconds, code, reason)
        return [each.result for each in decided]


class _Part:
    """Results that are sent together: those of mutations that follow one another, from the number `first` on. They may wait
    until the part before is read; `since` is as in `Mutations.durable`.
    """

    def __init__(self, first: int, since: int) -> None:
        self.first = first
        self.since = since
        self.decided: list[Decided] = []


def all_failed(count: int, problem: Problem) -> Results:
    """The results of a frame that failed as a whole."""
    return [failed("", problem).result] * count
