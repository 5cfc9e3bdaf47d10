"""The workers of a replay. They get calls at the pace of the trace; a worker that dies is replaced."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from creditmeter.cli.replay.calls import Call
from creditmeter.cli.replay.tally import Tally
from creditmeter.cli.replay.worker import CallSettings, Worker
from creditmeter.client.stubs import Connection

Connect = Callable[[], Connection]


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of workers, and the speed as a multiple of the trace's; 0: as fast as possible."""

    workers: int
    speed: float


async def replay_calls(
    calls: Sequence[Call], connect: Connect, pace: Pace, settings: CallSettings, tally: Tally, done: Callable[[], None]
) -> None:
    """Replay calls on the sidecar that `connect` connects with. `done` is called after each call that has ended.

    Raises:
        CreditmeterError: the sidecar did not answer for longer than the workers repeat a call.
    """
    queue: asyncio.Queue[Call | None] = asyncio.Queue(maxsize=2 * pace.workers)
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(pace.workers):
                group.create_task(_post(queue, connect, settings, tally, done))
            await _feed(queue, calls, pace)
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    tally.seconds = time.perf_counter() - started


async def _feed(queue: "asyncio.Queue[Call | None]", calls: Sequence[Call], pace: Pace) -> None:
    """Put each call into the queue when its time has come, and at the end a None for each worker, which ends it."""
    started = time.perf_counter()
    for each in calls:
        if pace.speed:
            await asyncio.sleep(started + each.traced.at_seconds / pace.speed - time.perf_counter())
        await queue.put(each)
    for _ in range(pace.workers):
        await queue.put(None)


async def _post(
    queue: "asyncio.Queue[Call | None]", connect: Connect, settings: CallSettings, tally: Tally, done: Callable[[], None]
) -> None:
    """Run one worker after another: when one dies, the next takes its place, with a connection of its own."""
    while True:
        worker = asyncio.create_task(_worker(queue, connect, settings, tally, done))
        try:
            await asyncio.wait({worker})
        finally:
            worker.cancel()
            await asyncio.wait({worker})  # it releases its hold
        if not worker.cancelled():
            return worker.result()
        tally.killed += 1
        done()


async def _worker(
    queue: "asyncio.Queue[Call | None]", connect: Connect, settings: CallSettings, tally: Tally, done: Callable[[], None]
) -> None:
    async with connect() as client:
        await Worker(client, settings, tally, done).work(queue)
