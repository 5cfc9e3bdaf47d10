"""The world of one run: its time, its machines, workers, back end and central store, and whatever is going on in it.

All chance comes from `rng`, which is made of the seed; what happens is noted, and the notes of a seed are the same each time.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from datetime import UTC, datetime
from random import Random
from typing import Any

from creditmeter.core.ids import AccountId
from creditmeter.core.instants import HOUR, SECOND, Span, from_datetime
from creditmeter.core.prices.rate_cards import LoadedCard
from tests.simulation import memory
from tests.simulation.admin import Admin
from tests.simulation.clock_faults import LONGEST_LEAP_OFF, ClockFaults
from tests.simulation.machine import Machine
from tests.simulation.record import Record
from tests.simulation.store_time import StoreTime
from tests.simulation.streams import Streams
from tests.simulation.swarm import Swarm
from tests.simulation.watch import Watch
from tests.simulation.weather import Weather
from tests.simulation.workers import Workers

_STARTS = (
    datetime(2026, 2, 27, 15, tzinfo=UTC),
    datetime(2026, 3, 7, 20, tzinfo=UTC),
    datetime(2026, 4, 23, 18, tzinfo=UTC),
    datetime(2026, 7, 30, 22, tzinfo=UTC),
    datetime(2026, 10, 31, 9, tzinfo=UTC),
)
"""Days before the end of a month, or before clocks are changed somewhere."""

_BEGAN = 1_000 * SECOND

_COUNT = "INSERT INTO elapsed_time VALUES (1, ?) ON CONFLICT DO UPDATE SET elapsed = elapsed + excluded.elapsed"


class Failed(Exception):
    """Something is wrong with the program."""


class World:
    """Everything there is in one run."""

    def __init__(
        self, seed: int, card: LoadedCard, loop: asyncio.AbstractEventLoop, on_note: Callable[[str], None] | None = None
    ) -> None:
        self.rng = Random(seed)
        self.swarm = Swarm.of(self.rng)
        self._loop = loop
        self.card = card
        self.has_faults = True
        self.leaps = 0
        self.decrees = 0
        self.notes = 0
        self._on_note = on_note
        self._digest = hashlib.blake2b(digest_size=8)
        self._offset = int(from_datetime(self.rng.choice(_STARTS))) + self.rng.randrange(6 * HOUR)
        self._leapt = 0
        self.began = _BEGAN
        """What a clock that nobody sets showed when the world began."""
        self._faults: list[str] = []
        self._context = copy_context()
        self._work: set[asyncio.Task[Any]] = set()
        self._jobs: set[asyncio.Task[Any]] = set()
        self.account_ids = [AccountId(f"account-{number}") for number in range(self.swarm.accounts)]
        self.store_time = StoreTime(self)
        self.store, self.raw = memory.open_store(self.store_time.read)
        self.record = Record()
        self.watch = Watch(self)
        self.admin = Admin(self)
        self.workers = Workers(self)
        self.streams = Streams(self)
        self.weather = Weather(self)
        self.clock_faults = ClockFaults(self, seed)
        self.machines = [
            Machine(self, f"s{number + 1}", self.rng.choice(self.swarm.skews)) for number in range(self.swarm.sidecars)
        ]

    # Time.

    def now(self) -> int:
        """The world's time, in microseconds since 1970. The store's clock says so, unless it is off."""
        return self._offset + self.elapsed()

    def seconds(self) -> float:
        """Seconds of the run, without the leaps."""
        return self._loop.time()

    def elapsed(self) -> Span:
        """Microseconds since the world began, as by a clock that nobody sets."""
        return Span(self.began + self._leapt + round(self._loop.time() * SECOND))

    def leap(self, span: int, *, is_counted: bool) -> None:
        """Let time pass for everything at once; the store's elapsed time goes on if there is another sidecar, which has nothing
        to do but to count it. The store's clock is not off for longer than minutes.
        """
        if span > LONGEST_LEAP_OFF:
            self.clock_faults.put_store_right()
        self.watch.look_at_leases()
        self.leaps += 1
        self._leapt += max(0, span)
        if is_counted:
            self.raw.execute(_COUNT, (max(0, span),))
        self.note(f"time leaps by {span / SECOND:.0f} s{', and is counted' if is_counted else ''}")

    def stir(self) -> None:
        """Notify all listeners that something happened at the store."""
        for machine in self.machines:
            machine.link.stir()

    # What happened.

    def note(self, text: str) -> None:
        """Write down what happened: the same seed gives the same notes."""
        line = f"{self._loop.time():9.3f} {text}"
        self.notes += 1
        self._digest.update(line.encode())
        if self._on_note is not None:
            self._on_note(line)

    def fail(self, problem: str) -> None:
        """Something is wrong: the run ends with the next step."""
        self._faults.append(problem)
        self.note(f"FAILED: {problem}")

    @property
    def digest(self) -> str:
        """A digest of all notes."""
        return self._digest.hexdigest()

    def check(self) -> None:
        """End the run if anything is wrong.

        Raises:
            Failed: something is.
        """
        self.watch.look()
        if self._faults:
            raise Failed(self._faults[0])

    # Tasks.

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something happen beside the steps, outside of all machines."""
        self._keep(self._work, work)

    async def in_store(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have the store do something, to its end, also if the machine that asked for it dies meanwhile."""
        return await asyncio.shield(self._task(work))

    def employ(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have a worker do something."""
        self._keep(self._jobs, work)

    def _keep(self, tasks: set[asyncio.Task[Any]], work: Coroutine[Any, Any, Any]) -> None:
        task = self._task(work)
        tasks.add(task)
        task.add_done_callback(lambda done: self._ended(tasks, done))

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of no machine."""
        return self._loop.create_task(work, context=self._context.copy())

    def _ended(self, tasks: set[asyncio.Task[Any]], done: asyncio.Task[Any]) -> None:
        tasks.discard(done)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.fail(f"a task of the simulation ended: {error!r}")

    async def jobs_done(self) -> None:
        """Wait until no worker waits for anything."""
        while self._jobs:
            await asyncio.wait(self._jobs)

    async def work_done(self) -> None:
        """Wait until all that went wrong is over, and nothing is on its way any more."""
        while self._work:
            await asyncio.wait(self._work)

    def end(self) -> None:
        """Throw everything away."""
        for machine in self.machines:
            machine.disk.close()
        memory.leave()

    def machine(self, name: str) -> Machine:
        """The machine of this name."""
        return next(each for each in self.machines if each.name == name)
