"""What stands beside a usage object is not lost: more usage of the same response, and what its provider and frameworks say."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Cost
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.work import Usage
from tests.core.prices.priced import CARD, NOW, unbounded
from tests.core.prices.reports import CHAT, GEMINI, MESSAGE, all_of, counted, one, text_of

SMALL = {"prompt_tokens": 10, "completion_tokens": 5}
SDK = {"inputTokens": 500, "outputTokens": 100, "totalTokens": 600}
SDK_4 = {"promptTokens": 500, "completionTokens": 100, "totalTokens": 600}
SPAN = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50}
LANGCHAIN = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
ANTHROPIC = {
    "input_tokens": 500,
    "cache_creation_input_tokens": 1000,
    "cache_read_input_tokens": 1500,
    "output_tokens": 100,
}
CACHED = counted(**{"in": 3000}, out=100, read=1500, written=1000)
"""500 tokens of plain input, 1,000 that were written to the cache and 1,500 that were read from it."""


# --- Several usage objects of one response -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "counts"),
    [
        pytest.param(
            {"usage": SMALL, "response": {"usage": {"prompt_tokens": 100_000, "completion_tokens": 5}}},
            counted(**{"in": 100_000}, out=5),
            id="the second says more",
        ),
        pytest.param(
            {"usage": {"prompt_tokens": 100_000, "completion_tokens": 5}, "response": {"usage": SMALL}},
            counted(**{"in": 100_000}, out=5),
            id="the first does",
        ),
        pytest.param(
            {"usage": SMALL, "result": {"body": {"usage": {"prompt_tokens": 7, "completion_tokens": 900}}}},
            counted(**{"in": 10}, out=900),
            id="each says more of one class",
        ),
        pytest.param(
            {"usage": SMALL, "response": {"usage": {"input_tokens": 60, "cache_read_input_tokens": 40, "output_tokens": 5}}},
            counted(**{"in": 100}, out=5, read=40),
            id="in other words, where cached tokens are beside the input",
        ),
        pytest.param(
            {
                "usage": {"inputTokens": 100, "outputTokens": 5},
                "response": {"usage": {"inputTokens": 60, "cacheReadTokens": 30}},
            },
            counted(**{"in": 100}, out=5, read=30),
            id="in the same words: each is read by itself",
        ),
        pytest.param(
            {"id": "run", "usage": SMALL, "response": {"id": "r", "usage": {"prompt_tokens": 20, "completion_tokens": 4}}},
            counted(**{"in": 20}, out=5),
            id="an envelope has an id of its own",
        ),
        pytest.param(
            {"usage": SDK, "response": {"id": "aitxt-1", "body": {"id": "msg_1", "usage": ANTHROPIC}}},
            CACHED,
            id="so has the AI SDK's response around the provider's",
        ),
        pytest.param(
            [
                {"id": "a", "usage": SMALL, "response": {"usage": {"prompt_tokens": 20, "completion_tokens": 1}}},
                {"id": "a", "usage": SMALL, "response": {"usage": {"prompt_tokens": 20, "completion_tokens": 8}}},
            ],
            counted(**{"in": 20}, out=8),
            id="events of a stream",
        ),
        pytest.param(
            {"usage": SMALL, "metadata": {"usage": {"prompt_tokens": 9, "completion_tokens": 9}}},
            counted(**{"in": 10}, out=5),
            id="but not what the caller sent",
        ),
        pytest.param(
            {"usage": {"billed_units": {"input_tokens": 9, "output_tokens": 4}, "tokens": {"input_tokens": 80}}},
            counted(**{"in": 9}, out=4),
            id="nor what Cohere does not bill",
        ),
        pytest.param(
            {"usage_metadata": LANGCHAIN, "additional_kwargs": {"usage": {"prompt_tokens": 100, "completion_tokens": 60}}},
            counted(**{"in": 100}, out=60),
            id="LangChain's older place",
        ),
        pytest.param({"raw": {"response": {"usage": SMALL}}}, counted(**{"in": 10}, out=5), id="a raw response, deeper"),
        pytest.param({"raw": {"usage": SMALL}, "parsed": {}}, counted(**{"in": 10}, out=5), id="LangChain's include_raw"),
    ],
)
def test_usage_in_several_places_is_the_largest_of_each_class(document: Any, counts: Mapping[str, int]) -> None:
    """Whatever the order; never the sum, and nothing is left unread."""
    found = one(document)
    assert (found.counts, found.unread) == (counts, ())


WORDS = {
    "chat": lambda read, written, rest, out: {
        "prompt_tokens": read + written + rest,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens": out,
    },
    "messages": lambda read, written, rest, out: {
        "input_tokens": rest,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": out,
    },
    "sdk": lambda read, written, rest, out: {
        "inputTokens": read + written + rest,
        "inputTokenDetails": {"cacheReadTokens": read, "cacheWriteTokens": written},
        "outputTokens": out,
    },
    "converse": lambda read, written, rest, out: {
        "inputTokens": rest,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "outputTokens": out,
    },
}
"""How a call is written with so many tokens read from the cache, written to it, of other input, and of output."""

AMOUNTS = st.tuples(*[st.integers(1, 1000)] * 4)
KEYS = ("usage", "usage_metadata", "response", "result", "response_metadata", "body", "llm_output", "data")


@given(
    st.lists(st.sampled_from(KEYS), min_size=2, max_size=4, unique=True).flatmap(
        lambda keys: st.tuples(*(st.tuples(st.just(key), st.sampled_from(sorted(WORDS)), AMOUNTS) for key in keys))
    )
)
def test_any_usage_in_any_places_is_the_largest_of_each_class(objects: tuple[tuple[str, str, tuple[int, ...]], ...]) -> None:
    """In whatever words, and however many: none adds to another, and none hides another."""
    counts = [amounts for _, _, amounts in objects]
    inputs = max(sum(each[:3]) for each in counts)
    read, written, _, out = (max(each) for each in zip(*counts, strict=True))
    found = one({key: WORDS[name](*amounts) for key, name, amounts in objects})
    assert (found.counts, found.unread) == (counted(**{"in": inputs}, out=out, read=read, written=written), ())


def test_responses_with_ids_of_their_own_are_two() -> None:
    """Under whatever keys they stand: 10 and 20 tokens of input."""
    larger = {"prompt_tokens": 20, "completion_tokens": 6}
    found = all_of({"response": {"id": "a", "usage": SMALL}, "result": {"id": "b", "usage": larger}})
    assert [(each.response_id, each.counts) for each in found] == [
        ("a", counted(**{"in": 10}, out=5)),
        ("b", counted(**{"in": 20}, out=6)),
    ]


@pytest.mark.parametrize(
    ("prompt_tokens", "unread"),
    [
        (10, ("data.usage.prompt_tokens", "data.usage.completion_tokens")),
        (299, ("data.usage.prompt_tokens", "data.usage.completion_tokens")),
        (300, ()),
    ],
)
def test_several_responses_that_say_more_than_the_whole_are_named(prompt_tokens: int, unread: tuple[str, ...]) -> None:
    """Of 100 and 200 tokens a whole of 300 is the sum."""
    parts = [
        {"id": name, "usage": {"prompt_tokens": count, "completion_tokens": 5}} for name, count in (("a", 100), ("b", 200))
    ]
    document = {"usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 5}, "data": parts}
    assert one(document).unread == unread


def test_a_callers_metadata_that_says_more_is_named() -> None:
    """It counts for nothing, and not in silence."""
    found = one({"usage": SMALL, "metadata": {"usage": {"prompt_tokens": 11, "completion_tokens": 1}}})
    assert found.counts == counted(**{"in": 10}, out=5)
    assert found.unread == ("metadata.usage.prompt_tokens", "metadata.usage.completion_tokens")


# --- The AI SDK's metadata ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "usage", "metadata", "counts"),
    [
        pytest.param(
            "anthropic",
            SDK_4,
            {"anthropic": {"cacheCreationInputTokens": 1000, "cacheReadInputTokens": 1500}},
            CACHED,
            id="4, Anthropic: beside promptTokens",
        ),
        pytest.param(
            "aws",
            SDK_4,
            {"bedrock": {"usage": {"cacheWriteInputTokens": 1000, "cacheReadInputTokens": 1500}}},
            CACHED,
            id="4, Bedrock: the same",
        ),
        pytest.param(
            "openai",
            SDK_4,
            {"openai": {"cachedPromptTokens": 400, "reasoningTokens": 60, "acceptedPredictionTokens": 5}},
            counted(**{"in": 500}, out=100, read=400, thought=60),
            id="4, OpenAI: within promptTokens",
        ),
        pytest.param(
            "openai",
            SDK_4 | {"reasoningTokens": 0, "cachedPromptTokens": None},
            {"openai": {"cachedPromptTokens": 400, "reasoningTokens": 60}},
            counted(**{"in": 500}, out=100, read=400, thought=60),
            id="4, OpenAI: where the SDK says nothing of them",
        ),
        pytest.param(
            "deepseek",
            SDK_4,
            {"deepseek": {"promptCacheHitTokens": 400, "promptCacheMissTokens": 100}},
            counted(**{"in": 500}, out=100, read=400),
            id="4, DeepSeek",
        ),
        pytest.param(
            "deepseek",
            SDK_4,
            {"deepseek": {"usage": {"prompt_cache_hit_tokens": 400, "prompt_cache_miss_tokens": 100}}},
            counted(**{"in": 500}, out=100, read=400),
            id="4, DeepSeek in its own words",
        ),
        pytest.param(
            "anthropic",
            SDK | {"cachedInputTokens": 1500},
            {"anthropic": {"cacheCreationInputTokens": 1000}},
            CACHED,
            id="5, Anthropic: beside inputTokens",
        ),
        pytest.param(
            "anthropic",
            SDK | {"cachedInputTokens": 1500},
            {
                "anthropic": {
                    "usage": ANTHROPIC,
                    "cacheCreationInputTokens": 1000,
                    "contextManagement": {"appliedEdits": [{"clearedToolUses": 5, "clearedInputTokens": 9000}]},
                }
            },
            CACHED,
            id="5, Anthropic with its own usage",
        ),
        pytest.param(
            "aws",
            SDK | {"cachedInputTokens": 1500},
            {"bedrock": {"usage": {"cacheWriteInputTokens": 1000}}},
            CACHED,
            id="5, Bedrock",
        ),
        pytest.param(
            "aws",
            {
                "inputTokens": 3000,
                "inputTokenDetails": {"noCacheTokens": 500, "cacheReadTokens": 1500, "cacheWriteTokens": 1000},
                "outputTokens": 100,
            },
            {"bedrock": {"usage": {"cacheWriteInputTokens": 1000}}},
            CACHED,
            id="6, Bedrock: what the SDK has in its input is not added again",
        ),
        pytest.param(
            "google",
            SDK,
            {"google": {"usageMetadata": {"promptTokenCount": 500, "candidatesTokenCount": 100, "thoughtsTokenCount": 70}}},
            counted(**{"in": 500}, out=170, thought=70),
            id="5, Google: its thoughts are beside",
        ),
        pytest.param(
            "openrouter",
            SDK,
            {
                "openrouter": {
                    "usage": {
                        "promptTokens": 500,
                        "promptTokensDetails": {"cachedTokens": 300, "cacheWriteTokens": 50},
                        "completionTokens": 100,
                        "completionTokensDetails": {"reasoningTokens": 60},
                        "totalTokens": 600,
                    }
                }
            },
            counted(**{"in": 500}, out=100, read=300, written=50, thought=60),
            id="5, OpenRouter",
        ),
    ],
)
def test_what_the_provider_says_in_the_sdks_metadata(
    provider: str, usage: Any, metadata: Any, counts: Mapping[str, int]
) -> None:
    """Is read beside the SDK's own usage: around it, and within it, and under the metadata's older name."""
    for document in (
        {"usage": usage, "providerMetadata": metadata},
        {"usage": usage, "experimental_providerMetadata": metadata},
        {"result": {"usage": usage, "providerMetadata": metadata}},
        usage | {"providerMetadata": metadata},
    ):
        found = one(document, provider)
        assert (found.counts, found.unread) == (counts, ())


def test_each_step_of_the_sdk_has_its_own_metadata() -> None:
    """Beside the whole is that of the last step: 100 + 1,000 written, then 50 + 1,000 read; the sum of both is in them."""
    first = {"anthropic": {"cacheCreationInputTokens": 1000}}
    last = {"anthropic": {"cacheReadInputTokens": 1000, "usage": {"server_tool_use": {"web_search_requests": 2}}}}
    steps = [
        {"usage": {"promptTokens": 100, "completionTokens": 10}, "providerMetadata": first},
        {"usage": {"promptTokens": 50, "completionTokens": 20}, "providerMetadata": last},
    ]
    whole = {"usage": {"promptTokens": 150, "completionTokens": 30}, "providerMetadata": last, "steps": steps}
    found = all_of(whole, "anthropic", "claude-sonnet-4-5")
    assert [each.counts for each in found] == [
        counted(**{"in": 1100}, out=10, written=1000),
        counted(**{"in": 1050}, out=20, read=1000),
    ]
    assert [each.units for each in found] == [{}, {"web_searches": 2}]
    assert all(each.unread == () for each in found)


def test_units_in_the_sdks_metadata() -> None:
    """Perplexity's citations and searches."""
    found = one({"usage": SDK, "providerMetadata": {"perplexity": {"usage": {"citationTokens": 70, "numSearchQueries": 2}}}})
    assert (found.units, found.unread) == ({"citation_tokens": 70, "web_searches": 2}, ())


