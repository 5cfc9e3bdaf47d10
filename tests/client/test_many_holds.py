"""Many holds in a row that are cancelled at random points, raise, or lose messages: what was reported is charged once."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from creditmeter.client import Charge, Client, HistoryEntry, HistoryType, Hold, Retry, Usage
from creditmeter.v1 import metering_pb2
from tests.cases import more
from tests.client.conftest import CREDIT, give
from tests.client.proxy import Proxy, Treatment, proxy_to

ACCOUNT = "many"
METHODS = ("Reserve", "Commit", "Release", "Extend", "GetReservation", "Meter")
LOSSES = (Treatment.LOSE_REQUEST, Treatment.LOSE_REPLY, Treatment.BREAK)
STUBBORN = Retry(total=5, first_delay=0.001, longest_delay=0.01)
CHUNK_TOKENS = 20
CHUNK = "word" * CHUNK_TOKENS
MOST_STEPS = 80
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
        self.streamed: dict[str, int] = {}
        self.crashed: dict[str, tuple[int, int]] = {}

    async def one(self, job: str) -> None:
        """One hold, with a random loss, and perhaps cancelled at a random moment."""
        for _ in range(self.chance.randrange(3)):
            self.proxy.next(self.chance.choice(METHODS), self.chance.choice(LOSSES))
        work = self.chance.choice((self._work, self._stream))
        task = asyncio.create_task(work(job))
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

    async def _stream(self, job: str) -> None:
        """A stream whose provider or reader may break off, and that may be committed."""
        terms = {"job_id": job, "model": "gpt-4o", "input_tokens": 1_000, "max_output_tokens": 2_000, "labels": {"job": job}}
        async with self.meter.hold(ACCOUNT, metered=self.chance.random() < 0.5, **terms) as hold:  # type: ignore[arg-type]  # the terms
            self.may_be_charged.add(job)
            async for _ in hold.stream(self._chunks()):
                self.streamed[job] = self.streamed.get(job, 0) + CHUNK_TOKENS
                if self.chance.random() < 0.1:
                    break
            if self.chance.random() < 0.5:
                self.committed[job] = await hold.commit()

    async def _chunks(self) -> AsyncIterator[str]:
        while self.chance.random() < 0.9:
            await asyncio.sleep(self.chance.choice((0, 0.001)))
            yield CHUNK
            if self.chance.random() < 0.05:
                raise BrokenOffError

    async def crash(self, job: str, address: str) -> None:
        """A process that dies while it reads a stream. What the sidecar knew of it then is written down."""
        client = Client(address)
        terms = {"job_id": job, "model": "gpt-4o", "input_tokens": 1_000, "max_output_tokens": 2_000, "labels": {"job": job}}
        hold = client.hold(ACCOUNT, metered=True, **terms)  # type: ignore[arg-type]  # the terms
        await hold.__aenter__()
        self.may_be_charged.add(job)
        generated = 0
        with contextlib.suppress(BrokenOffError):
            async for _ in hold.stream(self._chunks()):
                generated += CHUNK_TOKENS
        asked = metering_pb2.GetReservationRequest(reservation_id=hold.reservation.reservation_id)
        session = client._sessions[asyncio.get_running_loop()]
        known = (await session.metering.GetReservation(asked)).reservation.progress.output_tokens
        self.crashed[job] = known, generated
        assert hold._holding._metering is not None
        await hold._holding._metering.end()
        await client.close()

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
        if self.chance.random() < 0.6:
            self.reported.add(job)
            raise BrokenOffError


async def _output_tokens(meter: Client, entry: HistoryEntry) -> int:
    usage = (await meter.settled(entry.charge_id)).usage
    return 0 if usage is None else usage.output_tokens or 0


@pytest.mark.parametrize(("seed", "holds"), [(5, 100), *more((2, 1_000))])
async def test_every_hold_ends_once(address: str, data_dir: Path, seed: int, holds: int) -> None:
    """At the end nothing is held, what was committed or reported was charged once, and nothing else was."""
    await give(address, ACCOUNT, 10_000 * CREDIT)
    async with proxy_to(address, data_dir) as proxy:
        meter = Client(proxy.address, retry=STUBBORN)
        workers = Workers(meter, proxy, seed)
        for number in range(holds):
            await workers.one(f"job{number}")
            if number % 50 == 10:
                await workers.crash(f"crashed{number}", address)
        proxy.forget()
        await meter.close()
    async with Client(address) as meter:
        while (await meter.balance(ACCOUNT)).held_microcredits:  # until the grace of the last that crashed is over
            await asyncio.sleep(0.1)
        assert (await meter.balance(ACCOUNT)).held_microcredits == 0
        for charge in workers.committed.values():
            await meter.settled(charge.charge_id)
        while (await meter.balance(ACCOUNT)).unposted_microcredits:
            await asyncio.sleep(0.01)
        entries = [each async for each in meter.history(ACCOUNT, types=[HistoryType.CHARGED], page_size=1_000)]
        charged = [each.labels["job"] for each in entries]
        tokens = {each.labels["job"]: await _output_tokens(meter, each) for each in entries}
    assert len(charged) == len(set(charged))
    assert set(charged) >= set(workers.committed) | workers.reported | set(workers.streamed)
    for job, generated in workers.streamed.items():
        assert generated <= tokens[job] <= generated + CHUNK_TOKENS
    for job, (known, generated) in workers.crashed.items():
        assert known <= tokens.get(job, 0) <= generated
    assert set(charged) <= workers.may_be_charged
    assert len(workers.committed) > holds / 10
    assert len(workers.reported) > holds / 200
    assert len(workers.streamed) > holds / 10
    assert len(charged) < holds * 0.9
