"""What a seed's world is like: each seed mixes operations and faults in its own proportions (swarm testing).

A seed in which everything may happen at once finds less than many seeds in which each thing happens often or not at all.
See Groce et al., "Swarm Testing", ISSTA 2012.
"""

from dataclasses import dataclass, field
from random import Random

from creditmeter.core.instants import SECOND

_DEEDS = {
    "reserve": 9.0,
    "extend": 2.0,
    "commit": 7.0,
    "release": 1.5,
    "charge": 4.0,
    "refund": 2.5,
    "repeat": 1.5,
    "move": 1.5,
    "balance": 0.5,
    "grant": 1.5,
    "void": 0.7,
    "plan": 0.5,
    "suspend": 0.3,
    "wait": 3.0,
    "midnight": 1.5,
    "leap": 0.7,
    "step clock": 0.6,
    "batch": 1.5,
    "pipeline": 1.5,
    "metered": 2.5,
}
"""What may be done, and how often in the mean."""

_FAULTS = {
    "crash": 0.6,
    "stop": 0.3,
    "lose": 0.15,
    "pause": 0.4,
    "partition": 0.6,
    "outage": 0.3,
    "full disk": 0.5,
}
"""What may go wrong from outside, and how often in the mean."""


@dataclass(frozen=True, slots=True)
class Network:
    """How likely a message meets each fate, and how long it takes, in seconds."""

    lost_request: float = 0.0
    lost_reply: float = 0.0
    late: float = 0.0
    duplicate: float = 0.0
    delays: tuple[float, ...] = (0.001,)


@dataclass(frozen=True, slots=True)
class Disks:
    """How likely an access to a disk ends the machine or fails, before or after it took effect; and how long it takes."""

    crash: float = 0.0
    failure: float = 0.0
    latencies: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True)
class Swarm:
    """The proportions of one seed."""

    sidecars: int = 2
    accounts: int = 1
    weights: dict[str, float] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    disks: Disks = field(default_factory=Disks)
    skews: tuple[int, ...] = (0,)
    settle: float = 2.0
    paces: tuple[float, ...] = (0.0, 0.5)
    amounts: tuple[int, int] = (1, 6)
    steps: int = 100

    @classmethod
    def of(cls, rng: Random) -> "Swarm":
        """Draw the proportions of a seed."""
        calm = rng.random() < 0.1
        faults = {} if calm else {name: _some(rng, base) for name, base in _FAULTS.items()}
        return cls(
            sidecars=rng.choice((2, 2, 2, 3, 3, 4)),
            accounts=rng.choice((1, 1, 1, 2)),
            weights={name: base * rng.random() ** 2 for name, base in _DEEDS.items()} | faults,
            network=Network(delays=rng.choice(_DELAYS)) if calm else _network(rng),
            disks=Disks(latencies=rng.choice(_LATENCIES)) if calm else _disks(rng),
            skews=rng.choice(((0,), (-2 * SECOND, 0, 2 * SECOND), (-SECOND, SECOND // 2))),
            settle=rng.choice((1.0, 3.0, 6.0)),
            paces=rng.choice(((0.0, 0.0, 0.3), (0.0, 0.5, 2.0), (0.0, 0.0, 1.0, 8.0))),
            amounts=rng.choice(((1, 3), (1, 8), (2, 20))),
            steps=rng.randint(50, 85),
        )


_DELAYS = ((0.0,), (0.001, 0.02), (0.001, 0.02, 0.3), (0.02, 2.0))
_LATENCIES = ((0.0,), (0.0, 0.002), (0.002, 0.05))


def _some(rng: Random, base: float) -> float:
    """Nothing in half of the seeds."""
    return base * rng.random() * rng.choice((0, 2))


def _network(rng: Random) -> Network:
    return Network(
        lost_request=_some(rng, 0.05),
        lost_reply=_some(rng, 0.1),
        late=_some(rng, 0.07),
        duplicate=_some(rng, 0.1),
        delays=rng.choice(_DELAYS),
    )


def _disks(rng: Random) -> Disks:
    return Disks(crash=_some(rng, 0.02), failure=_some(rng, 0.01), latencies=rng.choice(_LATENCIES))


LATEST_ARRIVAL_SECONDS = 90.0
"""As long a message may be under way."""
