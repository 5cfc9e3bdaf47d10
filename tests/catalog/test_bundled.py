"""The price list that is compiled from genai-prices: it says what the package says, of every model and by every name.

A few usages and names of each model are compared here; `scripts/compare-prices` compares as many as one likes.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib.metadata import version

import pytest
from genai_prices import types
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import _clause, _compiled, _provider, bundled_price_list
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant, from_datetime
from creditmeter.core.prices.price_list import Clause, Model, Operator, PriceList
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rates import RARE_STAND_INS, TextPrices
from tests.catalog import campaign
from tests.catalog.campaign import OUR_UNITS, compare_names, compare_prices, known_models

LIST = bundled_price_list()
KNOWN = tuple(known_models(LIST))
NOW = from_datetime(datetime(2026, 11, 25, 12, tzinfo=UTC))
OFFLINE = """
import sys, threading

def refuse(event, arguments):
    assert not event.startswith("socket."), event

sys.addaudithook(refuse)
from creditmeter.catalog.bundled import bundled_price_list
assert "genai_prices" not in sys.modules
assert bundled_price_list().providers
assert threading.active_count() == 1
"""


def prices(provider: str, model: str, at: Instant = NOW) -> TextPrices:
    """What a model costs that has a price."""
    listed = LIST.find(provider, model)
    assert listed is not None
    return listed.model.prices_at(at)


# --- The list itself --------------------------------------------------------------------------------------------------


def test_the_version_names_the_release() -> None:
    """The one that is installed."""
    assert LIST.version == f"genai-prices.{version('genai-prices')}"


def test_the_list_is_made_offline_and_when_it_is_needed() -> None:
    """No connection, no thread that updates it, and no slow import before it is asked for."""
    subprocess.run([sys.executable, "-c", OFFLINE], check=True)


def test_no_price_is_below_nothing() -> None:
    """A rate is finite and not negative, an edge above 0, and edges are in ascending order."""
    for listed in LIST.models():
        for each in (*listed.model.prices, *(part for variant in listed.model.variants for part in variant.prices)):
            tiers = each.prices.long_context
            edges = [tier.above_input_tokens for tier in tiers]
            assert edges == sorted({edge for edge in edges if edge > 0}), listed
            for rates in (each.prices.rates, *(tier.rates for tier in tiers)):
                common = (getattr(rates, name) for name in rates.__slots__ if name != "rare")
                assert all(0 <= rate < 10**6 for rate in (*common, *rates.rare.values())), listed
            assert all(0 <= fee < 10**6 for fee in each.prices.fees.values()), listed


# --- As the package has it --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_every_model_costs_what_the_package_says() -> None:
    """To the last digit, for random usages at random moments; no model is left out. `.ci/run` compares 45 more of each."""
    compared = list(compare_prices(LIST, usages=5))
    assert [difference for each in compared for difference in each.differences] == []
    assert len(compared) == sum(known.is_priced for known in KNOWN) > 1_000
    assert [str(each.known) for each in compared if not each.usages] == []


@pytest.mark.long
def test_every_name_means_the_model_that_the_package_says() -> None:
    """With dates, in capitals, at a gateway, by a provider's other names; and what the package does not find is not found.
    `.ci/run` compares 16 more of each.
    """
    compared = list(compare_names(LIST, names=4))
    assert [difference for each in compared for difference in each.differences] == []
    assert len(compared) == len(KNOWN)


def test_what_the_package_has_prices_for_is_all_in_the_comparison() -> None:
    """Every way in which a price may depend on something: else it proves nothing."""
    constraints = {type(each.constraint) for known in KNOWN for each in known.prices}
    assert constraints == {type(None), types.StartDateConstraint, types.TimeOfDateConstraint}
    compiled = [each for listed in LIST.models() for each in listed.model.prices]
    assert any(each.from_instant is not None for each in compiled)
    assert any(each.daily is not None for each in compiled)
    assert any(each.prices.long_context for each in compiled)
    assert any(each.prices.per_call for each in compiled)
    rare = {name for each in compiled for name in each.prices.rates.rare}
    assert rare == RARE_STAND_INS.keys()
    fees = {name for each in compiled for name in each.prices.fees}
    assert fees - {"input_text_messages"} == OUR_UNITS.keys() & {"web_searches", "storage_searches"}


def test_a_fee_is_named_after_what_it_is_for() -> None:
    """All of the package's prices for a thousand things but those for calls; hours and letters are no things."""
    given = {"web_searches_kcount": 10, "input_document_kpages": 4, "requests_kcount": 5, "audio_hours": 6, "input_mtok": 1}
    prices = types.ModelPrice(**{key: Decimal(price) for key, price in given.items()})
    known = types.Provider("p", "P", "", models=[types.ModelInfo("m", types.ClauseEquals("m"), prices=prices)])
    (compiled,) = _provider(known).models
    assert compiled.prices_at(NOW).fees == {"web_searches": Decimal(10), "input_document_pages": Decimal(4)}


