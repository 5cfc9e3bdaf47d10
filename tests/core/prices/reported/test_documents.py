"""The documents in a text: JSON, JSON lines, raw events, and lists of them."""

import json
from typing import Any

import pytest

from creditmeter.core.prices.reported.documents import WHAT_TO_SEND, Documents, documents_in
from creditmeter.core.prices.reported.reading import read
from creditmeter.core.work import Served, Usage
from tests.core.prices.reports import CHAT, MESSAGE, read_text, refusal

CHAT_COUNTS = Usage(input_tokens=1000, output_tokens=97)
CHUNK = {"id": "c", "choices": [{"delta": {"content": "a"}}], "usage": None}
LAST = {"id": "c", "choices": [], "usage": CHAT}
EVENTS = (
    f": a comment\n\nevent: chunk\nid: 1\nretry: 5\ndata: {json.dumps(CHUNK)}\n\ndata: {json.dumps(LAST)}\n\ndata: [DONE]\n\n"
)


def batch_line(custom_id: str, usage: Any, status: int = 200) -> dict[str, Any]:
    """A line of OpenAI's batch output (https://platform.openai.com/docs/guides/batch)."""
    body = {"model": "gpt-4o-mini", "usage": usage} if usage else {"error": {"message": "no"}}
    return {
        "id": f"batch_{custom_id}",
        "custom_id": custom_id,
        "response": {"status_code": status, "body": body},
        "error": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(LAST), id="JSON"),
        pytest.param(f"\ufeff {json.dumps(LAST)} ", id="with a byte order mark"),
        pytest.param(f"{json.dumps(CHUNK)}\n{json.dumps(LAST)}\n", id="JSON lines"),
        pytest.param(f"{json.dumps(CHUNK)}\r\n\r\n{json.dumps(LAST)}", id="with other ends of lines"),
        pytest.param(f"{json.dumps(CHUNK, indent=2)}\n{json.dumps(LAST, indent=2)}", id="over several lines each"),
        pytest.param(EVENTS, id="events"),
        pytest.param(EVENTS.replace("\n", "\r\n"), id="events with other ends of lines"),
        pytest.param(EVENTS.replace("data: ", "data:"), id="events without a space"),
        pytest.param(f"data: {json.dumps(CHUNK)}\ndata: {json.dumps(LAST)}\ndata: [DONE]\n", id="events without empty lines"),
        pytest.param("data: " + json.dumps(LAST, indent=1).replace("\n", "\ndata: ") + "\n\n", id="data over several lines"),
        pytest.param("data: ping\n\n" + EVENTS, id="a sign of life"),
        pytest.param(json.dumps(EVENTS), id="a text of events"),
        pytest.param(json.dumps(json.dumps(LAST)), id="a text of JSON"),
        pytest.param(json.dumps([json.dumps(CHUNK), json.dumps(LAST)]), id="a list of lines"),
        pytest.param(json.dumps([f"data: {json.dumps(CHUNK)}", f"data: {json.dumps(LAST)}", "data: [DONE]"]), id="of events"),
        pytest.param(json.dumps([[CHUNK], [LAST, 5, None, "x"]]), id="lists of lists"),
    ],
)
def test_every_form_of_document_is_read(text: str) -> None:
    """The same usage in each."""
    assert read_text(text) == CHAT_COUNTS


def test_lines_of_a_batch_are_responses_of_their_own() -> None:
    """1,000 and 97 tokens each, served by the batch tier; a request that failed used nothing."""
    lines = [batch_line("r1", CHAT), batch_line("r2", CHAT), batch_line("r3", None, 400)]
    text = "\n".join(map(json.dumps, lines))
    batch = Served(service_tier="batch")
    assert read_text(text) == Usage(input_tokens=2000, output_tokens=194, response_model="gpt-4o-mini", served=batch)
    assert [each.service_tier for each in read(text).responses] == ["batch", "batch"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(EVENTS[: EVENTS.rindex("usage") + 5], id="within an event"),
        pytest.param(json.dumps(CHUNK) + '\n{"id": "c", "us', id="within a line"),
        pytest.param("data: {", id="within the first event"),
    ],
)
def test_a_text_that_breaks_off_is_known_to(text: str) -> None:
    """What came before counts; here that is nothing."""
    assert documents_in(text).is_cut
    assert read_text(text) == Usage()


def test_how_much_output_a_broken_stream_had_is_not_known() -> None:
    """What it had so far is less: 9 of an unknown number."""
    so_far = {"usageMetadata": {"promptTokenCount": 50, "candidatesTokenCount": 9}}
    assert read_text(f'data: {json.dumps(so_far)}\n\ndata: {{"candi', "google") == Usage(input_tokens=50)


def test_a_stream_that_only_began_has_no_output_yet() -> None:
    """The first event of a message has a count of output that only the last one makes true."""
    start = {"type": "message_start", "message": {"id": "m", "usage": MESSAGE | {"output_tokens": 1}}}
    assert read_text(json.dumps([start])).output_tokens is None
    assert read_text(json.dumps([start])).input_tokens == 12_307
    end = {"type": "message_delta", "usage": {"output_tokens": 550}}
    assert read_text(json.dumps([start, end])).output_tokens == 550


@pytest.mark.parametrize(
    "text",
    ["", " ", "no", "{", "data", "{'a': 1}", '{"a": 1} no', "3", '"text"', "[" * 100_000, '{"a": ' + "9" * 5_000 + "}"],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    """With what to send."""
    assert refusal(text or " ").endswith(WHAT_TO_SEND)


def test_an_event_in_the_middle_that_is_no_json_is_refused() -> None:
    """Its usage might be lost, so it is named."""
    assert refusal("data: {oops\n\ndata: {}\n\n").startswith("has an event, number 1, whose data is not JSON")


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"usage": ', "}"), ('{"x": ', "}"), ('{"a_tokens": [', "]}")])
@pytest.mark.parametrize("depth", [100, 300, 450])
def test_nothing_is_too_deep(start: str, end: str, depth: int) -> None:
    """What can just be parsed is read, in each of two events, as far as usage is looked for."""
    deep = start * depth + "1" + end * depth
    event = f'{{"id": "a", "usage": {{"prompt_tokens": 5, "completion_tokens": 6, "x": {deep}}}, "y": {deep}}}'
    assert read_text(f"[{event}, {event}]") == Usage(input_tokens=5, output_tokens=6)


def test_documents_are_what_was_written() -> None:
    """In their order."""
    assert documents_in('{"a": 1}\n[2]') == Documents(({"a": 1}, [2]))


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens": 0}',
        '{"prompt_tokens": 0, "prompt_tokens": "100", "completion_tokens": 9, "completion_tokens": null}',
        '{"usage": {"prompt_tokens": 100, "completion_tokens": 9}, "usage": {"prompt_tokens": 0}, "usage": null}',
        '{"usage": null, "usage": {"prompt_tokens": 100}, "usage": {"completion_tokens": 9}}',
    ],
)
def test_a_name_that_comes_twice_takes_nothing_back(text: str) -> None:
    """Of counts the larger one is read."""
    assert read_text(text) == Usage(input_tokens=100, output_tokens=9)
