"""Rate cards made of a document or of rules, and what is wrong with a document."""

from decimal import Decimal
from importlib.resources import files

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard, TextRule
from creditmeter.core.prices.rate_card_document import RateCardError, parse_rate_card
from creditmeter.core.prices.rates import TextPrices, TextRates

NOW = Instant(1_800_000_000_000_000)
HEAD = """\
version = "v1"
effective_from = 2026-11-01T00:00:00Z
"""


def default_card() -> RateCard:
    """The card that ships."""
    document = files("creditmeter.core.prices").joinpath("default_rate_card.toml").read_text(encoding="utf-8")
    return parse_rate_card(document, bundled_price_list)


def problems(document: str) -> list[str]:
    """What is wrong with a document."""
    with pytest.raises(RateCardError) as refused:
        parse_rate_card(document)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return list(refused.value.problems)


def text_rule(*names: str, provider: str = "", price: int = 1) -> TextRule:
    """A rule in which everything has one price."""
    rates = TextRates(*[Decimal(price)] * 10)
    return TextRule(model=names[0], also=names[1:], provider=provider, prices=TextPrices(rates))


def rates(rule: TextRule, input_tokens: int = 0) -> TextRates:
    """What a rule says tokens cost."""
    return rule.prices_at(NOW).for_input(input_tokens)


def card_of(*rules: TextRule, higher_cost_models: frozenset[str] = frozenset()) -> RateCard:
    """A card with these rules for text."""
    return RateCard(version="v", effective_from=Instant(0), text=rules, higher_cost_models=higher_cost_models)
