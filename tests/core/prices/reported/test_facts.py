"""What a report says beside counts: the tier, the speed, the region, a cost, calls of tools, and what nothing reads."""

import json
from decimal import Decimal
from typing import Any

import pytest

from creditmeter.core.prices.reported.reading import read
from creditmeter.core.prices.reported.unread import INFORMATIVE
from tests.core.prices.reports import CHAT, GEMINI, MESSAGE, one


@pytest.mark.parametrize(
    ("document", "served"),
    [
        ({"service_tier": "flex", "usage": CHAT}, ("flex", "", "")),
        ({"service_tier": "auto", "usage": CHAT}, ("", "", "")),
        ([{"id": "a", "service_tier": "auto"}, {"id": "a", "service_tier": "priority", "usage": CHAT}], ("priority", "", "")),
        ({"usage": MESSAGE | {"service_tier": "batch", "speed": "fast", "inference_geo": "us"}}, ("batch", "fast", "us")),
        ({"key": "k1", "response": {"usageMetadata": GEMINI}}, ("batch", "", "")),
        (
            {"status": "", "processed_time": "", "request": {"contents": []}, "response": {"usageMetadata": GEMINI}},
            ("batch", "", ""),
        ),
        ({"request": {"contents": []}, "response": {"usageMetadata": GEMINI}}, ("", "", "")),
        ({"key": "k1", "cached": False, "response": {"usageMetadata": GEMINI}}, ("", "", "")),
        ({"object": "batch", "usage": CHAT}, ("batch", "", "")),
        ({"usage": MESSAGE | {"inference_geo": "not_available"}}, ("standard", "", "")),
        ({"usageMetadata": GEMINI | {"trafficType": "ON_DEMAND_PRIORITY"}}, ("priority", "", "")),
        ({"usageMetadata": GEMINI | {"trafficType": "ON_DEMAND"}}, ("standard", "", "")),
        ({"serviceTier": {"type": "flex"}, "usage": {"inputTokens": 1, "outputTokens": 1}}, ("flex", "", "")),
        ({"service_tier": 5, "usage": CHAT}, ("", "", "")),
        (
            {"performanceConfig": {"latency": "optimized"}, "usage": {"inputTokens": 1, "outputTokens": 1}},
            ("", "optimized", ""),
        ),
        ({"performanceConfig": {"latency": "standard"}, "usage": {"inputTokens": 1, "outputTokens": 1}}, ("", "standard", "")),
        ({"performanceConfig": "optimized", "usage": {"inputTokens": 1, "outputTokens": 1}}, ("", "", "")),
    ],
)
def test_what_served_the_call(document: Any, served: tuple[str, str, str]) -> None:
    """In the provider's words, wherever it says so."""
    found = one(document)
    assert (found.service_tier, found.speed, found.region) == served


