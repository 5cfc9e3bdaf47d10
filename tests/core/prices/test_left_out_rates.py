"""Rates that a price list leaves out: a class that has none of its own costs what it does at the maker of its model.

| list                                  | class        | rate                                        |
| ------------------------------------- | ------------ | ------------------------------------------- |
| OpenRouter has text alone             | image output | that of the maker                           |
| OpenRouter has a rate of its own      | audio        | its own                                     |
| the maker has other rates of text     | any          | OpenRouter's rate of text                   |
| the maker is not listed               | any          | OpenRouter's rate of text                   |
| another host has text alone           | any          | the host's rate of text                     |
| longer inputs have rates of their own | image output | that of the maker for inputs of this length |
| OpenAI's first models of audio        | audio        | what OpenAI charges                         |
"""

import dataclasses
from decimal import Decimal

import pytest

from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rates import LongContext, TextPrices, TextRates
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage
from tests.core.prices.priced import CARD, NOW, price, unbounded


def rates(text_in: int, text_out: int, **others: int) -> TextRates:
    """Rates of text, those of other classes if they are given, and one of video."""
    classes = {
        **dict.fromkeys(("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "image_input"), text_in),
        **dict.fromkeys(("output", "reasoning", "audio_output", "image_output"), text_out),
    }
    return TextRates(**{name: Decimal(rate) for name, rate in (classes | others).items()})  # type: ignore[arg-type]


def model(name: str, *prices: TextPrices) -> Model:
    """A model with these prices, one after another."""
    return Model(name, Clause(Operator.EQUALS, name), tuple(map(Conditional, prices)))


def listing(**providers: Model) -> RateCard:
    """A card with a price list of one model at each provider."""
    every = tuple(Provider(name.replace("_", "-"), (each,)) for name, each in providers.items())
    return RateCard(version="v", effective_from=Instant(0), price_list=PriceList("l", every))


def rates_of(card: RateCard, provider: str, name: str, tokens: int = 0) -> TextRates:
    """The rates by which a call is priced now."""
    rule = card.text_rule(provider, name)
    assert rule is not None
    return rule.prices_at(NOW).for_input(tokens)


MAKER = model("paint", TextPrices(rates(1, 2, image_output=60, audio_input=7, cache_read=9)))


def test_a_class_without_a_rate_has_that_of_the_maker() -> None:
    """But what is cached is no such class."""
    card = listing(google=MAKER, openrouter=model("google/paint", TextPrices(rates(1, 2))))
    assert rates_of(card, "openrouter", "google/paint") == rates(1, 2, image_output=60, audio_input=7)


def test_a_rare_class_without_a_rate_has_that_of_the_maker() -> None:
    """And its own where it has one."""
    video = {"video_input": Decimal(5), "video_output": Decimal(6)}
    maker = model("paint", TextPrices(dataclasses.replace(rates(1, 2), rare=video)))
    own = model("google/paint", TextPrices(dataclasses.replace(rates(1, 2), rare={"video_input": Decimal(4)})))
    found = rates_of(listing(google=maker, openrouter=own), "openrouter", "google/paint")
    assert found.rare == {"video_input": 4, "video_output": 6}


@pytest.mark.parametrize(
    ("card", "provider", "expected"),
    [
        pytest.param(
            listing(google=MAKER, openrouter=model("google/paint", TextPrices(rates(1, 2, image_output=50, audio_input=8)))),
            "openrouter",
            rates(1, 2, image_output=50, audio_input=8),
            id="rates of its own",
        ),
        pytest.param(
            listing(google=MAKER, openrouter=model("google/paint", TextPrices(rates(1, 3)))),
            "openrouter",
            rates(1, 3),
            id="other rates of text at the maker",
        ),
        pytest.param(
            listing(google=model("other", *()), openrouter=model("google/paint", TextPrices(rates(1, 2)))),
            "openrouter",
            rates(1, 2),
            id="no such model at the maker",
        ),
        pytest.param(
            listing(google=MAKER, together=model("google/paint", TextPrices(rates(1, 2)))),
            "together",
            rates(1, 2),
            id="another host",
        ),
    ],
)
def test_anything_else_is_as_it_is_listed(card: RateCard, provider: str, expected: TextRates) -> None:
    """A list that has a rate of its own is believed."""
    assert rates_of(card, provider, "google/paint") == expected


def test_each_length_has_the_rates_of_the_maker_for_it() -> None:
    """Of the newest prices that the maker has."""
    longer = LongContext(100, rates(2, 4, image_output=120))
    maker = model("paint", TextPrices(rates(9, 9)), TextPrices(rates(1, 2, image_output=60), (longer,)))
    own = model("google/paint", TextPrices(rates(1, 2), (LongContext(100, rates(2, 4)),)))
    card = listing(google=maker, openrouter=own)
    assert [rates_of(card, "openrouter", "google/paint", tokens).image_output for tokens in (100, 101)] == [60, 120]


@pytest.mark.parametrize(
    ("provider", "name", "counts", "usd"),
    [
        # 10 * 0.3 + 10 * 2.5 + 1,290 * 30 millionths; text alone would be 0.003253.
        ("openrouter", "google/gemini-2.5-flash-image", (10, 1300, {"image_output_tokens": 1290}), "0.038728"),
        # 100 * 0.3 + 900 * 1 + 10 * 2.5
        ("openrouter", "google/gemini-2.5-flash", (1000, 10, {"audio_input_tokens": 900}), "0.000955"),
        # 10 * 2.5 + 90 * 32 + 20 * 10 + 80 * 64
        ("openrouter", "openai/gpt-audio", (100, 100, {"audio_input_tokens": 90, "audio_output_tokens": 80}), "0.008225"),
        # 10 * 2.5 + 90 * 40 + 20 * 10 + 80 * 80
        (
            "openai",
            "gpt-4o-audio-preview-2025-06-03",
            (100, 100, {"audio_input_tokens": 90, "audio_output_tokens": 80}),
            "0.010225",
        ),
        # 10 * 0.15 + 90 * 10 + 20 * 0.6 + 80 * 20
        (
            "openai",
            "gpt-4o-mini-audio-preview",
            (100, 100, {"audio_input_tokens": 90, "audio_output_tokens": 80}),
            "0.0025135",
        ),
    ],
)
def test_audio_and_images_are_charged(provider: str, name: str, counts: tuple[int, int, dict[str, int]], usd: str) -> None:
    """By hand, for what the list has the rates of text alone."""
    tokens_in, tokens_out, parts = counts
    usage = replace(Usage("text", provider, name, input_tokens=tokens_in, output_tokens=tokens_out), **parts)
    assert price(unbounded(CARD), usage).usd == Decimal(usd)


def test_images_without_any_rate_are_flagged() -> None:
    """Where OpenRouter has text's rates alone and the maker is not listed. Text alone is no such thing."""
    alone = listing(openrouter=model("maker/draws", TextPrices(rates(1, 10))))
    drawn = Usage("text", "openrouter", "maker/draws", input_tokens=0, output_tokens=100, image_output_tokens=100)
    assert flags_of(alone, drawn) == (ChargeFlag.UNREAD_USAGE,)
    assert flags_of(alone, replace(drawn, image_output_tokens=None)) == ()
    assert flags_of(listing(openrouter=model("maker/draws", TextPrices(rates(1, 10, image_output=30)))), drawn) == ()
    elsewhere = listing(somewhere=model("draws", TextPrices(rates(1, 10))))
    assert flags_of(elsewhere, replace(drawn, provider="somewhere", request_model="draws")) == ()


def flags_of(card: RateCard, usage: Usage) -> tuple[ChargeFlag, ...]:
    """The flags of a charge, but for those of rounding."""
    cost = price_usage(unbounded(card), usage, NOW)
    assert isinstance(cost, Cost), cost
    return tuple(flag for flag in cost.flags if flag is not ChargeFlag.MINIMUM)
