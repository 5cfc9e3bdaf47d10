"""What a call costs that was served in another way than usual: at a service tier, at a speed, or in a region.

The price list knows the prices of some: those count. For each other way the card may have a factor, in its section `tiers`, by
which the cost of all tokens is multiplied. What neither knows is priced as if it were standard, and flagged UNKNOWN_TIER. Fees
do not depend on any factor.
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
        found = rule.variant_at(kind, name, at) if listed is None else None
        if found is not None:
            listed = found
        elif (known := card.tier_factor(provider, kind, name)) is not None:
            factor = EXACTLY.multiply(factor, known)
        else:
            unknown.add(name)
    ways = tuple(name for _, name in unusual if name not in unknown)
    flags = (ChargeFlag.UNKNOWN_TIER,) if unknown else ()
    return ServedPrices(rule.prices_at(at) if listed is None else listed, factor, flags, ways)


@lru_cache(maxsize=256)
def _unusual(served: Served) -> tuple[tuple[str, str], ...]:
    """Each field that has a value other than the standard ones, and its value in lower case."""
    named = ((kind, getattr(served, kind).lower()) for kind in STANDARD_NAMES)
    return tuple((kind, name) for kind, name in named if name not in STANDARD_NAMES[kind])
