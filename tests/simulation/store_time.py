"""The central store's clock. It may be off for a while, or for one reading."""

import math
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from creditmeter.core.instants import Instant
from creditmeter.core.settlement.setting_back import MOST_AHEAD

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store's clock said, and by how many microseconds that was off."""

    said: Instant
    off: int


_readings: ContextVar[list[Reading] | None] = ContextVar("_readings", default=None)


def note_readings() -> list[Reading]:
    """From now on, all that is read of the store's clock in this task."""
    noted: list[Reading] = []
    _readings.set(noted)
    return noted


class StoreTime:
    """The store's clock: the world's time, but for what it is off by.

    `may_be_off` says whether it ever was, or is about to be. `wrong` are the moments that it said when it was off by more than
    what a transaction may have waited for.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self._error = 0
        self._once = 0
        self._wrong_at = -math.inf
        self.may_be_off = False
        self.wrong: set[Instant] = set()

    def read(self) -> Instant:
        """What a transaction reads."""
        off, self._once = self._once or self._error, 0
        if off:
            self._wrong_at = self._world.seconds()
        said = Instant(self._world.now() + off)
        if abs(off) > MOST_AHEAD:
            self.wrong.add(said)
        noted = _readings.get()
        if noted is not None:
            noted.append(Reading(said, off))
        return said

    def shown(self) -> Instant:
        """What it shows to those who do not decide by it. The one wrong reading is not spent on them."""
        return Instant(self._world.now() + self._error)

    @property
    def is_off(self) -> bool:
        """Whether it is off by now."""
        return self._error != 0

    def set_off(self, error: int) -> None:
        """Have it be off by so many microseconds until it is put right."""
        self.may_be_off, self._error = True, error

    def misread(self, error: int) -> None:
        """Have the next reading be off, and no other."""
        self.may_be_off, self._once = True, error

    def put_right(self) -> None:
        """Have it say the time from now on."""
        if self.is_off:
            self._wrong_at = self._world.seconds()
        self._error = self._once = 0

    def right_for(self) -> float:
        """For how many seconds it has been right, also in each reading."""
        return 0.0 if self.is_off else self._world.seconds() - self._wrong_at
