"""The models of a realtime session, which its first events name and the events with usage do not.

`session.created` and `session.updated` say which model answers and which one transcribes what is heard
(https://platform.openai.com/docs/api-reference/realtime-server-events).
"""

from collections.abc import Iterable
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

TRANSCRIPT = "conversation.item.input_audio_transcription."
"""How the types of events of a transcript begin."""


def with_session_models(documents: Iterable[Any]) -> list[Any]:
    """The documents, with the models of their session written into the events that have usage and name none."""
    found = list(documents)
    if len(found) == 1 and isinstance(found[0], list):
        return [_named(found[0])]
    return _named(found)


def _named(events: list[Any]) -> list[Any]:
    if not any(map(_session_of, events)):
        return events
    found = list(events)
    answering = transcribing = None
    for number, each in enumerate(found):
        if session := _session_of(each):
            answering, transcribing = session.get("model", answering), _transcriber(session) or transcribing
        elif isinstance(each, dict) and isinstance(each.get("usage"), dict) and _kind(each).startswith(TRANSCRIPT):
            found[number] = {"model": transcribing, **each}
        elif isinstance(each, dict) and _kind(each) == "response.done" and isinstance(each.get("response"), dict):
            found[number] = {**each, "response": {"model": answering, **each["response"]}}
    return found


def _kind(document: Raw) -> str:
    return str(document.get("type"))


def _session_of(document: Any) -> Raw:
    session = document.get("session") if isinstance(document, dict) and _kind(document).startswith("session.") else None
    return session if isinstance(session, dict) else {}


def _transcriber(session: Raw) -> Any:
    """The model that transcribes, as the session names it now or did before."""
    found: Any = session
    for name in ("audio", "input", "transcription"):
        found = found.get(name) if isinstance(found, dict) else None
    before = session.get("input_audio_transcription")
    return next((each.get("model") for each in (found, before) if isinstance(each, dict)), None)
