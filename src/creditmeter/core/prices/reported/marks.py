"""Where responses begin and end, and what is a step or a sum of steps, in reports that tell responses apart by no id.

* Anthropic begins a message with `message_start` and ends it with `message_stop`. Bedrock Converse begins one with
  `messageStart`.
* Gemini ends a response with the chunk that has a `finishReason` and the counts, Gemini Live a turn with `turnComplete`
  (https://ai.google.dev/api/live).
* OpenAI ends a response with `response.done` (realtime) or `response.completed` and the like (responses, transcripts, images).
* Llama and Titan at Bedrock say in their last chunk why they stopped; Converse and chat completions have a last one of counts.
* OpenTelemetry has a span for each request, and one of an `invoke_agent` with the counts of all of them.
* The AI SDK ends each step of a call with `finish-step`, and the call with `finish`, whose counts are those of all its steps.
* Claude Code writes a line for each `assistant` message, and at last the `result` with the counts of all of them.
* A batch has a line for what failed, too: nothing was used for it.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

LINE_NAMES = ("custom_id", "recordId", "key", "processed_time")
"""The keys of which the lines of a batch have one."""


class Mark(Enum):
    """What an event says of where it stands among the others."""

    BEGIN = auto()
    END = auto()
    STEP = auto()
    TOTAL = auto()
    FAILED = auto()


Marks = frozenset[Mark]

NO_MARKS: Marks = frozenset()
_LAST_TYPES = (
    *("message_stop", "response.done", "response.completed", "response.incomplete", "response.failed"),
    *("transcript.text.done", "image_generation.completed", "image_edit.completed"),
)
_BY_TYPE: Mapping[str, Marks] = {
    "message_start": frozenset((Mark.BEGIN,)),
    **dict.fromkeys(_LAST_TYPES, frozenset((Mark.END,))),
    **dict.fromkeys(("finish-step", "step-finish"), frozenset((Mark.STEP, Mark.END))),
    "finish": frozenset((Mark.TOTAL, Mark.END)),
    "assistant": frozenset((Mark.STEP,)),
    "result": frozenset((Mark.TOTAL, Mark.END)),
}
_OPERATION = "gen_ai.operation.name"
_BY_OPERATION: Mapping[str, Marks] = {
    **dict.fromkeys(("chat", "generate_content", "text_completion"), frozenset((Mark.STEP, Mark.END))),
    "invoke_agent": frozenset((Mark.TOTAL, Mark.END)),
}
_FIRST_ERROR = 400
_FAILED = ("errored", "canceled", "expired")


def marks_of(document: Raw) -> Marks:
    """What an object of a report says of where it stands."""
    kind = document.get("type")
    marks = _BY_TYPE.get(kind, NO_MARKS) if isinstance(kind, str) else NO_MARKS
    if isinstance(operation := document.get(_OPERATION), str):
        marks |= _BY_OPERATION.get(operation, NO_MARKS)
    if "messageStart" in document:
        marks |= {Mark.BEGIN}
    if _is_end_of_turn(document) or _is_end_of_answer(document) or _is_last_chunk(document):
        marks |= {Mark.END}
    if _is_failed_line(document):
        marks |= {Mark.FAILED}
    return marks


def _is_end_of_turn(document: Raw) -> bool:
    content = document.get("serverContent", document.get("server_content"))
    return isinstance(content, dict) and content.get("turnComplete", content.get("turn_complete")) is True


def _is_end_of_answer(document: Raw) -> bool:
    """Whether an object is a chunk or a response of Gemini with its counts and its last word."""
    candidates = document.get("candidates")
    if not isinstance(candidates, list) or not isinstance(document.get("usageMetadata", document.get("usage_metadata")), dict):
        return False
    return any(isinstance(each, dict) and _is_finished(each) for each in candidates)


def _is_last_chunk(document: Raw) -> bool:
    """Whether an object is the last of a stream of Llama, Titan or Converse, or of chat completions, which has the counts."""
    results, metadata = document.get("results"), document.get("metadata")
    first = results[0] if isinstance(results, list) and results else None
    is_of_titan = any(bool(each.get("completionReason")) for each in (document, first) if isinstance(each, dict))
    is_of_llama = "generation_token_count" in document and bool(document.get("stop_reason"))
    is_of_converse = isinstance(metadata, dict) and "usage" in metadata and "metrics" in metadata
    is_of_chat = document.get("object") == "chat.completion.chunk" and document.get("choices") == []
    return is_of_titan or is_of_llama or is_of_converse or (is_of_chat and isinstance(document.get("usage"), dict))


def _is_finished(candidate: Mapping[str, Any]) -> bool:
    reason = candidate.get("finishReason", candidate.get("finish_reason"))
    return bool(reason) and reason not in (0, "FINISH_REASON_UNSPECIFIED")


def _is_failed_line(document: Raw) -> bool:
    if not any(name in document for name in LINE_NAMES):
        return False
    response, result = document.get("response"), document.get("result")
    status = response.get("status_code") if isinstance(response, dict) else None
    if isinstance(result, dict) and result.get("type") in _FAILED:
        return True
    return bool(document.get("error")) or (isinstance(status, int) and status >= _FIRST_ERROR)
