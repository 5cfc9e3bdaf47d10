"""A machine with a sidecar on it: its clocks, its disk, its way to the central store, and what it does while it runs.

All that a sidecar started is gone at a crash, at whatever it was doing; what is on the disk stays. The tasks of a run are known
by the context they are created in, so nothing that the sidecar comes to start later is forgotten.
"""

import asyncio
import sqlite3
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.requests import Request
from creditmeter.core.ids import AccountId, SidecarId, account_key
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.decisions import Limits
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.clock import SidecarClock
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.sidecar.rhythm import Rhythm
from creditmeter.sidecar.sidecar import Sidecar
from tests.simulation.disk import Disk, Mishap
from tests.simulation.network import Link
from tests.simulation.record import WORKER
from tests.simulation.spending import SpentByWorkers
from tests.simulation.store_time import Reading

if TYPE_CHECKING:
    from tests.simulation.world import World

LIMITS = Limits()
GRACE_SECONDS = 10.0
HEARTBEAT_SECONDS = 28.0
STEP_PATIENCE = Span(30 * SECOND)
RATE_CARDS_SECONDS = 61.0
_STARTS_IN = 10 * SECOND

_running: ContextVar["dict[asyncio.Task[Any], None] | None"] = ContextVar("_running", default=None)


class State(Enum):
    """Whether a machine runs, will run again, or never."""

    UP = auto()
    DOWN = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Silence:
    """No reply came; whether the request took effect is unknown."""

    why: str


class MachineClock:
    """A machine's clocks: the wall clock is off by `error`, and may be set; the boot-time clock runs from each boot on."""

    def __init__(self, world: "World", error: int) -> None:
        self._world = world
        self.error = error
        self._once = 0
        self._booted = 0

    def wall(self) -> Instant:
        """The time of day, as this machine believes."""
        off, self._once = self._once or self.error, 0
        return Instant(self._world.now() + off)

    def boot(self) -> Span:
        """The time since boot."""
        return Span(self._world.elapsed() - self._booted)

    def misread(self, error: int) -> None:
        """Have the next reading of the wall clock be off, and no other."""
        self._once = error

    def boot_again(self) -> None:
        """The machine was just started."""
        self._booted = self._world.elapsed() - _STARTS_IN


