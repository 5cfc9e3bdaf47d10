"""A text rule charges the list price, the cost that a provider or gateway reports, or the higher one; none in silence."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.prices.cost_basis import MAX_REPORTED_USD
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.work import ChargeFlag, Usage, Work
from tests.core.prices.priced import NOW, bound, reserved

CARD = parse_rate_card(
    """\
    version = "bases"
    effective_from = 1970-01-01T00:00:00Z
    credits_per_usd = 100
    increment = "0.001"
    [text]
    minimum = "0.002"
    [[text.models]]
    model = "listed"
    input = 1
    output = 2
    [[text.models]]
    model = "reported"
    also = ["some:free", "adviser"]
    input = 1
    output = 2
    cost = "reported"
    markup = "1.5"
    [[text.models]]
    model = "higher"
    input = 1
    output = 2
    cost = "higher"
    [[text.models]]
    model = "gratis"
    input = 0
    output = 0
    cost = "reported"
    [[text.models]]
    model = "in-credits"
    unit = "credits"
    input = 300
    output = 600
    cost = "reported"
    markup = 2
    [fees]
    web_searches = 10
    """
)
LIST_PRICE = (ChargeFlag.LIST_PRICE,)
LISTED = Decimal("0.0012")  # 1000 x 1 + 100 x 2 = 1200 millionths of a dollar


def response(name: str, model: str, cost: Any = None, **beside: Any) -> dict[str, Any]:
    """A response of 1000 input and 100 output tokens, with the cost that a gateway reports."""
    return {"id": name, "model": model, "usage": {"input_tokens": 1000, "output_tokens": 100, "cost": cost, **beside}}


def outcome(documents: Any, card: RateCard = CARD, *, is_fact: bool = False, **stated: Any) -> Any:
    """What a call cost by a report and by what its worker states."""
    text = documents if isinstance(documents, str) else json.dumps(documents)
    return Pricing(RateCards(card)).cost(Usage("text", provider_usage_json=text, **stated), None, NOW, is_fact=is_fact)


def cost(documents: Any, card: RateCard = CARD, **stated: Any) -> Cost:
    """The cost of what has one."""
    found = outcome(documents, card, **stated)
    assert isinstance(found, Cost), found
    return found


@pytest.mark.parametrize(
    ("model", "reported", "usd", "credits", "amount"),
    [
        pytest.param("listed", 0.5, "0.0012", "0.12", 120_000, id="list"),
        pytest.param("reported", 0.5, "0.5", "75", 75_000_000, id="reported, times 1.5 and 100"),
        pytest.param("reported", 0.0001, "0.0001", "0.015", 15_000, id="reported below the list"),
        pytest.param("reported", 0.0000101, "0.0000101", "0.001515", 2_000, id="rounded up to the increment"),
        pytest.param("higher", 0.5, "0.5", "50", 50_000_000, id="the reported is higher"),
        pytest.param("higher", 0.0001, "0.0012", "0.12", 120_000, id="the list is higher"),
        pytest.param("higher", 0, "0.0012", "0.12", 120_000, id="the list is higher than 0"),
        pytest.param("in-credits", 0.5, "0.5", "100", 100_000_000, id="0.5 dollars x 2 x 100, whatever its unit"),
        pytest.param("gratis", 0, "0", "0", 0, id="nothing, as the list says"),
        pytest.param("gratis", 0.5, "0.5", "50", 50_000_000, id="what the list has for nothing"),
        pytest.param("some:free", 0, "0", "0", 0, id="what a gateway gives away"),
        pytest.param("reported", 10_000, "10000", "1500000", 1_500_000_000_000, id="the most that is believed"),
    ],
)
def test_what_a_rule_charges(model: str, reported: float, usd: str, credits: str, amount: int) -> None:
    """Without a flag: it is what the rule says. The report is kept on the charge either way."""
    found = cost(response("a", model, reported))
    assert (found.usd, found.exact_credits, found.amount) == (Decimal(usd), Decimal(credits), amount)
    assert (found.flags, found.reported_cost_usd) == ((), Decimal(str(reported)))


@pytest.mark.parametrize("model", ["reported", "higher"])
@pytest.mark.parametrize(
    "reported",
    [
        pytest.param(None, id="none"),
        pytest.param(-0.5, id="negative"),
        pytest.param("much", id="no number"),
        pytest.param(10_000.01, id="too much"),
        pytest.param(3_000_000, id="ticks taken for dollars"),
        pytest.param(True, id="no amount"),
    ],
)
def test_what_cannot_be_charged_leaves_the_list_price(model: str, reported: Any) -> None:
    """Flagged, and by a rule for list prices not."""
    found = cost(response("a", model, reported))
    assert (found.usd, found.flags) == (LISTED, LIST_PRICE)
    assert cost(response("a", "listed", reported)).flags == ()


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e999999"])
def test_what_is_not_finite_is_never_charged(written: str) -> None:
    """It is no JSON, or no amount: refused or flagged."""
    found = outcome(json.dumps(response("a", "reported", 0.5)).replace("0.5", written))
    if isinstance(found, InvalidRequest):
        assert "usage.provider_usage_json" in dict(found.violations)
    else:
        assert (found.usd, found.flags) == (LISTED, LIST_PRICE)


def test_nothing_is_not_believed_of_what_has_a_price() -> None:
    """A gateway that knows no price says 0, too; unless the model that was asked for is given away."""
    found = cost(response("a", "reported", 0))
    assert (found.usd, found.flags, found.reported_cost_usd) == (LISTED, LIST_PRICE, Decimal(0))
    found = cost(response("a", "reported", 0), request_model="reported:free")
    assert (found.usd, found.amount, found.flags) == (Decimal(0), 0, ())
    found = cost(response("a", "listed", 0), request_model="reported:free")
    assert (found.usd, found.flags) == (LISTED, ())


def test_a_key_of_ones_own() -> None:
    """What its provider charges is the cost. Where the gateway does not know that, its fee is none."""
    upstream = {"is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}
    found = cost(response("a", "reported", 0.001, **upstream))
    assert (found.usd, found.flags) == (Decimal("0.02"), ())
    for details in ({"upstream_inference_cost": None}, {}, None):
        found = cost(response("a", "reported", 0.001, is_byok=True, cost_details=details))
        assert (found.usd, found.flags, found.reported_cost_usd) == (LISTED, LIST_PRICE, None)


@pytest.mark.parametrize(
    ("report", "usd"),
    [
        ({"cost": 0.5, "cost_in_usd_ticks": 5_000_000_000}, "0.5"),
        ({"cost": {"total_cost": 0.5, "input_tokens_cost": 0.5}}, "0.5"),
        ({"cost": 0.5, "response_cost": 0.5, "_hidden_params": {"response_cost": 0.5}}, "0.5"),
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
    ],
)
def test_reports_of_one_call_are_never_added_up(report: dict[str, Any], usd: str) -> None:
    """Whoever writes them."""
    assert cost(response("a", "reported", **report)).usd == Decimal(usd)


def test_events_of_one_response_report_one_cost() -> None:
    """The highest, which is the last of a stream."""
    assert cost([response("a", "reported", 0.1), response("a", "reported", 0.3)]).usd == Decimal("0.3")


def test_a_cost_of_several_responses_together_is_of_none_of_them() -> None:
    """It would be charged for each of them."""
    both = {"cost": 0.5, "data": [response("a", "reported"), response("b", "reported")]}
    found = cost(both)
    assert (found.usd, found.flags, found.reported_cost_usd) == (2 * LISTED, LIST_PRICE, None)
    assert cost({"cost": 0.5, "data": [response("a", "reported")]}).usd == Decimal("0.5")
    own = {"cost": 0.5, "data": [response("a", "reported", 0.2), response("b", "reported", 0.1)]}
    assert (cost(own).usd, cost(own).flags) == (Decimal("0.3"), ())


def test_a_cost_of_embeddings_together_is_of_none_of_them() -> None:
    """They have no ids, and each is a response of its own."""
    each = {"usage": {"prompt_tokens": 1000}}
    found = cost({"object": "list", "model": "reported", "cost": 0.5, "data": [each, each]})
    assert (found.usd, found.flags, found.reported_cost_usd) == (Decimal("0.002"), LIST_PRICE, None)


def test_usage_without_a_report_is_at_its_list_price() -> None:
    """Of a charge and of a commit."""
    usage = Usage("text", request_model="reported", input_tokens=1000, output_tokens=100)
    pricing = Pricing(RateCards(CARD))
    reservation = reserved(Work("text", "", "reported", input_tokens=1000, max_output_tokens=100))
    for found in (pricing.cost(usage, None, NOW), pricing.reserved_cost(reservation, usage, None, NOW)):
        assert isinstance(found, Cost)
        # 0.0012 dollars x 100: the prices of the rule are its own, and have no markup
        assert (found.exact_credits, found.flags) == (Decimal("0.12"), LIST_PRICE)


def test_each_response_has_its_own_cost() -> None:
    """One that reports none is at its list price; only its part is flagged."""
    found = cost([response("a", "reported", 0.5), response("b", "reported"), response("c", "listed", 0.7)])
    assert [(each.cost_usd, each.flags) for each in found.priced_parts] == [
        (Decimal("0.5"), ()),
        (LISTED, LIST_PRICE),
        (LISTED, ()),
    ]
    # 0.5 x 1.5 x 100 = 75, and 0.12 twice
    assert (found.usd, found.exact_credits, found.flags) == (Decimal("0.5024"), Decimal("75.24"), LIST_PRICE)
    assert found.reported_cost_usd is None


def test_counts_of_the_worker_have_the_cost_of_all_responses() -> None:
    """0.5 and 0.25 dollars, for what it says that they used together."""
    found = cost([response("a", "reported", 0.5), response("b", "reported", 0.25)], output_tokens=150)
    assert (found.usd, found.flags) == (Decimal("0.75"), ())
    # the same by the rules of both models: nothing is estimated
    found = cost([response("a", "reported", 0.5), response("b", "adviser", 0.25)], output_tokens=150)
    assert (found.usd, found.flags) == (Decimal("0.75"), ())
    # 0.75 x 1.5 x 100 by one rule, 0.75 x 100 by the other: the dearer, and it is flagged
    found = cost([response("a", "reported", 0.5), response("b", "higher", 0.25)], output_tokens=150)
    assert (found.exact_credits, found.flags) == (Decimal("112.5"), (ChargeFlag.ESTIMATED,))
    # it is not known of each
    found = cost([response("a", "reported", 0.5), response("b", "reported")], output_tokens=150)
    assert (found.usd, found.flags) == (Decimal("0.0023"), LIST_PRICE)


def advised(model: str, reported: float | None) -> dict[str, Any]:
    """A response for which another model gave one of its own: by the list 0.0012 dollars each."""
    steps = [
        {"type": "message", "input_tokens": 1000, "output_tokens": 100},
        {"type": "advisor_message", "model": "adviser", "input_tokens": 1000, "output_tokens": 100},
    ]
    return response("a", model, reported, cache_read_input_tokens=0, iterations=steps)


@pytest.mark.parametrize(
    ("model", "reported", "parts"),
    [
        pytest.param("reported", 0.002, [("0.002", ()), ("0", ())], id="reported of both"),
        pytest.param("higher", 0.0025, [("0.0025", ()), ("0", ())], id="above the sum of both"),
        pytest.param("higher", 0.0024, [("0.0012", ()), ("0.0012", ())], id="not above the sum"),
        pytest.param("reported", None, [("0.0012", LIST_PRICE), ("0.0012", LIST_PRICE)], id="of neither"),
        pytest.param("reported", 0, [("0.0012", LIST_PRICE), ("0.0012", LIST_PRICE)], id="nothing"),
        pytest.param("listed", 0.5, [("0.0012", ()), ("0.0012", LIST_PRICE)], id="of a response at its list price"),
    ],
)
def test_the_work_of_another_model_is_in_the_cost(model: str, reported: float | None, parts: list[Any]) -> None:
    """It is never charged again."""
    found = cost(advised(model, reported))
    assert [(each.cost_usd, each.flags) for each in found.priced_parts] == [(Decimal(usd), flags) for usd, flags in parts]
    assert found.usd == sum(Decimal(usd) for usd, _ in parts)


def test_a_reported_cost_has_the_fees_and_the_tier() -> None:
    """Neither is added, and neither is unknown."""
    odd = response("a", "reported", 0.5, server_tool_use={"web_search_requests": 2})
    odd["service_tier"] = "unheard-of"
    found = cost(odd, replace(CARD, fees={}))
    assert (found.usd, found.flags) == (Decimal("0.5"), ())
    odd["usage"]["cost"] = None
    assert cost(odd).usd == LISTED + Decimal("0.02")
    assert set(cost(odd, replace(CARD, fees={})).flags) == {
        ChargeFlag.LIST_PRICE,
        ChargeFlag.UNKNOWN_TIER,
        ChargeFlag.UNREAD_USAGE,
    }


def test_a_model_without_a_price_is_charged_as_what_stands_in_for_it() -> None:
    """By the rule of the one that was asked for."""
    found = cost(response("a", "unheard-of", 0.5), request_model="reported")
    assert (found.usd, found.flags) == (Decimal("0.5"), (ChargeFlag.FALLBACK_PRICE,))


def test_a_count_that_is_missing_stays_flagged() -> None:
    """A stream that broke off may have reported a part of its cost only."""
    usage = Usage(provider_usage_json='{"id": "a", "usage": null, "response_cost": 0.5, "choices": [{}]}')
    reservation = reserved(Work("text", "", "reported", input_tokens=1000, max_output_tokens=100))
    found = Pricing(RateCards(CARD)).reserved_cost(reservation, usage, None, NOW)
    assert isinstance(found, Cost)
    assert (found.usd, found.flags) == (Decimal("0.5"), (ChargeFlag.ESTIMATED,))


def test_bounds_of_a_call_are_those_of_its_reported_cost() -> None:
    """The minimum, the cap, and what is free."""
    found = cost(response("a", "reported", 1e-9))  # 0.00000015 credits are raised to 0.002
    assert (found.amount, found.flags) == (2_000, (ChargeFlag.MINIMUM,))
    found = cost(response("a", "reported", 0.5), replace(CARD, cap=from_credits(2)))
    assert (found.amount, found.exact_credits, found.flags) == (2_000_000, Decimal(75), (ChargeFlag.CAPPED,))
    found = cost(response("a", "reported", 0.5), replace(CARD, free=frozenset({"text"})))
    assert (found.amount, found.usd, found.flags) == (0, Decimal(0), ())


def test_a_reported_cost_above_what_any_amount_may_be() -> None:
    """10,000 dollars x 1.5 x 100,000 are 1.5 x 10^9 credits: a fact is cut, anything else refused."""
    dear = replace(CARD, credits_per_usd=Decimal(100_000))
    found = outcome(response("a", "reported", 10_000), dear, is_fact=True)
    assert (found.amount, found.flags) == (10**15, (ChargeFlag.CAPPED,))
    assert isinstance(outcome(response("a", "reported", 10_000), dear), InvalidRequest)


def test_a_hold_is_at_the_list_price() -> None:
    """What is reported is not known before the call: 1000 x 1 + 100 x 2 millionths are 0.12 credits."""
    for model in ("listed", "reported", "higher"):
        assert bound(CARD, Work("text", "", model, input_tokens=1000, max_output_tokens=100)).amount == 120_000


def test_models_of_the_list_are_charged_as_the_card_says() -> None:
    """A card without any rule, with the markup of its list: 0.5 x 1.2 x 100."""
    head = 'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n[text]\nsource = "genai-prices"\nmarkup = "1.2"\n'
    card = parse_rate_card(f'{head}cost = "reported"', bundled_price_list)
    found = cost(response("a", "gpt-4o", 0.5), card, provider="openai")
    assert (found.exact_credits, found.flags) == (Decimal(60), ())
    # 1000 x 2.5 + 100 x 10 = 3500 millionths, x 1.2 x 100
    found = cost(response("a", "gpt-4o"), card, provider="openai")
    assert (found.exact_credits, found.flags) == (Decimal("0.42"), LIST_PRICE)


def test_the_card_in_the_docs() -> None:
    """It is a card, and charges what it says there."""
    page = (Path(__file__).parents[3] / "docs" / "prices.md").read_text(encoding="utf-8")
    document = next(text for text in re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "gateway-1" in text)
    card = parse_rate_card(document, bundled_price_list)
    model = "anthropic/claude-sonnet-4.5"
    found = cost(response("a", model, 0.0123), card, provider="openrouter")
    assert (found.exact_credits, found.flags, "cost 1.353 credits" in document) == (Decimal("1.353"), (), True)
    found = cost(response("a", "house-model", 0.5), card)  # x 1.5 x 100
    assert (found.exact_credits, found.amount) == (Decimal(75), 75_000_000)
    # 1000 x 2.5 + 100 x 10 = 3500 millionths by the list: the higher one is 0.5, x 1.2 x 100
    for usd, credits in ((0.5, "60"), (0.0001, "0.42")):
        assert cost(response("a", "gpt-4o", usd), card, provider="openai").exact_credits == Decimal(credits)


dollars = st.none() | st.decimals(0, MAX_REPORTED_USD, places=6) | st.decimals(0, "0.01", places=9)
counts = st.integers(0, 100_000)
some_responses = st.lists(st.tuples(counts, counts, dollars), min_size=1, max_size=4)


@given(some_responses)
def test_the_higher_one_is_the_higher_one_of_each(found: list[tuple[int, int, Decimal | None]]) -> None:
    """Never below the list price; of each response the larger of the two."""
    listed, highest = [], []
    for number, (input_tokens, output_tokens, usd) in enumerate(found):
        usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        listed.append({"id": str(number), "model": "listed", "usage": usage})
        highest.append({"id": str(number), "model": "higher", "usage": usage | ({} if usd is None else {"cost": "COST"})})
    text = json.dumps(highest)
    for *_, usd in found:
        text = text if usd is None else text.replace('"COST"', f"{usd:f}", 1)
    higher = cost(text)
    assert higher.amount >= cost(listed).amount
    expected = [max(Decimal(i + 2 * o) / 10**6, usd or Decimal(0)) for i, o, usd in found]
    assert (higher.usd, higher.exact_credits) == (sum(expected), 100 * sum(expected))
    assert (ChargeFlag.LIST_PRICE in higher.flags) == any(usd is None for *_, usd in found)


@given(some_responses, st.randoms(use_true_random=False))
def test_the_order_of_responses_changes_nothing(found: list[tuple[int, int, Decimal | None]], random: Any) -> None:
    """Under no basis."""
    documents = [
        response(str(number), "reported", None if usd is None else float(usd), output_tokens=output, input_tokens=input_)
        for number, (input_, output, usd) in enumerate(found)
    ]
    shuffled = random.sample(documents, len(documents))
    assert cost(shuffled).exact_credits == cost(documents).exact_credits
