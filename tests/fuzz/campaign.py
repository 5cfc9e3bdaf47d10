"""Calls in rounds; after some, what was refused is made again between two snapshots; and what must hold at the end."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import grpc
from google.protobuf.message import DecodeError

from creditmeter.client.stubs import Connection, CreditmeterError
from tests.credentials import AccessFile
from tests.fuzz.calling import Answer, Ways
from tests.fuzz.calls import Call, Calls, callers
from tests.fuzz.ending import QUIET_SECONDS, ended_well
from tests.fuzz.findings import Finding, Record
from tests.fuzz.judging import is_of_grpc, is_refusal, reasons_of, wrong_with
from tests.fuzz.known import Known
from tests.fuzz.process import Sidecar
from tests.fuzz.setting_up import set_up, tend
from tests.fuzz.snapshots import snapshot
from tests.fuzz.wire import connect

ROUND = 250
COMPARED_EVERY = 3
"""What was refused in one of so many rounds is made again."""

CONNECTIONS = 4
"""Connections in each round that speak no gRPC, or gRPC that lies."""

AT_ONCE = 16
"""Callers at the same time."""

COMPARISONS = 3
"""How often a difference must be seen until it counts. The last time nothing that calls left behind goes on."""

MOST_GROWTH = 10.0
"""MiB more in the last fifth of the calls than in the second."""

MANY = 50_000
"""From so many calls on, memory is judged: in the first 10,000 or so, caches fill."""

Tell = Callable[[str], None]


class Campaign:
    """Calls to one sidecar."""

    def __init__(self, seed: int, sidecar: Sidecar, access: AccessFile, tell: Tell) -> None:
        self.record = Record(seed)
        self._sidecar = sidecar
        self._tell = tell
        self._known = Known()
        self._calls = Calls(seed, self._known, callers(access), int(time.time()))

    async def run(self, numbers: Sequence[int]) -> None:
        """Make the calls of these numbers, and look at what they left. A sidecar that is gone gets no more calls."""
        try:
            await self._run(numbers)
        except (CreditmeterError, grpc.aio.AioRpcError) as error:
            code = self._sidecar.ended_with
            state = "runs" if code is None else f"ended with exit code {code}"
            self._found(Finding(f"the sidecar {state}, and after {self.record.calls} calls: {error}"))
        self._look_at_the_log(())

    async def _run(self, numbers: Sequence[int]) -> None:
        await asyncio.to_thread(self._sidecar.start)
        async with AsyncExitStack() as stack:
            ways = await stack.enter_async_context(Ways.to(self._sidecar.socket, self._sidecar.network))
            connection = await stack.enter_async_context(Connection(self._sidecar.socket))
            await set_up(connection, self._known)
            rounds = [numbers[first : first + ROUND] for first in range(0, len(numbers), ROUND)]
            for number, each in enumerate(rounds):
                await self._round(ways, connection, number, each, is_compared=number % COMPARED_EVERY == 0)
                if number % max(1, len(rounds) // 20) == 0:
                    self._measure()
            self._measure()
        if len(numbers) >= MANY and self.record.growth > MOST_GROWTH:
            self._found(Finding(f"memory grew by {self.record.growth:.1f} MiB from the second fifth of the calls to the last"))
        for wrong in await ended_well(self._sidecar):
            self._found(Finding(wrong))

    def _found(self, finding: Finding) -> None:
        """Keep a finding, and tell at once of the first of its kind."""
        if self.record.found(finding):
            for line in finding.lines(self.record.seed):
                self._tell(line)

    def _measure(self) -> None:
        memory = self._sidecar.memory
        self.record.memory.append((self.record.calls, memory))
        self._tell(self.record.progress(memory))

    async def _round(
        self, ways: Ways, connection: Connection, number: int, numbers: Sequence[int], *, is_compared: bool
    ) -> None:
        made = await self._make(ways, map(self._calls.call, numbers), self._judge)
        await self._connect(number)
        if is_compared:
            refused = [call for call, answer in made if call.is_plain and is_refusal(call, answer)]
            await self._compare(ways, connection, refused)
        await tend(connection, number)
        self._look_at_the_log(numbers)

    async def _make(self, ways: Ways, calls: Iterable[Call], seen: Callable[[Call, Answer], None]) -> list[tuple[Call, Answer]]:
        waiting, made = iter(calls), list[tuple[Call, Answer]]()

        async def caller() -> None:
            for call in waiting:
                answer = await ways.make(call)
                seen(call, answer)
                made.append((call, answer))

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        return made

    async def _connect(self, number: int) -> None:
        """Open connections that are none of gRPC's."""
        for each in range(CONNECTIONS):
            random = Random(f"{self.record.seed}/connection/{number}/{each}")
            if not await connect(random, self._sidecar.network):
                self._found(Finding(f"no connection was to be had in round {number}"))
        self.record.connections += CONNECTIONS

    def _judge(self, call: Call, answer: Answer) -> None:
        self.record.count(call, answer)
        if answer.code is grpc.StatusCode.UNAVAILABLE:
            self.record.unavailable[answer.message[:200]] += 1
        if is_of_grpc(answer):
            self.record.of_grpc[f"{answer.code.name} ({answer.message[:40]})"] += 1
        for what in wrong_with(call, answer):
            self._found(Finding(what, call))
        try:
            self.record.reasons.update(each.reason for each in reasons_of(answer.details))
            request = call.rpc.request().FromString(call.messages[0]) if call.messages else call.rpc.request()
            for each in answer.replies:
                self._known.learn(call.rpc, request, call.rpc.reply(each))
        except DecodeError:
            pass  # what is wrong with an answer was told; and a request that is none has no next page

    async def _compare(self, ways: Ways, connection: Connection, refused: Sequence[Call]) -> None:
        """Make calls that were refused once more, and see that they change nothing. What is not refused again is left out, and
        the rest compared anew: there are fewer each time.
        """
        differences: list[str] = []
        compared = 0
        while compared < COMPARISONS:
            if compared == COMPARISONS - 1:
                await asyncio.sleep(QUIET_SECONDS)
            before = await snapshot(connection)
            made = await self._make(ways, refused, lambda _call, _answer: None)
            after = await snapshot(connection)
            self.record.repeated += len(made)
            again = [call for call, answer in made if is_refusal(call, answer)]
            if len(again) < len(refused):
                refused = again
                continue
            compared += 1
            differences = list(before.differences(after))
            if not differences:
                self.record.comparisons += 1
                return
        for each in differences:
            numbers = f"{refused[0].number}..{refused[-1].number}"
            self._found(Finding(f"refused calls changed something (calls {numbers}): {each[:2_000]}"))

    def _look_at_the_log(self, numbers: Sequence[int]) -> None:
        where = f" (calls {numbers[0]}..{numbers[-1]})" if numbers else ""
        for each in self._sidecar.complaints():
            self._found(Finding(f"logged{where}: {each[:150]} … {each[-900:]}"))


def fuzz(seed: int, numbers: Sequence[int], central: str | None, tell: Tell) -> Record:
    """Make the calls of a seed to a new sidecar, on this central store or on one of its own. Returns what was found."""
    with tempfile.TemporaryDirectory(prefix="cm") as name:
        directory = Path(name)
        access = AccessFile(directory / "access.json")
        sidecar = Sidecar(directory, central or f"sqlite:///{directory / 'central.db'}", access.path)
        campaign = Campaign(seed, sidecar, access, tell)
        try:
            asyncio.run(campaign.run(numbers))
        finally:
            sidecar.kill()
        return campaign.record
