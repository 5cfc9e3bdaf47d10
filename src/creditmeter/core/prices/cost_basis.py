"""What a call is charged by: its list price, or the cost that its provider or gateway reports (the key `cost` of a text rule).

A reported cost is of everything: tokens, fees, the tier that served the call. So it takes the place of the whole list price,
and is rounded as that is. What other models did for a response is in the cost of that response.

A cost that cannot be charged leaves the list price, and the charge is flagged LIST_PRICE:

* none was reported of the response, or one that is no amount;
* it is above MAX_REPORTED_USD, as ticks are that were taken for dollars;
* under `reported`, it is 0 for what has a list price and is not named `:free`. Gateways write 0 where they know no price, too.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from creditmeter.core.amounts import ZERO
from creditmeter.core.credit.charges import Cost
from creditmeter.core.prices.line_costs import reported_line
from creditmeter.core.prices.rate_card import CostBasis, RateCard, TextRule
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, rounded_cost
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage

MAX_REPORTED_USD = Decimal(10_000)
"""The most dollars of one response that are believed: 16 million tokens at the dearest rate of the price list."""

_OF_LIST_PRICE = (ChargeFlag.MINIMUM, ChargeFlag.CAPPED, ChargeFlag.UNKNOWN_TIER, ChargeFlag.UNREAD_USAGE)
"""What is not so of a reported cost: it knows the tier and has all fees."""

_FREE = ":free"


class Listed(NamedTuple):
    """A usage at its list price, and the text rule that this is by; None if it is by none, or if no rule charges another."""

    cost: Cost
    rule: TextRule | None = None

    @property
    def basis(self) -> CostBasis:
        """What its rule charges."""
        return CostBasis.LIST if self.rule is None else self.rule.basis


def charged(card: RateCard, listed: Sequence[Listed], reported_usd: Decimal | None) -> list[Cost]:
    """The costs of a response and of what other models did for it, by the rule of the response, which is the first.

    `reported_usd` is what its provider or gateway says that they cost together, in dollars; None if it does not. If that is
    charged, the first has it, and the others cost nothing more.
    """
    first = listed[0]
    costs = [each.cost for each in listed]
    if first.rule is None or first.basis is CostBasis.LIST or not _is_chargeable(first, costs, reported_usd):
        return [_flagged(each) for each in listed]
    assert reported_usd is not None, "what is chargeable is known"
    credits = EXACTLY.multiply(EXACTLY.multiply(reported_usd, first.rule.reported_markup), card.credits_per_usd)
    if first.basis is CostBasis.HIGHER and credits <= _list_credits(costs):
        return costs
    flags = tuple(flag for flag in first.cost.flags if flag not in _OF_LIST_PRICE)
    assert first.cost.usage is not None, "what has a rule has a usage"
    line = reported_line(first.rule, first.cost.usage, reported_usd, credits)
    own = rounded_cost(card, first.cost.usage, (credits, reported_usd), card.minimum, flags, lambda: (line,))
    return [own, *map(_nothing_more, costs[1:])]


def _nothing_more(cost: Cost) -> Cost:
    return replace(cost, amount=ZERO, exact_credits=NOTHING, usd=NOTHING, flags=(), make_lines=tuple)


def _is_chargeable(first: Listed, costs: Sequence[Cost], usd: Decimal | None) -> bool:
    if usd is None or not 0 <= usd <= MAX_REPORTED_USD:
        return False
    return bool(usd) or first.basis is CostBasis.HIGHER or not _list_credits(costs) or _is_named_free(first.cost.usage)


def _list_credits(costs: Sequence[Cost]) -> Decimal:
    total = NOTHING
    for each in costs:
        total = EXACTLY.add(total, each.exact_credits)
    return total


def _is_named_free(usage: Usage | None) -> bool:
    """Whether the model is one that a gateway gives away, by the name of what served the call or was asked for."""
    return usage is not None and any(name.lower().endswith(_FREE) for name in (usage.response_model, usage.request_model))


def _flagged(listed: Listed) -> Cost:
    """The list price; flagged if its rule charges by what is reported."""
    if listed.basis is CostBasis.LIST:
        return listed.cost
    return replace(listed.cost, flags=(ChargeFlag.LIST_PRICE, *listed.cost.flags))
