"""Reconciliation: a provider's bill beside the charges, by day and model, and what would correct the differences.

A bill and the charges may name one model differently: with the date of a snapshot, with a reseller's route around it, or as
providers show it to people (`Claude Sonnet 4.5`). They meet under the model's key. What meets nothing stays in the comparison,
on its own side.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import TypeVar

from creditmeter.core.amounts import Microcredits
from creditmeter.core.prices.model_names import bare_name, undated
from creditmeter.core.prices.rate_card import CostBasis, RateCard
from creditmeter.core.prices.rounding import EXACTLY, NOTHING

MAX_GROUPS = 100_000
"""Most pairs of a day and a model in one comparison."""

_REMEMBERED = 10_000
"""Names whose keys are remembered. A bill has few names and many lines."""

_FINE_TUNED = "ft:"
_LATEST = "-latest"
_SPACES = re.compile(r"\s+")
_VERSION_FIRST = re.compile(r"^claude-(\d+(?:-\d+)?)-([a-z]+)$")
_HUNDRED = Decimal(100)

_Number = TypeVar("_Number", Decimal, int)


@lru_cache(_REMEMBERED)
def model_key(name: str) -> str:
    """The name under which a bill's model and that of charges meet.

    It is in lower case, without a route, the date of a snapshot or `-latest`, with dashes for dots and spaces. A version of
    Claude stands last: `claude-3-7-sonnet` and `Claude Sonnet 3.7` are one model. A fine-tune is a model of its own.
    """
    plain = _SPACES.sub("-", name.strip().lower())
    if plain.startswith(_FINE_TUNED):
        return plain.replace(".", "-")
    bare = undated(bare_name(plain)).removesuffix(_LATEST)
    return _VERSION_FIRST.sub(r"claude-\2-\1", bare)


@dataclass(frozen=True, slots=True)
class Sums:
    """What one side says of a day and a model: USD, and tokens of input (cached ones included) and output. None: not stated."""

    usd: Decimal | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    def plus(self, other: "Sums") -> "Sums":
        """The sums of both, exactly. What only one of them states is the sum."""
        return Sums(
            _added(self.usd, other.usd, EXACTLY.add),
            _added(self.input_tokens, other.input_tokens, int.__add__),
            _added(self.output_tokens, other.output_tokens, int.__add__),
        )


_NOTHING = Sums(NOTHING, 0, 0)


class Side(Enum):
    """Where a day and a model appear."""

    BOTH = "both"
    BILL = "bill only"
    CHARGES = "charges only"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a bill and the charges may be apart and still agree: by so many USD, or by so many percent of the bill."""

    usd: Decimal = NOTHING
    percent: Decimal = NOTHING

    def allows(self, billed: Decimal, charged: Decimal) -> bool:
        """Whether two amounts in USD agree."""
        return abs(EXACTLY.subtract(billed, charged)) <= self.usd or self.allows_share(billed, charged)

    def allows_share(self, billed: Decimal | int, charged: Decimal | int) -> bool:
        """Whether two amounts or counts agree by the percentage alone."""
        whole, part = Decimal(billed), Decimal(charged)
        apart = EXACTLY.multiply(abs(EXACTLY.subtract(whole, part)), _HUNDRED)
        return apart <= EXACTLY.multiply(self.percent, abs(whole))


@dataclass(frozen=True, slots=True)
class Compared:
    """One day (ISO) and one model, by its key, on the bill and among the charges. None: that side does not have it.

    `name` is the model as the charges name it, else as the bill does, without a date.
    """

    day: str
    model: str
    name: str
    billed: Sums | None
    charged: Sums | None

    @property
    def side(self) -> Side:
        """Where it appears."""
        if self.charged is None:
            return Side.BILL
        return Side.CHARGES if self.billed is None else Side.BOTH


@dataclass(frozen=True, slots=True)
class Correction:
    """What makes up for one difference, in microcredits: a charge if the bill is higher, else credit that is given back."""

    day: str
    model: str
    amount: Microcredits
    is_charge: bool


