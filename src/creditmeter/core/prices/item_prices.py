"""What is priced by the piece: images, calls of tools, and the actions that a card names."""

from decimal import Decimal

from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.image_variants import is_unsaid, variant_price
from creditmeter.core.prices.no_price import NoPrice, invalid, out_of_range, unpriced_model
from creditmeter.core.prices.rate_card import IMAGE, TOOL, ImageRule, RateCard
from creditmeter.core.prices.rounding import EXACTLY
from creditmeter.core.refusals import UnpricedWork
from creditmeter.core.work import Usage, Work

MAX_QUANTITY = 10**9
"""The most items that one call may count."""


def item_credits(card: RateCard, call: Work | Usage) -> Decimal | NoPrice:
    """The exact price of all items of a call, in credits. A call that does not say how many counts one.

    Work of no items is invalid where an item has a price.
    """
    quantity = 1 if call.quantity is None else call.quantity
    if not 0 <= quantity <= MAX_QUANTITY:
        return out_of_range(call, "quantity", quantity, MAX_QUANTITY)
    each = _credits_each(card, call)
    if not isinstance(each, Decimal):
        return each
    if isinstance(call, Work) and each and not quantity:
        return invalid(call, "quantity", "must be 1 or more for work that has a price")
    return EXACTLY.multiply(each, quantity)


def _credits_each(card: RateCard, call: Work | Usage) -> Decimal | NoPrice:
    if call.action == IMAGE:
        return _credits_per_image(card, call)
    if call.action == TOOL and card.tools is not None:
        if not call.tool:
            return invalid(call, "tool", "is needed: its name")
        return card.tools.by_name.get(call.tool, card.tools.default)
    if (rule := card.actions.get(call.action)) is not None:
        return rule.higher_cost if card.is_higher_cost(*priced_model(call)) else rule.standard
    return UnpricedWork(f"the rate card has no price for the action {call.action!r}")


def _credits_per_image(card: RateCard, call: Work | Usage) -> Decimal | NoPrice:
    provider, model = priced_model(call)
    rule = card.image_rule(provider, model)
    if rule is None:
        return unpriced_model(call)
    if rule.credits is not None and (not rule.variants or is_unsaid(rule.variants, call.variant)):
        return rule.credits
    price = variant_price(rule.variants, call.variant)
    return invalid(call, "variant", _what_variants_there_are(rule, call.variant)) if price is None else price


def _what_variants_there_are(rule: ImageRule, variant: str) -> str:
    wrong = f"{variant!r} is not known" if variant else "is needed"
    return f"{wrong}: {rule.model!r} has {', '.join(map(repr, rule.variants))}"
