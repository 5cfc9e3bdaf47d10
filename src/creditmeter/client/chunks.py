"""The events in the chunks of a provider's stream: objects of an SDK, dicts, server-sent events, lines of JSON, or mere text.

What comes over HTTP may be cut anywhere, so a line is read once it is whole.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from creditmeter.client.usages import document_of

_FIELD = re.compile(r"(data|event|id|retry)?:")
"""How a line of server-sent events begins; a comment begins with the colon."""

_LONGEST_FIELD = len("event:")

_KNOWN_KEYS = frozenset(("candidates", "choices", "content", "delta", "done", "message", "response", "type", "usage"))
"""An object in text that has one of these is an event. Another one is JSON that a model generated."""


class Chunks:
    """Reads one stream, chunk by chunk."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._framing: str | None = None
        self._line = ""

    def read(self, chunk: object) -> list[Any]:
        """The events that are whole with this chunk. Mere text is one, too.

        Raises:
            TypeError: nothing can be read of it, such as of a number.
        """
        if isinstance(chunk, (bytes, bytearray)):
            return list(self._of_text(self._decoder.decode(bytes(chunk)), is_raw=True))
        if isinstance(chunk, str):
            return list(self._of_text(chunk, is_raw=False))
        if isinstance(chunk, (list, tuple)) and not hasattr(chunk, "_asdict"):  # LangGraph: a message, and what is said of it
            return [event for each in chunk if not isinstance(each, str) for event in self.read(each)]
        return [_of_object(chunk)]

    def rest(self) -> list[Any]:
        """What is left at the end of the stream."""
        line, self._line = self._line, ""
        return list(_of_line(line))

    def _of_text(self, text: str, *, is_raw: bool) -> Iterator[Any]:
        """The events in a text; `is_raw`: as it came over HTTP."""
        if self._framing is None:
            text, self._line = self._line + text, ""
            self._framing = _framing_of(text, is_raw=is_raw)
        if self._framing is None:
            self._line = text
        elif self._framing == "text":
            yield _of_whole(text)
        else:
            yield from self._of_lines(text, is_raw=is_raw)

    def _of_lines(self, text: str, *, is_raw: bool) -> Iterator[Any]:
        if not is_raw and self._line and _FIELD.match(text):  # each chunk is a line, without its end
            yield from self.rest()
        *lines, self._line = (self._line + text).splitlines(keepends=True) or [""]
        for each in lines:
            yield from _of_line(each)
        if self._line.endswith(("\n", "\r")) or _is_whole(self._line):
            yield from self.rest()


def _framing_of(text: str, *, is_raw: bool) -> str | None:
    """How a stream is framed that begins so: "lines" or "text"; None while too little has come."""
    begin = text.lstrip()
    if _FIELD.match(begin) or (is_raw and begin.startswith("{")):
        return "lines"
    return None if not begin or (is_raw and len(begin) < _LONGEST_FIELD and begin.isalpha()) else "text"


def _of_line(line: str) -> Iterator[Any]:
    """The event in a line. Of server-sent events other lines say nothing; a line that is no JSON is text."""
    text = line.strip()
    is_event = _FIELD.match(text)
    try:
        yield json.loads(text.removeprefix("data:"))
    except ValueError:
        if text and not is_event:
            yield line


def _is_whole(line: str) -> bool:
    """Whether a line without its end is an event."""
    with suppress(ValueError):
        return isinstance(json.loads(line.strip().removeprefix("data:")), dict)
    return False


def _of_whole(text: str) -> Any:
    """A text, which may be a line of JSON."""
    if text.lstrip().startswith("{"):
        with suppress(ValueError):
            found = json.loads(text)
            if isinstance(found, dict) and not _KNOWN_KEYS.isdisjoint(found):
                return found
    return text


def _of_object(chunk: object) -> Any:
    """An object as a document. Bedrock has the events of a model's own as bytes."""
    if (
        isinstance(chunk, Mapping)
        and isinstance(inner := chunk.get("chunk"), Mapping)
        and isinstance(inner.get("bytes"), bytes)
    ):
        with suppress(ValueError):
            return json.loads(inner["bytes"])
    return document_of(chunk)