class Reconciliation:
    """Adds up both sides, and compares them. `in_usd`: whether the bill states amounts of money; else only tokens count."""

    def __init__(self, *, in_usd: bool) -> None:
        self.in_usd = in_usd
        self._billed: dict[tuple[str, str], Sums] = {}
        self._charged: dict[tuple[str, str], Sums] = {}
        self._billed_names: dict[str, str] = {}
        self._charged_names: dict[str, str] = {}

    @property
    def is_full(self) -> bool:
        """Whether there are more days and models than one comparison may have."""
        return len(self._billed) + len(self._charged) > MAX_GROUPS

    def add_billed(self, day: str, name: str, sums: Sums) -> None:
        """Add a line of the bill."""
        _add(self._billed, self._billed_names, day, name, sums)

    def add_charged(self, day: str, name: str, sums: Sums) -> None:
        """Add charges of one day and model."""
        _add(self._charged, self._charged_names, day, name, sums)

    def compared(self) -> list[Compared]:
        """Every day and model of either side, in this order."""
        names = self._billed_names | self._charged_names
        keys = sorted(self._billed.keys() | self._charged.keys())
        return [
            Compared(day, model, names[model], self._billed.get((day, model)), self._charged.get((day, model)))
            for day, model in keys
        ]

    def is_billed(self, model: str) -> bool:
        """Whether the bill names a model, by its key, on any day."""
        return model in self._billed_names

    def unmatched(self, side: Side) -> list[str]:
        """The names that are on this side alone, on all days: models, tools and other items."""
        billed, charged = self._billed_names, self._charged_names
        own, others = (billed, charged) if side is Side.BILL else (charged, billed)
        return sorted(name for model, name in own.items() if model not in others)

    def difference(self, each: Compared) -> Decimal | None:
        """The bill less the charges, in USD; None if the bill states no money."""
        if not self.in_usd:
            return None
        return EXACTLY.subtract(_usd(each.billed), _usd(each.charged))

    def agrees(self, each: Compared, tolerance: Tolerance) -> bool:
        """Whether both sides agree: in USD, or, where the bill states no money, in both counts of tokens by the percentage."""
        if self.in_usd:
            return tolerance.allows(_usd(each.billed), _usd(each.charged))
        billed, charged = each.billed or _NOTHING, each.charged or _NOTHING
        counts = (billed.input_tokens, charged.input_tokens), (billed.output_tokens, charged.output_tokens)
        return all(tolerance.allows_share(one or 0, other or 0) for one, other in counts if one is not None)

    def total(self) -> Compared:
        """Both sides as a whole."""
        return Compared("", "", "", _total(self._billed.values()), _total(self._charged.values()))

    def corrections(self, differing: Iterable[Compared], rate: Callable[[str], Decimal]) -> list[Correction]:
        """What makes up for these differences. `rate` gives the credits for a dollar of a model, by its name.

        Nothing makes up for charges of a model that the bill names on no day: another provider may have served them.
        """
        found = []
        for each in differing:
            apart = self.difference(each)
            if apart is None or not self.is_billed(each.model):
                continue
            amount = in_microcredits(apart, rate(each.name))
            if amount:
                found.append(Correction(each.day, each.model, Microcredits(abs(amount)), is_charge=amount > 0))
        return found


def credits_per_usd(card: RateCard, model: str) -> Decimal:
    """The credits for a dollar that a provider bills for a model: those of the card, times the markup on this model."""
    rule = card.text_rule("", model) or card.text_rule("", model_key(model))
    markup = card.markup
    if rule is not None:
        markup = rule.markup if rule.basis is CostBasis.LIST else rule.reported_markup
    return EXACTLY.multiply(card.credits_per_usd, markup)


def in_microcredits(usd: Decimal, rate: Decimal) -> int:
    """Dollars at `rate` credits for one, in the nearest whole microcredits; of two that are equally near, the even one."""
    return int(EXACTLY.scaleb(EXACTLY.multiply(usd, rate), 6).to_integral_value())


def _add(sums: dict[tuple[str, str], Sums], names: dict[str, str], day: str, name: str, more: Sums) -> None:
    model = model_key(name)
    found = sums.get((day, model))
    sums[day, model] = more if found is None else found.plus(more)
    shown = undated(name)
    names[model] = min(shown, names.get(model, shown), key=lambda each: (len(each), each))


def _added(one: _Number | None, other: _Number | None, add: Callable[[_Number, _Number], _Number]) -> _Number | None:
    if one is None or other is None:
        return other if one is None else one
    return add(one, other)


def _total(sums: Iterable[Sums]) -> Sums | None:
    total: Sums | None = None
    for each in sums:
        total = each if total is None else total.plus(each)
    return total


def _usd(sums: Sums | None) -> Decimal:
    return NOTHING if sums is None or sums.usd is None else sums.usd
