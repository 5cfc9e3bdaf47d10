"""A rate card as a table of prices: what each model, variant, tool and action costs."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from itertools import islice

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import IMAGE, TEXT, TOOL, CostBasis, PriceUnit, RateCard, TextRule
from creditmeter.core.prices.rates import STAND_INS, TextRates
from creditmeter.core.prices.rounding import up_to_microcredit
from creditmeter.core.prices.usage_costs import price_text, price_usage
from creditmeter.core.work import Usage

TYPICAL_INPUT_TOKENS = 1_000
TYPICAL_OUTPUT_TOKENS = 500
TOKENS = 1_000_000
"""The number of tokens that a price of tokens is for."""


class Unit(Enum):
    """The unit that a price is for: tokens of a class, or (QUANTITY) one image, tool call, action or call."""

    INPUT_TOKENS = "INPUT_TOKENS"
    OUTPUT_TOKENS = "OUTPUT_TOKENS"
    CACHE_READ_INPUT_TOKENS = "CACHE_READ_INPUT_TOKENS"
    CACHE_CREATION_INPUT_TOKENS = "CACHE_CREATION_INPUT_TOKENS"
    CACHE_CREATION_1H_INPUT_TOKENS = "CACHE_CREATION_1H_INPUT_TOKENS"
    REASONING_OUTPUT_TOKENS = "REASONING_OUTPUT_TOKENS"
    AUDIO_INPUT_TOKENS = "AUDIO_INPUT_TOKENS"
    AUDIO_OUTPUT_TOKENS = "AUDIO_OUTPUT_TOKENS"
    IMAGE_INPUT_TOKENS = "IMAGE_INPUT_TOKENS"
    IMAGE_OUTPUT_TOKENS = "IMAGE_OUTPUT_TOKENS"
    QUANTITY = "QUANTITY"


ANY_OTHER_TOOL = "*"
"""Stands for every tool that the card does not name."""

_RATES: Mapping[Unit, str] = {
    Unit.INPUT_TOKENS: "input",
    Unit.OUTPUT_TOKENS: "output",
    Unit.CACHE_READ_INPUT_TOKENS: "cache_read",
    Unit.CACHE_CREATION_INPUT_TOKENS: "cache_write",
    Unit.CACHE_CREATION_1H_INPUT_TOKENS: "cache_write_1h",
    Unit.REASONING_OUTPUT_TOKENS: "reasoning",
    Unit.AUDIO_INPUT_TOKENS: "audio_input",
    Unit.AUDIO_OUTPUT_TOKENS: "audio_output",
    Unit.IMAGE_INPUT_TOKENS: "image_input",
    Unit.IMAGE_OUTPUT_TOKENS: "image_output",
}
_UNITS = {rate: unit for unit, rate in _RATES.items()}


def wider(unit: Unit) -> Unit:
    """The wider class that a class of tokens is part of. A class that costs the same as its wider one is not shown."""
    return _UNITS[STAND_INS[_RATES[unit]]]


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """The price of `count` units in microcredits, rounded up, in calls with more than `above_input_tokens` input tokens."""

    unit: Unit
    count: int
    above_input_tokens: int
    amount: Microcredits


@dataclass(frozen=True, slots=True, order=True)
class PricePosition:
    """What a line of the table is about. Lines are sorted by their positions. An empty field does not matter to the price."""

    action: str
    provider: str = ""
    model: str = ""
    variant: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A line of the table: whether the model is one of higher cost, the microcredits of a typical call, and each unit.

    Prices are list prices. `basis` says whether calls are charged by these.
    """

    position: PricePosition
    is_higher_cost: bool
    typical: Microcredits
    units: tuple[UnitPrice, ...]
    basis: CostBasis = CostBasis.LIST


class PriceTable:
    """The table of a card. Its positions are found once; the prices depend on the moment."""

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._rules = dict(_positions(card))
        self._positions = sorted(self._rules)

    def lines(self, at: Instant, action: str, after: PricePosition | None, limit: int) -> list[PriceLine]:
        """At most `limit` lines after a position, as of a moment, of one action or (empty) of all."""
        begin = 0 if after is None else bisect_right(self._positions, after)
        wanted = (position for position in islice(self._positions, begin, None) if action in ("", position.action))
        return [_line(self.card, at, position, self._rules[position]) for position in islice(wanted, limit)]


def _positions(card: RateCard) -> Iterator[tuple[PricePosition, TextRule | None]]:
    """Each position that the card has a price for, with its rule if that is of text.

    A model that one of the card's own rules names is not taken from the price list.
    """
    for listed in card.price_list.models() if card.price_list is not None else ():
        if card.own_text_rule(listed.provider, listed.model.model) is None:
            yield PricePosition(TEXT, listed.provider, listed.model.model), card.listed_rule(listed)
    for text in card.text:
        yield PricePosition(TEXT, text.provider, text.model), text
    for image in card.images:
        variants = (*image.variants, *(("",) if image.credits is not None else ()))
        yield from ((PricePosition(IMAGE, image.provider, image.model, variant), None) for variant in variants)
    if card.tools is not None:
        yield from ((PricePosition(TOOL, tool=tool), None) for tool in {ANY_OTHER_TOOL, *card.tools.by_name})
    for name in card.actions:
        yield from ((PricePosition(name, model=model), None) for model in ("", *sorted(card.higher_cost_models)))
    yield from ((PricePosition(name), None) for name in card.free)


def _line(card: RateCard, at: Instant, position: PricePosition, rule: TextRule | None) -> PriceLine:
    is_higher_cost = bool(position.model) and card.is_higher_cost(position.provider, position.model)
    usage = _one(position)
    if rule is None:
        cost = price_usage(card, usage, at)
        assert isinstance(cost, Cost), "what the card lists has a price"
        each = UnitPrice(Unit.QUANTITY, 1, 0, up_to_microcredit(cost.exact_credits))
        return PriceLine(position, is_higher_cost, cost.amount, (each,))
    cost = price_text(card, rule, usage, (TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS), at)
    return PriceLine(position, is_higher_cost, cost.amount, tuple(_units(card, rule, at)), rule.basis)


def item_price(card: RateCard, position: PricePosition, at: Instant) -> Microcredits | None:
    """The price of one image, tool call or action at a moment, in microcredits, rounded up; None if the card has none.

    A card may price what has no line in its table, such as a tool that the card does not name.
    """
    cost = price_usage(card, _one(position), at)
    return up_to_microcredit(cost.exact_credits) if isinstance(cost, Cost) else None


def _one(position: PricePosition) -> Usage:
    """The usage of one item of what a line is about."""
    return Usage(position.action, position.provider, position.model, variant=position.variant, tool=position.tool, quantity=1)


def _units(card: RateCard, rule: TextRule, at: Instant) -> Iterator[UnitPrice]:
    prices = rule.prices_at(at)
    factor = rule.markup * card.credits_per_usd if rule.unit is PriceUnit.USD else Decimal(1)
    for above, rates in ((0, prices.rates), *((tier.above_input_tokens, tier.rates) for tier in prices.long_context)):
        for unit, rate in _rates(rates):
            yield UnitPrice(unit, TOKENS, above, up_to_microcredit(rate * factor))
    if prices.per_call:
        yield UnitPrice(Unit.QUANTITY, 1, 0, up_to_microcredit(prices.per_call * factor))


def _rates(rates: TextRates) -> Iterator[tuple[Unit, Decimal]]:
    for unit, name in _RATES.items():
        rate: Decimal = getattr(rates, name)
        if name not in STAND_INS or rate != getattr(rates, STAND_INS[name]):
            yield unit, rate