def make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **more: Any
) -> asyncio.Task[Any]:
    """Create a task and note it with the run that it belongs to. A loop's task factory."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
    context = more.get("context")
    owned = context.get(_running) if context is not None else _running.get()
    if owned is not None:
        owned[task] = None  # in the order of their beginnings, so that a crash is the same each time
        task.add_done_callback(lambda done: owned.pop(done, None))
    return task


class Machine:
    """A machine that runs a sidecar, from start to crash and again."""

    def __init__(self, world: "World", name: str, clock_error: int) -> None:
        self._world = world
        self.name = name
        self.clock = MachineClock(world, clock_error)
        self.boots = 0
        self.time = self._new_time()
        self.disk = Disk(self._mishap, self._access, self.crash)
        self.link = Link(world, name, self.awake, self.clock.boot, self._learn)
        self.state = State.DOWN
        self.sidecar: Sidecar | None = None
        self.spent = SpentByWorkers()
        self.in_flight = 0
        self.asked = 0
        self.told_off: int | None = None
        """By how many microseconds the store's clock was off when it was last read for this run of the sidecar."""
        self.told_within = Span(0)
        """How long that took."""
        self.is_expected = False
        self._awake = asyncio.Event()
        self._awake.set()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def _new_time(self) -> SidecarClock:
        """The clock of a new run of the sidecar."""
        if self._world.store_time.may_be_off:  # what is kept may be of another moment
            self.told_off = None
        return SidecarClock(self.clock, STEP_PATIENCE, f"{self.name} {self.boots}")

    @property
    def is_serving(self) -> bool:
        """Whether it can be asked."""
        return self.state is State.UP and self.sidecar is not None

    async def start(self) -> None:
        """Start the sidecar on what the disk holds."""
        assert self.state is State.DOWN
        self.state = State.UP
        self._tasks = {}
        outcome = await self._outcome_of(self._run(self._start()))
        if self.sidecar is None:
            self._world.note(f"{self.name}: did not start, {outcome}")
            self.crash()

    def _learn(self, reading: Reading, asked: Span) -> None:
        """Take in what the store's clock said, which was asked at a moment of the boot-time clock and answered just now."""
        answered = self.clock.boot()
        self.told_off, self.told_within = reading.off, Span(answered - asked)
        self.time.learn(reading.said, asked, answered)

    async def come_back(self, after_seconds: float) -> None:
        """Start again after a while."""
        self.is_expected = True
        await asyncio.sleep(after_seconds)
        if self.state is State.DOWN:
            await self.start()
        self.is_expected = False

    async def _start(self) -> None:
        world = self._world
        try:
            journal = await self.disk.journal(SidecarId(self.name))
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        rhythm = Rhythm(
            settle=world.swarm.settle,
            housekeeping=2 * world.swarm.settle,
            heartbeat=HEARTBEAT_SECONDS,
            rate_cards=RATE_CARDS_SECONDS,
        )
        self.time = self._new_time()
        sidecar = Sidecar(journal, self.link.store, self.time, world.card, LIMITS, rhythm)
        sidecar.books.on_change.append(self.spent.note)
        await sidecar.start()
        self.sidecar = sidecar
        world.note(f"{self.name}: started")
        world.watch.started(self)

    def crash(self) -> None:
        """End everything that runs here, at once."""
        if self.state is not State.UP:
            return
        self._world.note(f"{self.name}: crashes")
        self.state, self.sidecar = State.DOWN, None
        for task in list(self._tasks):
            task.cancel()

    def boot_again(self) -> None:
        """Start the machine itself again, after a crash: its boot-time clock begins anew."""
        self.boots += 1
        self.clock.boot_again()
        self.link.renewed.clear()

    def lose(self) -> None:
        """Crash and never come back."""
        self.crash()
        self.state = State.LOST

    async def stop(self) -> None:
        """End the sidecar as a signal does: post what waits, give back what is idle, and stop."""
        sidecar = self.sidecar
        if sidecar is None:
            return
        self._world.note(f"{self.name}: stops")
        sidecar.drain()
        await self._outcome_of(self._run(sidecar.stop(GRACE_SECONDS)))
        self.crash()

    def pause(self) -> None:
        """Let nothing happen here until it goes on; the clocks run."""
        self._awake.clear()

    def go_on(self) -> None:
        """Let it work again."""
        self._awake.set()

    async def ask(self, request: Request, patience_seconds: float) -> Outcome | Silence:
        """Ask the sidecar for something, as a worker beside it does."""
        sidecar = self.sidecar
        if sidecar is None:
            return Silence("it is down")
        self.asked += 1
        self.in_flight += 1
        try:
            answer = sidecar.meter.answer(request, credential_id=WORKER)
            outcome: Outcome | Silence = await self._outcome_of(self._run(answer), patience_seconds)
            return outcome
        finally:
            self.in_flight -= 1

    @property
    def books(self) -> list[Book]:
        """The books of the running sidecar."""
        return list(self.sidecar.books) if self.sidecar is not None else []

    def idle(self, account_id: AccountId) -> Microcredits:
        """What of an account's credit could be used here at once."""
        if self.sidecar is None:
            return Microcredits(0)
        books = self.sidecar.books
        book = books.find(account_key(account_id))
        return book.idle(books.moment()) if book is not None else Microcredits(0)

    async def work(self, steps: Coroutine[Any, Any, Any], asked: int = 1) -> Any:
        """Have the sidecar take steps that are not one request: so many are asked meanwhile."""
        self.asked += asked
        self.in_flight += 1
        try:
            return await self.read(steps)
        finally:
            self.in_flight -= 1

    async def read(self, question: Coroutine[Any, Any, Any]) -> Any:
        """Ask the sidecar's reader something."""
        return await self._outcome_of(self._run(question))

    async def _outcome_of(self, task: asyncio.Task[Any], patience_seconds: float | None = None) -> Any:
        """What came of a task of this run: its result, or silence where no caller would have got a reply."""
        await asyncio.wait({task}, timeout=patience_seconds)
        if not task.done():
            task.cancel()
            return Silence("no patience left")
        if task.cancelled():
            return Silence("it crashed")
        error = task.exception()
        match error:
            case None:
                return task.result()
            case CentralUnavailable() | StorageUnavailable():
                return Silence(f"{type(error).__name__}: {error}")
            case SidecarFenced():
                self._world.fail(f"{self.name} was fenced: {error}")
                return Silence("fenced")
            case _:
                self._world.fail(f"{self.name} failed: {error!r}")
                return Silence("a fault")

    def _run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        context: Context = copy_context()
        context.run(_running.set, self._tasks)
        return asyncio.get_running_loop().create_task(work, context=context)

    async def awake(self) -> None:
        """Wait until the machine is not paused."""
        await self._awake.wait()

    def _mishap(self) -> Mishap:
        if not self._world.has_faults:
            return Mishap.NONE
        disks, rng = self._world.swarm.disks, self._world.rng
        drawn = rng.random()
        if drawn < disks.crash:
            return rng.choice((Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER))
        if drawn < disks.crash + disks.failure:
            return rng.choice((Mishap.FAIL_BEFORE, Mishap.FAIL_AFTER))
        return Mishap.NONE

    async def _access(self) -> None:
        await self.awake()
        await asyncio.sleep(self._world.rng.choice(self._world.swarm.disks.latencies))
