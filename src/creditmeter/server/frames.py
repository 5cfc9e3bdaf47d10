"""Frames: several mutations that travel together, in a Batch or on a Pipeline.

Each mutation succeeds or fails by itself. Those that the credit in hand is enough for are decided in one go, and share one sync
to disk; a frame of many lets other calls in between.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import grpc

from creditmeter.core.ids import AccountKey
from creditmeter.core.refusals import InvalidRequest
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.server.access.caller import Caller
from creditmeter.server.access.gate import AskingFirst
from creditmeter.server.admission import Turn
from creditmeter.server.counters import Counters
from creditmeter.server.errors import Problem, problem_of
from creditmeter.server.mutations import FREEING, RPCS, Decided, Later, Mutations, account_of, failed, fault
from creditmeter.sidecar.meter import RETRY_AFTER
from creditmeter.v1 import metering_pb2

MAX_MUTATIONS = 1_000
"""Most mutations in one frame."""

MAX_REFUSED = 10_000
"""Most mutations of a frame that fails alone: one result for each of them fits into a reply."""

PART = 16
"""Most mutations of a frame that take one turn, and are answered together where a frame is answered in parts. Other calls have
their turns between two parts, and the caller works on one part while the next one is decided.
"""

MUTATIONS_OF_CALL = 8
"""So many mutations of a frame count as a call by itself. So two parts of an account are under way at a time."""

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

        Those of a part for which too many calls wait are refused as OVERLOADED, and so are the rest once the reply is full.
        """
        began = time.perf_counter()
        since = self._mutations.loads
        decided: list[Decided] = []
        turn: Turn | None = None
        try:
            for first in range(0, len(asked), PART):
                if turn is not None:
                    self._mutations.hand_over()
                    await asyncio.sleep(0)
                    turn.end()
                part = asked[first : first + PART]
                turn = await self._turn(part, caller)
                await self._decide(part, turn, within, caller, decided)
            return await self._durable(decided, began, since)
        finally:
            if turn is not None:
                turn.end()

    async def _decide(
        self,
        part: Sequence[metering_pb2.Mutation],
        turn: Turn,
        within: Callable[[], float | None],
        caller: Caller,
        decided: list[Decided],
    ) -> None:
        """Decide about a part of a frame, after what was `decided` of it before."""
        size = sum(each.result.ByteSize() for each in decided)
        for mutation in part:
            one: Decided | Later
            if turn.refusal is not None:
                one = failed(mutation.WhichOneof("request") or "", problem_of(turn.refusal))
            elif size > MAX_REPLY_BYTES - MAX_RESULT_BYTES:
                one = failed(mutation.WhichOneof("request") or "", _FULL)
            else:
                one = self._judged(mutation, within(), caller)
            if callable(one):
                turn.end()  # what waits for the central store holds up no others
                one = await one()
            decided.append(one)
            size += one.result.ByteSize()

    async def _turn(self, part: Sequence[metering_pb2.Mutation], caller: Caller) -> Turn:
        """A turn for a part of a frame. It is one of the account that its first mutation is of."""
        frees = all(each.WhichOneof("request") in FREEING for each in part)
        weight = -(-len(part) // MUTATIONS_OF_CALL)
        return await self._mutations.admission.turn(account_of(part[0]), caller.name, weight, frees=frees)

    async def apply_in_parts(self, asked: Sequence[metering_pb2.Mutation], send: Send, caller: Caller) -> None:
        """Apply mutations, those of one account one after another, and send the results in parts. A mutation that waits for
        credit holds up nothing but what comes after it for its account.
        """
        began = time.perf_counter()
        waiting: dict[AccountKey | None, asyncio.Task[Decided]] = {}
        part, turn = _Part(0, self._mutations.loads), None
        sending: asyncio.Task[_Part] | None = None
        with contextlib.ExitStack() as turns:
            async with asyncio.TaskGroup() as group:
                for number, mutation in enumerate(asked):
                    if number % PART == 0:
                        if number:  # this part goes to disk and to its caller while the next one is decided
                            self._mutations.hand_over()
                            before, sending = sending, group.create_task(self._send(part, number, began, send, sending))
                            if before is not None:
                                await before
                            await asyncio.sleep(0)
                        turn = await self._turn(asked[number : number + PART], caller)
                        turns.callback(turn.end)
                        part = _Part(number, self._mutations.loads, turn)
                    one = self._begun(mutation, turn, waiting, caller)
                    if callable(one):
                        waiting[account_of(mutation)] = task = group.create_task(one())
                        group.create_task(self._send_later(number, task, began, send))
                        part = await self._send(part, number + 1, began, send)
                    else:
                        part.decided.append(one)
                await self._send(part, len(asked), began, send)

    def _begun(
        self,
        mutation: metering_pb2.Mutation,
        turn: Turn | None,
        waiting: "Mapping[AccountKey | None, asyncio.Task[Decided]]",
        caller: Caller,
    ) -> Decided | Later:
        """Decide about a mutation, unless its part has no turn, after what waits for its account."""
        if turn is not None and turn.refusal is not None:
            return failed(mutation.WhichOneof("request") or "", problem_of(turn.refusal))
        before = waiting.get(account_of(mutation))
        return self._judged(mutation, None, caller) if before is None else partial(self._after, before, mutation, caller)

    async def _after(self, before: "asyncio.Task[Decided]", mutation: metering_pb2.Mutation, caller: Caller) -> Decided:
        """Decide about a mutation once the one before it was decided about."""
        await asyncio.wait([before])
        one = self._judged(mutation, None, caller)
        return await one() if callable(one) else one

    def _judged(self, mutation: metering_pb2.Mutation, within: float | None, caller: Caller) -> Decided | Later:
        """Decide about a mutation, if its caller may ask for it."""
        try:
            verdict = caller.judge(mutation)
        except Exception as error:  # noqa: BLE001 - a mutation that fails does not end those beside it
            return fault(mutation.WhichOneof("request") or "", error)
        if callable(verdict):
            return partial(self._once_judged, verdict, mutation, within, caller)
        if isinstance(verdict, Problem):
            return failed(mutation.WhichOneof("request") or "", verdict)
        return self._mutations.decide(mutation, within, caller.credential_id)

    async def _once_judged(
        self, asking: AskingFirst, mutation: metering_pb2.Mutation, within: float | None, caller: Caller
    ) -> Decided:
        kind = mutation.WhichOneof("request") or ""
        try:
            verdict = await asking()
        except Exception as error:  # noqa: BLE001 - a mutation that fails does not end those beside it
            return fault(kind, error)
        if isinstance(verdict, Problem):
            return failed(kind, verdict)
        one = self._mutations.decide(mutation, within, caller.credential_id)
        return await one() if callable(one) else one

    async def _send(
        self, part: "_Part", next_number: int, began: float, send: Send, before: "asyncio.Task[_Part] | None" = None
    ) -> "_Part":
        """Send what was decided so far once it is durable, and after what was to be sent before. Begin the next part. Its turn
        ends before anything waits for the caller to read.
        """
        results = await self._durable(part.decided, began, part.since) if part.decided else []
        if part.turn is not None:
            part.turn.end()
        if before is not None:
            await asyncio.wait([before])
        if results:
            await send(part.first, results)
        return _Part(next_number, self._mutations.loads)

    async def _send_later(self, number: int, task: "asyncio.Task[Decided]", began: float, send: Send) -> None:
        await send(number, await self._durable([await task], began))

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
    until the part before is read; `since` is as in `Mutations.durable`. Their turn ends once they are on disk.
    """

    def __init__(self, first: int, since: int, turn: Turn | None = None) -> None:
        self.first = first
        self.since = since
        self.turn = turn
        self.decided: list[Decided] = []


def all_failed(count: int, problem: Problem) -> Results:
    """The results of a frame that failed as a whole."""
    return [failed("", problem).result] * count
