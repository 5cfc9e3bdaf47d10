"""What 100,000 tokens of each class cost at each tier, reported in the words of each provider: worked out by hand.

Which cells there are comes from the price list and the rate card: each class with a rate of its own, at each tier with a price
or a factor. Prices are those of the price list that `scripts/requirements` pins.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import TextRule
from creditmeter.core.prices.rate_cards import LoadedCard, RateCards
from creditmeter.core.prices.rates import STAND_INS, TextPrices
from creditmeter.core.work import Usage

NOW = Instant(1_796_000_000_000_000)
"""At the end of November 2026."""

N = 100_000
TIERS = ("standard", "flex", "batch", "priority")

Document = dict[str, Any]
Words = Mapping[str, Callable[[], Document]]


class Asked(NamedTuple):
    """A model of a provider."""

    provider: str
    model: str


# --- The words of each provider: a document that has 100,000 tokens of a class, and no others ---------------------------


def chat(**more: Any) -> Document:
    """Usage as OpenAI's chat completions have it."""
    return {"usage": {"prompt_tokens": 0, "completion_tokens": 0} | more}


CHAT: Words = {
    "input": lambda: chat(prompt_tokens=N),
    "cache_read": lambda: chat(prompt_tokens=N, prompt_tokens_details={"cached_tokens": N}),
    "output": lambda: chat(completion_tokens=N),
    "reasoning": lambda: chat(completion_tokens=N, completion_tokens_details={"reasoning_tokens": N}),
}
GROK_WORDS: Words = {**CHAT, "reasoning": lambda: chat(completion_tokens_details={"reasoning_tokens": N})}
RESEARCH_WORDS: Words = {
    **{name: CHAT[name] for name in ("input", "output")},
    "reasoning": lambda: chat(reasoning_tokens=N),
    "citation": lambda: chat(citation_tokens=N),
}


def sides(*, spoken: int = 0, details: Document | None = None, spoken_details: Document | None = None) -> Document:
    """Usage as OpenAI's realtime and images have it: what is not spoken is input."""
    counts = {"input_tokens": 0 if spoken else N, "output_tokens": spoken}
    return {"usage": counts | {"input_tokens_details": details or {}, "output_tokens_details": spoken_details or {}}}


def cached(kind: str) -> Document:
    """Details of input of one kind that all came from the cache."""
    return {kind: N, "cached_tokens": N, "cached_tokens_details": {kind: N}}


REALTIME_WORDS: Words = {
    "input": sides,
    "cache_read": lambda: sides(details={"cached_tokens": N}),
    "output": lambda: sides(spoken=N),
    "audio_input": lambda: sides(details={"audio_tokens": N}),
    "audio_output": lambda: sides(spoken=N, spoken_details={"audio_tokens": N}),
    "image_input": lambda: sides(details={"image_tokens": N}),
    "cached_audio": lambda: sides(details=cached("audio_tokens")),
    "cached_image": lambda: sides(details=cached("image_tokens")),
}
IMAGE_WORDS: Words = {
    **{name: REALTIME_WORDS[name] for name in ("input", "cache_read", "image_input", "cached_image")},
    "output": lambda: sides(spoken=N, spoken_details={"image_tokens": N}),
}


def message(**counts: Any) -> Document:
    """Usage as Anthropic has it."""
    return {"usage": {"input_tokens": 0, "output_tokens": 0} | counts}


MESSAGES: Words = {
    "input": lambda: message(input_tokens=N),
    "cache_read": lambda: message(cache_read_input_tokens=N),
    "cache_write": lambda: message(cache_creation_input_tokens=N, cache_creation={"ephemeral_5m_input_tokens": N}),
    "cache_write_1h": lambda: message(cache_creation_input_tokens=N, cache_creation={"ephemeral_1h_input_tokens": N}),
    "output": lambda: message(output_tokens=N),
}


def generated(**counts: Any) -> Document:
    """Usage as Gemini has it."""
    return {"usageMetadata": {"promptTokenCount": 0, "candidatesTokenCount": 0} | counts}


def of_audio(name: str) -> Document:
    """Details of a count that is all audio."""
    return {name: [{"modality": "AUDIO", "tokenCount": N}]}