def test_a_model_without_a_price_of_text_is_unpriced() -> None:
    """What is sold by the second, the page or the letter costs no text anything, so text by it is refused and not free."""
    listed = {id(each.model) for each in LIST.models()}
    unpriced = [known for known in KNOWN if not known.is_priced]
    assert {str(known) for known in KNOWN if id(known.compiled) not in listed} == {str(known) for known in unpriced}
    assert {"openai tts-1", "groq whisper-large-v3", "mistral mistral-ocr-2505"} <= {str(known) for known in unpriced}
    card = RateCard(version="v", effective_from=Instant(0), price_list=LIST)
    assert card.text_rule("openai", "tts-1") is None
    assert LIST.find("openai", "tts-1") is None


@pytest.mark.parametrize(
    "condition",
    [
        types.ClauseEquals("GPT-4o"),
        types.ClauseStartsWith("GPT-4"),
        types.ClauseEndsWith("4O"),
        types.ClauseContains("Pt"),
        types.ClauseRegex("t-4[^ ]$"),
        types.ClauseRegex("^PT"),
        types.ClauseOr(or_=[types.ClauseEquals("gpt"), types.ClauseEquals("gpt-4o")]),
        types.ClauseAnd(
            and_=[types.ClauseStartsWith("g"), types.ClauseOr(or_=[types.ClauseEndsWith("t"), types.ClauseContains("4")])]
        ),
        types.ClauseOr(or_=[]),
        types.ClauseAnd(and_=[]),
    ],
)
def test_a_condition_on_a_name_is_the_packages(condition: types.MatchLogic) -> None:
    """Of every kind, those that no model has at present, too."""
    for name in ("gpt", "gpt-4", "gpt-4o", "my-gpt-4o", "gpt-4o-mini", "o", ""):
        assert _clause(condition).matches(name) == condition.is_match(name), name


ZONES = st.none() | st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))


@given(
    st.builds(types.TimeOfDateConstraint, st.times(timezones=ZONES), st.times(timezones=ZONES))
    | st.builds(types.StartDateConstraint, st.dates(date(2020, 1, 1), date(2030, 1, 1)))
    | st.none(),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - the zone is put on below
    st.sampled_from([-1, 0, 1]),
)
def test_a_condition_on_a_moment_is_the_packages(
    condition: types.StartDateConstraint | types.TimeOfDateConstraint | None, moment: datetime, offset: int
) -> None:
    """Over midnight and in other zones, too; at any moment and around its own edges."""
    compiled = _compiled(types.ConditionalPrice(condition, prices=types.ModelPrice(input_mtok=Decimal(1))))
    some = moment.replace(tzinfo=UTC)
    for edge in (some, *campaign.edges_of(condition, some.date())):
        at = edge + offset * timedelta(microseconds=1)
        assert compiled.is_active(from_datetime(at)) == (condition is None or condition.active(at))


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("m-2025-12-11", True),
        ("m-20251211", True),
        ("M-20251211", True),
        ("m-20251211:free", True),
        ("m-20251211-eu", True),
        ("m-20251211-20240101", True),
        ("m-20251211x", False),
        ("m-202512110", False),
        ("m20251211", False),
        ("m-20251311", False),
        ("m-20251232", False),
        ("m", False),
    ],
)
def test_a_date_may_be_written_without_dashes(name: str, is_found: bool) -> None:
    """As some gateways write it; to the package it is the same date."""
    match = types.ClauseContains("-2025-12-11")
    known = types.Provider(
        "p", "P", "", models=[types.ModelInfo("some", match, prices=types.ModelPrice(input_mtok=Decimal(1)))]
    )
    assert (known.find_model(name) is not None) == is_found
    assert (PriceList("v", (_provider(known),)).find("p", name) is not None) == is_found


# --- A few, as anyone can look them up --------------------------------------------------------------------------------


def test_a_long_input_makes_a_call_dearer() -> None:
    """From one token above the length on."""
    found = prices("google", "gemini-2.5-pro")
    assert (found.for_input(200_000).input, found.for_input(200_000).output) == (Decimal("1.25"), Decimal(10))
    assert (found.for_input(200_001).input, found.for_input(200_001).output) == (Decimal("2.5"), Decimal(15))


