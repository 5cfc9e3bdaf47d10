"""How many images came back: of OpenAI's image API, of Imagen, and among the parts of a Gemini answer; and what they are.

Google's client has those of Imagen as `generated_images`; one that was filtered has no image. The AI SDK, Bedrock's models and
hosts of open models have a list of `images`: objects, or texts in Base64.

OpenAI says the size and the quality that it made of `auto`: https://platform.openai.com/docs/api-reference/images/object.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

_WRAPPED_IN = ("response", "body", "result")
_MAX_DEPTH = 8
_LONGEST_WORD = 32


def images_in(documents: Iterable[Any]) -> int | None:
    """The number of images in responses or in the events of one; None if none is a response of images."""
    found = [count for each in documents for count in _counts(each, 0) if count is not None]
    return sum(found) if found else None


def variant_in(documents: Iterable[Any]) -> str:
    """The size and the quality of the images in responses of OpenAI; empty if they differ or are not said."""
    found = {each for document in documents for each in _variants(document, 0)}
    return found.pop() if len(found) == 1 else ""


def _variants(document: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(document, list):
        for each in document:
            yield from _variants(each, depth + 1)
    elif isinstance(document, dict):
        if _is_of_openai(document):
            words = (document.get(name) for name in ("size", "quality"))
            yield " ".join(each for each in words if isinstance(each, str) and len(each) <= _LONGEST_WORD)
        for name in _WRAPPED_IN:
            yield from _variants(document.get(name), depth + 1)


def _is_of_openai(response: Raw) -> bool:
    """Whether an object is a response of OpenAI's image API, or the last event of one that was streamed."""
    is_event = response.get("type") in ("image_generation.completed", "image_edit.completed")
    return is_event or ("created" in response and isinstance(response.get("data"), list))


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
    """The number of images in one response; None for one of Gemini without any, which is text."""
    if isinstance(data := response.get("data"), list) and "created" in response:
        return len(data)
    if isinstance(predictions := response.get("predictions"), list) and not any(map(_is_embedding, predictions)):
        return sum(map(_is_image, predictions))
    for name in ("generatedImages", "generated_images"):
        if isinstance(generated := response.get(name), list):
            return sum(isinstance(each.get("image"), dict) for each in _items(generated))
    if isinstance(images := response.get("images"), list) and images:
        return sum(isinstance(each, str | dict) for each in images)
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
    if kind is None and isinstance(found, dict):
        return "bytesBase64Encoded" in found
    return isinstance(kind, str) and kind.startswith("image/")


def _is_embedding(found: Any) -> bool:
    return isinstance(found, dict) and "embeddings" in found
