"""Sizes and qualities of images, however they are written."""

import json
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.prices.call_costs import Reserved, call_cost
from creditmeter.core.prices.image_variants import parts_of, variant_price
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.reported.calls import reported_call
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.prices.work_bounds import price_bound
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from tests.core.prices.documents import HEAD
from tests.core.prices.priced import CARD, NOW, bound, price

QUALITIES = {"low": Decimal(10), "medium": Decimal(15), "high": Decimal(20)}
SIZES = {"1024x1024": Decimal(1), "1792x1024": Decimal(2), "hd": Decimal(3), "hd-1792x1024": Decimal(5)}


@pytest.mark.parametrize(
    ("variants", "variant", "expected"),
    [
        (QUALITIES, "high", 20),
        (QUALITIES, "HIGH", 20),
        (QUALITIES, "1024x1024-high", 20),
        (QUALITIES, "high-1024x1024", 20),
        (QUALITIES, "high_1536X1024", 20),
        (QUALITIES, "1024 x 1536 high", 20),
        (QUALITIES, "auto-low", 10),
        (QUALITIES, "1024x1024", None),
        (QUALITIES, "highest", None),
        (QUALITIES, "high-hihg", None),
        (QUALITIES, "-", None),
        (SIZES, "1024x1024", 1),
        (SIZES, "hd", 3),
        (SIZES, "1792x1024-hd", 5),
        (SIZES, "hd 1792\u00d71024", 5),
        (SIZES, "1792x1024", 2),
        (SIZES, "1024x1024_hd", 3),
        (SIZES, "512x512", None),
        (SIZES, "1024x10240", None),
        ({}, "high", None),
        ({"auto": Decimal(4), "high": Decimal(6)}, "auto", 4),
    ],
)
def test_a_variant_is_read_in_parts(variants: dict[str, Decimal], variant: str, expected: int | None) -> None:
    """The variant of the card that names the most of them counts; of two that name as many, the dearer."""
    assert variant_price(variants, variant) == expected


@given(st.sampled_from(["1024x1024", "1792x1024", "17x9"]), st.sampled_from(["hd", "HD"]), st.sampled_from("-_ ,/"))
def test_the_order_and_what_is_between_do_not_matter(size: str, quality: str, between: str) -> None:
    """Every order of the parts is one variant."""
    prices = {variant_price(SIZES, between.join(order)) for order in permutations((size, quality))}
    assert len(prices) == 1
    assert parts_of(f"{size}{between}{quality}") == {size, quality.lower()}


@pytest.mark.parametrize(
    ("model", "variant", "credits"),
    [
        ("gpt-image-1", "1024x1024-high", "20"),
        ("gpt-image-1", "high", "20"),
        ("gpt-image-1", "", "15"),
        ("gpt-image-1", "auto", "15"),
        ("openai/gpt-image-1", "low_1024x1024", "10"),
        ("dall-e-3", "hd-1792x1024", "20"),
        ("models/imagen-4", "any", "10"),
    ],
)
def test_an_image_costs_what_its_variant_does(model: str, variant: str, credits: str) -> None:
    """Before the call and after it; a model without variants costs the same in any."""
    assert bound(CARD, Work("image", request_model=model, variant=variant)).amount == from_credits(credits)
    assert price(CARD, Usage("image", request_model=model, variant=variant)).amount == from_credits(credits)


MADE = {"created": 1, "size": "1024x1024", "quality": "high", "data": [{}]}


@pytest.mark.parametrize(
    ("model", "variant", "reserved", "report", "credits"),
    [
        pytest.param("gpt-image-1", "", "", MADE, 20, id="nothing was asked for"),
        pytest.param("gpt-image-1", "auto", "", MADE | {"quality": "low"}, 10, id="the provider chose"),
        pytest.param("gpt-image-1", "", "low", MADE, 20, id="another one was reserved"),
        pytest.param("gpt-image-1", "low", "", MADE, 10, id="the worker says what it was"),
        pytest.param("gpt-image-1", "", "", {"response": MADE | {"data": [{}, {}]}}, 40, id="two, in a response"),
        pytest.param("gpt-image-1", "", "", [MADE, MADE], 40, id="two responses"),
        pytest.param("gpt-image-1", "", "", [MADE, MADE | {"quality": "low"}], 30, id="two that differ"),
        pytest.param("gpt-image-1", "", "high", MADE | {"quality": "best"}, 20, id="a quality that the card does not know"),
        pytest.param("gpt-image-1", "", "", MADE | {"quality": ["high"], "size": 5}, 15, id="what is no text"),
        pytest.param("gpt-image-1", "", "", {"type": "image_generation.completed", "quality": "high"}, 20, id="a stream"),
        pytest.param("dall-e-3", "", "", MADE, 15, id="words of no variant of the card"),
        pytest.param("imagen-4", "", "", MADE, 10, id="a model without variants"),
        pytest.param("unknown", "", "", MADE, None, id="a model without a price"),
    ],
)
def test_the_variant_that_came_back_counts(model: str, variant: str, reserved: str, report: Any, credits: int | None) -> None:
    """As far as the card tells variants apart, where the worker does not say which it was."""
    usage = Usage("image", variant=variant, request_model=model, provider_usage_json=json.dumps(report))
    work = Work("image", request_model=model, variant=reserved)
    found = call_cost(CARD, reported_call(usage), NOW, Reserved(work), is_fact=True)
    assert (found.amount if isinstance(found, Cost) else None) == (None if credits is None else from_credits(credits))


def test_only_a_variant_that_has_a_price_by_itself_is_taken_from_a_report() -> None:
    """A size is none where the card names it only together with a quality: the model's price counts."""
    card = parse_rate_card(HEAD + '[image]\nmodels = [{ model = "m", credits = 3, variants = { "hd-1792x1024" = 9 } }]')
    usage = Usage("image", request_model="m", provider_usage_json=json.dumps(MADE | {"size": "1792x1024"}))
    assert cost_of(card, usage) == from_credits(3)
    usage = replace(usage, provider_usage_json=json.dumps(MADE | {"size": "1792x1024", "quality": "hd"}))
    assert cost_of(card, usage) == from_credits(9)


def cost_of(card: RateCard, usage: Usage) -> Microcredits:
    """What a call with a report costs, without a reservation."""
    found = call_cost(card, reported_call(usage), NOW, is_fact=True)
    assert isinstance(found, Cost), found
    return found.amount


def test_an_unknown_variant_is_refused_with_those_that_there_are() -> None:
    """It is not priced as another, also where the model has a price of any variant that is not said."""
    why = "'ultra' is not known: 'gpt-image-1' has 'low', 'medium', 'high'"
    work, usage = (
        Work("image", request_model="gpt-image-1", variant="ultra"),
        Usage("image", "", "gpt-image-1", variant="ultra"),
    )
    assert price_bound(CARD, work, NOW) == InvalidRequest((("work.variant", why),))
    assert price_usage(CARD, usage, NOW) == InvalidRequest((("usage.variant", why),))


def test_a_variant_is_needed_where_only_variants_have_a_price() -> None:
    """Else there is no telling which."""
    card = parse_rate_card(HEAD + '[image]\nmodels = [{ model = "m", variants = { hd = 2, sd = 1 } }]')
    refused = InvalidRequest((("work.variant", "is needed: 'm' has 'hd', 'sd'"),))
    assert price_bound(card, Work("image", request_model="m"), NOW) == refused
