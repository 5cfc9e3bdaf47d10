"""Grants, and the order of deduction: the order in which they are drawn on.

DAILY comes before MONTHLY before PERMANENT. Within a kind the earliest end comes first (no end last), then the earliest
beginning, then the smallest id. This is a total order: it does not depend on where or how the grants are stored.
"""

from collections.abc import Iterable
from enum import Enum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import ChargeId, GrantId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value, replace

_NEVER = 2**63 - 1


class GrantKind(Enum):
    """The three buckets of credit, in the order in which they are drawn on."""

    DAILY = "DAILY"
    MONTHLY = "MONTHLY"
    PERMANENT = "PERMANENT"


DRAW_ORDER = {GrantKind.DAILY: 0, GrantKind.MONTHLY: 1, GrantKind.PERMANENT: 2}


class GrantSource(Enum):
    """Why credit was given."""

    PLAN = "PLAN"
    REFERRAL = "REFERRAL"
    PROMOTION = "PROMOTION"
    BONUS = "BONUS"
    PURCHASE = "PURCHASE"
    GOODWILL = "GOODWILL"


class Grant(Value, frozen=True):
    """Credit given to an account, and what became of it. Amounts in microcredits.

    A grant is usable in ``[effective_at, expires_at)``, and not from `voided_at` on. What is left of a voided grant is out on
    leases that were opened before, and is taken back when it returns. At every instant
    ``amount = remaining + drawn - refunded + lapsed + voided``.
    """

    grant_id: GrantId
    kind: GrantKind
    amount: Microcredits
    remaining: Microcredits
    effective_at: Instant
    expires_at: Instant | None
    source: GrantSource
    created_at: Instant
    note: str = ""
    period_key: str | None = None
    charge_id: ChargeId | None = None
    drawn: Microcredits = Microcredits(0)
    refunded: Microcredits = Microcredits(0)
    lapsed: Microcredits = Microcredits(0)
    voided: Microcredits = Microcredits(0)
    voided_at: Instant | None = None

    def __post_init__(self) -> None:
        assert self.remaining >= 0, f"grant {self.grant_id} is overdrawn"
        assert self.amount == self.remaining + self.drawn - self.refunded + self.lapsed + self.voided, (
            f"grant {self.grant_id} does not add up"
        )

    @property
    def given(self) -> Microcredits:
        """What it gave, less what was taken back, in microcredits."""
        return Microcredits(self.amount - self.voided)

    def has_ended(self, now: Instant) -> bool:
        """Whether its end is at `now` or before: nothing authorised from `now` on may use it."""
        return self.expires_at is not None and self.expires_at <= now

    def is_running(self, at: Instant) -> bool:
        """Whether it has begun and not ended, voided or not: beginning inclusive, end exclusive."""
        return self.effective_at <= at and not self.has_ended(at)

    def is_usable(self, at: Instant) -> bool:
        """Whether a call at this moment may use it: it is running, and was not voided by then."""
        return self.is_running(at) and (self.voided_at is None or at < self.voided_at)

    def draw(self, amount: int) -> "Grant":
        """The grant after a charge drew `amount` microcredits on it."""
        return replace(self, remaining=Microcredits(self.remaining - amount), drawn=Microcredits(self.drawn + amount))

    def give_back(self, amount: int) -> "Grant":
        """The grant after a refund returned `amount` microcredits to it."""
        return replace(self, remaining=Microcredits(self.remaining + amount), refunded=Microcredits(self.refunded + amount))

    def lapse(self, amount: int) -> "Grant":
        """The grant after `amount` microcredits of what was left lapsed."""
        return replace(self, remaining=Microcredits(self.remaining - amount), lapsed=Microcredits(self.lapsed + amount))

    def void(self, amount: int) -> "Grant":
        """The grant after `amount` microcredits of what was left were taken back."""
        return replace(self, remaining=Microcredits(self.remaining - amount), voided=Microcredits(self.voided + amount))


class Draw(Value, frozen=True):
    """Credit that a charge took from one grant, in microcredits; `returned` is how much of it a refund undid."""

    grant_id: GrantId
    kind: GrantKind
    amount: Microcredits
    returned: Microcredits = Microcredits(0)


class GrantCursor(Value, frozen=True):
    """Where a page of grants ended."""

    created_at: Instant
    grant_id: GrantId


class Rest(Value, frozen=True):
    """The permanent grants that a decision does not load one by one, as two sums in microcredits.

    They are usable now, have credit left, and come last in the order of deduction. `given` is what they gave, less what was
    taken back; `remaining` is what is left of them.
    """

    given: Microcredits = Microcredits(0)
    remaining: Microcredits = Microcredits(0)


NO_REST = Rest()


def draw_key(grant: Grant) -> tuple[int, int, int, str]:
    """The sort key of a grant in the order of deduction."""
    end = _NEVER if grant.expires_at is None else grant.expires_at
    return DRAW_ORDER[grant.kind], end, grant.effective_at, grant.grant_id


def usable(grants: Iterable[Grant], at: Instant) -> list[Grant]:
    """The grants that a call at this moment may use, in the order of deduction."""
    return sorted((grant for grant in grants if grant.is_usable(at)), key=draw_key)


def alive_between(grants: Iterable[Grant], start: Instant, end: Instant) -> list[Grant]:
    """The grants that were running at any moment in ``[start, end]``, voided or not, in the order of deduction."""
    return sorted((grant for grant in grants if grant.effective_at <= end and not grant.has_ended(start)), key=draw_key)


def merged(draws: Iterable[Draw]) -> tuple[Draw, ...]:
    """One draw for each grant, in the order in which the grants were first drawn on.

    A charge draws on a grant once for each part of its cost, and people are shown the sum. The stored draws are not merged: a
    refund returns the last draw first, and draws on two grants may alternate.
    """
    found: dict[GrantId, Draw] = {}
    for draw in draws:
        before = found.get(draw.grant_id)
        found[draw.grant_id] = draw if before is None else _sum(before, draw)
    return tuple(found.values())


def _sum(one: Draw, other: Draw) -> Draw:
    amount, returned = one.amount + other.amount, one.returned + other.returned
    return replace(one, amount=Microcredits(amount), returned=Microcredits(returned))
