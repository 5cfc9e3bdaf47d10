"""Sizes and qualities of images, however they are written."""

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import from_credits
from creditmeter.core.prices.image_variants import parts_of, variant_price
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.prices.work_bounds import price_bound
from creditmeter.core.refusals import InvalidRequest
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