def test_steps_that_two_usage_objects_list_are_taken_once() -> None:
    """180 + 23 tokens of input, as both say."""
    steps = [{"input_tokens": 180, "output_tokens": 3}, {"input_tokens": 23, "output_tokens": 1}]
    usage = {"input_tokens": 23, "output_tokens": 1, "iterations": steps}
    document = {
        "usage": {"inputTokens": 23, "outputTokens": 1, "raw": usage},
        "providerMetadata": {"anthropic": {"usage": usage}},
    }
    assert [each.counts for each in all_of(document, "anthropic")] == [
        counted(**{"in": 180}, out=3),
        counted(**{"in": 23}, out=1),
    ]


def test_single_counts_beside_usage_that_counts_no_tokens() -> None:
    """The calls of tools are in the usage, and what was written to the cache is beside it."""
    metadata = {"anthropic": {"cacheCreationInputTokens": 1000, "usage": {"server_tool_use": {"web_search_requests": 2}}}}
    found = one({"usage": SDK_4, "providerMetadata": metadata}, "anthropic")
    assert found.counts == counted(**{"in": 1500}, out=100, written=1000)
    assert (found.units, found.unread) == ({"web_searches": 2}, ())


def test_usage_in_the_metadata_alone() -> None:
    """Is usage like any other."""
    assert one({"providerMetadata": {"anthropic": {"usage": ANTHROPIC}}}).counts == CACHED


