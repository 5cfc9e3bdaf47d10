"""The log of a run of Codex (a rollout) as the steps that it is made of.

Each `token_count` line has the counts of the last request and those of the run so far (https://github.com/openai/codex,
`codex-rs/protocol`): a line may come twice, and the run is the sum of its requests. Which model is in force stands in the
`turn_context` lines before.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

_LAST, _SO_FAR = "last_token_usage", "total_token_usage"


def without_rollouts(documents: Iterable[Any]) -> list[Any]:
    """The documents, with the lines of a rollout written as steps and their total; others as they came."""
    found: list[Any] = []
    lines: list[Raw] = []
    for each in documents:
        if isinstance(each, list) and any(map(_is_line, each)):
            found += without_rollouts(each)
        elif _is_line(each):
            lines.append(each)
        else:
            found.append(each)
    return [*found, *_steps(lines)] if lines else found


def _is_line(document: Any) -> bool:
    return isinstance(document, dict) and _payload(document) is not None


def _payload(document: Raw) -> Raw | None:
    """What a line says: of a rollout, of an event (`msg`), or by itself; None if it is no line that counts or names a model."""
    if _SO_FAR in document or _LAST in document:
        return {"info": document}
    for each in (document.get("payload"), document.get("msg"), document):
        if isinstance(each, dict) and (each.get("type") == "token_count" or (each is not document and _names_model(document))):
            return each
    return None


def _names_model(document: Raw) -> bool:
    return document.get("type") == "turn_context"


def _steps(lines: Iterable[Raw]) -> Iterator[Raw]:
    """The requests of a run, and then the total, of the last line."""
    model, total = None, None
    for payload in filter(None, map(_payload, lines)):
        info = payload.get("info")
        model = payload.get("model", model)
        if not isinstance(info, dict) or (info.get(_SO_FAR) == total and total is not None):
            continue
        total = info.get(_SO_FAR) or total
        yield {"type": "step-finish", "model": model, "usage": info.get(_LAST)}
    yield {"type": "finish", "usage": total}
