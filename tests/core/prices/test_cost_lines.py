"""A cost has the lines that it is the sum of: what was counted, at which rate, and where that is from."""

import dataclasses
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.cost_lines import CostLine, PriceSource
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import PriceUnit, RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage
from tests.core.prices.cards import cards, counts, usages
from tests.core.prices.priced import NOW, price

LISTED = TextPrices(TextRates(*map(Decimal, (3, 15, 1, 4, 6, 15, 3, 15, 3, 15))), fees={"web_searches": Decimal(10)})
LIST = PriceList(
    "list.1",
    (
        Provider(
            "some",
            (Model("listed", Clause(Operator.EQUALS, "listed"), (Conditional(LISTED),)),),
            None,
            Clause(Operator.CONTAINS, "l"),
        ),
    ),
)
CARD = parse_rate_card(
    """\
    version = "lines"
    effective_from = 1970-01-01T00:00:00Z
    credits_per_usd = 100
    free = ["view"]
    [text]
    fallback = "dear"
    source = "genai-prices"
    markup = "1.2"
    [[text.models]]
    model = "own"
    provider = "some"
    input = 2
    output = 8
    per_call = "0.5"
    long_context = [{ above_input_tokens = 1000, input = 4, output = 16 }]
    [[text.models]]
    model = "in-credits"
    unit = "credits"
    input = 1000
    output = 4000
    [[text.models]]
    model = "dear"
    input = 50
    output = 60
    [tiers]
    flex = "0.5"
    [fees]
    code_executions = 30
    [fees.some]
    file_searches = 3
    [image]
    models = [{ model = "paint", credits = 10, variants = { hd = 20 } }]
    [tools]
    cheap = "0.4"
    [actions.post]
    standard = 2
    """,
    lambda: LIST,
)


def text(model: str, input_tokens: int, output_tokens: int = 0, **beside: object) -> Usage:
    """A usage of text."""
    return replace(Usage("text", "", model, input_tokens=input_tokens, output_tokens=output_tokens), **beside)


def shown(line: CostLine) -> str:
    """A line as a test writes it: count, what, rate, amount, credits and the rule."""
    unit = "USD" if line.in_usd else "credits"
    how = " ".join((*line.served, f"x{line.factor}" if line.factor != 1 else "")).strip()
    above = f" above {line.above_input_tokens}" if line.above_input_tokens else ""
    beside = f" {how}" if how else ""
    amount, credits = (f"{each.normalize():f}" for each in (line.amount, line.credits))
    rate = f"{line.rate.normalize():f} {unit}/{line.per}"
    return f"{line.count} {line.what} {rate}{beside}{above} = {amount} = {credits} by {line.origin.rule}"


@pytest.mark.parametrize(
    ("usage", "lines"),
    [
        pytest.param(
            text("listed", 1_000, 100, cache_read_input_tokens=400),
            [
                "600 input_tokens 3 USD/1000000 = 0.0018 = 0.216 by some/listed",
                "400 cache_read_input_tokens 1 USD/1000000 = 0.0004 = 0.048 by some/listed",
                "100 output_tokens 15 USD/1000000 = 0.0015 = 0.18 by some/listed",
            ],
            id="of the list, with its markup",
        ),
        pytest.param(
            text("listed", 0, 0, units={"web_searches": 2, "code_executions": 1, "file_searches": 4, "unheard_of": 1}),
            [
                "2 web_searches 10 USD/1000 = 0.02 = 2.4 by some/listed",
                "1 code_executions 30 USD/1000 = 0.03 = 3.6 by fees",
                "4 file_searches 3 USD/1000 = 0.012 = 1.44 by fees of some",
            ],
            id="fees of the list, of anybody, and of a provider",
        ),
        pytest.param(
            text("own", 1_000, 10, served=Served("flex")),
            [
                "1000 input_tokens 2 USD/1000000 flex x0.5 = 0.001 = 0.1 by some/own",
                "10 output_tokens 8 USD/1000000 flex x0.5 = 0.00004 = 0.004 by some/own",
                "1 call 0.5 USD/1 = 0.5 = 50 by some/own",
            ],
            id="a factor, which the fee of a call does not have",
        ),
        pytest.param(
            text("own", 2_000, 10),
            [
                "2000 input_tokens 4 USD/1000000 above 1000 = 0.008 = 0.8 by some/own",
                "10 output_tokens 16 USD/1000000 above 1000 = 0.00016 = 0.016 by some/own",
                "1 call 0.5 USD/1 = 0.5 = 50 by some/own",
            ],
            id="a long input",
        ),
        pytest.param(
            text("in-credits", 500, 0, units={"code_executions": 1, "citation_tokens": 3}),
            [
                "500 input_tokens 1000 credits/1000000 = 0.5 = 0.5 by in-credits",
                "3 citation_tokens 1000 credits/1000000 = 0.003 = 0.003 by in-credits",
                "1 code_executions 30 USD/1000 = 0.03 = 3 by fees",
            ],
            id="in credits, with a fee in dollars",
        ),
        pytest.param(
            text("listed", 100, 50, cache_read_input_tokens=300, reasoning_output_tokens=20),
            [
                "300 input_tokens 3 USD/1000000 = 0.0009 = 0.108 by some/listed",
                "30 output_tokens 15 USD/1000000 = 0.00045 = 0.054 by some/listed",
                "20 reasoning_output_tokens 15 USD/1000000 = 0.0003 = 0.036 by some/listed",
            ],
            id="a contradiction",
        ),
        pytest.param(text("unheard-of", 1_000), ["1000 input_tokens 50 USD/1000000 = 0.05 = 5 by dear"], id="the fallback"),
        pytest.param(Usage("image", "", "paint", quantity=3), ["3 image 10 credits/1 = 30 = 30 by paint"], id="images"),
        pytest.param(
            Usage("image", "", "paint", variant="hd"), ["1 image 20 credits/1 = 20 = 20 by paint, hd"], id="a variant"
        ),
        pytest.param(Usage("tool", tool="cheap"), ["1 cheap 0.4 credits/1 = 0.4 = 0.4 by tools.cheap"], id="a tool"),
        pytest.param(Usage("tool", tool="other"), ["1 other 1 credits/1 = 1 = 1 by tools"], id="any other tool"),
        pytest.param(Usage("post", quantity=2), ["2 post 2 credits/1 = 4 = 4 by actions.post"], id="an action"),
        pytest.param(Usage("view"), ["1 view 0 credits/1 = 0 = 0 by view"], id="free"),
        pytest.param(text("listed", 0), [], id="nothing"),
    ],
)
def test_lines(usage: Usage, lines: list[str]) -> None:
    """Credits are 100 a dollar, and 120 for what is of the list."""
    assert [shown(each) for each in price(CARD, usage).lines] == lines


