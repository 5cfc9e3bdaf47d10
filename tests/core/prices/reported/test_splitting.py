"""However a report is split and ordered, it reads as the whole; and however it is damaged, nothing is lost in silence."""

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.prices.reported.calls import sum_of
from creditmeter.core.prices.reported.reading import read
from creditmeter.core.prices.reported.shapes import SHAPES
from creditmeter.core.prices.reported.values import ReportedResponse, UnknownUsageError
from tests.core.prices.reports import CACHED_AUDIO, CHAT, GEMINI, GROK, IMAGES, MESSAGE, all_of
from tests.properties import times_as_many

KNOWN = frozenset(name for shape in SHAPES for name in shape.known_by)
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("openai", CHAT | {"prompt_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 50, "audio_tokens": 3}}),
    ("openai", CACHED_AUDIO),
    ("openai", IMAGES["usage"]),  # type: ignore[list-item]  # an object
    ("anthropic", MESSAGE | {"server_tool_use": {"web_search_requests": 2}}),
    (
        "anthropic",
        {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 510, "prompt_tokens_details": {"cached_tokens": 400}},
    ),
    (
        "anthropic",
        {
            "input_tokens": 23,
            "output_tokens": 1,
            "iterations": [
                {"type": "compaction", "input_tokens": 180, "output_tokens": 3},
                {"type": "message", "input_tokens": 23, "output_tokens": 1},
            ],
        },
    ),
    (
        "google",
        GEMINI | {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 70}, {"modality": "TEXT", "tokenCount": 930}]},
    ),
    ("google", {"promptTokenCount": 100, "candidatesTokenCount": 300, "thoughtsTokenCount": 200, "totalTokenCount": 400}),
    ("x-ai", GROK),
    ("x-ai", GROK | {"total_tokens": 800}),
    (
        "aws",
        {"inputTokens": 3, "cacheReadInputTokens": 20, "cacheDetails": [{"ttl": "1h", "inputTokens": 60}], "outputTokens": 5},
    ),
    ("", {"inputTokens": 500, "inputTokenDetails": {"cacheReadTokens": 150}, "outputTokens": 90}),
    ("", {"prompt_eval_count": 500, "eval_count": 90}),
    ("cohere", {"input_tokens": 9, "output_tokens": 4, "search_units": 1}),
]
some_usage = st.sampled_from(SAMPLES)


def so_far(draw: st.DrawFn, value: Any) -> Any:
    """What an earlier or later event may say of a value: less, nothing, or the same."""
    if isinstance(value, dict):
        return {name: so_far(draw, each) for name, each in value.items() if name in KNOWN or draw(st.booleans())}
    if isinstance(value, list):
        return [each | {name: so_far(draw, count) for name, count in each.items() if isinstance(count, int)} for each in value]
    if isinstance(value, int):
        return draw(st.one_of(st.none(), st.just(0), st.integers(0, value), st.just(value), st.just(str(value))))
    return value


@st.composite
def events(draw: st.DrawFn, usage: Mapping[str, Any], response_id: str) -> list[Any]:
    """Events of one response, one of which has all counts."""
    parts = [so_far(draw, dict(usage)) for _ in range(draw(st.integers(0, 3)))]
    parts.insert(draw(st.integers(0, len(parts))), dict(usage))
    return [{"id": response_id, "model": f"model-{response_id}", "usage": part} for part in parts]


