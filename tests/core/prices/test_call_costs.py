"""A call of several responses costs what its responses cost by themselves, rounded once."""

import dataclasses
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import MAX_AMOUNT, Microcredits, from_credits
from creditmeter.core.credit.charges import Cost, PricedPart
from creditmeter.core.prices.call_costs import MAX_PRICED_PARTS
from creditmeter.core.prices.no_price import NoPrice
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.reported.calls import reported_call
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, Work
from tests.core.prices.cards import cards, usages
from tests.core.prices.priced import NOW, bound, reserved, unbounded

CARD = parse_rate_card(
    """\
    version = "responses"
    effective_from = 1970-01-01T00:00:00Z
    credits_per_usd = 100
    increment = "0.001"
    [text]
    minimum = "0.002"
    [[text.models]]
    model = "small"
    input = 1
    output = 2
    long_context = [{ above_input_tokens = 1000, input = 2, output = 4 }]
    [[text.models]]
    model = "large"
    input = 10
    output = 20
    [tiers]
    flex = "0.5"
    [fees]
    web_searches = 10
    """
)
ESTIMATED = (ChargeFlag.ESTIMATED,)
WORK = Work("text", "", "small", input_tokens=500, max_output_tokens=300)


def response(name: str, model: str, tokens: tuple[int, int] | None = (1000, 100), **beside: Any) -> dict[str, Any]:
    """A response as a provider writes it, with so many tokens of input and output, or without usage."""
    counts = None if tokens is None else {"input_tokens": tokens[0], "output_tokens": tokens[1]}
    searches = beside.pop("searches", 0)
    if counts is not None and searches:
        counts["server_tool_use"] = {"web_search_requests": searches}  # type: ignore[assignment]  # an object in an object
    return {"id": name, "model": model, "usage": counts, **beside}


def outcome(documents: Any, card: RateCard = CARD, *, is_fact: bool = False, **stated: Any) -> Cost | NoPrice:
    """What a call cost by a report and by what its worker states, without a reservation."""
    usage = Usage("text", provider_usage_json=json.dumps(documents), **stated)
    return Pricing(RateCards(card)).cost(usage, None, NOW, is_fact=is_fact)


def cost(documents: Any, card: RateCard = CARD, **stated: Any) -> Cost:
    """The cost of what has one."""
    found = outcome(documents, card, **stated)
    assert isinstance(found, Cost), found
    return found


def reserved_cost(documents: Any, **stated: Any) -> Cost:
    """The cost of a call that was reserved by WORK."""
    usage = Usage(provider_usage_json=json.dumps(documents), **stated)
    found = Pricing(RateCards(CARD)).reserved_cost(reserved(WORK), usage, None, NOW)
    assert isinstance(found, Cost), found
    return found


SMALL = Decimal("0.0012")  # 1000 x 1 + 100 x 2 = 1200 millionths of a dollar
LARGE = Decimal("0.012")  # 1000 x 10 + 100 x 20 = 12,000 millionths


@pytest.mark.parametrize(
    ("responses", "usd"),
    [
        pytest.param([response("a", "small"), response("b", "large")], [SMALL, LARGE], id="each at its own model"),
        pytest.param(
            [response("a", "small", (800, 0)), response("b", "small", (900, 0))],
            [Decimal("0.0008"), Decimal("0.0009")],
            id="short inputs, of which the sum is long",
        ),
        pytest.param(
            [response("a", "small", (1001, 10)), response("b", "small", (800, 0))],
            [Decimal("0.002042"), Decimal("0.0008")],  # 1001 x 2 + 10 x 4 = 2042; 800 x 1
            id="one long input",
        ),
        pytest.param(
            [response("a", "small", service_tier="flex"), response("b", "small", service_tier="standard")],
            [SMALL / 2, SMALL],
            id="each at its own tier",
        ),
        pytest.param(
            [response("a", "small", searches=1), response("b", "large", searches=2)],
            [SMALL + Decimal("0.01"), LARGE + Decimal("0.02")],
            id="each with its own fees",
        ),
        pytest.param(
            {
                "id": "a",
                "model": "small",
                "usage": {
                    "input_tokens": 1000,
                    "output_tokens": 100,
                    "cache_read_input_tokens": 0,
                    "iterations": [
                        {"type": "message", "input_tokens": 1000, "output_tokens": 100},
                        {"type": "advisor_message", "model": "large", "input_tokens": 1000, "output_tokens": 100},
                    ],
                },
            },
            [SMALL, LARGE],
            id="what another model did for a response",
        ),
    ],
)
def test_each_response_is_priced_by_itself(responses: Any, usd: list[Decimal]) -> None:
    """The dollars are those of the parts, and the credits 100 times as many."""
    found = cost(responses)
    assert [each.cost_usd for each in found.priced_parts] == usd
    assert (found.usd, found.exact_credits, found.flags) == (sum(usd), 100 * sum(usd), ())


