"""The list's prices of calls that were served in another way than usual: each of them is reached, and is the package's.

The values are those of the providers' own pages, as genai-prices 0.2.3 has them: https://platform.openai.com/docs/pricing,
https://platform.claude.com/docs/en/about-claude/pricing, https://ai.google.dev/gemini-api/docs/pricing and the like.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from genai_prices import Usage as KnownUsage
from genai_prices import types
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import _provider, bundled_price_list
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant, from_datetime
from creditmeter.core.prices.price_list import Model
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage
from tests.catalog.campaign import OUR_CONDITIONS, Known, known_models, served

LIST = bundled_price_list()
CARD = RateCard(version="v", effective_from=Instant(0), price_list=LIST)
DAY = datetime(2026, 11, 25, 12, tzinfo=UTC)
KNOWN = tuple(known for known in known_models(LIST) if known.is_priced)
MILLION = 1_000_000

FLEX, BATCH, PRIORITY = Served("flex"), Served("batch"), Served("priority")
FAST = Served("fast")
SEARCHES = {"web_searches": 3}


def cost(usage: Usage, at: datetime = DAY) -> Cost:
    """The cost of a call by the list alone."""
    found = price_usage(CARD, usage, from_datetime(at), is_fact=True)
    assert isinstance(found, Cost), found
    return found


# Each is of a million tokens of input and as many of output: dollars are the two rates, added up.
EACH_WAY = [
    ("anthropic", "claude-fable-5", Served(), "60"),  # 10 + 50
    ("anthropic", "claude-fable-5", BATCH, "30"),  # 5 + 25
    ("anthropic", "claude-fable-5-2", Served(speed="fast"), "96"),  # 16 + 80
    ("google", "gemini-3.8-flash-lite-tts", Served(), "6.5"),  # 0.5 + 6
    ("google", "gemini-3.8-flash-lite-tts", BATCH, "3.25"),  # 0.25 + 3
    ("google", "gemini-3.8-flash-lite-tts", FLEX, "3.25"),  # 0.25 + 3
    ("google", "gemini-3.8-flash-lite-tts", PRIORITY, "11.7"),  # 0.9 + 10.8
    ("groq", "openai/gpt-oss-120b", Served(), "0.75"),  # 0.15 + 0.6
    ("groq", "openai/gpt-oss-120b", BATCH, "0.375"),  # 0.075 + 0.3
    ("mistral", "codestral", Served(), "1.2"),  # 0.3 + 0.9
    ("mistral", "codestral", BATCH, "0.6"),  # 0.15 + 0.45
    ("openai", "gpt-5", Served(), "11.25"),  # 1.25 + 10
    ("openai", "gpt-5", BATCH, "5.625"),  # 0.625 + 5
    ("openai", "gpt-5", FLEX, "5.625"),  # 0.625 + 5
    ("openai", "gpt-5", PRIORITY, "22.5"),  # 2.5 + 20
    ("openai", "gpt-5", FAST, "22.5"),  # 2.5 + 20
    ("openrouter", "mistralai/mistral-large-4-0", Served(), "2.8"),  # 0.7 + 2.1
    ("openrouter", "mistralai/mistral-large-4-0", Served(region="mistral/eu"), "3.08"),  # 0.77 + 2.31
    ("perplexity", "perplexity/sonar", Served(search_type="fast"), "2.75"),  # 0.25 + 2.5
    ("perplexity", "perplexity/sonar", Served(search_type="web"), "2.75"),  # 0.25 + 2.5
    ("x-ai", "grok-4.20", Served(), "7.5"),  # above 199,999 tokens: 2.5 + 5
    ("x-ai", "grok-4.20", BATCH, "6"),  # above 199,999 tokens: 2 + 4
]


@pytest.mark.parametrize(("provider", "model", "served_by", "usd"), EACH_WAY)
def test_each_way_of_each_provider_has_its_price(provider: str, model: str, served_by: Served, usd: str) -> None:
    """Without a flag: the list knows it."""
    found = cost(Usage("text", provider, model, input_tokens=MILLION, output_tokens=MILLION, served=served_by))
    assert (found.usd, found.flags) == (Decimal(usd), ())


def test_no_way_of_a_provider_is_missing_above() -> None:
    """One that a later release has needs a line of its own."""
    listed = {
        (provider.provider, variant.kind, variant.name)
        for provider in LIST.providers
        for model in provider.models
        for variant in model.variants
    }
    kinds = ("service_tier", "speed", "region", "search_type")
    shown = {(provider, kind, getattr(way, kind)) for provider, _, way, _ in EACH_WAY for kind in kinds if getattr(way, kind)}
    assert listed == shown


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        # OpenAI's flex halves cached tokens, too: 60,000 x 0.625 + 40,000 x 0.0625 + 1,000 x 5, all for a million.
        (Usage("text", "openai", "gpt-5", "", 100_000, 1_000, 40_000, served=FLEX), "0.045"),
        # The list has no cached rate of a batch of gpt-4.1: the standard one counts. 60,000 x 1 + 40,000 x 0.5 + 1,000 x 4.
        (Usage("text", "openai", "gpt-4.1", "", 100_000, 1_000, 40_000, served=BATCH), "0.084"),
        # A batch of Anthropic's that writes to the cache for an hour: 10,000 x 10 + 1,000 x 25.
        (Usage("text", "anthropic", "claude-fable-5", "", 10_000, 1_000, None, 10_000, 10_000, served=BATCH), "0.125"),
        # In capitals, as some libraries hand it on.
        (Usage("text", "openai", "gpt-5", "", 1_000, 0, served=Served("FLEX")), "0.000625"),
        # A search of Perplexity's fast kind is 1 dollar for a thousand, any other 2.50.
        (Usage("text", "perplexity", "perplexity/sonar", "", 0, 0, units=SEARCHES, served=Served(search_type="fast")), "0.003"),
        (Usage("text", "perplexity", "perplexity/sonar", "", 0, 0, units=SEARCHES), "0.0075"),
    ],
)
def test_classes_and_fees_follow_what_served_the_call(usage: Usage, usd: str) -> None:
    """A variant has all of a model's prices: its own, and the standard ones where it says nothing."""
    assert (cost(usage).usd, cost(usage).flags) == (Decimal(usd), ())


