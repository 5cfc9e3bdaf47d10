"""Workers that use streams: frames of requests of which parts of the answers get lost, and metered calls that break and resume.

A frame is answered by the code of Batch or Pipeline. A stream that breaks loses the parts that come after. Of a metered call is
written down what was reported and what of that was acknowledged, so that its charge can be judged in the end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from creditmeter.core.credit.requests import Commit, Done, Request, Reserve
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, RequestId, ReservationId
from creditmeter.core.refusals import Refusal
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from creditmeter.server.counters import Counters
from creditmeter.server.frames import Frames, Results
from creditmeter.server.mutations import Decided, Later, Mutations
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.pipeline import PipelineStream
from creditmeter.sidecar.meter import Meter
from creditmeter.sidecar.metered_stream import GoOn, MeteredStream, StopReason
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import metering_pb2
from tests.gates import Neighbour, anybody, open_gate
from tests.simulation.machine import LIMITS, Machine, Silence

if TYPE_CHECKING:
    from tests.simulation.world import World

_BREAKS = 0.1
"""How often a stream breaks before an answer."""

_GOES_ON = 0.75
"""How often a metered call goes on after a report."""

_IS_HELD_BEFORE = 0.3
"""How often a metered call goes on with a hold that was made before its stream was opened."""

_IS_KEPT = 0.15
"""How often a report is followed by a commit that keeps the hold."""

_MODEL = "gpt-4o"
_KINDS = {"Reserve": "reserve", "Extend": "extend", "Commit": "commit", "Release": "release", "ChargeNow": "charge"}
_FIELDS = {"amount": "amount_microcredits"}
_PASSING = frozenset({"request_id", "account_id", "reservation_id", "amount", "keep_open", "allow_partial", "already_incurred"})


def mutation_of(request: Request) -> metering_pb2.Mutation:
    """A request of a stated amount as it travels in a frame."""
    kind = _KINDS[type(request).__name__]
    values = {name: getattr(request, name) for name in request.__struct_fields__ if name in _PASSING}
    made = metering_pb2.Mutation()
    message = getattr(made, kind)
    for name, value in values.items():
        if value is not None:
            setattr(message, _FIELDS.get(name, name), value)
    message.SetInParent()
    return made


class _NotedMutations(Mutations):
    """Mutations, with what was decided about each of them."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter, LIMITS.max_hold_lifetime)
        self.outcomes: dict[str, Outcome] = {}
        self._last: Outcome | None = None

    def decide(self, mutation: metering_pb2.Mutation, within: float | None, credential_id: str) -> Decided | Later:
        """Decide, and note what was decided."""
        kind = mutation.WhichOneof("request")
        assert kind is not None, "each has one"
        name, self._last = getattr(mutation, kind).request_id, None
        one = super().decide(mutation, within, credential_id)
        if callable(one):
            return partial(self._noted, name, one)
        self._note(name)
        return one

    async def _noted(self, name: str, deciding: Later) -> Decided:
        one = await deciding()
        self._note(name)
        return one

    def _note(self, name: str) -> None:
        if self._last is not None:
            self.outcomes[name], self._last = self._last, None

    def _written(self, kind: str, outcome: Outcome) -> Decided:
        self._last = outcome
        return super()._written(kind, outcome)


@dataclass(slots=True)
class MeteredJob:
    """What a worker knows of a metered call. `reported` are the output tokens that it sent since the last commit, in their
    order, from none on; `acknowledged` those that were answered last. `kept` are those that were committed while the call went
    on, and `finished` those that its last charge was said to be for.
    """

    machine: str
    account_id: AccountId
    reservation_id: ReservationId | None = None
    reported: list[int] = field(default_factory=lambda: [0])
    acknowledged: int = 0
    finished: int | None = None
    kept: list[int] = field(default_factory=list)

    def keep(self) -> None:
        """Note that what was reported is charged, and that the call goes on."""
        self.kept.append(self.reported[-1])
        self.reported, self.acknowledged = [0], 0

    def may_be_charged(self, output_tokens: int | None) -> bool:
        """Whether a charge for so many output tokens is right."""
        if self.finished is not None:
            return output_tokens == self.finished
        return output_tokens in self.reported and output_tokens >= self.acknowledged

    @property
    def must_be_charged(self) -> bool:
        """Whether there has to be a charge."""
        return self.finished is not None or self.acknowledged > 0


