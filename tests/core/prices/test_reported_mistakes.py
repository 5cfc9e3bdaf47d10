"""Inputs that meters of this field were publicly reported to charge wrongly, each with its right value and the reason.

Prices are those of the list that `scripts/requirements` pins: where a newer list has others, the values are computed anew.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_cards import LoadedCard, RateCards
from creditmeter.core.work import ChargeFlag, Usage

NOW = Instant(1_796_000_000_000_000)
"""At the end of November 2026."""

CASES = json.loads(Path(__file__).with_name("reported_mistakes.json").read_text(encoding="utf-8"))


def usage_of(fields: dict[str, str]) -> Usage:
    """The usage of a request; JSON has int64 as text."""
    is_count = ("quantity", "_tokens")
    return Usage(**{name: int(value) if name.endswith(is_count) else value for name, value in fields.items()})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_was_charged_wrongly_elsewhere(case: dict[str, Any], card: LoadedCard) -> None:
    """Is charged rightly here, as a fact."""
    cost = Pricing(RateCards(card.card)).cost(usage_of(case["usage"]), None, NOW, is_fact=True)
    assert isinstance(cost, Cost), case["why"]
    right = case["right"]
    found: dict[str, object] = {
        "cost_usd": str(cost.usd),
        "cost_microcredits": str(cost.amount),
        "priced": cost.amount > 0 and ChargeFlag.FALLBACK_PRICE not in cost.flags,
        "usage": {name: str(getattr(cost.usage, name)) for name in right.get("usage", ())},
    }
    assert {name: found[name] for name in right} == right, case["why"]