@pytest.mark.parametrize("tier", ["", "standard", "default", "on_demand", "Standard"])
def test_the_standard_tier_by_any_name_is_no_variant(tier: str) -> None:
    """And is not flagged. 1,000 x 1.25 + 1,000 x 10, for a million."""
    found = cost(Usage("text", "openai", "gpt-5", "", 1_000, 1_000, served=Served(tier)))
    assert (found.usd, found.flags) == (Decimal("0.01125"), ())


def test_before_the_list_knew_a_tier_it_has_no_price() -> None:
    """OpenAI's flex is known from 12 October 2026 on: a call that began before is flagged, not priced by later prices."""
    usage = Usage("text", "openai", "gpt-5", "", MILLION, MILLION, served=FLEX)
    first = datetime(2026, 10, 12, tzinfo=UTC)
    assert (cost(usage, first).usd, cost(usage, first).flags) == (Decimal("5.625"), ())
    before = cost(usage, first - timedelta(microseconds=1))
    assert (before.usd, before.flags) == (Decimal("11.25"), (ChargeFlag.UNKNOWN_TIER,))


def moments(known: Known) -> Iterator[datetime]:
    """A moment in each stretch of time in which the prices of a model do not change."""
    constraints = [each.constraint for each in (*known.prices, *(known.model.price_variants or ()))]
    days = {each.start_date for each in constraints if isinstance(each, types.StartDateConstraint)}
    edges = [date(2020, 1, 1), *sorted(days), date(2030, 1, 1)]
    yield from (datetime.combine(begin, time(23, 59), UTC) for begin, _ in pairwise(edges))


def test_every_variant_of_every_model_is_reached() -> None:
    """Whatever the moment: where the package has a price for it, the cost is that price and has no flag."""
    reached = 0
    counts = {"input_tokens": 1_000, "output_tokens": 100, "cache_read_tokens": 10, "web_searches": 2}
    for known in KNOWN:
        for way in known.ways:
            for at in moments(known):
                its_own = [each for each in known.model.price_variants or () if each.when == way]
                is_known = any(each.constraint is None or each.constraint.active(at) for each in its_own)
                usage = Usage("text", known.provider.id, known.model.id, "", 1_000, 100, 10, units={"web_searches": 2})
                found = cost(replace(usage, served=served(way)), at)
                theirs = known.model.calc_price(
                    KnownUsage(**counts), known.provider, genai_request_timestamp=at, price_context=way
                )
                is_standard = way == {"service_tier": "default"}
                assert found.usd == theirs.total_price, (str(known), way, at)
                assert (ChargeFlag.UNKNOWN_TIER in found.flags) == (not is_known and not is_standard), (str(known), way, at)
                reached += is_known
    assert reached > 200


def test_the_list_has_no_condition_that_no_field_says() -> None:
    """Such calls would be priced as if they were standard."""
    whens = [each.when for known in KNOWN for each in known.model.price_variants or ()]
    assert {name for when in whens for name in when} == OUR_CONDITIONS.keys()
    assert {len(when) for when in whens} == {1}


CONSTRAINTS = (
    st.none()
    | st.builds(types.StartDateConstraint, st.dates(date(2026, 1, 1), date(2026, 1, 4)))
    | st.builds(types.TimeOfDateConstraint, st.sampled_from([time(2), time(8)]), st.sampled_from([time(3), time(20)]))
)


@given(
    st.lists(CONSTRAINTS, min_size=1, max_size=4),
    st.lists(CONSTRAINTS, max_size=4),
    st.datetimes(datetime(2025, 12, 31), datetime(2026, 1, 6)),  # noqa: DTZ001 - the zone is put on below
)
def test_variants_change_when_the_packages_do(
    plain: list[types.StartDateConstraint | types.TimeOfDateConstraint | None],
    flex: list[types.StartDateConstraint | types.TimeOfDateConstraint | None],
    moment: datetime,
) -> None:
    """By the day and by the hour, in any order and combination; and none is made up where the package has none."""
    at = moment.replace(tzinfo=UTC)
    known = types.ModelInfo(
        "m",
        types.ClauseEquals("m"),
        prices=[types.ConditionalPrice(each, prices=_price(number)) for number, each in enumerate(plain)],
        price_variants=[types.PriceVariant({"service_tier": "flex"}, _price(100 + i), each) for i, each in enumerate(flex)],
    )
    model = _compiled(known)
    found = model.variant_at("service_tier", "flex", from_datetime(at))
    if any(each is None or each.active(at) for each in flex):
        assert found is not None
        assert found.rates.input == vars(known.get_prices(at, {"service_tier": "flex"}))["input_mtok"]
    else:
        assert found is None


def _price(number: int) -> types.ModelPrice:
    return types.ModelPrice(input_mtok=Decimal(number), output_mtok=Decimal(number))


def _compiled(known: types.ModelInfo) -> Model:
    (model,) = _provider(types.Provider("p", "P", "", models=[known])).models
    return model
