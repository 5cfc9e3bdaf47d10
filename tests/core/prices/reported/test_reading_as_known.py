"""What providers report, read as the genai-prices package reads it."""

from collections.abc import Iterator
from typing import Any

import pytest
from genai_prices import extract_usage
from genai_prices.data import providers
from genai_prices.types import ArrayMatch, ClauseEquals, UsageExtractor
from hypothesis import given, settings
from hypothesis import strategies as st

from creditmeter.core.prices.rate_card import MAX_TOKENS
from tests.catalog.campaign import OUR_NAMES
from tests.core.prices.reports import CHAT, GEMINI, GROK, IMAGES, MESSAGE, read
from tests.properties import times_as_many

NOT_READ = {
    ("mistral", "ocr"): "pages, no tokens",
    ("mistral", "ocr_annotated"): "the same",
    ("openai", "live"): "seconds, no tokens",
}
WITHOUT = {("perplexity", "default"): {"citation_tokens"}, ("cohere", "tokens"): {"cached_tokens"}}
"""Counts that are no part of ours: citations are units of their own, and Cohere's cached tokens are named as unread."""


def flavors(*, read: bool) -> Iterator[Any]:
    """Every provider's way of reporting that the package knows and we read, or do not."""
    for provider in providers:
        for extractor in provider.extractors or ():
            if read is ((provider.id, extractor.api_flavor) not in NOT_READ):
                yield pytest.param(provider.id, extractor, id=f"{provider.id}-{extractor.api_flavor}")


def as_the_package_reads(document: Any, provider: str, flavor: str) -> dict[str, int | None]:
    """The counts that the package finds, by our names."""
    found = vars(extract_usage(document, provider_id=provider, api_flavor=flavor).usage)
    return {ours: found.get(theirs) for theirs, ours in OUR_NAMES.items()}


def as_we_read(document: Any, provider: str) -> dict[str, int | None]:
    """The counts that we find."""
    usage = read(document, provider)
    return {ours: getattr(usage, ours) for ours in OUR_NAMES.values()}


@pytest.mark.parametrize(
    ("provider", "flavor", "document"),
    [
        ("openai", "chat", {"usage": CHAT | {"prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": 3}}}),
        (
            "openai",
            "responses",
            {"usage": {"input_tokens": 36, "output_tokens": 87, "output_tokens_details": {"reasoning_tokens": 64}}},
        ),
        ("openai", "images", IMAGES),
        ("anthropic", "default", {"usage": MESSAGE}),
        ("google", "default", {"usageMetadata": GEMINI}),
        ("aws", "default", {"usage": {"inputTokens": 3, "cacheReadInputTokens": 20, "outputTokens": 5}}),
        ("aws", "anthropic", {"usage": MESSAGE}),
        ("openrouter", "chat", {"usage": CHAT | {"prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 50}}}),
        ("x-ai", "chat", {"usage": GROK}),
        (
            "deepseek",
            "chat",
            {"usage": CHAT | {"prompt_cache_hit_tokens": 900, "prompt_tokens_details": {"cached_tokens": 900}}},
        ),
        ("groq", "default", {"usage": CHAT | {"queue_time": 0.03, "completion_tokens_details": {"reasoning_tokens": 7}}}),
        ("mistral", "default", {"usage": CHAT}),
        ("azure", "chat", {"usage": CHAT | {"completion_tokens_details": {"reasoning_tokens": 7}}}),
    ],
)
def test_samples_are_read_as_the_package_reads_them(provider: str, flavor: str, document: Any) -> None:
    """Whole responses, as they come."""
    assert as_we_read(document, provider) == as_the_package_reads(document, provider, flavor)


@st.composite
def responses(draw: st.DrawFn, extractor: UsageExtractor, without: set[str]) -> Any:
    """A response as an extractor reads it: the totals and what else must be there, and any of the rest."""
    usage: dict[str, Any] = {}
    totals = {mapping.dest: mapping.path for mapping in reversed(extractor.mappings)}
    needed = [mapping.path for mapping in extractor.mappings if mapping.required]
    needed += [path for dest, path in totals.items() if dest in ("input_tokens", "output_tokens")]
    for path in {repr(mapping.path): mapping.path for mapping in extractor.mappings}.values():
        steps = [path] if isinstance(path, str) else list(path)
        if steps[-1] not in without and (path in needed or draw(st.booleans())):
            put(usage, steps, draw(st.integers(0, MAX_TOKENS)))
    for whole, parts in (("cache_creation_input_tokens", "cache_creation"), ("cacheWriteInputTokens", "cacheDetails")):
        if whole not in usage or _sum_of_counts(usage.get(parts)) > usage[whole]:
            usage.pop(parts, None)  # the package does not add up its parts, nor see that they are more
    for details, whole in (("promptTokensDetails", "promptTokenCount"), ("toolUsePromptTokensDetails", "promptTokenCount")):
        if sum(each["tokenCount"] for each in usage.get(details, ())) > usage.get(whole, 0) // 2:
            usage.pop(details)  # what cannot be in the prompt is beside it, which the package does not know
    for step in reversed([extractor.root] if isinstance(extractor.root, str) else list(extractor.root)):
        usage = {str(step): usage}
    return usage


def _sum_of_counts(parts: Any) -> int:
    """The sum of the counts in an object, or in the objects of a list."""
    items = parts if isinstance(parts, list) else [parts or {}]
    return sum(count for each in items for count in each.values() if isinstance(count, int))


def put(place: Any, steps: list[Any], count: int) -> None:
    """Put a count where a path leads to; a step may be an item of a list, by what one of its fields equals."""
    step, *rest = steps
    if not rest:
        place[step] = count
    elif isinstance(step, ArrayMatch):
        assert isinstance(step.match, ClauseEquals)
        item = next((each for each in place if each[step.field] == step.match.equals), {step.field: step.match.equals})
        place[:] = [*(each for each in place if each is not item), item]
        put(item, rest, count)
    else:
        put(place.setdefault(step, [] if isinstance(rest[0], ArrayMatch) else {}), rest, count)


@pytest.mark.parametrize(("provider", "extractor"), list(flavors(read=True)))
@times_as_many(0.3)
@given(st.data())
def test_all_are_read_as_the_package_reads_them(provider: str, extractor: UsageExtractor, data: st.DataObject) -> None:
    """Whatever a provider counts, in every shape that the package knows of it."""
    document = data.draw(responses(extractor, WITHOUT.get((provider, extractor.api_flavor), set())))
    assert as_we_read(document, provider) == as_the_package_reads(document, provider, extractor.api_flavor)


@pytest.mark.parametrize(("provider", "extractor"), list(flavors(read=False)))
@settings(max_examples=5)
@given(st.data())
def test_what_is_not_read_has_no_counts(provider: str, extractor: UsageExtractor, data: st.DataObject) -> None:
    """Rather than being misread; an exception that is none any more is taken off the list."""
    counts = as_we_read(data.draw(responses(extractor, set())), provider)
    assert set(counts.values()) == {None}


def test_all_exceptions_exist() -> None:
    """The package knows what is said not to be read."""
    assert {(each.values[0], each.values[1].api_flavor) for each in flavors(read=False)} == NOT_READ.keys()