def test_the_sdks_raw_usage() -> None:
    """Has what the SDK's words leave out."""
    raw = ANTHROPIC | {"service_tier": "priority", "inference_geo": "us", "server_tool_use": {"web_search_requests": 2}}
    found = one({"usage": SDK | {"cachedInputTokens": 1500, "raw": raw}}, "anthropic")
    assert (found.counts, found.units, found.unread) == (CACHED, {"web_searches": 2}, ())
    assert (found.service_tier, found.region) == ("priority", "us")


@pytest.mark.parametrize(
    ("document", "unread"),
    [
        (
            {"usage": SDK, "providerMetadata": {"wiz": {"wizardTokens": 5, "deep": {"moreTokens": 6}}}},
            ("providerMetadata.wiz.wizardTokens", "providerMetadata.wiz.deep.moreTokens"),
        ),
        ({"usage": SDK | {"raw": {"wizard_tokens": 5}}}, ("raw.wizard_tokens",)),
        (
            {"usage": SMALL, "providerMetadata": {"anthropic": {"cacheReadInputTokens": 7}}},
            ("providerMetadata.anthropic.cacheReadInputTokens",),
        ),
        ({"usage": LANGCHAIN | {"details": {"server_side_tools_used": 2}}}, ("details.server_side_tools_used",)),
        ({"usage": SMALL | {"prompt_tokens_details": {"wizard": 5}}}, ("prompt_tokens_details.wizard",)),
        ({"usage": SMALL | {"cost": {"input_tokens_cost": 1, "total_cost": 2}}}, ()),
    ],
)
def test_what_nothing_reads_there_is_named(document: Any, unread: tuple[str, ...]) -> None:
    """By its path, also where only what is around a number says that it counts tokens; a price of tokens is no count."""
    assert one(document).unread == unread


