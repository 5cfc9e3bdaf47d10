"""Usage summaries: the sums of an account's charges, by groups.

Charges are added one at a time, and none is kept. Of the groups no more are kept than about two pages of them. So a summary by
a label that differs for each charge takes no more memory than any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact
from enum import Enum
from typing import TypeAlias

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.calendar import Calendar, Period, day_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import TEXT

MAX_GROUPINGS = 4
"""Most groupings in one summary."""

_EXACT = Context(prec=200, traps=[Inexact])
"""Adds prices without rounding: it has far more digits than any sum of prices."""


class Dimension(Enum):
    """A property that every charge has."""

    DAY = "DAY"
    ACTION = "ACTION"
    MODEL = "MODEL"
    TOOL = "TOOL"
    KIND = "KIND"


@dataclass(frozen=True, slots=True)
class LabelKey:
    """The value of the label with this key; empty for charges without it."""

    key: str


Grouping: TypeAlias = Dimension | LabelKey

Keys: TypeAlias = tuple[str, ...]
"""A group's values, in the order of the groupings."""


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """The charges to sum up, those with `committed_at` in `[start, end)`, and what to group them by."""

    account_id: AccountId
    start: Instant | None = None
    end: Instant | None = None
    group_by: Sequence[Grouping] = ()


@dataclass(frozen=True, slots=True)
class PaidBy:
    """What a charge drew on a grant of this kind, and how much of that refunds returned, in microcredits."""

    kind: GrantKind
    amount: Microcredits
    returned: Microcredits = ZERO


