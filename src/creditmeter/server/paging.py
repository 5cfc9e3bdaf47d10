"""Pages: as much as a message may carry, and tokens that say where a listing goes on, bound to its first page's filters.

A token is stored nowhere, so it has no stored form: it lives as long as its listing.
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from google.protobuf.message import Message

from creditmeter.core.refusals import InvalidRequest
from creditmeter.server.fields import Fields

MAX_PAGE_BYTES = 3 * 1024**2
"""Largest page, in bytes: gRPC takes messages of up to 4 MiB."""

MAX_TOKEN = 64 * 1024
"""Longest page token that is read, in characters. The longest that is given out has the names of a rate card's line."""

_AROUND_BYTES = 8
_LARGEST = 2**63 - 1

_Cursor = TypeVar("_Cursor")
_Item = TypeVar("_Item")
_Message = TypeVar("_Message", bound=Message)


class _Token(msgspec.Struct, Generic[_Cursor], array_like=True):
    """A token is decoded into the type of its listing's cursor, so what is nested deeper than that is not followed."""

    filters: str
    cursor: _Cursor


@dataclass(frozen=True, slots=True)
class PageRequest(Generic[_Cursor]):
    """A page that is asked for: up to `size` items after the cursor `after`, which is None for the first page."""

    request: Message
    size: int
    after: _Cursor | None

    @property
    def limit(self) -> int:
        """The number of items to look for. It is one more than the page has: if that one is found, there is a next page."""
        return self.size + 1

    def page(
        self, found: Sequence[_Item], message: Callable[[_Item], _Message], cursor: Callable[[_Item], object]
    ) -> tuple[list[_Message], str]:
        """The page's messages and the token of the next page, from up to `limit` items that were found.

        The token is empty if there is no next page. `cursor` gives an item's place in the order of the listing.
        """
        shown = fitting(message(each) for each in found[: self.size])
        return shown, self.token(cursor(found[len(shown) - 1])) if len(found) > len(shown) else ""

    def token(self, cursor: object) -> str:
        """The token of the page that begins after a cursor."""
        token = _Token(_filters(self.request), cursor)
        return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()


def page_of(fields: Fields, request: Any, cursor: type[_Cursor]) -> PageRequest[_Cursor] | InvalidRequest:
    """Read which page is asked for. It is read last, so that its refusal names the wrong fields of the whole request."""
    size = fields.page_size()
    after = _cursor_of(fields, request, request.page_token, cursor)
    return fields.refusal or PageRequest(request, size, after)


def fitting(messages: Iterable[_Message], most: int = MAX_PAGE_BYTES) -> list[_Message]:
    """The first of these messages that take up to `most` bytes together, but at least one message."""
    found: list[_Message] = []
    for message in messages:
        most -= message.ByteSize() + _AROUND_BYTES
        if found and most < 0:
            break
        found.append(message)
    return found


def _cursor_of(fields: Fields, request: Message, token: str, kind: type[_Cursor]) -> _Cursor | None:
    """The cursor in a token; None for the first page. A token of another listing, or of other filters, is noted as wrong."""
    if not token:
        return None
    if len(token) <= MAX_TOKEN:
        # A RecursionError comes from a field that the cursor does not have: msgspec skips it, at any depth.
        with contextlib.suppress(ValueError, RecursionError):
            read = _decoded(token, kind)
            if read.filters == _filters(request) and _is_ours(msgspec.to_builtins(read.cursor)):
                return read.cursor
    fields.wrong("page_token", "is not the next_page_token of a listing with the same filters")
    return None


def _decoded(token: str, kind: type[_Cursor]) -> _Token[_Cursor]:
    """The parts of a token.

    Raises:
        ValueError: it is no token with such a cursor.
        RecursionError: it is nested without end.
    """
    text = base64.urlsafe_b64decode(token)
    return msgspec.json.decode(text, type=_Token[kind])  # type: ignore[valid-type]  # the type of this listing's cursor


def _is_ours(cursor: Any) -> bool:
    """Whether a cursor has only values that a store can have. Any other cursor was not made here."""
    match cursor:
        case int():
            return 0 <= cursor <= _LARGEST
        case str():
            return "\0" not in cursor and _is_text(cursor)
        case list() | tuple():
            return all(map(_is_ours, cursor))
        case dict():
            return all(map(_is_ours, cursor.values()))
        case _:
            return False


def _is_text(found: str) -> bool:
    """Whether a text can be encoded: half a pair of surrogates can be written in JSON, and nowhere else."""
    try:
        found.encode()
    except UnicodeEncodeError:
        return False
    return True


def _filters(request: Message) -> str:
    """A digest of the request without its page token and page size."""
    bare = type(request)()
    bare.CopyFrom(request)
    for name in ("page_token", "page_size"):
        bare.ClearField(name)
    return hashlib.blake2b(bare.SerializeToString(deterministic=True), digest_size=6).hexdigest()
