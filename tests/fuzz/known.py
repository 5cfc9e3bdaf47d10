"""What callers learnt from replies: ids of things that exist, and pages that go on.

Each kind of thing has a fixed number of places. What is learnt takes the place of what was learnt long ago, so the same random
numbers choose the same places, whatever is in them. So a call that is made again alone differs in such ids and nothing else.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.message import Message

from tests.fuzz.contract import Rpc

PLACES = 32
KINDS = ("reservation_id", "charge_id", "refund_id", "grant_id", "entry_id", "lease_id", "sidecar_id", "version")
_LISTED = {"charge_ids": "charge_id"}


class Known:
    """Ids by the names of their fields, and requests that have a page token."""

    def __init__(self) -> None:
        self._ids: dict[str, list[str]] = {each: [] for each in KINDS}
        self._pages: dict[str, list[bytes]] = {}
        self._learnt: dict[str, int] = {}

    def an_id(self, random: Random, kind: str) -> str:
        """An id of this kind."""
        place = random.randrange(PLACES)
        found = self._ids[kind]
        return found[place % len(found)] if found else "none"

    def a_page(self, random: Random, rpc: Rpc) -> Any | None:
        """A request for a page of a listing that begins later; None if none is known."""
        place = random.randrange(PLACES)
        found = self._pages.get(rpc.name)
        if not found:
            return None
        return type(rpc.request()).FromString(found[place % len(found)])

    def learn(self, rpc: Rpc, request: Message, reply: Message) -> None:
        """Keep the ids in a reply, and the request for the next page."""
        for kind, value in _ids_in(reply):
            self._keep(kind, self._ids[kind], value)
        if token := getattr(reply, "next_page_token", ""):
            following: Any = type(request)()
            following.CopyFrom(request)
            following.page_token = token
            self._keep(rpc.name, self._pages.setdefault(rpc.name, []), following.SerializeToString())

    def _keep(self, name: str, found: list[Any], value: str | bytes) -> None:
        if value in found:
            return
        if len(found) < PLACES:
            found.append(value)
            return
        number = self._learnt[name] = self._learnt.get(name, 0) + 1
        found[number % PLACES] = value


def _ids_in(message: Message) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        kind = _LISTED.get(field.name, field.name)
        if kind in KINDS:
            yield from ((kind, each) for each in ([value] if isinstance(value, str) else value))
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in [value] if isinstance(value, Message) else value:
                yield from _ids_in(each)