def test_the_price_of_what_was_cached() -> None:
    """500 * 3 + 1,000 * 3.75 + 1,500 * 0.3 + 100 * 15 dollars a million: 0.0015 + 0.00375 + 0.00045 + 0.0015."""
    metadata = {"anthropic": {"cacheCreationInputTokens": 1000, "cacheReadInputTokens": 1500}}
    usage = Usage(
        action="text",
        provider="anthropic",
        request_model="claude-sonnet-4-5",
        provider_usage_json=text_of({"usage": SDK_4, "providerMetadata": metadata}),
    )
    cost = Pricing(RateCards(unbounded(CARD))).cost(usage, None, NOW, is_fact=True)
    assert isinstance(cost, Cost)
    assert (cost.usd, cost.flags) == (Decimal("0.0072"), ())


# --- The tier, fees and cost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "served"),
    [
        ({"usage_metadata": LANGCHAIN, "response_metadata": {"service_tier": "flex"}}, ("flex", "")),
        ({"usage_metadata": LANGCHAIN | {"input_token_details": {"priority": 100}}}, ("priority", "")),
        ({"usage_metadata": LANGCHAIN | {"output_token_details": {"flex": 30, "flex_reasoning": 20}}}, ("flex", "")),
        ({"usage_metadata": LANGCHAIN, "response_metadata": {"usage": MESSAGE | {"inference_geo": "us"}}}, ("standard", "us")),
        ({"usage": SDK, "providerMetadata": {"openai": {"serviceTier": "flex"}}}, ("flex", "")),
        ({"usage": SDK, "providerMetadata": {"google": {"usageMetadata": {"trafficType": "ON_DEMAND_FLEX"}}}}, ("flex", "")),
        ({"usage": LANGCHAIN, "provider_details": {"service_tier": "priority", "finish_reason": "stop"}}, ("priority", "")),
        ({"usage": LANGCHAIN, "provider_details": {"traffic_type": "ON_DEMAND_PRIORITY"}}, ("priority", "")),
        ({"usage": MESSAGE, "provider_details": {"service_tier": "batch"}}, ("batch", "")),
        ({"usage": MESSAGE | {"service_tier": "batch"}, "provider_details": {"service_tier": "standard"}}, ("batch", "")),
        ({"attributes": SPAN | {"openai.response.service_tier": "flex"}}, ("flex", "")),
        ({"usage": SDK, "metadata": {"service_tier": "flex"}}, ("", "")),
    ],
)
def test_the_tier_and_region_beside_the_usage(document: Any, served: tuple[str, str]) -> None:
    """In whatever a framework keeps it; but not in what the caller sent."""
    found = one(document)
    assert ((found.service_tier, found.region), found.unread) == (served, ())


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_langchains_details_of_a_tier(tier: str) -> None:
    """Its names of cached tokens and of reasoning begin with the tier; the tokens of the tier are those of the counts."""
    details = {
        "input_token_details": {tier: 60, f"{tier}_cache_read": 40},
        "output_token_details": {tier: 30, f"{tier}_reasoning": 20},
    }
    found = one({"usage_metadata": LANGCHAIN | details})
    assert (found.counts, found.unread) == (counted(**{"in": 100}, out=50, read=40, thought=20), ())