@dataclass(frozen=True, slots=True)
class Paid:
    """How a charge was paid, in microcredits. `refunded` is the sum of what refunds returned of its draws."""

    covered: Microcredits
    debt: Microcredits
    uncovered: Microcredits
    refunded: Microcredits
    draws: tuple[PaidBy, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """The fields of a usage that a summary needs."""

    action: str = ""
    request_model: str = ""
    response_model: str = ""
    tool: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class SpentPart:
    """The fields of one response of a call that a summary needs: its model, its counts of tokens, and its cost in dollars."""

    model: str
    counts: Mapping[str, int]
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class UsedCharge:
    """The fields of a posted charge that a summary needs. `priced_parts` are the responses of a call that had several."""

    cost: Microcredits
    cost_usd: Decimal
    committed_at: Instant
    posting: Paid
    usage: Spent | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    priced_parts: tuple[SpentPart, ...] = ()


@dataclass(slots=True)
class Totals:
    """Sums over charges. Amounts in microcredits. `quantity` counts images, tool calls and actions, but not text calls."""

    charges: int = 0
    cost: int = 0
    covered: int = 0
    debt: int = 0
    uncovered: int = 0
    refunded: int = 0
    cost_usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    quantity: int = 0

    def add(self, charge: UsedCharge) -> None:
        """Count a charge without what grants paid of it and what returned to them: `add_paid` counts that, by kinds."""
        self.charges += 1
        self.cost += charge.cost
        self.debt += charge.posting.debt
        self.uncovered += charge.posting.uncovered
        self.cost_usd = _EXACT.add(self.cost_usd, charge.cost_usd)
        if charge.usage is not None:
            self.input_tokens += charge.usage.input_tokens or 0
            self.output_tokens += charge.usage.output_tokens or 0
            self.quantity += _quantity(charge.usage)

    def move(self, part: SpentPart, sign: int) -> None:
        """Count what a response cost the provider and its tokens, or with a sign of -1 leave them to another group."""
        self.cost_usd = _EXACT.fma(sign, part.cost_usd, self.cost_usd)
        self.input_tokens += sign * part.counts.get("input_tokens", 0)
        self.output_tokens += sign * part.counts.get("output_tokens", 0)

    def add_paid(self, covered: int, refunded: int) -> None:
        """Count what grants paid, and what refunds returned of that, in microcredits."""
        self.covered += covered
        self.refunded += refunded


class UsageSummary:
    """Adds up charges: all of them in `total`, and in groups for one page.

    The page has the first `limit` groups after the keys `after`, in the order of their keys.
    """

    def __init__(self, calendar: Calendar, group_by: Sequence[Grouping], limit: int, after: Keys | None = None) -> None:
        assert limit > 0, "a page has room for a group"
        self.total = Totals()
        self._calendar = calendar
        self._group_by = tuple(group_by)
        self._limit = limit
        self._after = after
        self._last: Keys | None = None
        self._groups: dict[Keys, Totals] = {}
        self._day: Period | None = None

    def add(self, charge: UsedCharge) -> None:
        """Count a charge. This is fastest if the charges of one day come one after another."""
        whole = charge.posting.covered, charge.posting.refunded
        self.total.add(charge)
        self.total.add_paid(*whole)
        if not self._group_by:
            return
        kinds = _paid_by_kind(charge) if Dimension.KIND in self._group_by else {"": whole}
        for number, (kind, paid) in enumerate(kinds.items()):
            keys = tuple(self._key(each, charge, kind) for each in self._group_by)
            if (totals := self._group(keys)) is not None:
                if number == 0:
                    totals.add(charge)
                totals.add_paid(*paid)
            if number == 0 and charge.priced_parts and Dimension.MODEL in self._group_by:
                self._move_other_models(charge, keys)

    def _move_other_models(self, charge: UsedCharge, keys: Keys) -> None:
        """Count the responses that other models gave in the groups of these. `keys` are those of the charge."""
        place = self._group_by.index(Dimension.MODEL)
        for part in charge.priced_parts:
            if part.model == keys[place]:
                continue
            for group, sign in ((keys, -1), ((*keys[:place], part.model, *keys[place + 1 :]), 1)):
                if (totals := self._group(group)) is not None:
                    totals.move(part, sign)

    def page(self) -> list[tuple[Keys, Totals]]:
        """The groups, in the order of their keys."""
        return sorted(self._groups.items(), key=lambda group: group[0])[: self._limit]

    def _group(self, keys: Keys) -> Totals | None:
        """The sums of the group with these keys; None if it is not on this page."""
        found = self._groups.get(keys)
        if found is not None:
            return found
        if (self._after is not None and keys <= self._after) or (self._last is not None and keys > self._last):
            return None
        if len(self._groups) >= 2 * self._limit:
            self._drop_what_is_on_later_pages()
            return self._group(keys)
        made = self._groups[keys] = Totals()
        return made

    def _drop_what_is_on_later_pages(self) -> None:
        kept = sorted(self._groups)[: self._limit]
        self._groups = {keys: self._groups[keys] for keys in kept}
        self._last = kept[-1]

    def _key(self, grouping: Grouping, charge: UsedCharge, kind: str) -> str:
        usage = charge.usage or Spent()
        match grouping:
            case LabelKey(key):
                return charge.labels.get(key, "")
            case Dimension.DAY:
                return self._day_at(charge.committed_at)
            case Dimension.ACTION:
                return usage.action
            case Dimension.MODEL:
                return usage.response_model or usage.request_model
            case Dimension.TOOL:
                return usage.tool
            case Dimension.KIND:
                return kind

    def _day_at(self, moment: Instant) -> str:
        if self._day is None or not self._day.starts_at <= moment < self._day.ends_at:
            self._day = day_of(self._calendar, moment)
        return self._day.key


def _paid_by_kind(charge: UsedCharge) -> dict[str, tuple[int, int]]:
    """What grants of each kind paid, and what refunds returned of that, by the kind's name in the contract.

    The kind that was drawn on first comes first.
    """
    paid: dict[str, tuple[int, int]] = {}
    for draw in charge.posting.draws:
        name = f"GRANT_KIND_{draw.kind.value}"
        covered, refunded = paid.get(name, (0, 0))
        paid[name] = covered + draw.amount, refunded + draw.returned
    return paid or {"GRANT_KIND_UNSPECIFIED": (0, 0)}


def _quantity(usage: Spent) -> int:
    if usage.action == TEXT:
        return 0
    return 1 if usage.quantity is None else usage.quantity