def test_a_part_says_what_it_is_of() -> None:
    """Its response, model, tier, counts and units."""
    found = cost([response("a", "small", service_tier="flex", searches=1), response("b", "large")])
    flex, standard = found.priced_parts
    counts = {"input_tokens": 1000, "output_tokens": 100}
    assert flex == PricedPart("a", "small", "flex", counts, {"web_searches": 1}, SMALL / 2 + Decimal("0.01"))
    assert standard == PricedPart("b", "large", "", counts, {}, LARGE)


def test_the_usage_of_the_call_is_the_sum() -> None:
    """Of counts and units. Its model is the first; what served it is known if all were served so."""
    flex = [response(name, "small", service_tier="flex", searches=2) for name in ("a", "b")]
    usage = cost(flex).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.units) == (2000, 200, {"web_searches": 4})
    assert (usage.response_model, usage.served) == ("small", Served("flex"))
    mixed = cost([*flex, response("c", "large")]).usage
    assert mixed is not None
    assert (mixed.input_tokens, mixed.response_model, mixed.served) == (3000, "small", Served())


def test_one_response_has_parts_only_for_its_fees() -> None:
    """Else the charge says it all."""
    assert cost([response("a", "small")]).priced_parts == ()
    (part,) = cost([response("a", "small", searches=1)]).priced_parts
    assert (part.cost_usd, part.units) == (SMALL + Decimal("0.01"), {"web_searches": 1})


def test_the_call_is_rounded_once() -> None:
    """Three tokens of 0.0001 credits each are 0.0003, and the minimum of 0.002 is of the call."""
    found = cost([response(name, "small", (1, 0)) for name in ("a", "b", "c")])
    assert (found.exact_credits, found.amount, found.flags) == (Decimal("0.0003"), 2_000, (ChargeFlag.MINIMUM,))
    assert [each.flags for each in found.priced_parts] == [(), (), ()]
    # 0.1201 credits each: 0.2402 is rounded up to 0.241, not to twice 0.121
    found = cost([response(name, "small", (999, 101)) for name in ("a", "b")])
    assert (found.exact_credits, found.amount, found.flags) == (Decimal("0.2402"), 241_000, ())


def test_the_cap_is_of_the_call() -> None:
    """1.2 credits each, capped at 2."""
    capped = dataclasses.replace(CARD, cap=from_credits(2))
    found = cost([response("a", "large"), response("b", "large")], capped)
    assert (found.exact_credits, found.amount, found.flags) == (Decimal("2.4"), 2_000_000, (ChargeFlag.CAPPED,))


def test_no_call_costs_more_than_any_amount_may_be() -> None:
    """Two responses of 6 x 10^14 microcredits are above the limit of 10^15: a fact is cut, anything else refused."""
    dear = dataclasses.replace(CARD, credits_per_usd=Decimal(30_000))
    # 1,000,000,000 tokens at 20 dollars a million are 20,000 dollars, at 30,000 credits each
    twice = [response(name, "large", (0, 1_000_000_000)) for name in ("a", "b")]
    found = cost(twice, dear, is_fact=True)
    assert (found.amount, found.usd, found.flags) == (MAX_AMOUNT, Decimal(40_000), (ChargeFlag.CAPPED,))
    refused = outcome(twice, dear)
    assert isinstance(refused, InvalidRequest)
    assert refused.violations == (("usage", "costs 1,200,000,000 credits, above the limit of 1,000,000,000"),)


def test_a_response_without_usage_is_at_the_bound_of_the_work() -> None:
    """500 x 1 + 300 x 2 = 1100 millionths, beside what is known of the other."""
    found = reserved_cost([response("a", "small"), response("b", "small", None, choices=[{"index": 0}])])
    assert (found.usd, found.flags) == (SMALL + Decimal("0.0011"), ESTIMATED)
    assert [each.flags for each in found.priced_parts] == [(), ESTIMATED]
    # at the model that served it: 500 x 10 + 300 x 20 = 11,000 millionths
    found = reserved_cost([response("a", "small"), response("b", "large", None, choices=[{"index": 0}])])
    assert (found.usd, found.flags) == (SMALL + Decimal("0.011"), ESTIMATED)


