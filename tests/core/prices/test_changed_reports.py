"""Reports whose fields somebody renamed, wrapped, repeated or wrote as text: a lower charge says so by a flag."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.no_price import NoPrice
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_cards import LoadedCard, RateCards
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage
from tests.core.prices.changed_reports import CHANGES, REPORTS, WRAPPERS, as_fraction, as_text, changed, counts

NOW = Instant(1_796_000_000_000_000)
"""At the end of November 2026."""

SAYS_SO = {
    ChargeFlag.UNREAD_USAGE,
    ChargeFlag.ESTIMATED,
    ChargeFlag.CONTRADICTORY_USAGE,
    ChargeFlag.FALLBACK_PRICE,
    ChargeFlag.UNKNOWN_TIER,
}


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Any]:
    """A report by its name, and what became of it."""
    name = draw(st.sampled_from(sorted(REPORTS)))
    document = REPORTS[name][2]
    for _ in range(draw(st.integers(1, 3))):
        paths = list(counts(document))
        if paths:
            document = changed(document, draw(st.sampled_from(paths)), draw(st.sampled_from(CHANGES)))
    for wrapper in draw(st.lists(st.sampled_from(WRAPPERS), max_size=2)):
        document = {wrapper: document}
    return name, [document] * draw(st.sampled_from((1, 1, 2)))


def price(card: LoadedCard, name: str, document: Any) -> Cost | NoPrice:
    """What a call costs by a report."""
    provider, model, _ = REPORTS[name]
    usage = Usage(action="text", provider=provider, response_model=model, provider_usage_json=json.dumps(document))
    return Pricing(RateCards(card.card)).cost(usage, None, NOW, is_fact=True)


@given(changes())
def test_no_change_makes_a_call_cheaper_in_silence(card: LoadedCard, made: tuple[str, Any]) -> None:
    """It costs as much or more, or it is refused, or the charge has a flag."""
    name, document = made
    right, found = price(card, name, REPORTS[name][2]), price(card, name, document)
    assert isinstance(right, Cost)
    assert not isinstance(found, Cost) or found.amount >= right.amount or SAYS_SO & set(found.flags), (name, document)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("change", [as_text, as_fraction])
def test_a_number_is_a_number_however_it_is_written(card: LoadedCard, name: str, change: Any) -> None:
    """Every count at once, as text and as a number with a point."""
    document = REPORTS[name][2]
    for path in list(counts(document)):
        document = changed(document, path, change)
    right, found = price(card, name, REPORTS[name][2]), price(card, name, document)
    assert isinstance(right, Cost)
    assert isinstance(found, Cost)
    as_it_came = right.usage.provider_usage_json if right.usage else ""
    assert replace(found, usage=found.usage and replace(found.usage, provider_usage_json=as_it_came)) == right
