"""A charge is explained by pricing what it keeps once more, and whether that comes to what was charged is said."""

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import Charge, Cost
from creditmeter.core.ids import AccountId, ChargeId, RequestId
from creditmeter.core.instants import DAY, Instant
from creditmeter.core.prices.call_costs import MAX_PRICED_PARTS
from creditmeter.core.prices.explaining import Outcome, explained_charge, explanation
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider, Variant
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import CostBasis, RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, Work
from tests.core.prices.cards import cards, counts, usages
from tests.core.prices.priced import NOW, reserved

NOON, MIDNIGHT = Instant(20_000 * DAY + DAY // 2), Instant(20_001 * DAY)
BY_DAY, BY_NIGHT = (
    Conditional(TextPrices(TextRates(*[Decimal(usd)] * 10)), daily=hours)
    for usd, hours in ((10, None), (5, (20 * DAY // 24, 4 * DAY // 24)))
)
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
        priced_at=cost.priced_at,
        stand_in=cost.stand_in,
    )


def older(cost: Cost) -> Charge:
    """The charge of a cost as it was recorded before charges kept all that priced them."""
    parts = tuple(replace(each, speed="", region="", search_type="", reported_cost_usd=None) for each in cost.priced_parts)
    return charged(replace(cost, priced_parts=parts, priced_at=None, stand_in=None))


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
    cost = priced(report(*[("small", 1_000)] * 70), dataclasses.replace(CARD, cap=None))
    assert cost.amount == from_credits(70)
    found = explained_charge(dataclasses.replace(CARD, cap=None), charged(cost))
    assert found.outcome is Outcome.DIFFERENT
    assert found.explanation is not None
    assert found.explanation.cost.amount == from_credits(MAX_PRICED_PARTS)


def test_the_reserved_model_that_stood_in_is_kept() -> None:
    """It stood in for models that have no price. Of an older charge what is left has none."""
    cost = committed(
        Usage(response_model="unheard-of", request_model="nor-this", input_tokens=1_000, output_tokens=0), RESERVED
    )
    assert cost.flags == (ChargeFlag.FALLBACK_PRICE, ChargeFlag.MINIMUM)
    found = explained_charge(CARD, charged(cost))
    assert (found.outcome, found.explanation and found.explanation.cost.lines) == (Outcome.SAME, cost.lines)
    assert cost.lines
    lost = explained_charge(CARD, older(cost))
    assert (lost.outcome, lost.explanation) == (Outcome.UNPRICED, None)


def test_the_reserved_model_is_kept_only_where_it_counted() -> None:
    """A charge of a model with a price says nothing of it."""
    assert committed(text("large", 900), RESERVED).stand_in is None
    assert committed(replace(text("unheard-of", 900), response_model="unheard-of"), RESERVED).stand_in is not None


HOURS = parse_rate_card(
    """\
    version = "hours"
    effective_from = 1970-01-01T00:00:00Z
    increment = "0.001"
    [text]
    minimum = 0
    source = "genai-prices"
    """,
    lambda: PriceList(
        "list.1",
        (Provider("p", (Model("m", Clause(Operator.EQUALS, "m"), (BY_DAY, BY_NIGHT)),)),),
    ),
)


def test_a_charge_is_explained_as_of_the_moment_whose_prices_it_has() -> None:
    """A call of 1,000 tokens began at 10 dollars a million, and was authorised when they were 5."""
    cost = Pricing(RateCards(HOURS)).cost(replace(text("m", 1_000), provider="p"), None, NOON, is_fact=True)
    assert isinstance(cost, Cost)
    assert (cost.usd, cost.priced_at) == (Decimal("0.01"), NOON)
    charge = replace(charged(cost), authorized_at=MIDNIGHT)
    assert explained_charge(HOURS, charge).outcome is Outcome.SAME
    assert explained_charge(HOURS, replace(older(cost), authorized_at=MIDNIGHT)).outcome is Outcome.DIFFERENT


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
    other = dataclasses.replace(CARD, credits_per_usd=Decimal(200))
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
    assert replace(found.cost, priced_parts=()) == replace(cost, priced_parts=(), priced_at=None)
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


LIST = PriceList(
    "list.2",
    (
        Provider(
            "p",
            (
                Model(
                    "l",
                    Clause(Operator.EQUALS, "l"),
                    (BY_DAY, BY_NIGHT),
                    (Variant("service_tier", "scale", (BY_NIGHT,)), Variant("speed", "fast", (BY_DAY,))),
                ),
            ),
            None,
            Clause(Operator.EQUALS, "l"),
        ),
    ),
)
BASES = st.sampled_from(["", 'cost = "reported"', 'cost = "higher"'])


@st.composite
def any_cards(draw: st.DrawFn) -> RateCard:
    """A card with rules that charge by list, report or the higher one, tiers, fees and perhaps a fallback."""
    models = ""
    for name in ("m", "n"):
        price, basis = draw(st.integers(0, 50)), draw(BASES)
        markup = f"markup = {draw(st.integers(1, 4))}\n" if basis else ""
        models += f'[[text.models]]\nmodel = "{name}"\ninput = {price}\noutput = {2 * price}\n{basis}\n{markup}'
    fallback = draw(st.sampled_from(["", 'fallback = "n"\n', 'fallback = "l"\n']))
    source = f'source = "genai-prices"\nmarkup = {draw(st.integers(1, 3))}\n{draw(BASES)}\n'
    return parse_rate_card(
        'version = "any"\neffective_from = 1970-01-01T00:00:00Z\nincrement = "0.25"\n'
        f"[text]\nminimum = {draw(st.integers(0, 2))}\n{fallback}{source}{models}"
        "[tiers]\nflex = '0.5'\nspeed = { fast = 3 }\nregion = { us = '1.1' }\n[fees]\nweb_searches = 10\n",
        lambda: LIST,
    )


@st.composite
def any_reports(draw: st.DrawFn) -> str:
    """One to five responses of models with and without a price, however they were served and whatever is reported of them."""
    found = []
    for number in range(draw(st.integers(1, 5))):
        usage: dict[str, Any] = {"prompt_tokens": draw(counts), "completion_tokens": draw(counts)}
        if draw(st.booleans()):
            usage["num_search_queries"] = draw(st.integers(0, 3))
        if draw(st.booleans()):
            usage["cost"] = draw(st.sampled_from([0, 0.001, 0.25, 3, 20_000]))
        response: dict[str, Any] = {"id": f"r{number}", "usage": usage} | {
            name: value
            for name, values in (
                ("model", ["m", "n", "l", "unheard-of", ""]),
                ("service_tier", ["", "flex", "scale"]),
                ("speed", ["", "fast"]),
                ("inference_geo", ["", "us", "mars"]),
            )
            if (value := draw(st.sampled_from(values)))
        }
        found.append(response)
    return json.dumps(found)


@given(any_cards(), any_reports(), st.sampled_from(["m", "nor-this"]), st.none() | st.sampled_from(["m", "n", "l"]))
def test_any_charge_is_explained_by_the_steps_that_priced_it(card: RateCard, found: str, asked: str, held: str | None) -> None:
    """Whatever rules, responses, ways of serving, reported costs and stand-ins: the same cost, to the same lines."""
    usage = Usage("text", "", asked, provider_usage_json=found)
    pricing, work = Pricing(RateCards(card)), Work("text", "", held or "", 10, 10)
    cost = (
        pricing.cost(usage, None, NOW, is_fact=True)
        if held is None
        else pricing.reserved_cost(reserved(work), usage, None, NOW)
    )
    assume(isinstance(cost, Cost))
    assert isinstance(cost, Cost)
    explained = explained_charge(card, charged(cost))
    assert explained.outcome is Outcome.SAME
    assert explained.explanation is not None
    assert explained.explanation.cost.lines == cost.lines


@pytest.mark.parametrize(("costs", "amount"), [(("0.004", "0.05"), "8.5"), (("0.05", "0.004", "0.02"), "11.5")])
def test_the_higher_cost_of_each_of_several_responses_is_explained(costs: tuple[str, ...], amount: str) -> None:
    """1,000 tokens are 0.01 dollars by the card's own prices; what is reported counts 1.5 times.

    0.004 x 1.5 is below 0.01, which is 1 credit; 0.05 x 1.5 is 7.5 credits, and 0.02 x 1.5 is 3.
    """
    card = dataclasses.replace(CARD, text=tuple(dataclasses.replace(each, basis=CostBasis.HIGHER) for each in CARD.text))
    cost = priced(gateway(*costs), card)
    assert cost.amount == from_credits(amount)
    found = explained_charge(card, charged(cost))
    assert (found.outcome, found.explanation and found.explanation.cost.lines) == (Outcome.SAME, cost.lines)


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