def test_a_class_without_a_price_costs_what_the_nearest_does() -> None:
    """Reasoning is output, an image is input; a cache write that is kept for an hour has a price of its own here."""
    rates = prices("anthropic", "claude-sonnet-4-5").rates
    assert (rates.input, rates.output) == (Decimal(3), Decimal(15))
    assert (rates.cache_read, rates.cache_write, rates.cache_write_1h) == (Decimal("0.3"), Decimal("3.75"), Decimal(6))
    assert (rates.reasoning, rates.image_input, rates.audio_input) == (rates.output, rates.input, rates.input)
    bare = prices("openai", "gpt-4").rates
    assert bare.cache_read == bare.cache_write == bare.cache_write_1h == bare.input == 30


def test_a_call_may_cost_something_by_itself() -> None:
    """Some providers charge for the request, too."""
    assert prices("perplexity", "sonar").per_call > 0
    assert prices("openai", "gpt-4o").per_call == 0


def test_a_call_may_cost_nothing_but_itself() -> None:
    """A thousand calls for five dollars, however long they are."""
    prices = types.ModelPrice(requests_kcount=Decimal(5))
    known = types.Provider("p", "P", "", models=[types.ModelInfo("m", types.ClauseEquals("m"), prices=prices)])
    (compiled,) = _provider(known).models
    assert compiled.prices_at(NOW).per_call == Decimal("0.005")
    assert compiled.prices_at(NOW).rates.highest_input == compiled.prices_at(NOW).rates.highest_output == 0


@pytest.mark.parametrize(
    ("hours", "minutes", "usd"),
    [(0, 0, "0.135"), (0, 29, "0.135"), (0, 30, "0.27"), (16, 29, "0.27"), (16, 30, "0.135"), (23, 59, "0.135")],
)
def test_a_price_may_depend_on_the_hour(hours: int, minutes: int, usd: str) -> None:
    """DeepSeek's did, every day in UTC: the beginning is within, the end is not."""
    now = Instant(NOW // DAY * DAY + hours * HOUR + minutes * MINUTE)
    assert prices("deepseek", "deepseek-chat", now).rates.input == Decimal(usd)


def test_a_price_may_change_some_day() -> None:
    """At midnight in UTC, and from then on."""
    known = next(each for each in KNOWN if str(each) == "avian deepseek/deepseek-v4-flash")
    dates = [each.constraint.start_date for each in known.prices if isinstance(each.constraint, types.StartDateConstraint)]
    (changes,) = (from_datetime(datetime.combine(each, time(), UTC)) for each in dates)
    before, after = (known.compiled.prices_at(Instant(changes + offset)).rates.input for offset in (-1, 0))
    assert (before, after) == (Decimal("0.0805"), Decimal("0.14"))


# --- The comparison ---------------------------------------------------------------------------------------------------


def altered(alter: Callable[[Model], Model]) -> PriceList:
    """The price list with one change: to OpenAI's gpt-4o."""
    return replace(
        LIST,
        providers=tuple(
            replace(provider, models=tuple(alter(each) if each.model == "gpt-4o" else each for each in provider.models))
            if provider.provider == "openai"
            else provider
            for provider in LIST.providers
        ),
    )


@pytest.mark.long
def test_a_wrong_price_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Were it a millionth of a cent for a million tokens."""

    def dearer(model: Model) -> Model:
        (only,) = model.prices
        rates = replace(only.prices.rates, input=only.prices.rates.input + Decimal("1e-8"))
        return replace(model, prices=(replace(only, prices=replace(only.prices, rates=rates)),))

    assert campaign.main(altered(dearer), ["--usages", "5", "--names", "1"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert {line.partition(": {")[0] for line in said if "DIFFERS" in line} == {"DIFFERS: openai gpt-4o"}
    assert "0 differ" not in said[-2]
    assert "0 differ" in said[-1]


@pytest.mark.long
def test_a_wrong_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is found by another name only."""

    def hidden(model: Model) -> Model:
        return replace(model, model="gpt-4o-hidden", match=Clause(Operator.EQUALS, "gpt-4o-hidden"))

    assert campaign.main(altered(hidden), ["--usages", "1", "--names", "3"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "DIFFERS: 'gpt-4o' of 'openai' is openai gpt-4o-hidden and not none" in said
    assert "0 differ" in next(line for line in said if "usages" in line)


def test_every_model_is_found_by_its_own_name() -> None:
    """The one that a table of prices shows for it, at its provider."""
    price_list = bundled_price_list()
    missed = [each for each in price_list.models() if price_list.find(each.provider, each.model.model) != each]
    assert missed == []
