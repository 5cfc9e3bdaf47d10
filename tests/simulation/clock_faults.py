"""Clocks that go wrong: the central store's, and those of the machines.

All chance comes from a source of its own. So a seed in which no clock goes wrong is the same as without these faults.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from tests.simulation.machine import State

if TYPE_CHECKING:
    from tests.simulation.world import World

STEPS = (SECOND, 20 * SECOND, 10 * MINUTE, 75 * MINUTE, 26 * HOUR, 400 * DAY)
"""How far a clock is off, either way."""

LONGEST_LEAP_OFF = 5 * MINUTE
"""The store's clock is off for minutes and no longer, so it is put right before more time than this passes at once."""

_SPELLS_SECONDS = (1.0, 5.0, 40.0, 100.0, 240.0)
"""How long the store's clock is off."""

_LINGERS_SECONDS = (-0.5, 0.0, 0.5, 20.0)
"""How much longer than that a machine stands still."""

_UNTIL_SET_SECONDS = (2.0, 10.0, 60.0)
"""How long a machine believes in 1970 after it started, until a time server is asked."""

_SINCE_1970 = 12 * SECOND
"""What a wall clock that was never set says at the start of its machine, in microseconds since 1970."""

_CALM = 0.4
"""In so many of the seeds no clock goes wrong."""


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely each thing happens at a step."""

    step: float = 0.0
    misread: float = 0.0
    machine_misread: float = 0.0
    boot: float = 0.0

    @classmethod
    def of(cls, rng: Random) -> "Chances":
        """Draw the chances of a seed."""
        if rng.random() < _CALM:
            return cls()
        return cls(*(most * rng.random() * rng.choice((0, 2)) for most in (0.03, 0.05, 0.03, 0.015)))


class ClockFaults:
    """Each method is one thing that goes wrong with a clock."""

    def __init__(self, world: "World", seed: int) -> None:
        self._world = world
        self._rng = Random(f"clocks {seed}")
        self._chances = Chances.of(self._rng)
        self._spells = 0

    def befall(self) -> None:
        """Let go wrong what chance has."""
        chances = self._chances
        faults = (self.step, self.misread, self.misread_machine, self.boot_at_1970)
        likely = (chances.step, chances.misread, chances.machine_misread, chances.boot)
        for fault, chance in zip(faults, likely, strict=True):
            if self._rng.random() < chance:
                fault()

    def step(self) -> None:
        """The store's clock is set wrong, and is put right after a while. A machine may stand still over one of the two steps
        or both.
        """
        error, seconds = self._error(), self._rng.choice(_SPELLS_SECONDS)
        self._spells += 1
        spell = self._spells
        self._note("the store's clock is set", error)
        if self._rng.random() < 0.4:
            self._stand_still(max(0.0, seconds + self._rng.choice(_LINGERS_SECONDS)))
        self._world.store_time.set_off(error)

        def put_right() -> None:
            if self._spells == spell:
                self.put_store_right()

        self._later(seconds, put_right)

    def put_store_right(self) -> None:
        """The store's clock is put right, if it is off."""
        if self._world.store_time.is_off:
            self._world.note("the store's clock is put right")
            self._world.store_time.put_right()

    def misread(self) -> None:
        """One transaction of the store reads a wrong time."""
        error = self._error()
        self._note("the store's clock will be misread by one transaction", error)
        self._world.store_time.misread(error)

    def misread_machine(self) -> None:
        """A wall clock is wrong in one reading, perhaps the first one after a start."""
        machine, error = self._rng.choice(self._world.machines), self._error()
        self._note(f"{machine.name}: its clock will be misread once", error)
        machine.clock.misread(error)
        if self._rng.random() < 0.5:
            machine.crash()

    def boot_at_1970(self) -> None:
        """A machine starts again, and its wall clock was never set; a little later it is."""
        machine = self._rng.choice(self._world.machines)
        if machine.state is State.LOST:
            return
        machine.crash()
        machine.boot_again()
        before, machine.clock.error = machine.clock.error, _SINCE_1970 - self._world.now()
        self._world.note(f"{machine.name}: boots at 1970")

        def put_right() -> None:
            machine.clock.error = before

        self._later(self._rng.choice(_UNTIL_SET_SECONDS), put_right)

    def clear_up(self) -> None:
        """Have the store's clock be right in every reading."""
        self.put_store_right()
        self._world.store_time.put_right()

    def _stand_still(self, seconds: float) -> None:
        machine = self._rng.choice(self._world.machines)
        self._world.note(f"{machine.name}: stands still for {seconds} s")
        machine.pause()
        self._later(seconds, machine.go_on)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        async def pass_by() -> None:
            await asyncio.sleep(seconds)
            then()

        self._world.spawn(pass_by())

    def _error(self) -> int:
        return self._rng.choice((1, -1)) * self._rng.choice(STEPS)

    def _note(self, what: str, error: int) -> None:
        self._world.note(f"{what}: off by {error / SECOND} s")