@pytest.mark.parametrize(
    ("document", "searches"),
    [
        ({"response_metadata": {"usage": MESSAGE | {"server_tool_use": {"web_search_requests": 3}}}}, 3),
        ({"response_metadata": {"model_name": "gemini-3-pro", "grounding_metadata": {"web_search_queries": ["a", "b"]}}}, 2),
        ({"response_metadata": {"model_name": "gemini-2.5-pro", "grounding_metadata": {"web_search_queries": ["a", "b"]}}}, 1),
        ({"model": "gemini-3-pro", "providerMetadata": {"google": {"groundingMetadata": {"webSearchQueries": ["a"]}}}}, 1),
        (
            {
                "model": "gemini-3-pro",
                "candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
                "providerMetadata": {"google": {"groundingMetadata": {"webSearchQueries": ["a", "b"]}}},
            },
            2,
        ),
    ],
)
def test_searches_beside_the_usage(document: Any, searches: int) -> None:
    """Are counted once, wherever they are shown."""
    found = one({"usage_metadata": LANGCHAIN, **document})
    assert (found.units, found.unread) == ({"web_searches": searches}, ())


@pytest.mark.parametrize(
    ("document", "usd"),
    [
        ({"usage_metadata": LANGCHAIN, "response_metadata": {"token_usage": SMALL | {"cost": 0.012}}}, "0.012"),
        ({"usage": SDK, "providerMetadata": {"gateway": {"cost": "0.000016926", "marketCost": "0.5"}}}, "0.000016926"),
        ({"usage": SDK, "providerMetadata": {"openrouter": {"usage": SDK_4 | {"cost": 0.02}}}}, "0.02"),
        (
            {
                "usage": SDK,
                "providerMetadata": {
                    "openrouter": {"usage": SDK_4 | {"cost": 0, "isByok": True, "costDetails": {"upstreamInferenceCost": 0.03}}}
                },
            },
            "0.03",
        ),
        ({"usage": SDK, "providerMetadata": {"xai": {"costInUsdTicks": 37_756_000}}}, "0.0037756"),
        ({"usage": LANGCHAIN, "provider_details": {"cost": 0, "is_byok": True, "upstream_inference_cost": 0.04}}, "0.04"),
        ({"type": "result", "usage": MESSAGE, "total_cost_usd": 0.12}, "0.12"),
        ({"usage": MESSAGE, "costUSD": "0.25"}, "0.25"),
        ({"usage": CHAT | {"cost": "1.5e-05"}}, "0.000015"),
        ({"usage": CHAT, "response_cost": "0.25"}, "0.25"),
        ({"usage": SDK, "providerMetadata": {"gateway": {"cost": "0.2"}, "openrouter": {"usage": {"cost": 0.3}}}}, "0.3"),
        ({"attributes": SPAN | {"gen_ai.usage.cost": 0.5}}, "0.5"),
        ({"usage": CHAT | {"cost": "free"}}, None),
        ({"usage": CHAT | {"cost": "-1"}}, None),
        ({"usage": CHAT | {"cost": "0.1 USD"}}, None),
        ({"usage": CHAT, "metadata": {"cost": 5}}, None),
    ],
)
def test_the_cost_beside_the_usage(document: Any, usd: str | None) -> None:
    """Of a gateway or framework, as a number or a decimal text; of several reports the highest, never their sum."""
    assert one(document).reported_cost_usd == (None if usd is None else Decimal(usd))