class Streams:
    """All workers that use streams."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng: Random = world.rng
        self._count = 0
        self.jobs: list[MeteredJob] = []

    def batch(self) -> None:
        """Send a few requests together, to be applied in order."""
        self._frame(in_parts=False)

    def pipeline(self) -> None:
        """Send a few requests together, whose answers may come in parts."""
        self._frame(in_parts=True)

    def metered(self) -> None:
        """Meter a call on a stream."""
        machine = self._rng.choice(self._world.machines)
        job = MeteredJob(machine.name, self._rng.choice(self._world.account_ids))
        self.jobs.append(job)
        self._world.employ(self._meter(machine, job))

    # Frames.

    def _frame(self, *, in_parts: bool) -> None:
        machine = self._rng.choice(self._world.machines)
        requests = self._world.workers.some(machine, self._rng.randint(2, 5))
        self._world.employ(self._send(machine, requests, in_parts=in_parts))

    async def _send(self, machine: Machine, requests: Sequence[Request], *, in_parts: bool) -> None:
        world, before = self._world, self._world.watch.glance(machine)
        outcomes: list[Outcome | Silence] = [Silence("no part of the answer came") for _ in requests]
        for each in requests:
            world.record.asked.setdefault((machine.name, each.request_id), world.now())
        if machine.sidecar is not None:
            mutations = _NotedMutations(machine.sidecar.meter)
            frames = Frames(mutations, Counters())
            receiving = _Receiving(self._rng, requests, mutations.outcomes, outcomes)
            asked = [mutation_of(each) for each in requests]
            work = _stream(frames, asked, receiving, self._rng) if in_parts else _whole(frames, asked, receiving)
            if not isinstance(await machine.work(work, len(requests)), Silence) and receiving.answered < set(
                range(len(requests))
            ):
                world.fail(f"{machine.name}: a stream ended before all of it was answered")
            for problem in receiving.problems:
                world.fail(f"{machine.name}: {problem}")
        for request, outcome in zip(requests, outcomes, strict=True):
            world.note(f"{machine.name} framed {request.request_id}: {type(outcome).__name__}")
            world.workers.take_note(machine, request, outcome, before)

    # Metered calls.

    async def _meter(self, machine: Machine, job: MeteredJob) -> None:
        self._count += 1
        number = self._count
        most = self._rng.randint(2_000, 20_000)
        work = Work("text", request_model=_MODEL, input_tokens=self._rng.randint(1, 900), max_output_tokens=most)
        asked = Reserve(RequestId(f"metered-{number}"), job.account_id, work, is_metered=True)
        if machine.sidecar is not None and self._rng.random() < _IS_HELD_BEFORE:
            await machine.work(machine.sidecar.meter.answer(replace(asked, is_metered=False)))
        for _ in range(self._rng.randint(1, 4)):
            sidecar = machine.sidecar
            if sidecar is not None:
                opened = await machine.work(sidecar.metered_calls.open(asked, None, None, _ignored))
                self._world.note(f"{machine.name} {asked.request_id}: {type(opened).__name__}")
                if isinstance(opened, tuple):
                    stream, done = opened
                    job.reservation_id = done.reply.reservation_id
                    is_over = await self._use(machine, sidecar, stream, job, f"finish-{number}")
                    if machine.sidecar is sidecar:
                        sidecar.metered_calls.leave(stream)
                    if is_over:
                        return
            await asyncio.sleep(self._rng.choice((0.0, 1.0, 4.0, 8.0)))

    async def _use(self, machine: Machine, sidecar: Sidecar, stream: MeteredStream, job: MeteredJob, finish: str) -> bool:
        """Report on a stream until the call is finished, or given up, or the stream breaks. Returns whether it is over."""
        while self._rng.random() < _GOES_ON:
            job.reported.append(job.reported[-1] + self._rng.randint(1, 2_500))
            verdict = await _step(machine, sidecar, lambda: stream.report(Usage(output_tokens=job.reported[-1])))
            self._world.note(f"{machine.name} reported {finish} {job.reported[-1]}: {verdict}")
            if not isinstance(verdict, GoOn | StopReason):
                return False
            if verdict is StopReason.RESERVATION_ENDED:
                return True
            job.acknowledged = job.reported[-1]
            if isinstance(verdict, StopReason):
                break
            if self._rng.random() < _IS_KEPT and (is_over := await self._keep(machine, sidecar, job)) is not None:
                return is_over
            await asyncio.sleep(self._rng.choice((0.0, 0.05, 1.0, 3.0)))
        if self._rng.random() < 1 - _GOES_ON:
            return self._rng.random() < 0.5
        usage = Usage(output_tokens=job.reported[-1])
        outcome = await _step(machine, sidecar, lambda: stream.finish(RequestId(finish), usage))
        self._world.note(f"{machine.name} {finish}: {type(outcome).__name__}")
        if isinstance(outcome, Done):
            assert outcome.reply.charge is not None, "a finish is charged"
            charged = outcome.reply.charge.usage
            job.finished = None if charged is None else charged.output_tokens
        return not isinstance(outcome, Silence)

    async def _keep(self, machine: Machine, sidecar: Sidecar, job: MeteredJob) -> bool | None:
        """Charge what was reported, and keep the hold. Returns whether the call is over, if this step was its last."""
        assert job.reservation_id is not None, "its stream was opened"
        name, usage = RequestId(f"{job.reservation_id}-keep-{len(job.kept)}"), Usage(output_tokens=job.reported[-1])
        asked = Commit(name, job.reservation_id, usage=usage, keep_open=True)
        outcome = await _step(machine, sidecar, lambda: sidecar.meter.answer(asked))
        self._world.note(f"{machine.name} {name}: {type(outcome).__name__}")
        if not isinstance(outcome, Done):  # a worker that does not know how it went out must not report as if it did
            return True
        assert outcome.reply.reservation is not None, "a commit is about one"
        if outcome.reply.reservation.state is ReservationState.HELD:
            job.keep()
            return None
        job.finished = job.reported[-1]
        return True

    def check(self, charges: dict[str, list[int | None]], lost: set[str]) -> None:
        """Each call was charged once, for what it reported. `charges` are the output tokens charged, by reservation."""
        for job in self.jobs:
            found = charges.get(job.reservation_id or "", [])
            if job.machine in lost:
                continue
            for kept in job.kept:
                if kept not in found:
                    self._world.fail(f"{job.reservation_id} committed {kept} tokens while it went on, and was not charged")
                else:
                    found.remove(kept)
            if len(found) > 1:
                self._world.fail(f"{job.reservation_id} was charged {len(found)} times")
            if not found and job.must_be_charged:
                self._world.fail(f"{job.reservation_id} reported {job.acknowledged} tokens, and was not charged")
            for tokens in found:
                if not job.may_be_charged(tokens):
                    self._world.fail(f"{job} was charged for {tokens} tokens")


class _Receiving:
    """The caller's side of a frame: parts come until the stream breaks."""

    def __init__(
        self, rng: Random, requests: Sequence[Request], decided: dict[str, Outcome], outcomes: list[Outcome | Silence]
    ) -> None:
        self._rng = rng
        self._requests = requests
        self._decided = decided
        self._outcomes = outcomes
        self._is_broken = False
        self.answered: set[int] = set()
        self.problems: list[str] = []

    async def part(self, first: int, results: Results) -> None:
        """Take a part of the answer."""
        numbers = set(range(first, first + len(results)))
        if numbers & self.answered:
            self.problems.append("a mutation was answered twice")
        self.answered |= numbers
        self._is_broken = self._is_broken or self._rng.random() < _BREAKS
        if self._is_broken:
            return
        for number, result in enumerate(results, first):
            request = self._requests[number]
            decided, is_error = self._decided.get(request.request_id), result.WhichOneof("result") == "error"
            if decided is not None and is_error is isinstance(decided, Refusal):
                self._outcomes[number] = decided
                self._compare(request, decided, result)

    def _compare(self, request: Request, decided: Outcome, result: metering_pb2.MutationResult) -> None:
        """A result is that of its mutation."""
        kind = result.WhichOneof("result")
        if not isinstance(decided, Done) or kind is None:
            return
        reply = getattr(result, kind)
        ours = decided.reply.charge.charge_id if decided.reply.charge is not None else None
        if kind != _KINDS[type(request).__name__] or (ours is not None and reply.charge.charge_id != ours):
            self.problems.append(f"{request.request_id} was answered by another one's result")


