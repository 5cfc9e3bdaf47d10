"""The model that a call is priced by, and the one that stands in for it."""

import dataclasses
from decimal import Decimal

import pytest

from creditmeter.core.amounts import from_credits
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.refusals import UnpricedWork
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage, Work
from tests.core.prices.priced import CARD, NOW, bound, price, text


@pytest.mark.parametrize(
    ("request_model", "response_model", "usd"),
    [
        ("gpt-4o", "", "2.5"),
        ("gpt-4o", "gpt-4o-mini", "0.15"),
        ("gpt-4o-mini", "gpt-4o-2024-08-06", "2.5"),
        ("unheard-of", "gpt-4o-2024-05-13", "5"),
    ],
)
def test_the_price_follows_the_model_that_served(request_model: str, response_model: str, usd: str) -> None:
    """The model asked for counts only where the one that served is not known."""
    usage = replace(text(response_model, 1_000_000), request_model=request_model)
    assert price(CARD, usage).usd == Decimal(usd)


def test_a_fallback_prices_any_text_and_says_so() -> None:
    """At the rates of the model that the card names."""
    card = dataclasses.replace(CARD, fallback="gpt-4o")
    usage = text("unheard-of", 8_001)
    at_fallback = price(card, text("gpt-4o", 8_001))
    assert price(card, usage) == replace(at_fallback, usage=usage, flags=(ChargeFlag.FALLBACK_PRICE,))
    work = Work(action="text", request_model="gpt-4o", input_tokens=8_001)
    assert bound(card, replace(work, request_model="unheard-of")).amount == bound(card, work).amount
    assert isinstance(price_usage(card, Usage(action="image", request_model="unheard-of"), NOW), UnpricedWork)


def test_all_flags_are_kept() -> None:
    """One charge may have several."""
    card = dataclasses.replace(CARD, fallback="gpt-4o", cap=from_credits(1))
    flags = price(card, text("unheard-of", 8_000, cache_read=8_001)).flags
    assert flags == (ChargeFlag.FALLBACK_PRICE, ChargeFlag.CONTRADICTORY_USAGE, ChargeFlag.CAPPED)
