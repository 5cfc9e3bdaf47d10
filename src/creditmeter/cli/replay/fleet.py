"""The workers of a replay: so many at a time, fed in the trace's rhythm, and each that dies is replaced."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from creditmeter.cli.replay.calls import Call
from creditmeter.cli.replay.tally import Tally
from creditmeter.cli.replay.worker import Terms, Worker
from creditmeter.client import Client


@dataclass(frozen=True, slots=True)
class Pace:
    """How many workers there are, and how many times as fast as in the trace calls come; 0: as fast as it goes."""

    workers: int
    speed: float


async def replay_calls(
    calls: Sequence[Call], address: str, pace: Pace, terms: Terms, tally: Tally, done: Callable[[], None]
) -> None:
    """Replay calls on the sidecar at an address. `done` is told of each call that has ended.

    Raises:
        CallError: the sidecar was away for longer than the workers are patient.
    """
    queue: asyncio.Queue[Call | None] = asyncio.Queue(maxsize=2 * pace.workers)
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(pace.workers):
                group.create_task(_post(queue, address, terms, tally, done))
            await _feed(queue, calls, pace)
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    tally.seconds = time.perf_counter() - started


async def _feed(queue: "asyncio.Queue[Call | None]", calls: Sequence[Call], pace: Pace) -> None:
    """Put each call into the queue when its time has come, and at the end a word for each worker that this is all."""
    started = time.perf_counter()
    for each in calls:
        if pace.speed:
            await asyncio.sleep(started + each.traced.at_seconds / pace.speed - time.perf_counter())
        await queue.put(each)
    for _ in range(pace.workers):
        await queue.put(None)


async def _post(
    queue: "asyncio.Queue[Call | None]", address: str, terms: Terms, tally: Tally, done: Callable[[], None]
) -> None:
    """One worker after another: where one dies, the next takes its place, with a connection of its own."""
    while True:
        worker = asyncio.create_task(_worker(queue, address, terms, tally, done))
        try:
            await asyncio.wait({worker})
        finally:
            worker.cancel()
            await asyncio.wait({worker})  # it gives back what it holds
        if not worker.cancelled():
            return worker.result()
        tally.killed += 1
        done()


async def _worker(
    queue: "asyncio.Queue[Call | None]", address: str, terms: Terms, tally: Tally, done: Callable[[], None]
) -> None:
    async with Client(address) as client:
        await Worker(client, terms, tally, done).work(queue)
