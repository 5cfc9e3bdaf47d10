"""Suggestions for a mistyped name: what a rate card prices and is called nearly the same."""

from collections.abc import Callable, Iterable, Iterator

from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.model_names import names_its_seller, without_route
from creditmeter.core.prices.near_names import NearNames
from creditmeter.core.prices.rate_card import IMAGE, TEXT, TOOL, RateCard
from creditmeter.core.prices.resolving import ModelRule
from creditmeter.core.work import Usage, Work

MAX_SUGGESTIONS = 3
_MAX_LOOKED_UP = 8
"""Most near names that are looked up in the card."""


def near_names(card: RateCard, call: Work | Usage) -> tuple[str, ...]:
    """The names of what has a price on this card and may have been meant by a call that has none, the nearest first, at most
    MAX_SUGGESTIONS: models, or actions.
    """
    provider, model = priced_model(call)
    if call.action == TEXT and (card.text or card.price_list is not None):
        return _priced(card, TEXT, (provider, model), _text_models, card.text_rule)
    if call.action == IMAGE and card.images:
        return _priced(card, IMAGE, (provider, model), _image_models, card.image_rule)
    return tuple(NearNames(_actions(card)).near(call.action)[:MAX_SUGGESTIONS])


def _priced(
    card: RateCard,
    action: str,
    called: tuple[str, str],
    names: Callable[[RateCard], Iterable[str]],
    rule_of: Callable[[str, str], ModelRule | None],
) -> tuple[str, ...]:
    """The names near a model's, with its route or without, that have a rule at the provider that is called. A card's names are
    indexed once, when they are first needed.
    """
    provider, model = called
    index = card.names_by_action.get(action)
    if index is None:
        index = card.names_by_action[action] = NearNames(names(card))
    near = [*index.near(model)[:_MAX_LOOKED_UP], *index.near(without_route(model))[:_MAX_LOOKED_UP]]
    return tuple(name for name in dict.fromkeys(near) if _is_sold(rule_of(provider, name), provider, name))[:MAX_SUGGESTIONS]


def _is_sold(rule: ModelRule | None, provider: str, name: str) -> bool:
    """Whether the provider that is named sells a model, and not just another one that its name's route names."""
    return rule is not None and (not provider or rule.provider in ("", provider) or not names_its_seller(name))


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