def test_responses_without_any_usage_are_a_call_without_usage() -> None:
    """The whole is at the bound, once."""
    found = reserved_cost(
        [response("a", "small", None, choices=[{"index": 0}]), response("b", "small", None, choices=[{"index": 0}])]
    )
    assert (found.usd, found.flags, found.priced_parts) == (Decimal("0.0011"), ESTIMATED, ())


def test_a_batch_in_which_all_failed_is_a_call_without_usage() -> None:
    """At the bound of its work: 500 x 1 + 300 x 2 = 1100 millionths. Beside a good line nothing is charged for it."""
    failed = {"custom_id": "b", "response": {"status_code": 400, "body": {"model": "large", "choices": [{}]}}, "error": None}
    found = reserved_cost([failed, failed])
    assert (found.usd, found.flags, found.priced_parts) == (Decimal("0.0011"), ESTIMATED, ())
    found = cost([failed, response("a", "small"), failed])
    assert (found.usd, found.flags) == (SMALL, ())


SEVERAL = parse_rate_card(
    """\
    version = "classes"
    effective_from = 1970-01-01T00:00:00Z
    increment = "0.001"
    [text]
    minimum = 0
    [[text.models]]
    model = "speaks"
    input = 1
    output = 10
    reasoning = 5
    audio_output = 80
    [[text.models]]
    model = "draws"
    input = 1
    output = 10
    image_output = 30
    video_output = 20
    [[text.models]]
    model = "films"
    input = 1
    output = 10
    image_output = 30
    video_output = 40
    [[text.models]]
    model = "thinks"
    input = 1
    output = 10
    reasoning = 15
    [[text.models]]
    model = "writes"
    input = 1
    output = 10
    audio_output = 2
    """
)


@pytest.mark.parametrize(
    ("usage", "usd", "counts"),
    [
        # 1,000 input tokens are 1,000 millionths; 100 of output at 80, 30, 40, 15 and 10 dollars a million.
        (Usage(response_model="speaks"), "0.009", {"audio_output_tokens": 100}),
        (Usage(response_model="draws"), "0.004", {"image_output_tokens": 100}),
        (Usage(response_model="films"), "0.005", {"video_output_tokens": 100}),
        (Usage(response_model="thinks"), "0.0025", {"reasoning_output_tokens": 100}),
        (Usage(response_model="writes"), "0.002", {}),
        # What is known of the output stays: 40 of reasoning at 5, and the other 60 at 80.
        (
            Usage(response_model="speaks", reasoning_output_tokens=40),
            "0.006",
            {"reasoning_output_tokens": 40, "audio_output_tokens": 60},
        ),
        (Usage(response_model="speaks", audio_output_tokens=30), "0.009", {"audio_output_tokens": 100}),
        # Output that was counted is what it was counted as.
        (Usage(response_model="speaks", output_tokens=100), "0.002", {}),
    ],
)
def test_output_that_nobody_counted_is_of_the_dearest_class(usage: Usage, usd: str, counts: dict[str, int]) -> None:
    """As it is held. The charge says which class that is."""
    work = Work("text", "", usage.response_model, input_tokens=1_000, max_output_tokens=100)
    found = Pricing(RateCards(SEVERAL)).reserved_cost(reserved(work), usage, None, NOW)
    assert isinstance(found, Cost)
    assert (found.usd, ChargeFlag.ESTIMATED in found.flags) == (Decimal(usd), True)
    priced = found.usage
    assert priced is not None
    named = {name: count for name in dir(priced) if name.endswith("_output_tokens") and (count := getattr(priced, name))}
    assert named | dict(priced.units) == counts
    assert usage.output_tokens is not None or found.amount <= bound(SEVERAL, work).amount


def test_a_stream_of_speech_that_broke_off_is_charged_as_speech() -> None:
    """Beside a response that is known: 10 x 1 + 5 x 10 millionths, and 1,000 x 1 + 100 x 80."""
    work = Work("text", "", "speaks", input_tokens=1_000, max_output_tokens=100)
    documents = [response("a", "speaks", (10, 5)), response("b", "speaks", None, choices=[{"index": 0}])]
    usage = Usage(provider_usage_json=json.dumps(documents))
    found = Pricing(RateCards(SEVERAL)).reserved_cost(reserved(work), usage, None, NOW)
    assert isinstance(found, Cost)
    assert (found.usd, found.flags) == (Decimal("0.00906"), ESTIMATED)


