"""What is priced by the piece: images, calls of tools, and the actions that a card names."""

from decimal import Decimal
from typing import NamedTuple

from creditmeter.core.credit.cost_lines import Origin, PriceSource
from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.image_variants import is_unsaid, variant_price
from creditmeter.core.prices.no_price import NoPrice, invalid, out_of_range, unpriced_model
from creditmeter.core.prices.rate_card import IMAGE, TOOL, ImageRule, RateCard
from creditmeter.core.prices.rounding import EXACTLY
from creditmeter.core.refusals import UnpricedWork
from creditmeter.core.work import Usage, Work

MAX_QUANTITY = 10**9
"""The most items that one call may count."""


class Items(NamedTuple):
    """So many items, the credits for each, and where that price is from."""

    quantity: int
    credits_each: Decimal
    origin: Origin


_Found = tuple[Decimal, Origin]


def item_credits(card: RateCard, call: Work | Usage) -> Decimal | NoPrice:
    """The exact price of all items of a call, in credits; refused as `items_of` says."""
    items = items_of(card, call)
    return EXACTLY.multiply(items.credits_each, items.quantity) if isinstance(items, Items) else items


def items_of(card: RateCard, call: Work | Usage) -> Items | NoPrice:
    """The items of a call and their price. A call that does not say how many counts one.

    Work of no items is invalid where an item has a price.
    """
    quantity = 1 if call.quantity is None else call.quantity
    if not 0 <= quantity <= MAX_QUANTITY:
        return out_of_range(call, "quantity", quantity, MAX_QUANTITY)
    found = _credits_each(card, call)
    if not isinstance(found, tuple):
        return found
    each, origin = found
    if isinstance(call, Work) and each and not quantity:
        return invalid(call, "quantity", "must be 1 or more for work that has a price")
    return Items(quantity, each, origin)


def _credits_each(card: RateCard, call: Work | Usage) -> _Found | NoPrice:
    if call.action == IMAGE:
        return _credits_per_image(card, call)
    if call.action == TOOL and card.tools is not None:
        if not call.tool:
            return invalid(call, "tool", "is needed: its name")
        own = card.tools.by_name.get(call.tool)
        return (card.tools.default, _on_card("tools")) if own is None else (own, _on_card(f"tools.{call.tool}"))
    if (rule := card.actions.get(call.action)) is not None:
        is_higher = card.is_higher_cost(*priced_model(call))
        origin = _on_card(f"actions.{call.action}{', at a model of higher cost' if is_higher else ''}")
        return rule.higher_cost if is_higher else rule.standard, origin
    return UnpricedWork(f"the rate card has no price for the action {call.action!r}")


def _credits_per_image(card: RateCard, call: Work | Usage) -> _Found | NoPrice:
    provider, model = priced_model(call)
    rule = card.image_rule(provider, model)
    if rule is None:
        return unpriced_model(call)
    if rule.credits is not None and (not rule.variants or is_unsaid(rule.variants, call.variant)):
        return rule.credits, _on_card(rule.address)
    price = variant_price(rule.variants, call.variant)
    if price is None:
        return invalid(call, "variant", _what_variants_there_are(rule, call.variant))
    return price, _on_card(f"{rule.address}, {call.variant}")


def _on_card(rule: str) -> Origin:
    return Origin(PriceSource.CARD, rule)


def _what_variants_there_are(rule: ImageRule, variant: str) -> str:
    wrong = f"{variant!r} is not known" if variant else "is needed"
    return f"{wrong}: {rule.model!r} has {', '.join(map(repr, rule.variants))}"