async def _whole(frames: Frames, asked: Sequence[metering_pb2.Mutation], receiving: _Receiving) -> None:
    await receiving.part(0, await frames.apply(asked, lambda: None, anybody()))


async def _stream(frames: Frames, asked: Sequence[metering_pb2.Mutation], receiving: _Receiving, rng: Random) -> None:
    """Send frames on one stream, close its sending side, and take what comes until the sidecar ends it."""
    begins = sorted({0, *(rng.randrange(len(asked)) for _ in range(rng.randint(0, 1)))})

    async def sent() -> AsyncIterator[metering_pb2.PipelineRequest]:
        for begin, end in pairwise((*begins, len(asked))):
            yield metering_pb2.PipelineRequest(frame_id=begin, mutations=asked[begin:end], answer_in_parts=rng.random() < 0.7)

    caller: Any = _Caller(receiving)
    await PipelineStream(frames, OpenStreams(), open_gate(), caller).answer(sent())


class _Caller(Neighbour):
    """The caller of a stream, to whom replies are written. A frame is named by the number of its first mutation."""

    def __init__(self, receiving: _Receiving) -> None:
        self._receiving = receiving

    async def write(self, reply: metering_pb2.PipelineResponse) -> None:
        """Take a reply."""
        await self._receiving.part(reply.frame_id + reply.first_mutation, list(reply.results))


async def _step(machine: Machine, sidecar: Sidecar, step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Take a step on a stream; silence if its sidecar is gone."""
    return await machine.work(step()) if machine.sidecar is sidecar else Silence("the stream broke")


def _ignored() -> None:
    """For a worker that is told of nothing."""
