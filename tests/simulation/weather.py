"""What goes wrong from outside, and the passing of time."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from tests.simulation.machine import Machine, State

if TYPE_CHECKING:
    from tests.simulation.world import World

_LEAPS = (MINUTE, 6 * MINUTE, 11 * MINUTE, 50 * MINUTE, 3 * HOUR, 26 * HOUR)
_COUNTED = 0.7
"""How many of the leaps another sidecar counts."""

_BEFORE_MIDNIGHT = (-180, -20, -2, -1)
_PAST_MIDNIGHT = (0, 1, 15, 120)
_LAST_SECONDS = (0.0, 0.5, 3.0, 10.0)
_SPELLS_SECONDS = (1.0, 10.0, 40.0)
"""How long something stays wrong."""


class Weather:
    """Each method is one thing that happens to the world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng: Random = world.rng

    async def wait(self) -> None:
        """Nothing happens, sometimes for as long as it takes the sidecars to be sure that the store is there."""
        await asyncio.sleep(self._rng.choice((0.0, 0.0, 0.0, 70.0)))

    # Machines.

    def crash(self) -> None:
        """A sidecar dies at once; it is started again."""
        self._machine().crash()

    def stop(self) -> None:
        """A sidecar is asked to stop; it is started again."""
        machine = self._machine()
        if machine.is_serving:
            self._world.spawn(machine.stop())

    def lose(self) -> None:
        """A machine never comes back, unless it is the last one but one."""
        if sum(each.state is not State.LOST for each in self._world.machines) > 2:
            self._machine().lose()

    def pause(self) -> None:
        """A machine stands still for a while."""
        machine = self._machine()
        self._world.note(f"{machine.name}: stands still")
        self._for_a_while(machine.pause, machine.go_on)

    def full_disk(self) -> None:
        """Nothing can be written on a machine for a while."""
        machine = self._machine()
        self._world.note(f"{machine.name}: its disk is full")
        self._for_a_while(machine.disk.fill_up, machine.disk.make_room)

    def step_clock(self) -> None:
        """A machine's wall clock is set, forward or back."""
        machine = self._machine()
        machine.clock.error = self._rng.choice((0, 1, -1)) * self._rng.choice((2 * SECOND, MINUTE, 75 * MINUTE, 400 * DAY))
        self._world.note(f"{machine.name}: its clock is set off by {machine.clock.error / SECOND} s")

    # The network.

    def partition(self) -> None:
        """A machine cannot reach the store for a while."""
        self._part([self._machine()])

    def outage(self) -> None:
        """No machine can reach the store for a while."""
        self._part(self._world.machines)

    def _part(self, machines: Sequence[Machine]) -> None:
        def set_up(*, is_up: bool) -> None:
            for machine in machines:
                machine.link.is_up = is_up

        self._world.note(f"parted from the store: {[each.name for each in machines]}")
        self._for_a_while(lambda: set_up(is_up=False), lambda: set_up(is_up=True))

    # Time.

    def leap(self) -> None:
        """Minutes or hours pass."""
        self._leap(self._rng.choice(_LEAPS))

    def midnight(self) -> None:
        """A day comes close to its end, and a little later it ends."""
        account_id = self._rng.choice(self._world.account_ids)
        end = self._world.admin.day_end(account_id) + self._rng.choice((0, 0, 0, 1)) * DAY
        self._leap(end + self._rng.choice(_BEFORE_MIDNIGHT) * SECOND - self._world.now())

        async def pass_it() -> None:
            await asyncio.sleep(self._rng.choice(_LAST_SECONDS))
            self._leap(end + self._rng.choice(_PAST_MIDNIGHT) * SECOND - self._world.now())

        self._world.spawn(pass_it())

    def _leap(self, span: int) -> None:
        self._world.leap(span, is_counted=self._rng.random() < _COUNTED)

    # The end of it.

    def clear_up(self) -> None:
        """Put everything right; a machine that is lost stays lost."""
        self._world.has_faults = False
        self._world.clock_faults.clear_up()
        for machine in self._world.machines:
            machine.go_on()
            machine.disk.make_room()
            machine.link.is_up = True

    def _for_a_while(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()

        async def pass_by() -> None:
            await asyncio.sleep(self._rng.choice(_SPELLS_SECONDS))
            end()

        self._world.spawn(pass_by())

    def _machine(self) -> Machine:
        return self._rng.choice(self._world.machines)
