"""How many images came back: of OpenAI's image API, of Imagen, and among the parts of a Gemini answer."""

from collections.abc import Iterable, Iterator
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

_WRAPPED_IN = ("response", "body", "result")
_MAX_DEPTH = 8


def images_in(documents: Iterable[Any]) -> int | None:
    """The number of images in responses or in the events of one; None if none is a response of images."""
    found = [count for each in documents for count in _counts(each, 0) if count is not None]
    return sum(found) if found else None


def _counts(document: Any, depth: int) -> Iterator[int | None]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(document, list):
        for each in document:
            yield from _counts(each, depth + 1)
    elif isinstance(document, dict):
        yield _images_of(document)
        for name in _WRAPPED_IN:
            yield from _counts(document.get(name), depth + 1)


def _images_of(response: Raw) -> int | None:
    """The number of images in one response of OpenAI, Imagen or Gemini; None for one of Gemini without any, which is text."""
    if isinstance(data := response.get("data"), list) and "created" in response:
        return len(data)
    if isinstance(predictions := response.get("predictions"), list) and not any(map(_is_embedding, predictions)):
        return sum(map(_is_image, predictions))
    return sum(map(_is_image, _gemini_parts(response))) or None


def _gemini_parts(response: Raw) -> Iterator[Any]:
    """The inline data of the candidates of a response."""
    for candidate in _items(response.get("candidates")):
        content = candidate.get("content")
        for part in _items(content.get("parts")) if isinstance(content, dict) else ():
            yield part.get("inlineData", part.get("inline_data"))


def _items(found: Any) -> Iterator[Raw]:
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())


def _is_image(found: Any) -> bool:
    kind = found.get("mimeType", found.get("mime_type")) if isinstance(found, dict) else None
    return isinstance(kind, str) and kind.startswith("image/")


def _is_embedding(found: Any) -> bool:
    return isinstance(found, dict) and "embeddings" in found