def test_a_line_says_where_its_rate_is_from() -> None:
    """The card, its list, or that it is free; and which model was asked for, if another one's price counts."""

    def first(usage: Usage) -> CostLine:
        return price(CARD, usage).lines[0]

    assert first(text("own", 1)).origin.source is PriceSource.CARD
    assert first(text("listed", 1)).origin.source is PriceSource.PRICE_LIST
    assert first(Usage("view")).origin.source is PriceSource.FREE
    assert (first(text("unheard-of", 1)).model, first(text("unheard-of", 1)).origin.rule) == ("unheard-of", "dear")
    assert (first(text("listed", 1)).markup, first(text("own", 1)).markup) == (Decimal("1.2"), Decimal(1))


def test_each_response_has_its_lines() -> None:
    """1,000 tokens at 3 dollars with the markup, 1,000 at 50 without, and the fee of neither."""
    report = [
        {"id": "a", "model": "listed", "usage": {"input_tokens": 1000, "output_tokens": 0}},
        {"id": "b", "model": "dear", "usage": {"input_tokens": 1000, "output_tokens": 0}},
    ]
    usage = Usage("text", provider_usage_json=json.dumps(report))
    cost = Pricing(RateCards(CARD)).cost(usage, None, NOW)
    assert isinstance(cost, Cost)
    found = [(each.response, each.model, f"{each.credits.normalize():f}") for each in cost.lines]
    assert found == [(1, "listed", "0.36"), (2, "dear", "5")]
    assert cost.exact_credits == Decimal("5.36")


def test_the_lines_of_the_dearest_count() -> None:
    """Of a served model without a price, the one that stands in: here the card's fallback, not the cheaper one asked for."""
    usage = replace(text("own", 1_000), response_model="unheard-of")
    cost = Pricing(RateCards(dataclasses.replace(CARD, text=CARD.text[1:]))).cost(usage, None, NOW)
    assert isinstance(cost, Cost)
    assert cost.flags == (ChargeFlag.FALLBACK_PRICE,)
    assert [each.origin.rule for each in cost.lines] == ["dear"]


units = st.dictionaries(st.sampled_from(["web_searches", "code_executions", "citation_tokens", "unheard_of"]), counts)
ways = st.sampled_from([Served(), Served("flex"), Served("flex", "fast"), Served("unheard-of")])


@given(cards(), usages(), units, ways)
def test_the_lines_add_up_to_the_exact_price(card: RateCard, usage: Usage, more: dict[str, int], served: Served) -> None:
    """To the last digit, in credits; and in dollars where the rates are."""
    fees = {("", "", "web_searches"): Decimal("2.5"), ("", "m", "code_executions"): Decimal("0.7")}
    tiers = {("", "service_tier", "flex"): Decimal("0.55"), ("", "speed", "fast"): Decimal("1.75")}
    rule = dataclasses.replace(card.text[0], markup=Decimal("1.15") if card.text[0].unit is PriceUnit.USD else Decimal(1))
    card = dataclasses.replace(card, fees=fees, tiers=tiers, text=(rule,))
    cost = price(card, replace(usage, units={**usage.units, **more}, served=served))
    assert sum((each.credits for each in cost.lines), Decimal(0)) == cost.exact_credits
    if rule.unit is PriceUnit.USD:
        assert sum((each.amount for each in cost.lines), Decimal(0)) == cost.usd
    for each in cost.lines:
        assert each.count > 0
        assert each.amount * each.per == each.count * each.rate * each.factor


@given(cards(), st.sampled_from(["image", "tool", "engagement"]), counts)
def test_the_line_of_items_is_their_price(card: RateCard, action: str, quantity: int) -> None:
    """One line, whatever the item."""
    (line,) = (cost := price(card, Usage(action, "", "m", quantity=quantity, tool="t"))).lines
    assert (line.count, line.credits) == (quantity, cost.exact_credits)


def test_a_stated_amount_has_no_lines() -> None:
    """Nothing was counted."""
    cost = Pricing(RateCards(CARD)).cost(None, price(CARD, text("dear", 1)).amount, Instant(0))
    assert isinstance(cost, Cost)
    assert cost.lines == ()
