"""Running a seed."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import structlog

from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.server.opening import load_rate_card
from creditmeter.sidecar import naming
from tests.simulation.ending import come_to_rest
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.machine import State, make_task
from tests.simulation.replacing import replaced
from tests.simulation.world import Failed, World

_FAULTS = ("exchange failed", "housekeeping failed", "a task ended", "message outdated")
"""What a sidecar logs when something is wrong with the program itself."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a seed ended: with a problem, or none; and a digest that differs between different runs."""

    seed: int
    problem: str | None
    notes: int
    digest: str


def run(seed: int, on_note: Callable[[str], None] | None = None) -> Result:
    """Run one seed, and return how it ended. `on_note` is called with everything that happens."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, _drawing_from(Random(~seed)):
        loop = runner.get_loop()
        loop.set_task_factory(make_task)
        loop.set_exception_handler(lambda _loop, _context: None)  # whoever awaits a task gets its exception
        world, problem = World(seed, _card(), loop, on_note), None
        with _listening(world):
            try:
                runner.run(_live(world))
            except (Failed, Stuck) as failure:
                problem = str(failure)
        world.end()
    return Result(seed, problem, world.notes, world.digest)


async def _live(world: World) -> None:
    await world.admin.open_accounts()
    for machine in world.machines:
        await machine.start()
    names, weights = list(world.swarm.weights), list(world.swarm.weights.values())
    for _ in range(world.swarm.steps):
        done = _deed(world, world.rng.choices(names, weights)[0])()
        if done is not None:
            await done
        world.clock_faults.befall()
        for machine in world.machines:
            if machine.state is State.DOWN and not machine.is_expected:
                world.spawn(machine.come_back(world.rng.choice((0.0, 0.5, 5.0))))
        await asyncio.sleep(world.rng.choice(world.swarm.paces))
        world.check()
    await come_to_rest(world)


def _deed(world: World, name: str) -> Callable[[], Awaitable[None] | None]:
    """What a name in a seed's proportions stands for: a method of the part that knows it."""
    method = name.replace(" ", "_")
    who = next(each for each in (world.workers, world.streams, world.weather, world.admin) if hasattr(each, method))
    found: Callable[[], Awaitable[None] | None] = getattr(who, method)
    return found


@cache
def _card() -> LoadedCard:
    return load_rate_card(None)


class _Drawn:
    """The parts of `secrets` that ids are made of, drawn from the seed: the order of ids decides, too."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def token_hex(self, count: int) -> str:
        """Some bytes in hexadecimal."""
        return self._rng.randbytes(count).hex()


@contextlib.contextmanager
def _drawing_from(rng: Random) -> Iterator[None]:
    """Have the program draw all that it draws, ids and jitter, from one source."""
    state = random.getstate()
    random.seed(rng.random())
    try:
        with replaced([(naming, "secrets", _Drawn(rng))]):
            yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _listening(world: World) -> Iterator[None]:
    """Look at what the sidecars log: an event that means a fault of the program fails the run."""
    before = structlog.get_config()

    def note_fault(_logger: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if level == "exception" or event["event"] in _FAULTS:
            error = sys.exc_info()[1]
            world.fail(f"{event['event']}: {error!r}" if error is not None else str(event))
        raise structlog.DropEvent

    structlog.configure(processors=[note_fault])
    try:
        yield
    finally:
        structlog.configure(**before)
