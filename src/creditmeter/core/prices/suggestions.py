"""What a rate card prices that is called nearly as what it does not price: for whoever mistyped it."""

from collections.abc import Callable, Iterable, Iterator

from creditmeter.core.prices.near_names import NearNames
from creditmeter.core.prices.rate_card import IMAGE, TEXT, TOOL, RateCard
from creditmeter.core.prices.usage_costs import Unpriced

MAX_SUGGESTIONS = 3
_MAX_LOOKED_UP = 8
"""Near names that are looked up in the card, until enough have a price."""


def near_names(card: RateCard, unpriced: Unpriced) -> tuple[str, ...]:
    """The names of what has a price on this card and may have been meant, the nearest first, at most MAX_SUGGESTIONS: variants
    of an image model that is known, models, or actions.
    """
    image = card.image_rule(unpriced.provider, unpriced.model) if unpriced.action == IMAGE else None
    if image is not None:
        return tuple(NearNames(image.variants).near(unpriced.variant)[:MAX_SUGGESTIONS])
    if unpriced.action == TEXT and (card.text or card.price_list is not None):
        return _priced(card, TEXT, unpriced, _text_models, lambda name: card.text_rule(unpriced.provider, name))
    if unpriced.action == IMAGE and card.images:
        return _priced(card, IMAGE, unpriced, _image_models, lambda name: card.image_rule(unpriced.provider, name))
    return tuple(NearNames(_actions(card)).near(unpriced.action)[:MAX_SUGGESTIONS])


def _priced(
    card: RateCard,
    action: str,
    unpriced: Unpriced,
    names: Callable[[RateCard], Iterable[str]],
    rule: Callable[[str], object | None],
) -> tuple[str, ...]:
    """The near names that have a price at the provider named, if one is. A card's names are indexed once, when first needed."""
    index = card.names_by_action.get(action)
    if index is None:
        index = card.names_by_action[action] = NearNames(names(card))
    near = index.near(unpriced.model)[:_MAX_LOOKED_UP]
    return tuple(name for name in near if rule(name) is not None)[:MAX_SUGGESTIONS]


def _text_models(card: RateCard) -> Iterator[str]:
    yield from (name for rule in card.text for name in rule.names)
    if card.price_list is not None:
        yield from (each.model.model for each in card.price_list.models())


def _image_models(card: RateCard) -> Iterator[str]:
    return (name for rule in card.images for name in rule.names)


def _actions(card: RateCard) -> Iterator[str]:
    sections = {TEXT: card.text or card.price_list, IMAGE: card.images, TOOL: card.tools}
    yield from (action for action, section in sections.items() if section)
    yield from card.actions
    yield from card.free