@given(cards(), usages())
def test_an_estimate_of_output_is_what_was_held_for_it(card: RateCard, usage: Usage) -> None:
    """By any card, where the work has no input: that is estimated at the plain rate."""
    card = dataclasses.replace(unbounded(card), cap=None)
    work = Work("text", "", "m", input_tokens=0, max_output_tokens=(usage.output_tokens or 0) + 1)
    found = Pricing(RateCards(card)).reserved_cost(reserved(work), Usage(), None, NOW)
    assert isinstance(found, Cost)
    assert found.amount == bound(card, work).amount


def test_without_a_reservation_each_response_needs_its_counts() -> None:
    """Nothing says what the second used."""
    refused = outcome([response("a", "small"), response("b", "small", None, choices=[{"index": 0}])])
    assert isinstance(refused, InvalidRequest)
    assert {field for field, _ in refused.violations} == {"usage.input_tokens", "usage.output_tokens"}


def test_counts_of_the_worker_are_of_the_whole() -> None:
    """2000 tokens are a long input: 2000 x 2 + 200 x 4 = 4800 millionths."""
    same = [response("a", "small"), response("b", "small")]
    found = cost(same, output_tokens=200)
    assert (found.usd, found.flags, found.priced_parts) == (Decimal("0.0048"), (), ())


def test_counts_of_the_worker_are_at_the_dearest_of_several_models() -> None:
    """Nothing says which of the tokens were whose: 2000 x 10 + 150 x 20 = 23,000 millionths."""
    found = cost([response("a", "small"), response("b", "large")], output_tokens=150)
    assert (found.usd, found.flags) == (Decimal("0.023"), ESTIMATED)
    # of two tiers the standard one: 2000 x 2 + 150 x 4 = 4600 millionths
    found = cost([response("a", "small", service_tier="flex"), response("b", "small")], output_tokens=150)
    assert (found.usd, found.flags) == (Decimal("0.0046"), ESTIMATED)
    found = cost([response("a", "small", service_tier="default"), response("b", "small")], output_tokens=150)
    assert (found.usd, found.flags) == (Decimal("0.0046"), ())


def test_the_model_and_tier_of_the_worker_are_of_each_response() -> None:
    """They win over what the responses say."""
    both = [response("a", "small"), response("b", "small", service_tier="priority")]
    assert cost(both, response_model="large", served=Served("flex")).usd == LARGE  # half of it, twice
    assert cost(both).flags == (ChargeFlag.UNKNOWN_TIER,)


def test_the_tier_of_the_worker_stands_without_a_response() -> None:
    """A report that says nothing takes nothing back: 1000 x 1 + 100 x 2 millionths, half of it at flex."""
    found = cost([], response_model="small", input_tokens=1000, output_tokens=100, served=Served("flex"))
    assert found.usd == SMALL / 2
    assert found.usage is not None
    assert found.usage.served == Served("flex")


def test_what_served_the_call_is_what_served_each_response() -> None:
    """Of the tier and the speed the one in which they agree."""
    tiers_differ = [response("a", "small", service_tier="flex"), response("b", "small", service_tier="batch")]
    mixed = cost(tiers_differ, served=Served(speed="fast"))
    assert mixed.usage is not None
    assert mixed.usage.served == Served(speed="fast")


def test_a_model_without_a_price_has_that_of_the_one_asked_for() -> None:
    """Only its own part is flagged; without any price the call has none."""
    both = [response("a", "small"), response("b", "unheard-of")]
    found = cost(both, request_model="large")
    assert (found.usd, found.flags) == (SMALL + LARGE, (ChargeFlag.FALLBACK_PRICE,))
    assert [(each.model, each.flags) for each in found.priced_parts] == [
        ("small", ()),
        ("unheard-of", (ChargeFlag.FALLBACK_PRICE,)),
    ]
    assert isinstance(outcome(both), UnpricedWork)


def test_the_tier_that_was_reserved_is_that_of_responses_that_name_none() -> None:
    """Each response by itself."""
    usage = Usage(provider_usage_json=json.dumps([response("a", "small"), response("b", "small", service_tier="default")]))
    pricing = Pricing(RateCards(CARD))
    found = pricing.reserved_cost(reserved(replace(WORK, service_tier="flex")), usage, None, NOW)
    assert isinstance(found, Cost)
    assert [each.cost_usd for each in found.priced_parts] == [SMALL / 2, SMALL]


def test_what_is_unread_is_flagged_and_named() -> None:
    """Its price is not known, so it is not in the cost."""
    odd = response("a", "small")
    odd["usage"]["quantum_tokens"] = 7
    for documents in (odd, [odd, response("b", "small")]):
        found = cost(documents)
        assert (found.flags, found.unread) == ((ChargeFlag.UNREAD_USAGE,), ("quantum_tokens",))
    assert cost(response("a", "small")).unread == ()


