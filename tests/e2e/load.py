"""A steady load on several sidecars, and the acknowledged replies, to be looked for afterwards."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.v1 import account_pb2, metering_pb2
from tests.e2e.fleet import CREDIT, ONCE, history, reserve

LARGEST_CALL = 10
LONGEST_CALL_SECONDS = 0.05
PAUSE_SECONDS = 0.05
"""After a refusal."""

PASSING = {"CENTRAL_UNAVAILABLE", "CONTENDED", "RECALL_PENDING"}


class Load:
    """Workers that reserve and commit as long as it is on. A reservation may be refused for a while; a commit never is."""

    def __init__(self, clients: Sequence[Connection], accounts: Sequence[str]) -> None:
        self.reserved = 0
        self.charges: dict[str, int] = {}
        self.refused: Counter[str] = Counter()
        self._clients = clients
        self._accounts = accounts
        self._is_on = True
        self._progress = asyncio.Condition()

    @asynccontextmanager
    async def on(self, workers: int) -> AsyncIterator["Load"]:
        """Keep so many workers for each sidecar busy while the block runs; then let them finish their calls."""
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate([*self._clients] * workers):
                group.create_task(self._work(client, f"w{number}"))
            try:
                yield self
            finally:
                self._is_on = False

    async def until(self, is_so: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something that the load brings about."""
        async with asyncio.timeout(seconds), self._progress:
            await self._progress.wait_for(is_so)

    async def calls(self, number: int) -> None:
        """Wait until so many more calls were charged."""
        enough = len(self.charges) + number
        await self.until(lambda: len(self.charges) >= enough)

    async def _work(self, client: Connection, name: str) -> None:
        draw = random.Random(name)  # noqa: S311 - the same worker, the same calls
        for number in count():
            if not self._is_on:
                return
            credits = draw.randint(1, LARGEST_CALL)
            await self._make_call(client, f"{name}/{number}", draw.choice(self._accounts), credits, draw)
            async with self._progress:
                self._progress.notify_all()

    async def _make_call(self, client: Connection, name: str, account_id: str, credits: int, draw: random.Random) -> None:
        try:
            held = await reserve(client, f"{name}/reserve", account_id, credits)
        except CreditmeterError as error:
            if error.reason not in PASSING:
                raise
            self.refused[error.reason] += 1
            await asyncio.sleep(PAUSE_SECONDS)
            return
        self.reserved += 1
        await asyncio.sleep(draw.random() * LONGEST_CALL_SECONDS)  # the call
        used = draw.randint(0, credits + 1)  # at times more than was held
        await self.commit(client, f"{name}/commit", held.reservation_id, used)

    async def commit(self, client: Connection, request_id: str, reservation_id: str, credits: int) -> None:
        """Commit at the first attempt, and remember what was acknowledged."""
        request = metering_pb2.CommitRequest(
            request_id=request_id, reservation_id=reservation_id, amount_microcredits=credits * CREDIT
        )
        charge = (await call(client.metering.Commit, request, ONCE)).charge
        self.charges[charge.charge_id] = credits * CREDIT


async def assert_charged_once(client: Connection, accounts: Sequence[str], charges: dict[str, int]) -> None:
    """Each acknowledged charge is in the history of its account, once, at its cost, and nothing else is."""
    entries = [entry for account_id in accounts for entry in await history(client, account_id)]
    charged = [each for each in entries if each.type == account_pb2.HISTORY_TYPE_CHARGED]
    found = Counter(each.charge_id for each in charged)
    assert [name for name, times in found.items() if times > 1] == []
    assert {each.charge_id: -each.amount_microcredits for each in charged} == charges