@given(some_usage, st.data())
@times_as_many(1.5)
def test_events_of_a_response_read_as_the_whole(usage: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    """Counts are cumulative, so the largest of each stands, whichever event has it."""
    provider, whole = usage
    parts = data.draw(events(whole, "a"))
    expected = all_of({"id": "a", "model": "model-a", "usage": whole}, provider)
    assert all_of(parts, provider) == expected
    assert read("\n".join(map(json.dumps, parts)), provider).responses == expected
    assert read("".join(f"data: {json.dumps(part)}\n\n" for part in parts), provider).responses == expected


@given(st.lists(some_usage, min_size=1, max_size=4), st.data())
def test_responses_read_as_each_alone(usages: list[tuple[str, dict[str, Any]]], data: st.DataObject) -> None:
    """However their events are mixed; and their sum is that of each."""
    parts = [part for number, (_, usage) in enumerate(usages) for part in data.draw(events(usage, f"r{number}"))]
    found = all_of(data.draw(st.permutations(parts)))
    alone = [
        each
        for number, (_, usage) in enumerate(usages)
        for each in all_of({"id": f"r{number}", "model": f"model-r{number}", "usage": usage})
    ]
    assert sorted(found, key=lambda each: each.response_id) == alone
    assert sum_of(found) == sum_of(alone)


@pytest.mark.parametrize(("provider", "usage"), SAMPLES)
def test_every_field_may_come_in_an_event_of_its_own(provider: str, usage: dict[str, Any]) -> None:
    """The fields of all events are merged before they are read."""
    parts = [{"id": "a", "usage": {name: value}} for name, value in usage.items()]
    expected, found = all_of({"id": "a", "usage": usage}, provider), all_of(parts, provider)
    counts = sum_of(found)
    lost = {name for name, count in sum_of(expected).items() if counts.get(name, 0) < count}
    assert not lost or any(each.unread for each in found)


def tokens(response: ReportedResponse) -> int:
    """How many tokens a response has in and out."""
    return response.counts.get("input_tokens", 0) + response.counts.get("output_tokens", 0)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all numbers in a payload."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, each in items for leaf in leaves(each, (*path, key))]
    return [path] if isinstance(value, int) else []


def changed(draw: st.DrawFn, usage: dict[str, Any]) -> Any:
    """A payload with one number renamed, written as a text, nested, repeated or wrapped."""
    usage = copy.deepcopy(usage)
    *way, name = draw(st.sampled_from(leaves(usage)))
    target: Any = usage
    for step in way:
        target = target[step]
    kind = draw(st.sampled_from(("rename", "text", "nest", "repeat", "wrap", "double")))
    if kind == "rename":
        target[draw(st.sampled_from((f"{name}_x", f"x_{name}", name.upper())))] = target.pop(name)
    elif kind == "text":
        target[name] = str(target[name])
    elif kind == "nest":
        target[name] = {"value": target[name]}
    elif kind == "repeat":
        target[f"{name}_again"] = target[name]
    elif kind == "wrap":
        return {draw(st.sampled_from(("usage", "foo", "response", "data", "content_usage"))): {"usage": usage}}
    else:
        return [{"usage": usage}, {"usage": usage}]
    return {"usage": usage}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, dict[str, Any], Any]:
    """A provider, a payload of it, and the same in another form."""
    provider, usage = draw(some_usage)
    return provider, usage, changed(draw, usage)


@given(damaged())
@times_as_many(3)
def test_no_tokens_are_lost_in_silence(case: tuple[str, dict[str, Any], Any]) -> None:
    """They are read, or named as unread, or the count is unknown and taken at its bound; or the report is refused."""
    provider, usage, document = case
    try:
        responses = read(json.dumps(document), provider).responses
    except UnknownUsageError:
        return
    before = sum(map(tokens, all_of({"usage": usage}, provider)))
    is_unknown = any(name not in sum_of(responses) for name in ("input_tokens", "output_tokens"))
    assert sum(map(tokens, responses)) >= before or any(each.unread for each in responses) or is_unknown


@given(st.text() | st.binary().map(lambda each: each.decode("latin-1")) | st.sampled_from(["data: ", "{", "[", ":", "\n"]))
def test_any_text_is_read_or_refused(text: str) -> None:
    """And nothing else happens."""
    with suppress(UnknownUsageError):
        read(text)


CONVERSED = {"output": {"message": {"role": "assistant", "content": []}}, "usage": {"inputTokens": 7, "outputTokens": 2}}
COMPLETION = {"object": "chat.completion", "model": "gpt-5", "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


@pytest.mark.parametrize(
    ("documents", "models"),
    [
        ([{"model": "a", "usage": CHAT}, {"model": "b", "usage": CHAT}, {"model": "a", "usage": CHAT}], ["a", "b", "a"]),
        ([CONVERSED, CONVERSED], ["", ""]),
        ([COMPLETION, COMPLETION], ["gpt-5", "gpt-5"]),
        ([{"model": "a", "usage": CHAT}, {"usage": CHAT}], ["a"]),
        ([{"usage": CHAT}, {"model": "a", "usage": CHAT}], ["a"]),
    ],
    ids=["other models", "Converse", "completions", "an event without a model", "a model that comes late"],
)
def test_responses_without_an_id(documents: list[dict[str, Any]], models: list[str]) -> None:
    """Each is one of its own where its model or its kind says so; otherwise they are events of one."""
    found = read(json.dumps(documents)).responses
    assert [each.model for each in found] == models
    assert len({json.dumps(each.counts) for each in found}) == 1