@pytest.mark.parametrize(
    ("document", "usd"),
    [
        ({"usage": CHAT | {"cost": 0.0123, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0123}}}, "0.0123"),
        ({"usage": CHAT | {"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}}, "0.02"),
        ({"usage": CHAT | {"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}}, None),
        ({"usage": CHAT | {"cost": 0, "is_byok": True}}, None),
        ({"usage": CHAT | {"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}}, "19"),
        ({"usage": CHAT | {"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 19}}}, "0.95"),
        ({"usage": CHAT | {"cost": 0.95, "cost_details": {"upstream_inference_cost": 0.9}}}, "0.95"),
        ({"id": "a", "cost": 0.5, "data": [{"usage": CHAT}]}, "0.5"),
        ({"usage": CHAT | {"cost_in_usd_ticks": 37_756_000}}, "0.0037756"),
        ({"usage": CHAT | {"cost": {"total_cost": 0.5, "input_tokens_cost": 0.1}}}, "0.5"),
        ({"usage": CHAT, "response_cost": 0.25}, "0.25"),
        ({"usage": CHAT, "_hidden_params": {"response_cost": 0.25}}, "0.25"),
        ({"usage": CHAT | {"cost": 0.25}, "response_cost": 0.25}, "0.25"),
        ([{"id": "a", "usage": CHAT | {"cost": 0.1}}, {"id": "a", "usage": CHAT | {"cost": 0.3}}], "0.3"),
        ({"usage": CHAT | {"cost": -1}}, None),
        ({"usage": CHAT | {"cost": True}}, None),
        ({"usage": CHAT}, None),
    ],
)
def test_the_cost_that_is_reported(document: Any, usd: str | None) -> None:
    """Exactly, once, and for a key of one's own what its provider charges."""
    assert one(document).reported_cost_usd == (None if usd is None else Decimal(usd))


PREVIEW = {"tools": [{"type": "web_search_preview", "search_context_size": "low"}]}


def items(*found: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A response of OpenAI that shows these items, by their types and what else they say."""
    typed = [(each, {}) if isinstance(each, str) else each for each in found]
    output = [{"type": kind} | beside for kind, beside in typed]
    return {"usage": {"input_tokens": 1, "output_tokens": 1}, "output": output}


def interaction(**counts: int) -> dict[str, Any]:
    """A response of Gemini's Interactions, which counts its searches."""
    tools = [{"type": kind, "count": count} for kind, count in counts.items()]
    return {"usage": {"total_input_tokens": 1, "total_output_tokens": 1, "grounding_tool_count": tools}}


def langchain(**metadata: Any) -> dict[str, Any]:
    """A message of LangChain that says this of what Gemini found."""
    return {"response_metadata": {"grounding_metadata": metadata}, "usage_metadata": {"input_tokens": 1, "output_tokens": 1}}


def ai_sdk(**metadata: Any) -> dict[str, Any]:
    """A result of the AI SDK that says this of what Gemini found."""
    return {"usage": {"inputTokens": 1, "outputTokens": 1}, "providerMetadata": {"google": {"groundingMetadata": metadata}}}


def grounded(**metadata: Any) -> dict[str, Any]:
    """A response of Gemini that says this of what it found."""
    return {"candidates": [{"groundingMetadata": metadata}], "usageMetadata": GEMINI}


@pytest.mark.parametrize(
    ("model", "document", "units"),
    [
        ("", {"usage": MESSAGE | {"server_tool_use": {"web_search_requests": 2}}}, {"web_searches": 2}),
        (
            "gpt-5",
            {
                "usage": {"input_tokens": 1, "output_tokens": 1},
                "output": [
                    {"type": "web_search_call", "action": {"type": "search"}},
                    {"type": "web_search_call", "action": {"type": "open_page"}},
                    {"type": "file_search_call"},
                    {"type": "code_interpreter_call"},
                    {"type": "message"},
                ],
            },
            {"web_searches": 1, "storage_searches": 1, "code_executions": 1},
        ),
        (
            "gemini-3-pro",
            {"candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}], "usageMetadata": GEMINI},
            {"web_searches": 2},
        ),
        (
            "gemini-2.5-pro",
            {"candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}], "usageMetadata": GEMINI},
            {"web_searches": 1},
        ),
        ("gpt-5", items("code_interpreter_call", "code_interpreter_call"), {"code_executions": 2}),
        ("gpt-5", items(*[("code_interpreter_call", {"container_id": "c1"})] * 3), {"code_executions": 1}),
        (
            "gpt-5",
            items(("code_interpreter_call", {"container_id": "c1"}), ("code_interpreter_call", {"container_id": "c2"})),
            {"code_executions": 2},
        ),
        (
            "gpt-5",
            items(("code_interpreter_call", {"container_id": "c1"}))
            | {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}]},
            {"code_executions_4g": 1},
        ),
        (
            "gpt-5",
            items(("code_interpreter_call", {"container_id": "c1"}))
            | {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "1g"}}]},
            {"code_executions": 1},
        ),
        ("gpt-4.1", items("web_search_call") | PREVIEW, {"web_search_previews": 1}),
        ("gpt-4o-2024-08-06", items("web_search_call", "web_search_call") | PREVIEW, {"web_search_previews": 2}),
        ("o4-mini", items("web_search_call") | PREVIEW, {"web_searches": 1}),
        ("gpt-5", items("web_search_call") | PREVIEW, {"web_searches": 1}),
        ("gpt-4.1", items("web_search_call") | {"tools": [{"type": "web_search"}]}, {"web_searches": 1}),
        ("gpt-4o-search-preview-2025-03-11", {"choices": [{}], "usage": CHAT}, {"web_search_previews": 1}),
        ("gpt-4o-mini-search-preview", {"choices": [{}], "usage": CHAT}, {"web_search_previews": 1}),
        ("gpt-5-search-api", {"choices": [{}], "usage": CHAT}, {"web_searches": 1}),
        ("gpt-4o", {"choices": [{}], "usage": CHAT}, {}),
        ("gpt-5", items("image_generation_call", ("image_generation_call", {"status": "failed"})), {"image_generations": 1}),
        ("gpt-5", items(("image_generation_call", {"action": {"type": "edit"}})), {"image_generations": 1}),
        ("gemini-2.5-pro", grounded(groundingChunks=[{"maps": {"placeId": "p"}}, {"maps": {}}]), {"map_prompts": 1}),
        ("gemini-3-pro", grounded(groundingChunks=[{"web": {"uri": "u"}}, {"maps": {}}]), {"map_searches": 1}),
        ("gemini-3-pro", grounded(googleMapsWidgetContextToken="w"), {"map_searches": 1}),
        ("gemini-3-pro", grounded(groundingChunks=[{"web": {"uri": "u"}}], webSearchQueries=["a"]), {"web_searches": 1}),
        (
            "gemini-2.5-pro",
            grounded(groundingChunks=[{"maps": {}}], webSearchQueries=["a", "b"]),
            {"map_prompts": 1, "web_searches": 1},
        ),
        ("gemini-2.5-pro", interaction(google_search=3, google_maps=2), {"web_searches": 1, "map_prompts": 1}),
        ("gemini-3-pro", interaction(google_search=3, google_maps=2), {"web_searches": 3, "map_searches": 2}),
        ("gemini-3-pro", langchain(webSearchQueries=["a", "b"]), {"web_searches": 2}),
        ("gemini-2.5-pro", langchain(web_search_queries=["a", "b"]), {"web_searches": 1}),
        ("gemini-3-pro", ai_sdk(webSearchQueries=["a", "b"]), {"web_searches": 2}),
        ("gemini-3-pro", {"usageMetadata": GEMINI, "groundingMetadata": {"webSearchQueries": ["a"]}}, {"web_searches": 1}),
        ("gemini-2.5-pro", ai_sdk(groundingChunks=[{"maps": {}}]), {"map_prompts": 1}),
        ("sonar", {"usage": CHAT | {"search_context_size": "low"}}, {"low_context_requests": 1}),
        ("sonar", {"usage": CHAT | {"search_context_size": "HIGH"}}, {"high_context_requests": 1}),
        ("sonar", {"usage": CHAT | {"search_context_size": "vast"}}, {}),
        (
            "sonar",
            {"web_search_options": {"search_context_size": "medium"}, "usage": CHAT},
            {"medium_context_requests": 1},
        ),
    ],
)
def test_tools_with_fees_are_counted(model: str, document: Any, units: dict[str, int]) -> None:
    """By the provider's counters, or as they are shown."""
    assert one(document | ({"model": model} if model else {})).units == units


@pytest.mark.parametrize(
    ("asked", "named", "searches"),
    [
        ("gemini-2.5-flash", "", 1),
        ("google/gemini-2.5-flash", "", 1),
        ("gemini-3-flash-preview", "", 3),
        ("", "", 3),
        ("gemini-2.5-flash", "gemini-3-flash-preview", 3),
        ("gemini-3-flash-preview", "gemini-2.5-flash", 1),
    ],
)
def test_the_model_that_was_asked_for_says_how_searches_are_billed_where_the_report_names_none(
    asked: str, named: str, searches: int
) -> None:
    """Up to Gemini 2.5 a grounded prompt has one fee, whatever it searched for; from Gemini 3 on each search has."""
    document = grounded(webSearchQueries=["a", "b", "c"]) | ({"modelVersion": named} if named else {})
    assert one(document, "google", asked).units == {"web_searches": searches}


def test_what_xais_client_counts_by_tool_has_its_fee() -> None:
    """Of those that have one. Items of the output that show the same calls are not added to them."""
    called = {"SERVER_SIDE_TOOL_WEB_SEARCH": 2, "SERVER_SIDE_TOOL_X_SEARCH": 3, "SERVER_SIDE_TOOL_VIEW_IMAGE": 4}
    document = {"id": "r", "model": "grok-4", "usage": MESSAGE, "server_side_tool_usage": called}
    assert one(document).units == {"web_searches": 2, "social_searches": 3}
    assert one(document | items("web_search_call")).units == {"web_searches": 2, "social_searches": 3}


def test_a_container_has_one_fee_in_all_responses_of_a_call() -> None:
    """It is counted where it is shown first; the events of one response are one."""
    run = "code_interpreter_call"
    first = {"id": "r1", "model": "gpt-5"} | items((run, {"container_id": "c1"}))
    again = {"id": "r2", "model": "gpt-5"} | items((run, {"container_id": "c1"}), (run, {"container_id": "c2"}))
    responses = read(json.dumps([first, first, again])).responses
    assert [each.units for each in responses] == [{"code_executions": 1}, {"code_executions": 1}]


@pytest.mark.parametrize(
    ("document", "unread"),
    [
        (CHAT | {"wizard_tokens": 5}, ("wizard_tokens",)),
        (CHAT | {"wizardTokenCount": "5"}, ("wizardTokenCount",)),
        (CHAT | {"prompt_tokens_details": {"wizard_tokens": 5}}, ("prompt_tokens_details.wizard_tokens",)),
        ({"usage": CHAT, "extra": {"usage": {"prompt_tokens": 5}}}, ("extra.usage.prompt_tokens",)),
        ({"usage": {"total_tokens": 12}}, ("usage.total_tokens",)),
        ({"usage": {"in_tokens": 5, "out_tokens": 7}}, ("usage.in_tokens", "usage.out_tokens")),
        (MESSAGE | {"server_tool_use": {"teleport_requests": 1}}, ("server_tool_use.teleport_requests",)),
        ({"inputTokens": 9, "outputTokens": 1, "input_tokens": 7}, ("input_tokens",)),
        ({"usage": CHAT, "extra": [[{"prompt_tokens": 7}]]}, ("extra.prompt_tokens",)),
        (CHAT | {"serverToolUse": {"webSearchRequests": 2}}, ("serverToolUse.webSearchRequests",)),
        (CHAT | {"numSearchQueries": 3, "search_queries_cost": 1}, ("numSearchQueries",)),
        (CHAT | {"num_server_side_tools_used": 1}, ("num_server_side_tools_used",)),
        (CHAT | {"num_server_side_tools_used": 1, "server_side_tool_usage_details": {"web_search_calls": 1}}, ()),
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 1, "promptTokensDetails": [{"modality": "SMELL", "tokenCount": 9}]},
            ("promptTokensDetails.modality",),
        ),
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 1, "promptTokensDetails": [{"kind": "AUDIO", "tokenCount": 9}]},
            ("promptTokensDetails.modality",),
        ),
        (
            {"total_input_tokens": 9, "input_tokens_by_modality": [{"modality": "smell", "tokens": 9}]},
            ("input_tokens_by_modality.modality",),
        ),
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 1, "promptTokensDetails": [{"modality": "SMELL", "tokenCount": 0}]},
            (),
        ),
        (CHAT | {"wizard_tokens": 0, "seconds": 5, "is_tokens": True, "tokens_per_second": "fast"}, ()),
        (CHAT | {"completion_tokens_details": {"accepted_prediction_tokens": 5, "rejected_prediction_tokens": 6}}, ()),
        ({"usage": CHAT, "max_tokens": 500, "content": [{"input": {"tokens": 5}}]}, ()),
    ],
)
def test_what_nothing_reads_is_named(document: Any, unread: tuple[str, ...]) -> None:
    """By its path; zeros, and what says nothing new, are not."""
    assert one(document).unread == unread


def test_what_says_nothing_new_has_a_reason() -> None:
    """In words."""
    assert all(" " in reason for reason in INFORMATIVE.values())


def test_other_models_of_one_response_are_responses_of_their_own() -> None:
    """And so is each step of the model itself."""
    steps = [
        {"type": "compaction", "input_tokens": 180, "output_tokens": 3},
        {"type": "message", "input_tokens": 23, "output_tokens": 1},
        {"type": "advisor_message", "model": "claude-opus-4-6", "input_tokens": 50, "output_tokens": 7},
    ]
    usage = {"input_tokens": 23, "output_tokens": 1, "iterations": steps}
    compaction, own, other = read(json.dumps({"id": "m", "model": "claude-sonnet-4-6", "usage": usage})).responses
    assert (compaction.model, compaction.counts) == ("claude-sonnet-4-6", {"input_tokens": 180, "output_tokens": 3})
    assert (own.model, own.counts) == ("claude-sonnet-4-6", {"input_tokens": 23, "output_tokens": 1})
    assert (other.model, other.counts) == ("claude-opus-4-6", {"input_tokens": 50, "output_tokens": 7})


@pytest.mark.parametrize(
    ("document", "unread"),
    [
        ({"usage": CHAT | {"served_at": "priority"}}, "served_at"),
        ({"usage": CHAT, "serving": {"class": "Fast"}}, "serving.class"),
        ({"usage": CHAT, "performance": {"kind": "optimized"}}, "performance.kind"),
    ],
)
def test_a_dearer_way_of_serving_under_another_name_is_named(document: dict[str, Any], unread: str) -> None:
    """It is priced as standard, and the charge is flagged; under a name that is read, or a word that is none, nothing is."""
    assert one(document).unread == (unread,)
    assert one({"usage": CHAT | {"service_tier": "priority"}, "mode": "fast lane"}).unread == ()