# --- Copies that say nothing new ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "counts"),
    [
        pytest.param(
            {
                "input_tokens": 3000,
                "cache_write_tokens": 1000,
                "cache_read_tokens": 1500,
                "output_tokens": 100,
                "details": ANTHROPIC,
            },
            CACHED,
            id="pydantic-ai, Anthropic",
        ),
        pytest.param(
            {
                "input_tokens": 1050,
                "output_tokens": 400,
                "cache_read_tokens": 400,
                "details": {
                    "thoughts_tokens": 300,
                    "cached_content_tokens": 400,
                    "tool_use_prompt_tokens": 50,
                    "text_prompt_tokens": 990,
                    "audio_prompt_tokens": 10,
                    "text_cache_tokens": 400,
                    "text_tool_use_prompt_tokens": 50,
                    "text_candidates_tokens": 60,
                    "image_candidates_tokens": 40,
                },
            },
            counted(**{"in": 1050}, out=400, read=400, thought=300, audio_in=10, image_out=40),
            id="pydantic-ai, Gemini",
        ),
        pytest.param(
            {
                "input_tokens": 500,
                "output_tokens": 90,
                "cache_read_tokens": 40,
                "details": {"reasoning_tokens": 70, "accepted_prediction_tokens": 1, "rejected_prediction_tokens": 2},
            },
            counted(**{"in": 500}, out=90, read=40, thought=70),
            id="pydantic-ai, OpenAI",
        ),
        pytest.param(
            {
                "gen_ai.usage.input_tokens": 3000,
                "gen_ai.usage.output_tokens": 100,
                **{f"gen_ai.usage.details.{name}": count for name, count in ANTHROPIC.items()},
            },
            CACHED,
            id="pydantic-ai, a span",
        ),
        pytest.param(
            {
                "gen_ai.usage.input_tokens": 500,
                "gen_ai.usage.output_tokens": 100,
                "ai.usage.promptTokens": 500,
                "ai.usage.completionTokens": 100,
                "ai.usage.cachedInputTokens": 400,
            },
            counted(**{"in": 500}, out=100, read=400),
            id="AI SDK, a span",
        ),
        pytest.param(
            {"ai.usage.promptTokens": 500, "ai.usage.completionTokens": 100, "ai.usage.totalTokens": 600},
            counted(**{"in": 500}, out=100),
            id="AI SDK, an older span",
        ),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_text_tokens": 70,
                "prompt_image_tokens": 30,
                "cached_prompt_text_tokens": 60,
            },
            counted(**{"in": 100}, out=20, read=60, image_in=30),
            id="xAI",
        ),
        pytest.param(
            {
                "input_tokens": 1000,
                "output_tokens": 50,
                "total_tokens": 1050,
                "prompt_tokens_details": {
                    "cached_tokens": 800,
                    "cache_creation_input_tokens": 100,
                    "cache_creation": {"ephemeral_5m_input_tokens": 100},
                    "cache_type": "ephemeral",
                },
                "output_tokens_details": {"reasoning_tokens": 10, "text_tokens": 40},
            },
            counted(**{"in": 1000}, out=50, read=800, written=100, thought=10),
            id="DashScope",
        ),
    ],
)
def test_copies_are_not_unread(document: Any, counts: Mapping[str, int]) -> None:
    """What a framework or provider says twice is read once."""
    found = one({"usage": document})
    assert (found.counts, found.unread) == (counts, ())


def test_gemini_in_its_own_words_beside_langchains() -> None:
    """1,050 of input with the tools' tokens; 100 and 300 thoughts."""
    found = one({"usage_metadata": {"input_tokens": 1000, "output_tokens": 400, "total_tokens": 1400}, "usageMetadata": GEMINI})
    assert found.counts == counted(**{"in": 1050}, out=400, read=400, thought=300)
