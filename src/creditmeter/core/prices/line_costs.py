"""The lines of a cost, made of the steps by which it was added up."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from creditmeter.core.credit.cost_lines import CostLine, Origin, PriceSource
from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.fees import Fee
from creditmeter.core.prices.item_prices import Items
from creditmeter.core.prices.rate_card import TOOL, PriceUnit, RateCard, TextRule, rule_origin
from creditmeter.core.prices.rounding import EXACTLY, NOTHING
from creditmeter.core.prices.tiers import ServedPrices
from creditmeter.core.prices.token_costs import Tokens
from creditmeter.core.work import Usage

PER_CALL = "call"
"""What the line of the fee for each call is about."""

REPORTED_COST = "reported cost"
"""What the line of a reported cost is about."""

_THOUSAND = 1_000
_MILLION = 1_000_000
_ONE = Decimal(1)


def text_lines(
    card: RateCard,
    rule: TextRule,
    usage: Usage,
    found: ServedPrices,
    classes: Iterable[Tokens],
    input_tokens: int,
    fees: Iterable[Fee],
) -> tuple[CostLine, ...]:
    """The lines of a call of text: its classes of tokens, the fee for each call, and the fees beside them.

    `input_tokens` is the length of the input that decided the rates.
    """
    in_usd, model, origin = rule.unit is PriceUnit.USD, priced_model(usage)[1], rule_origin(rule)
    markup = rule.markup if in_usd else _ONE
    in_credits = EXACTLY.multiply(markup, card.credits_per_usd) if in_usd else _ONE
    how = found.factor, markup, found.ways, found.prices.above(input_tokens)

    def of_tokens() -> Iterator[CostLine]:
        for name, count, rate in classes:
            if count:
                amount = EXACTLY.multiply(EXACTLY.scaleb(EXACTLY.multiply(count, rate), -6), found.factor)
                credits = EXACTLY.multiply(amount, in_credits)
                yield CostLine(name, model, count, rate, _MILLION, amount, credits, origin, *how, in_usd=in_usd)
        if (fee := found.prices.per_call) > 0:
            credits = EXACTLY.multiply(fee, in_credits)
            yield CostLine(PER_CALL, model, 1, fee, 1, fee, credits, origin, markup=markup, in_usd=in_usd)

    of_fee = in_credits if in_usd else card.credits_per_usd
    return (*of_tokens(), *(_fee_line(each, model, of_fee, markup) for each in fees))


def _fee_line(fee: Fee, model: str, in_credits: Decimal, markup: Decimal) -> CostLine:
    rate, credits = EXACTLY.scaleb(fee.usd_each, 3), EXACTLY.multiply(fee.usd, in_credits)
    return CostLine(fee.name, model, fee.count, rate, _THOUSAND, fee.usd, credits, fee.origin, markup=markup, in_usd=True)


def reported_line(rule: TextRule, usage: Usage, usd: Decimal, credits: Decimal) -> CostLine:
    """The line of what a provider or gateway says that a response cost."""
    origin = Origin(PriceSource.REPORTED, rule_origin(rule).rule)
    markup = rule.reported_markup
    return CostLine(REPORTED_COST, priced_model(usage)[1], 1, usd, 1, usd, credits, origin, markup=markup, in_usd=True)


def item_lines(usage: Usage, items: Items) -> tuple[CostLine, ...]:
    """The line of what is priced by the piece: a tool by its name, anything else by its action."""
    what = usage.tool if usage.action == TOOL else usage.action
    model, credits = priced_model(usage)[1], EXACTLY.multiply(items.credits_each, items.quantity)
    return (CostLine(what, model, items.quantity, items.credits_each, 1, credits, credits, items.origin),)


def free_lines(usage: Usage) -> tuple[CostLine, ...]:
    """The line of an action that the card says is free."""
    model, count = priced_model(usage)[1], 1 if usage.quantity is None else usage.quantity
    origin = Origin(PriceSource.FREE, usage.action)
    return (CostLine(usage.action, model, count, NOTHING, 1, NOTHING, NOTHING, origin),)