GEMINI: Words = {
    "input": lambda: generated(promptTokenCount=N),
    "cache_read": lambda: generated(promptTokenCount=N, cachedContentTokenCount=N),
    "output": lambda: generated(candidatesTokenCount=N),
    "reasoning": lambda: generated(thoughtsTokenCount=N),
    "audio_input": lambda: generated(promptTokenCount=N, **of_audio("promptTokensDetails")),
    "cached_audio": lambda: generated(
        promptTokenCount=N, cachedContentTokenCount=N, **of_audio("promptTokensDetails"), **of_audio("cacheTokensDetails")
    ),
}
GEMINI_IMAGE: Words = {
    "input": GEMINI["input"],
    "output": lambda: generated(candidatesTokenCount=N, candidatesTokensDetails=[{"modality": "TEXT", "tokenCount": N}]),
    "image_output": lambda: generated(candidatesTokenCount=N, candidatesTokensDetails=[{"modality": "IMAGE", "tokenCount": N}]),
}


def conversed(**counts: Any) -> Document:
    """Usage as Bedrock Converse has it."""
    return {"usage": {"inputTokens": 0, "outputTokens": 0} | counts}


CONVERSE: Words = {
    "input": lambda: conversed(inputTokens=N),
    "cache_read": lambda: conversed(cacheReadInputTokens=N),
    "cache_write": lambda: conversed(cacheWriteInputTokens=N),
    "cache_write_1h": lambda: conversed(cacheWriteInputTokens=N, cacheDetails=[{"ttl": "1h", "inputTokens": N}]),
    "output": lambda: conversed(outputTokens=N),
}

