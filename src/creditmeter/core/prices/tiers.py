"""What a call costs that was served in another way than usual: at a service tier, at a speed, or in a region.

The price list knows the prices of some: those count. For each other way the card may have a factor, in its section `tiers`, by
which the cost of all tokens is multiplied. What neither knows is priced as if it were standard, and flagged UNKNOWN_TIER. Fees
do not depend on any factor.

What one provider calls a tier is a speed at another: `fast` is OpenAI's tier and Anthropic's speed. So a tier without a price
has that of the speed of its name, and a speed that of the tier. A call that has both by one name was served in one way.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from creditmeter.core.instants import Instant
from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.rate_card import RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices
from creditmeter.core.prices.rounding import EXACTLY
from creditmeter.core.work import STANDARD, ChargeFlag, Served, Usage, Work

STANDARD_NAMES: Mapping[str, frozenset[str]] = {
    "service_tier": frozenset({"", "standard", "default", "on_demand"}),
    "speed": frozenset({"", "standard", "default"}),
    "region": frozenset({"", "global", "not_available"}),
    "search_type": frozenset({""}),
}
"""For each field of `Served`, in the order in which prices are looked up, the values that mean the standard price."""

SPEEDS = frozenset({"fast", "optimized"})
"""The tiers that some providers report as a speed: Anthropic's fast mode, Bedrock's optimized latency."""

_OTHER_KIND: Mapping[str, str] = {"service_tier": "speed", "speed": "service_tier"}
"""For a field of `Served`, the one whose prices count where its own name has none."""

_ONE = Decimal(1)


class ServedPrices(NamedTuple):
    """The prices of calls that were served in some way, the factor of what their tokens cost, and a flag if it is not known.

    `ways` are the ways of serving that the list or the card knows, by their names. Prices and factor are of these.
    """

    prices: TextPrices
    factor: Decimal = _ONE
    flags: tuple[ChargeFlag, ...] = ()
    ways: tuple[str, ...] = ()


def asked_for(work: Work) -> Served:
    """What is to serve a call."""
    return Served(service_tier=work.service_tier) if work.service_tier else STANDARD


def served_prices(card: RateCard, rule: TextRule, call: Work | Usage, at: Instant) -> ServedPrices:
    """What the tokens of a call cost that began at a moment, by a rule, for what served it or is to serve it.

    Only one way of serving finds its price in the list: the first in the order of `STANDARD_NAMES`. Any further one needs a
    factor of the card.
    """
    served = call.served if isinstance(call, Usage) else asked_for(call)
    if served is STANDARD or served == STANDARD:
        return ServedPrices(rule.prices_at(at))
    unusual = _unusual(served)
    if not unusual:
        return ServedPrices(rule.prices_at(at))
    provider = priced_model(call)[0] or rule.at_provider
    listed, factor, unknown = None, _ONE, set[str]()
    for kind, name in unusual:
        found = _listed(rule, kind, name, at) if listed is None else None
        if found is not None:
            listed = found
        elif (known := _factor(card, provider, kind, name)) is not None:
            factor = EXACTLY.multiply(factor, known)
        else:
            unknown.add(name)
    ways = tuple(name for _, name in unusual if name not in unknown)
    flags = (ChargeFlag.UNKNOWN_TIER,) if unknown else ()
    return ServedPrices(rule.prices_at(at) if listed is None else listed, factor, flags, ways)


def _listed(rule: TextRule, kind: str, name: str, at: Instant) -> TextPrices | None:
    """What the list has for a way of serving, by the field that names it or by the other one that may."""
    found = rule.variant_at(kind, name, at)
    return rule.variant_at(_OTHER_KIND[kind], name, at) if found is None and kind in _OTHER_KIND else found


def _factor(card: RateCard, provider: str, kind: str, name: str) -> Decimal | None:
    """What the card has for a way of serving, by the field that names it or by the other one that may."""
    found = card.tier_factor(provider, kind, name)
    return card.tier_factor(provider, _OTHER_KIND[kind], name) if found is None and kind in _OTHER_KIND else found


@lru_cache(maxsize=256)
def _unusual(served: Served) -> tuple[tuple[str, str], ...]:
    """Each field that has a value other than the standard ones, and its value in lower case; a speed that the tier names, too,
    is not named again.
    """
    named = {kind: getattr(served, kind).lower() for kind in STANDARD_NAMES}
    if named["speed"] == named["service_tier"]:
        named["speed"] = ""
    return tuple((kind, name) for kind, name in named.items() if name not in STANDARD_NAMES[kind])
