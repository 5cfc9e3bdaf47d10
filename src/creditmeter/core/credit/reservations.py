"""Reservations: holds on credit with a deadline.

A reservation that is HELD becomes COMMITTED, RELEASED or EXPIRED, once. A late commit makes an EXPIRED one COMMITTED.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Part
from creditmeter.core.ids import AccountId, ChargeId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value, field, replace
from creditmeter.core.work import Usage, Work


class ReservationState(Enum):
    """Whether a reservation is open, and how it ended."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class Hold(Value, frozen=True):
    """What a reservation is to hold: an amount in microcredits, the version of the rate card that it was priced by, and the
    work that it pays for (None if the amount was stated).

    `max_output_tokens` is set where the amount pays for only a part of the work: so many output tokens, and no more.
    """

    amount: Microcredits
    rate_card_version: str
    work: Work | None = None
    max_output_tokens: int | None = None


class MeteredCall(Value, frozen=True):
    """What the stream of a metered call reported last: what the call used so far. None if it reported nothing yet."""

    progress: Usage | None = None


class Reservation(Value, frozen=True):
    """A hold on credit. Amounts in microcredits.

    `parts` are what it holds now, the oldest first. They are empty once the reservation has ended. `metered` is set if a stream
    meters the call. `credential_id` is the token or certificate that opened it; empty if none was shown.
    """

    reservation_id: ReservationId
    account_id: AccountId
    request_id: RequestId
    state: ReservationState
    parts: tuple[Part, ...]
    created_at: Instant
    expires_at: Instant
    rate_card_version: str
    work: Work | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    charged: Microcredits = Microcredits(0)
    charge_ids: tuple[ChargeId, ...] = ()
    max_output_tokens: int | None = None
    ended_at: Instant | None = None
    release_reason: str = ""
    metered: MeteredCall | None = None
    credential_id: str = ""

    def __post_init__(self) -> None:
        assert self.state is ReservationState.HELD or not self.parts, "only an open reservation holds credit"

    @property
    def held(self) -> Microcredits:
        """What it holds now, in microcredits."""
        return total(self.parts)

    def is_due(self, now: Instant) -> bool:
        """Whether it is open and its deadline is at `now` or before."""
        return self.state is ReservationState.HELD and self.expires_at <= now

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more unless a caller asks for it. An expired one whose stream made progress is
        still to be charged for that.
        """
        if self.state is ReservationState.EXPIRED and self.metered is not None:
            return self.metered.progress is None
        return self.state is not ReservationState.HELD

    def end(self, state: ReservationState, now: Instant) -> "Reservation":
        """The reservation after it ended in this state. It holds nothing any more."""
        return replace(self, state=state, parts=(), ended_at=now)


def total(parts: Iterable[Part]) -> Microcredits:
    """The sum of some parts, in microcredits."""
    return Microcredits(sum(part.amount for part in parts))


def take(parts: tuple[Part, ...], amount: int) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Split parts into those that make up `amount` microcredits, oldest first, and those that are left.

    If they have less than `amount`, all are taken.
    """
    taken: list[Part] = []
    left: list[Part] = []
    for part in parts:
        used = min(amount, part.amount)
        amount -= used
        if used:
            taken.append(replace(part, amount=Microcredits(used)))
        if used < part.amount:
            left.append(replace(part, amount=Microcredits(part.amount - used)))
    return tuple(taken), tuple(left)