GPT_5, GPT_4_1 = Asked("openai", "gpt-5"), Asked("openai", "gpt-4.1")
REALTIME, IMAGE = Asked("openai", "gpt-realtime"), Asked("openai", "gpt-image-1")
SONNET = Asked("anthropic", "claude-sonnet-4-5")
FLASH, FLASH_IMAGE = Asked("google", "gemini-2.5-flash"), Asked("google", "gemini-2.5-flash-image")
GROK = Asked("x-ai", "grok-4")
NOVA, REGIONAL = Asked("aws", "amazon.nova-pro-v1:0"), Asked("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
RESEARCH = Asked("perplexity", "sonar-deep-research")
OSS = Asked("groq", "openai/gpt-oss-120b")

WORDS: Mapping[Asked, Words] = {
    GPT_5: CHAT,
    GPT_4_1: CHAT,
    REALTIME: REALTIME_WORDS,
    IMAGE: IMAGE_WORDS,
    SONNET: MESSAGES,
    FLASH: GEMINI,
    FLASH_IMAGE: GEMINI_IMAGE,
    GROK: GROK_WORDS,
    NOVA: {name: CONVERSE[name] for name in ("input", "cache_read", "output")},
    REGIONAL: CONVERSE,
    RESEARCH: RESEARCH_WORDS,
    OSS: CHAT,
}


# --- What it costs, in dollars ------------------------------------------------------------------------------------------

_GPT_5_HALF = {"input": ".0625", "cache_read": ".00625", "output": ".5", "reasoning": ".5"}
_REALTIME_HALF = {"input": ".2", "cache_read": ".02", "output": ".8", "audio_input": "1.6", "audio_output": "3.2"} | {
    "image_input": ".25",
    "cached_audio": ".02",
    "cached_image": ".025",
}

USD: Mapping[Asked, Mapping[str, Mapping[str, str]]] = {
    GPT_5: {
        "standard": {"input": ".125", "cache_read": ".0125", "output": "1", "reasoning": "1"},
        "flex": _GPT_5_HALF,
        "batch": _GPT_5_HALF,
        "priority": {"input": ".25", "cache_read": ".025", "output": "2", "reasoning": "2"},
    },
    GPT_4_1: {
        "standard": {"input": ".2", "cache_read": ".05", "output": ".8", "reasoning": ".8"},
        "flex": {"input": ".1", "cache_read": ".025", "output": ".4", "reasoning": ".4"},
        "batch": {"input": ".1", "cache_read": ".05", "output": ".4", "reasoning": ".4"},
        "priority": {"input": ".35", "cache_read": ".0875", "output": "1.4", "reasoning": "1.4"},
    },
    REALTIME: {
        "standard": {"input": ".4", "cache_read": ".04", "output": "1.6", "audio_input": "3.2", "audio_output": "6.4"}
        | {"image_input": ".5", "cached_audio": ".04", "cached_image": ".05"},
        "flex": _REALTIME_HALF,
        "batch": _REALTIME_HALF,
    },
    IMAGE: {
        "standard": {"input": ".5", "cache_read": ".125", "image_input": "1", "cached_image": ".25", "output": "4"},
        "flex": {"input": ".25", "cache_read": ".0625", "image_input": ".5", "cached_image": ".125", "output": "2"},
        "batch": {"input": ".25", "cache_read": ".063", "image_input": ".5", "cached_image": ".125", "output": "2"},
    },
    SONNET: {
        "standard": {"input": ".3", "cache_read": ".03", "cache_write": ".375", "cache_write_1h": ".6", "output": "1.5"},
        "batch": {"input": ".15", "cache_read": ".015", "cache_write": ".1875", "cache_write_1h": ".3", "output": ".75"},
    },
    FLASH: {
        "standard": {"input": ".03", "cache_read": ".003", "audio_input": ".1", "cached_audio": ".01"}
        | {"output": ".25", "reasoning": ".25"},
        "batch": {"input": ".015", "cache_read": ".003", "audio_input": ".05", "cached_audio": ".01"}
        | {"output": ".125", "reasoning": ".125"},
    },
    FLASH_IMAGE: {
        "standard": {"input": ".03", "output": ".25", "image_output": "3"},
        "batch": {"input": ".015", "output": ".125", "image_output": "1.5"},
    },
    GROK: {"standard": {"input": ".3", "cache_read": ".075", "output": "1.5", "reasoning": "1.5"}},
    NOVA: {"standard": {"input": ".08", "cache_read": ".02", "output": ".32"}},
    REGIONAL: {
        "standard": {"input": ".33", "cache_read": ".033", "cache_write": ".4125", "cache_write_1h": ".66", "output": "1.65"}
    },
    RESEARCH: {"standard": {"input": ".2", "output": ".8", "reasoning": ".3", "citation": ".2"}},
    OSS: {
        "standard": {"input": ".015", "cache_read": ".0075", "output": ".06", "reasoning": ".06"},
        "flex": {"input": ".015", "cache_read": ".0075", "output": ".06", "reasoning": ".06"},
        "batch": {"input": ".0075", "cache_read": ".0075", "output": ".03", "reasoning": ".03"},
    },
}


def rows() -> Iterator[Any]:
    """Every cell of the table."""
    for asked, by_tier in USD.items():
        for tier, by_class in by_tier.items():
            for token_class, usd in by_class.items():
                yield pytest.param(asked, tier, token_class, usd, id=f"{asked.model}-{tier}-{token_class}")


@pytest.mark.parametrize(("asked", "tier", "token_class", "usd"), list(rows()))
def test_tokens_of_a_class_cost(card: LoadedCard, asked: Asked, tier: str, token_class: str, usd: str) -> None:
    """What the provider's page says; without a flag but that of the least price of a call."""
    document = WORDS[asked][token_class]() | {"model": asked.model, "service_tier": tier}
    usage = Usage(action="text", provider=asked.provider, provider_usage_json=json.dumps(document))
    cost = Pricing(RateCards(card.card)).cost(usage, None, NOW, is_fact=True)
    assert isinstance(cost, Cost)
    assert (cost.usd, cost.flags) == (Decimal(usd), ())


@pytest.mark.parametrize("asked", USD, ids=lambda asked: asked.model)
def test_every_cell_is_worked_out(card: LoadedCard, asked: Asked) -> None:
    """Every class with a rate of its own, at every tier that the list or the card knows, and what providers always report."""
    rule = card.card.text_rule(*asked)
    assert rule is not None
    expected = {
        tier: own_classes(prices) | set(WORDS[asked]) for tier in TIERS if (prices := prices_at(card, rule, tier)) is not None
    }
    assert {tier: set(by_class) for tier, by_class in USD[asked].items()} == expected


def prices_at(card: LoadedCard, rule: TextRule, tier: str) -> TextPrices | None:
    """The prices at a tier, before any factor; None if nothing says what it costs."""
    if tier == "standard":
        return rule.prices_at(NOW)
    has_factor = card.card.tier_factor(rule.provider, "service_tier", tier) is not None
    return rule.variant_at("service_tier", tier, NOW) or (rule.prices_at(NOW) if has_factor else None)


def own_classes(prices: TextPrices) -> set[str]:
    """The classes with a rate that is not that of another class."""
    rates = prices.rates
    own = {name for name, stand_in in STAND_INS.items() if getattr(rates, name) != getattr(rates, stand_in)}
    return {"input", "output", *own, *rates.rare}
