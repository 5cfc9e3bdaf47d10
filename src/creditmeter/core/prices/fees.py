"""Fees beside tokens: for web searches, code executions and whatever else a provider counts and bills by the piece.

Fees are dollars for a thousand units, as providers publish them. Units have the names that genai-prices has for them
(`web_searches`), and a few more. The fee of a unit is, the first that there is: the card's for this model at this provider, the
price list's, the card's for this provider, the card's for any provider. A unit that has no fee anywhere is not free: its usage
is flagged UNREAD_USAGE. A fee of 0 says that it is.

The fee for a request may depend on how much of the web it searched (`REQUESTS`). The list has one fee for a call, which is the
highest of these. Where the card has that of the size, this one counts instead.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from creditmeter.core.credit.cost_lines import Origin, PriceSource
from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.model_names import undated
from creditmeter.core.prices.rate_card import RateCard, TextRule, rule_origin
from creditmeter.core.prices.rates import TextPrices
from creditmeter.core.prices.rounding import EXACTLY, NOTHING
from creditmeter.core.prices.token_costs import RARE_COUNTS
from creditmeter.core.work import Usage, Work

OTHER_NAMES: Mapping[str, str] = {"file_searches": "storage_searches", "search_units": "rerank_searches"}
"""Units that the price list has under another name."""

REQUESTS = ("low_context_requests", "medium_context_requests", "high_context_requests")
"""Requests by how much of the web they search (https://docs.perplexity.ai/getting-started/pricing). Their fee takes the place
of the list's fee for a call. Where there is none, and by a rule with prices of its own, the fee for a call is that of any size.
"""

Found: TypeAlias = tuple[Decimal, Origin]
"""The dollars for a thousand units, and where they are from."""


@dataclass(frozen=True, slots=True)
class Fee:
    """What so many units cost, in dollars: one of them, and all; and where that is from."""

    name: str
    count: int
    usd_each: Decimal
    usd: Decimal
    origin: Origin


def fees_of(units: Mapping[str, int], usd_per_thousand: Callable[[str], Found | None]) -> tuple[Fee, ...]:
    """The fees of a call, for each of its units that has one. Counts of tokens are no such units."""
    priced = ((name, count, usd_per_thousand(name)) for name, count in counted(units).items())
    return tuple(_fee(name, count, *found) for name, count, found in priced if found is not None)


def unpriced_units(units: Mapping[str, int], fees: tuple[Fee, ...]) -> tuple[str, ...]:
    """The names of the units that have no fee, sorted."""
    return tuple(sorted(counted(units).keys() - {fee.name for fee in fees} - {*REQUESTS}))


def usage_fees(card: RateCard, rule: TextRule, prices: TextPrices, usage: Work | Usage) -> tuple[Fee, ...]:
    """The fees of a usage, or of what work may use at most, by a card, a rule of it, and the prices that apply."""
    return fees_of(usage.units, lambda unit: _usd_per_thousand(card, rule, prices, usage, unit))


def without_other_fee(prices: TextPrices, fees: Iterable[Fee]) -> TextPrices:
    """The prices without their fee for a call, if one of these fees takes its place."""
    is_replaced = prices.per_call and any(fee.name in REQUESTS for fee in fees)
    return replace(prices, per_call=NOTHING) if is_replaced else prices


def total_usd(fees: Iterable[Fee]) -> Decimal:
    """What all of these fees come to, in dollars."""
    usd = NOTHING
    for fee in fees:
        usd = EXACTLY.add(usd, fee.usd)
    return usd


def counted(units: Mapping[str, int]) -> dict[str, int]:
    """What is counted by the piece: the units that there are any of, without counts of tokens."""
    return {name: count for name, count in units.items() if count and name not in RARE_COUNTS}


def _fee(name: str, count: int, usd_per_thousand: Decimal, origin: Origin) -> Fee:
    each = EXACTLY.scaleb(usd_per_thousand, -3)
    return Fee(name, count, each, EXACTLY.multiply(count, each), origin)


def _usd_per_thousand(card: RateCard, rule: TextRule, prices: TextPrices, usage: Work | Usage, unit: str) -> Found | None:
    """The fee for a thousand of a unit, found as this module's docstring says; None if there is none."""
    if unit in REQUESTS and rule.listed is None:
        return None
    called, model = priced_model(usage)
    provider = called or rule.at_provider
    name = model.lower()
    for each in dict.fromkeys((name, undated(name), rule.model.lower())):
        if (own := card.fees.get((provider, each, unit))) is not None:
            return own, Origin(PriceSource.CARD, f"fees of {provider}/{each}" if provider else f"fees of {each}")
    for listed in (unit, OTHER_NAMES.get(unit, unit)):
        if listed in prices.fees:
            return prices.fees[listed], rule_origin(rule)
    for owner in (provider, ""):
        if (fee := card.fees.get((owner, "", unit))) is not None:
            return fee, Origin(PriceSource.CARD, f"fees of {owner}" if owner else "fees")
    return None
