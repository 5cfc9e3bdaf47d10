"""What a change that was acknowledged survives."""

from enum import Enum


class Durability(Enum):
    """FULL: a loss of power. PROCESS: the death of the process only."""

    FULL = "full"
    PROCESS = "process"
