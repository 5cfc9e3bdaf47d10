"""Many holds in a row that are cancelled at random points, raise, or lose messages: what was reported is charged once."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from creditmeter.client import Charge, Client, HistoryType, Hold, Retry, Usage
from tests.cases import more
from tests.client.conftest import CREDIT, give
from tests.client.proxy import Proxy, Treatment, proxy_to

ACCOUNT = "many"
METHODS = ("Reserve", "Commit", "Release", "Extend", "GetReservation")
LOSSES = (Treatment.LOSE_REQUEST, Treatment.LOSE_REPLY)
STUBBORN = Retry(total=5, first_delay=0.001, longest_delay=0.01)
MOST_STEPS = 40
"""After how many turns of the loop at most a worker is cancelled: a whole hold takes about as many."""


class BrokenOffError(Exception):
    """The work failed."""


class Workers:
    """Workers whose holds end in every way, and what they know of them."""

    def __init__(self, meter: Client, proxy: Proxy, seed: int) -> None:
        self.meter, self.proxy = meter, proxy
        self.chance = random.Random(seed)  # noqa: S311 - is to be repeated
        self.committed: dict[str, Charge] = {}
        self.reported: set[str] = set()
        self.may_be_charged: set[str] = set()

    async def one(self, job: str) -> None:
        """One hold, with a random loss, and perhaps cancelled at a random moment."""
        for _ in range(self.chance.randrange(3)):
            self.proxy.next(self.chance.choice(METHODS), self.chance.choice(LOSSES))
        task = asyncio.create_task(self._work(job))
        if self.chance.random() < 0.5:
            for _ in range(self.chance.randrange(MOST_STEPS)):
                await asyncio.sleep(0)
            await asyncio.sleep(self.chance.choice((0, 0, 0.001, 0.003)))
            task.cancel()
        with contextlib.suppress(BrokenOffError, asyncio.CancelledError):
            await task

    async def _work(self, job: str) -> None:
        terms = {"job_id": job, "model": "gpt-4o", "input_tokens": 1_000, "max_output_tokens": 100}
        async with self.meter.hold(ACCOUNT, labels={"job": job}, **terms) as hold:  # type: ignore[arg-type]  # the terms
            for step in self.chance.sample((self._extend, self._dispatch, self._report), 2):
                await step(hold, job)
                if self.chance.random() < 0.2:
                    raise BrokenOffError
            if self.chance.random() < 0.7:
                self.may_be_charged.add(job)
                self.committed[job] = await hold.commit(Usage(input_tokens=1_000, output_tokens=10))

    async def _extend(self, hold: Hold, _: str) -> None:
        await hold.extend(max_output_tokens=200)

    async def _dispatch(self, hold: Hold, job: str) -> None:
        self.may_be_charged.add(job)
        hold.dispatched()
        await asyncio.sleep(0.002)

    async def _report(self, hold: Hold, job: str) -> None:
        self.may_be_charged.add(job)
        hold.report(input_tokens=1_000, output_tokens=5)
        await asyncio.sleep(0.002)
        if self.chance.random() < 0.3:
            self.reported.add(job)
            raise BrokenOffError


@pytest.mark.parametrize(("seed", "holds"), [(1, 200), *more((2, 1_000))])
async def test_every_hold_ends_once(address: str, data_dir: Path, seed: int, holds: int) -> None:
    """At the end nothing is held, what was committed or reported was charged once, and nothing else was."""
    await give(address, ACCOUNT, 10_000 * CREDIT)
    async with proxy_to(address, data_dir) as proxy:
        meter = Client(proxy.address, retry=STUBBORN)
        workers = Workers(meter, proxy, seed)
        for number in range(holds):
            await workers.one(f"job{number}")
        proxy.forget()
        await meter.close()
    async with Client(address) as meter:
        assert (await meter.balance(ACCOUNT)).held_microcredits == 0
        for charge in workers.committed.values():
            await meter.settled(charge.charge_id)
        while (await meter.balance(ACCOUNT)).unposted_microcredits:
            await asyncio.sleep(0.01)
        charged = [each.labels["job"] async for each in meter.history(ACCOUNT, types=[HistoryType.CHARGED], page_size=1_000)]
    assert len(charged) == len(set(charged))
    assert set(charged) >= set(workers.committed) | workers.reported
    assert set(charged) <= workers.may_be_charged
    assert len(workers.committed) > holds / 10
    assert len(workers.reported) > holds / 50
    assert len(charged) < holds * 0.9
