"""Page tokens: where a listing goes on, bound to the filters of its first page."""

import base64
import hashlib
from typing import TypeVar

import msgspec
from google.protobuf.message import Message

from creditmeter.server.reading import Fields

_Cursor = TypeVar("_Cursor")


class _Token(msgspec.Struct, array_like=True):
    filters: str
    cursor: msgspec.Raw


def next_token(request: Message, cursor: object) -> str:
    """The token with which the page after this one is asked for."""
    token = _Token(_filters(request), msgspec.Raw(msgspec.json.encode(cursor)))
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()


def cursor_of(fields: Fields, request: Message, token: str, kind: type[_Cursor]) -> _Cursor | None:
    """Where to go on; None on the first page. A token that is not of this listing with these filters is wrong."""
    if not token:
        return None
    try:
        read = msgspec.json.decode(base64.urlsafe_b64decode(token), type=_Token)
        if read.filters == _filters(request):
            return msgspec.json.decode(read.cursor, type=kind)
    except (ValueError, msgspec.DecodeError):
        pass
    fields.wrong("page_token", "is not the next_page_token of a listing with the same filters")
    return None


def _filters(request: Message) -> str:
    """A digest of everything in the request but where and how far to read."""
    bare = type(request)()
    bare.CopyFrom(request)
    for name in ("page_token", "page_size"):
        bare.ClearField(name)
    return hashlib.blake2b(bare.SerializeToString(deterministic=True), digest_size=6).hexdigest()
