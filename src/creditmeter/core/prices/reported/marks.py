"""Where responses begin and end, and what is a step or a sum of steps, in reports that tell responses apart by no id.

* Anthropic begins a message with `message_start` and ends it with `message_stop`. Bedrock Converse begins one with
  `messageStart`.
* Gemini ends a response with the chunk that has a `finishReason` and the counts, Gemini Live a turn with `turnComplete`
  (https://ai.google.dev/api/live).
* OpenAI ends a response with `response.done` (realtime) or `response.completed` and the like (responses).
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
_BY_TYPE: Mapping[str, Marks] = {
    "message_start": frozenset((Mark.BEGIN,)),
    **dict.fromkeys(
        ("message_stop", "response.done", "response.completed", "response.incomplete", "response.failed"),
        frozenset((Mark.END,)),
    ),
    **dict.fromkeys(("finish-step", "step-finish"), frozenset((Mark.STEP, Mark.END))),
    "finish": frozenset((Mark.TOTAL, Mark.END)),
    "assistant": frozenset((Mark.STEP,)),
    "result": frozenset((Mark.TOTAL, Mark.END)),
}
_FIRST_ERROR = 400
_FAILED = ("errored", "canceled", "expired")


def marks_of(document: Raw) -> Marks:
    """What an object of a report says of where it stands."""
    kind = document.get("type")
    marks = _BY_TYPE.get(kind, NO_MARKS) if isinstance(kind, str) else NO_MARKS
    if "messageStart" in document:
        marks |= {Mark.BEGIN}
    if _is_end_of_turn(document) or _is_end_of_answer(document):
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
