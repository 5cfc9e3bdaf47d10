"""Images, tools and actions have a price each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import MAX_AMOUNT, from_credits
from creditmeter.core.credit.reservations import Hold
from creditmeter.core.prices.item_prices import MAX_QUANTITY
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.work_bounds import affordable_output_tokens, low_price, price_bound
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from tests.core.prices.cards import cards
from tests.core.prices.priced import CARD, NOW, TEST_CARD, bound, price


@pytest.mark.parametrize(
    ("usage", "credits"),
    [
        (Usage(action="tool", tool="web_search"), "1"),
        (Usage(action="tool", tool="anything"), "1"),
        (Usage(action="tool", tool="anything", quantity=3), "3"),
        (Usage(action="tool", tool="cheap_search"), "1"),
        (Usage(action="tool", tool="cheap_search", quantity=10), "4"),
        (Usage(action="tool", tool="gratis_search", quantity=10), "0"),
        (Usage(action="image", request_model="paint"), "10"),
        (Usage(action="image", request_model="paint", variant="hd"), "20"),
        (Usage(action="image", request_model="paint", variant="auto", quantity=4), "40"),
        (Usage(action="image", request_model="paint", response_model="draw", variant="hd"), "15"),
        (Usage(action="engagement"), "1"),
        (Usage(action="engagement", request_model="plain"), "1"),
        (Usage(action="engagement", request_model="unheard-of"), "1"),
        (Usage(action="engagement", request_model="all-classes"), "2"),
        (Usage(action="engagement", request_model="all-classes-2026-01-31", quantity=5), "10"),
        (Usage(action="engagement", request_model="all-classes", response_model="plain"), "1"),
        (Usage(action="view"), "0"),
        (Usage(action="view", request_model="all-classes", quantity=5), "0"),
    ],
)
def test_items_have_a_price_each(usage: Usage, credits: str) -> None:
    """Times their quantity, rounded once; and what is free is free."""
    outcome = price(TEST_CARD, usage)
    assert outcome.amount == from_credits(credits)
    assert outcome.usd == outcome.exact_credits / 100
    work = Work(usage.action, "", usage.response_model or usage.request_model, None, None, usage.quantity)
    work = replace(work, variant=usage.variant, tool=usage.tool)
    assert price_bound(TEST_CARD, work, NOW) == Hold(outcome.amount, "test", work)
    assert low_price(TEST_CARD, work, bound(TEST_CARD, work), NOW) == outcome.amount
    assert affordable_output_tokens(TEST_CARD, work, from_credits(1_000), NOW) is None


def test_the_most_that_a_call_may_count_has_a_price() -> None:
    """A billion tool calls of one credit cost the largest amount there is."""
    usage = Usage(action="tool", tool="web_search", quantity=MAX_QUANTITY)
    assert price(CARD, usage).amount == MAX_AMOUNT
    work = Work("tool", tool="web_search", quantity=MAX_QUANTITY)
    assert bound(CARD, work) == Hold(MAX_AMOUNT, CARD.version, work)


@given(cards(), st.sampled_from(["image", "tool", "engagement"]), st.integers(0, 1_000))
def test_items_are_rounded_together(card: RateCard, action: str, quantity: int) -> None:
    """Many in one call never cost more than each in a call of its own."""
    one = price(card, Usage(action, "", "m", tool="t"))
    many = price(card, Usage(action, "", "m", tool="t", quantity=quantity))
    assert many.exact_credits == one.exact_credits * quantity
    assert many.amount <= one.amount * quantity
