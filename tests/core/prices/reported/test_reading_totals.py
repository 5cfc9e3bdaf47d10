"""What providers report of several responses, and what only their totals say."""

from typing import Any

import pytest

from creditmeter.core.work import Usage
from tests.core.prices.reports import CHAT, GROK, MESSAGE, read

HIDDEN = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 1030}
SPOKEN = {"input_tokens": 9, "output_tokens": 2}


@pytest.mark.parametrize(
    ("provider", "document", "output"),
    [
        pytest.param("google", HIDDEN, 1020, id="Gemini's thoughts are in the total only"),
        pytest.param("", HIDDEN, 1020, id="whoever says so"),
        pytest.param("perplexity", HIDDEN, 20, id="but for Perplexity, whose total says something else"),
        pytest.param("google", HIDDEN | {"total_tokens": 30}, 20, id="a total that says the same"),
        pytest.param("google", HIDDEN | {"total_tokens": 5}, 20, id="a total that is too small says nothing"),
        pytest.param("google", HIDDEN | {"total_tokens": None}, 20, id="no total"),
        pytest.param("x-ai", GROK | {"total_tokens": 800}, 763, id="xAI's reasoning is beside the completion"),
        pytest.param("x-ai", GROK | {"total_tokens": 567}, 530, id="or part of it, as the total says"),
        pytest.param("x_ai", GROK, 763, id="beside it without a total"),
    ],
)
def test_what_is_counted_in_the_total_only_is_output(provider: str, document: Any, output: int) -> None:
    """The prompt is counted whole, so whatever else the total has was generated."""
    assert read(document, provider).output_tokens == output


def chat(response_id: str | None, prompt: int, completion: int) -> Any:
    """A response, or a piece of one, with an id if it has one."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"usage": usage} if response_id is None else {"id": response_id, "usage": usage}


@pytest.mark.parametrize(
    ("document", "counts"),
    [
        pytest.param([chat("a", 10, 1), chat("b", 100, 5)], (110, 6), id="two responses are added up"),
        pytest.param([chat("a", 10, 1), chat("a", 10, 7)], (10, 7), id="of the events of one the last counts"),
        pytest.param([chat("a", 10, 1), chat("b", 5, 5), chat("a", 10, 7)], (15, 12), id="also where they are mixed"),
        pytest.param([chat(None, 10, 1), chat(None, 10, 7)], (10, 7), id="without ids they are of one"),
        pytest.param([chat(None, 10, 1), chat("a", 10, 7)], (10, 7), id="what comes before the first id is of that one"),
        pytest.param([chat("a", 10, 1), chat(None, 10, 4), chat("b", 5, 5)], (15, 9), id="what has none is of the one before"),
        pytest.param([chat("", 10, 1), chat("a", 10, 2)], (10, 2), id="an empty id is none"),
        pytest.param([[chat("a", 10, 1)], [chat("b", 5, 5)]], (15, 6), id="lists of lists"),
        pytest.param(
            [
                {"type": "response.done", "response": {"id": each, "usage": {"input_tokens": 9, "output_tokens": 2}}}
                for each in "ab"
            ],
            (18, 4),
            id="turns of a conversation by voice",
        ),
        pytest.param(
            [
                {"responseId": each, "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": said}}
                for each, said in (("a", 1), ("a", 4), ("b", 3))
            ],
            (18, 7),
            id="Gemini's",
        ),
        pytest.param(
            [
                {"type": "message_start", "message": {"id": "a", "usage": MESSAGE | {"output_tokens": 1}}},
                {"type": "message_delta", "usage": {"output_tokens": 550}},
                {"type": "message_start", "message": {"id": "b", "usage": MESSAGE | {"output_tokens": 1}}},
                {"type": "message_delta", "usage": {"output_tokens": 50}},
            ],
            (2 * 12_307, 600),
            id="two messages of Anthropic's in their events",
        ),
        pytest.param([chat("a", 10, 1), {"id": "b", "usage": SPOKEN}], (19, 3), id="two tongues"),
    ],
)
def test_responses_are_added_up_and_events_are_not(document: Any, counts: tuple[int, int]) -> None:
    """Each response has an id, and its events share it."""
    found = read(document)
    assert (found.input_tokens, found.output_tokens) == counts


def test_parts_are_added_up_too() -> None:
    """What one of them does not count does not make the sum unknown."""
    cached = CHAT | {"prompt_tokens_details": {"cached_tokens": 900}}
    found = read([{"id": "a", "usage": cached}, {"id": "b", "usage": CHAT}, {"id": "c", "usage": cached}])
    assert found == Usage(input_tokens=3000, output_tokens=3 * 97, cache_read_input_tokens=1800)


def test_llama_at_bedrock() -> None:
    """Its words are much like Gemini's."""
    assert read({"generation": "Hi", "prompt_token_count": 10, "generation_token_count": 20}) == Usage(
        input_tokens=10, output_tokens=20
    )


@pytest.mark.parametrize(
    ("kept", "written", "kept_1h"),
    [
        ({"ephemeral_5m_input_tokens": 12_304, "ephemeral_1h_input_tokens": 0}, 12_304, 0),
        ({"ephemeral_5m_input_tokens": 12_000, "ephemeral_1h_input_tokens": 304}, 12_304, 304),
        ({"ephemeral_1h_input_tokens": 304}, 304, 304),
    ],
)
def test_cache_writes_of_anthropic_without_their_sum(kept: dict[str, int], written: int, kept_1h: int) -> None:
    """They are counted beside the input, by how long they are kept."""
    found = read({"input_tokens": 3, "output_tokens": 5, "cache_creation": kept})
    assert (found.input_tokens, found.cache_creation_input_tokens) == (3 + written, written)
    assert found.cache_creation_1h_input_tokens == kept_1h