def test_what_is_unread_is_flagged_once() -> None:
    """Also beside a unit without a fee."""
    odd = response("a", "small", searches=1)
    odd["usage"]["quantum_tokens"] = 7
    assert cost(odd, dataclasses.replace(CARD, fees={})).flags == (ChargeFlag.UNREAD_USAGE,)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        pytest.param([0.25], "0.25", id="of one response"),
        pytest.param([0.25, 0.5], "0.75", id="of each"),
        pytest.param([0.25, None], None, id="not of each"),
        pytest.param([1e-15, 0.1], "0.1", id="too small to be kept"),
        pytest.param([None], None, id="none"),
    ],
)
def test_the_providers_own_cost_is_kept_beside_ours(costs: Sequence[float | None], expected: str | None) -> None:
    """It never changes the price."""
    documents = [response(str(number), "small") for number, _ in enumerate(costs)]
    for each, own in zip(documents, costs, strict=True):
        each["usage"]["cost"] = own
    found = cost(documents)
    assert found.reported_cost_usd == (None if expected is None else Decimal(expected))
    assert found.usd == SMALL * len(costs)


def test_the_providers_own_cost_has_a_bounded_length() -> None:
    """Whatever it writes."""
    text = '{"id": "a", "model": "small", "usage": {"input_tokens": 1, "output_tokens": 1, "cost": 1e-99999}}'
    assert reported_call(Usage("text", provider_usage_json=text)).cost_usd == 0
    assert reported_call(Usage("text", provider_usage_json=text.replace("1e-99999", "0." + "3" * 999))).cost_usd == Decimal(
        "0.333333333333"
    )


def test_the_first_responses_are_kept_and_all_are_charged() -> None:
    """However many there are."""
    count = MAX_PRICED_PARTS + 6
    found = cost([response(str(number), "small") for number in range(count)])
    assert (len(found.priced_parts), found.usd) == (MAX_PRICED_PARTS, SMALL * count)
    assert found.priced_parts[-1].response_id == str(MAX_PRICED_PARTS - 1)


def test_usage_without_a_report_is_one_call() -> None:
    """With fees too, it is as the worker says."""
    usage = Usage("text", response_model="small", input_tokens=1000, output_tokens=100, units={"web_searches": 1})
    found = Pricing(RateCards(CARD)).cost(usage, None, NOW)
    assert isinstance(found, Cost)
    assert found.usd == SMALL + Decimal("0.01")


counts = st.integers(0, 3_000)
tiers = st.sampled_from(["", "default", "flex", "unheard-of"])


@st.composite
def calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Responses of a call, of which some say what nothing reads."""
    found = []
    for number in range(draw(st.integers(2, 5))):
        model, tokens = draw(st.sampled_from(["small", "large", "unknown"])), (draw(counts), draw(counts))
        each = response(str(number), model, tokens, service_tier=draw(tiers), searches=draw(st.integers(0, 3)))
        if draw(st.booleans()):
            each["usage"]["quantum_tokens"] = 1 + draw(counts)
        found.append(each)
    return found


@st.composite
def events(draw: st.DrawFn, responses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events of these responses in any order, of which one of each response has all of its counts."""
    found = [replace_counts(draw, each) for each in responses for _ in range(draw(st.integers(0, 2)))]
    return draw(st.permutations([*found, *responses]))


def replace_counts(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """An earlier event of a response: less of each count, or none."""
    usage = {name: draw(st.integers(0, count)) for name, count in whole["usage"].items() if isinstance(count, int)}
    return whole | {"usage": draw(st.just(usage) | st.none())}


@given(calls(), st.data())
def test_a_call_costs_what_its_responses_cost_alone(responses: list[dict[str, Any]], data: st.DataObject) -> None:
    """In any order and however they are split into events, before rounding; and its flags are those of all."""
    found = cost(data.draw(events(responses)), dataclasses.replace(CARD, minimum=Microcredits(0)), request_model="small")
    alone = [cost(each, dataclasses.replace(CARD, minimum=Microcredits(0)), request_model="small") for each in responses]
    assert found.exact_credits == sum(each.exact_credits for each in alone)
    assert found.usd == sum(each.usd for each in alone)
    assert set(found.flags) == {flag for each in alone for flag in each.flags}
    assert set(found.unread) == {path for each in alone for path in each.unread}
