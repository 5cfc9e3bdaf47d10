"""A charge is explained by pricing what it keeps once more, and whether that comes to what was charged is said."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import Charge, Cost
from creditmeter.core.ids import AccountId, ChargeId, RequestId
from creditmeter.core.prices.call_costs import MAX_PRICED_PARTS
from creditmeter.core.prices.explaining import Outcome, explained_charge, explanation
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.work import ChargeFlag, Served, Usage, Work
from tests.core.prices.cards import cards, counts, usages
from tests.core.prices.priced import NOW, reserved

CARD = parse_rate_card(
    """\
    version = "explained"
    effective_from = 1970-01-01T00:00:00Z
    credits_per_usd = 100
    increment = "0.25"
    cap = 40
    free = ["view"]
    [text]
    minimum = 2
    [[text.models]]
    model = "small"
    input = 10
    output = 20
    [[text.models]]
    model = "large"
    input = 100
    output = 200
    [[text.models]]
    model = "reported"
    input = 10
    output = 20
    cost = "reported"
    markup = "1.5"
    [tiers]
    flex = "0.5"
    [fees]
    web_searches = 10
    [tools]
    """
)


def charged(cost: Cost) -> Charge:
    """The charge of a cost, as a sidecar records it."""
    return Charge(
        charge_id=ChargeId("c"),
        account_id=AccountId("a"),
        request_id=RequestId("q"),
        reservation_id=None,
        commit_number=1,
        cost=cost.amount,
        parts=(),
        excess=cost.amount,
        exact_credits=cost.exact_credits,
        cost_usd=cost.usd,
        usage=cost.usage,
        rate_card_version=cost.rate_card_version,
        authorized_at=NOW,
        committed_at=NOW,
        flags=cost.flags,
        priced_parts=cost.priced_parts,
        unread=cost.unread,
        reported_cost_usd=cost.reported_cost_usd,
    )


def priced(usage: Usage, card: RateCard = CARD) -> Cost:
    """The cost of what has one, as a fact."""
    cost = Pricing(RateCards(card)).cost(usage, None, NOW, is_fact=True)
    assert isinstance(cost, Cost), cost
    return cost


def committed(usage: Usage, work: Work) -> Cost:
    """The cost of a reserved call."""
    cost = Pricing(RateCards(CARD)).reserved_cost(reserved(work), usage, None, NOW)
    assert isinstance(cost, Cost), cost
    return cost


def report(*responses: tuple[str, int], **beside: Any) -> Usage:
    """A usage whose provider reports responses: the model of each, and its input tokens."""
    documents = [
        {"id": f"r{number}", "model": model, "usage": {"input_tokens": tokens, "output_tokens": 0}} | beside
        for number, (model, tokens) in enumerate(responses)
    ]
    return Usage("text", provider_usage_json=json.dumps(documents))


def steps(model: str, name: str = "m", **beside: Any) -> Usage:
    """A usage whose provider reports one response of two steps, of 900 and 300 tokens."""
    listed = [{"input_tokens": tokens, "output_tokens": 0} for tokens in (900, 300)]
    usage = {"input_tokens": 300, "output_tokens": 0, "iterations": listed} | beside
    return Usage("text", provider_usage_json=json.dumps({"id": name, "model": model, "usage": usage}))


def text(model: str, tokens: int) -> Usage:
    """A usage of so many input tokens."""
    return Usage("text", "", model, input_tokens=tokens, output_tokens=0)


@pytest.mark.parametrize(
    ("usage", "rounded", "minimum", "amount"),
    [
        # 10 dollars a million are 0.001 credits a token.
        pytest.param(text("small", 2_100), "2.25", "2", "2.25", id="rounded up"),
        pytest.param(text("small", 300), "0.5", "2", "2", id="raised to the minimum"),
        pytest.param(text("small", 50_000), "50", "2", "40", id="lowered to the cap"),
        pytest.param(text("small", 0), "0", "2", "0", id="nothing"),
        pytest.param(Usage("tool", tool="any"), "1", "0", "1", id="what is not text has no minimum"),
        pytest.param(Usage("view"), "0", "0", "0", id="free"),
    ],
)
def test_the_steps_from_the_sum_to_the_cost(usage: Usage, rounded: str, minimum: str, amount: str) -> None:
    """Rounded to the increment of 0.25, then raised to the minimum of 2, then lowered to the cap of 40."""
    found = explanation(CARD, priced(usage))
    assert (found.rounded, found.minimum) == (from_credits(rounded), from_credits(minimum))
    assert found.cost.amount == from_credits(amount)


RESERVED = Work("text", "", "small", input_tokens=1_000, max_output_tokens=2_000)


@pytest.mark.parametrize(
    "cost",
    [
        pytest.param(priced(text("small", 9_000)), id="of one response"),
        pytest.param(priced(report(("small", 9_000))), id="as its provider reported it"),
        pytest.param(priced(report(("small", 1_001), ("large", 77))), id="of two responses at two models"),
        pytest.param(priced(report(("small", 900), ("large", 7), service_tier="flex")), id="all at a tier"),
        pytest.param(priced(steps("small")), id="of two steps"),
        pytest.param(priced(steps("reported", cost=0.25)), id="of two steps at the cost that is reported"),
        pytest.param(priced(replace(text("small", 900), units={"web_searches": 3, "unheard_of": 2})), id="with fees"),
        pytest.param(committed(Usage(input_tokens=900), RESERVED), id="with output at its bound"),
        pytest.param(priced(replace(text("small", 2), cache_read_input_tokens=5)), id="contradictory"),
        pytest.param(priced(replace(text("small", 2_000), response_model="unheard-of")), id="at the model asked for"),
        pytest.param(priced(Usage("tool", tool="any", quantity=7)), id="of items"),
        pytest.param(priced(Usage("view")), id="free"),
    ],
)
def test_what_a_charge_keeps_explains_it(cost: Cost) -> None:
    """The lines are those of when it was priced."""
    found = explained_charge(CARD, charged(cost))
    assert (found.outcome, found.explanation and found.explanation.cost.lines) == (Outcome.SAME, cost.lines)
    assert cost.lines


def test_steps_have_one_reported_cost() -> None:
    """0.02 dollars times 1.5 times 100 are 3 credits, whichever step they are of; by the list 1,200 x 0.001 credits are 1.2."""
    assert priced(steps("reported", cost=0.02)).exact_credits == 3
    assert priced(steps("small", cost=0.02)).exact_credits == Decimal("1.2")
    # without an id nothing says whose the cost is, so it is of none of them
    without_id = priced(steps("reported", "", cost=0.02))
    assert (without_id.exact_credits, without_id.reported_cost_usd) == (Decimal("1.2"), None)


def test_responses_that_a_charge_does_not_keep() -> None:
    """It keeps the first 64. Of 70 x 1,000 tokens at 0.001 credits, 64 are explained."""
    cost = priced(report(*[("small", 1_000)] * 70), replace(CARD, cap=None))
    assert cost.amount == from_credits(70)
    found = explained_charge(replace(CARD, cap=None), charged(cost))
    assert found.outcome is Outcome.DIFFERENT
    assert found.explanation is not None
    assert found.explanation.cost.amount == from_credits(MAX_PRICED_PARTS)


def test_the_reserved_model_is_not_kept() -> None:
    """It stood in for models that have no price. What is left has none."""
    cost = committed(
        Usage(response_model="unheard-of", request_model="nor-this", input_tokens=1_000, output_tokens=0), RESERVED
    )
    assert cost.flags == (ChargeFlag.FALLBACK_PRICE, ChargeFlag.MINIMUM)
    found = explained_charge(CARD, charged(cost))
    assert (found.outcome, found.explanation) == (Outcome.UNPRICED, None)


def test_an_amount_and_a_lost_card() -> None:
    """Neither has an explanation."""
    stated = Pricing(RateCards(CARD)).cost(None, Microcredits(7), NOW)
    assert isinstance(stated, Cost)
    for card, cost, outcome in (
        (CARD, stated, Outcome.STATED),
        (None, stated, Outcome.STATED),
        (None, priced(text("small", 1)), Outcome.NO_CARD),
    ):
        found = explained_charge(card, charged(cost))
        assert (found.outcome, found.explanation) == (outcome, None)


def test_another_price_is_another_explanation() -> None:
    """A card that says something else does not explain the charge, and that is said."""
    other = replace(CARD, credits_per_usd=Decimal(200))
    found = explained_charge(other, charged(priced(text("small", 3_000))))
    assert found.outcome is Outcome.DIFFERENT
    assert found.explanation is not None
    assert found.explanation.cost.amount == from_credits(6)


@given(cards(), usages(), st.sampled_from([Served(), Served("flex")]))
def test_any_usage_is_explained(card: RateCard, usage: Usage, served: Served) -> None:
    """By any card, to the same cost, whose lines add up to it."""
    cost = priced(replace(usage, served=served, units={**usage.units, "web_searches": 1}), card)
    found = explained_charge(card, charged(cost)).explanation
    assert found is not None
    assert found.cost == replace(cost, priced_parts=())
    assert sum((each.credits for each in found.cost.lines), Decimal(0)) == cost.exact_credits


@given(cards(), st.lists(counts, min_size=2, max_size=6))
def test_any_responses_are_explained(card: RateCard, tokens: list[int]) -> None:
    """Each by itself, to the same cost."""
    cost = priced(report(*(("m", each) for each in tokens)), card)
    found = explained_charge(card, charged(cost))
    assert found.outcome is Outcome.SAME
    assert found.explanation is not None
    assert found.explanation.cost.amount == cost.amount
    assert found.explanation.cost.lines == cost.lines


def gateway(*costs: str | None) -> Usage:
    """A report of responses of 1,000 input tokens each, some with what the gateway says that they cost."""
    tokens = {"prompt_tokens": 1_000, "completion_tokens": 0}
    found = [
        {"id": f"r{number}", "model": "reported", "usage": tokens | ({} if cost is None else {"cost": float(cost)})}
        for number, cost in enumerate(costs)
    ]
    return Usage(action="text", provider_usage_json=json.dumps(found))


@pytest.mark.parametrize(
    ("costs", "lines"),
    [
        (("0.04",), [("reported cost", 1, "0.04", "6")]),  # x 1.5 x 100
        (("0.04", "0.02"), [("reported cost", 1, "0.04", "6"), ("reported cost", 2, "0.02", "3")]),
        (("0.04", None), [("reported cost", 1, "0.04", "6"), ("input_tokens", 2, "0.01", "1")]),  # 1,000 x 10 USD a million
    ],
)
def test_a_reported_cost_is_a_line(costs: tuple[str | None, ...], lines: list[tuple[str, int, str, str]]) -> None:
    """With its markup; the charge is explained to the same amount, also where one response was at its list price."""
    cost = priced(gateway(*costs))
    expected = [(what, number, Decimal(usd), Decimal(credits)) for what, number, usd, credits in lines]
    assert [(each.what, each.response, each.amount, each.credits) for each in cost.lines] == expected
    assert sum(each.credits for each in cost.lines) == cost.exact_credits
    found = explained_charge(CARD, charged(cost))
    assert (found.outcome, found.explanation and found.explanation.cost.lines) == (Outcome.SAME, cost.lines)
