"""The sections `tiers` and `fees` of a rate card, and rates of rare classes: what they say, and what is wrong with them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.prices.rate_card_document import parse_rate_card
from tests.core.prices.documents import problems

HEAD = 'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n'


def test_tiers_are_read_by_provider_kind_and_name() -> None:
    """Names of providers are those of price lists, other names are in lower case."""
    card = parse_rate_card(
        HEAD
        + """\
        [tiers]
        flex = "0.5"
        Priority = 2
        speed = { fast = 6 }
        [tiers.x_ai]
        batch = "0.8"
        [tiers.x_ai.region]
        US = "1.1"
        """
    )
    assert card.tiers == {
        ("", "service_tier", "flex"): Decimal("0.5"),
        ("", "service_tier", "priority"): Decimal(2),
        ("", "speed", "fast"): Decimal(6),
        ("x-ai", "service_tier", "batch"): Decimal("0.8"),
        ("x-ai", "region", "us"): Decimal("1.1"),
    }
    assert card.tier_factor("x-ai", "service_tier", "batch") == Decimal("0.8")
    assert card.tier_factor("x-ai", "service_tier", "flex") == Decimal("0.5")
    assert card.tier_factor("openai", "service_tier", "batch") is None


def test_fees_are_read_by_provider_model_and_unit() -> None:
    """A model stands below its provider, its name in lower case."""
    card = parse_rate_card(
        HEAD
        + """\
        [fees]
        web_searches = 10
        [fees."gcp.gemini"]
        web_searches = 35
        [fees.openai."GPT-4o"]
        file_searches = "2.50"
        """
    )
    assert card.fees == {
        ("", "", "web_searches"): Decimal(10),
        ("google", "", "web_searches"): Decimal(35),
        ("openai", "gpt-4o", "file_searches"): Decimal("2.50"),
    }


def test_a_card_without_the_sections_has_neither() -> None:
    """As those of an older form."""
    card = parse_rate_card(HEAD)
    assert (card.tiers, card.fees) == ({}, {})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("tiers = 1", ["line 3: tiers must be a table"]),
        ("[tiers]\nflex = -1", ["line 4, tiers: flex must not be negative"]),
        ('[tiers]\nflex = "half"', ['line 4, tiers: flex must be a number such as "0.25" or 2']),
        ("[tiers]\nflex = 1000", ["line 4, tiers: flex must be below 1,000 and have at most 4 decimal places"]),
        ('[tiers]\nflex = "0.00001"', ["line 4, tiers: flex must be below 1,000 and have at most 4 decimal places"]),
        ("[tiers]\nstandard = 1", ["line 4, tiers: standard means the standard price, which has no factor"]),
        ("[tiers.openai]\nDefault = 1", ["line 4, tiers.openai: Default means the standard price, which has no factor"]),
        ("[tiers.region]\nglobal = 1", ["line 4, tiers.region: global means the standard price, which has no factor"]),
        ("[tiers]\nspeed = 2", ["line 4, tiers: speed must be a table"]),
        ("[tiers.openai]\nregion = 2", ["line 4, tiers.openai: region must be a table"]),
        ("[tiers.openai.flex]\nx = 1", ['line 3, tiers.openai: flex must be a number such as "0.25" or 2']),
        ("[tiers.openai.speed.fast]\nx = 1", ['line 3, tiers.openai.speed: fast must be a number such as "0.25" or 2']),
        ("[tiers]\nflex = 1\nFlex = 2", ["line 5, tiers: Flex is given more than once"]),
        ("[tiers.x_ai]\nflex = 1\n[tiers.x-ai]\nflex = 2", ["line 6, tiers.x-ai: flex is given more than once"]),
        ('[tiers]\n"" = 1', ['line 4, tiers: "" must be a name that is not empty']),
        ("fees = 1", ["line 3: fees must be a table"]),
        ("[fees]\nweb_searches = -1", ["line 4, fees: web_searches must not be negative"]),
        ("[fees.openai]\nweb_searches = true", ['line 4, fees.openai: web_searches must be a number such as "0.25" or 2']),
        ("[fees.openai.m.web]\nx = 1", ['line 3, fees.openai.m: web must be a number such as "0.25" or 2']),
        ("[fees.openai.m]\nweb_searches = -1", ["line 4, fees.openai.m: web_searches must not be negative"]),
        (
            "[fees]\ncitation_tokens = 2",
            ["line 4, fees: citation_tokens is a class of tokens, with a rate in text.models, and has no fee"],
        ),
        (
            "[fees.gcp_gemini]\na = 1\n[fees.openai.M]\na = 1\n[fees.openai.m]\na = 1",
            ["line 8, fees.openai.m: a is given more than once"],
        ),
        (
            'credits_per_usd = 100000000\n[fees]\nweb_searches = "10000.001"',
            ["line 5, fees: web_searches comes to more than 1,000,000,000 credits each"],
        ),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\ncached_audio = -1\ncitations = 2',
            [
                'line 7, text.models "m": cached_audio must not be negative',
                'line 8, text.models "m": citations is not a key of this table',
            ],
        ),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\nvideo_output = 10000001',
            ['line 7, text.models "m": video_output comes to more than 1,000,000,000 credits'],
        ),
    ],
)
def test_each_problem_has_its_line(document: str, expected: list[str]) -> None:
    """And says what is wrong, and where."""
    assert problems(HEAD + document) == expected


@given(st.decimals(0, 999, places=4))
def test_every_factor_is_read_exactly(factor: Decimal) -> None:
    """To its last decimal place."""
    card = parse_rate_card(f'{HEAD}[tiers]\nflex = "{factor:f}"')
    assert card.tiers == {("", "service_tier", "flex"): factor}
