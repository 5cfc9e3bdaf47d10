"""Bounds the replies of single calls that their callers do not read.

gRPC keeps a reply until its caller takes it, cancels the call, or loses the connection. Nothing can be taken back from it. So
what it keeps is counted, and a read whose reply finds no room is refused, which changes nothing. What a call did that changes
something is always told: those replies are small, and a Batch is refused before it begins. The call's task ends when gRPC has
written the reply to the connection, within what its caller is ready to read: then the room is given back.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from creditmeter.core.instants import SECOND
from creditmeter.core.refusals import Overloaded
from creditmeter.server.admission import caller_of
from creditmeter.server.errors import Behavior, Context, allowed

MAX_BYTES = 64 * 1024 * 1024
"""Most bytes of replies that were not read yet. They take about twice as much memory: gRPC makes a copy."""

MAX_BYTES_OF_LARGE = 48 * 1024 * 1024
"""Above this a large reply finds no room, so that small ones find it beside callers that read no large ones."""

MAX_BYTES_OF_CALLER = 16 * 1024 * 1024
"""Most bytes of replies that one caller, which is a connection, has not read yet: five of the largest pages."""

LARGE_BYTES = 64 * 1024
"""A larger reply is a large one. A page of the usual 50 things is smaller, unless these carry long labels."""

RETRY_AFTER = SECOND

_READS = ("Explain", "Forecast", "Get", "List", "Quote", "Summarize")
"""How the names of the calls begin that change nothing."""


def is_read(method: str) -> bool:
    """Whether a method, named by its path, changes nothing."""
    return method.rpartition("/")[2].startswith(_READS)


class UnreadReplies:
    """The replies of single calls that their callers have not read yet."""

    def __init__(self) -> None:
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()

    def refused(self, context: Context, size: int) -> Overloaded | None:
        """The refusal of a reply of so many bytes; None if there is room for it."""
        if self._bytes_of[caller_of(context)()] + size > MAX_BYTES_OF_CALLER:
            return Overloaded(RETRY_AFTER, "this connection does not read its replies, or asks for too many large ones at once")
        if self._bytes + size > (MAX_BYTES if size <= LARGE_BYTES else MAX_BYTES_OF_LARGE):
            return Overloaded(RETRY_AFTER, "too many replies are not read yet")
        return None

    def hold(self, context: Context, size: int) -> None:
        """Count a reply until it was read, or its call has ended otherwise."""
        caller = caller_of(context)()
        self._count(caller, size)
        context.add_done_callback(lambda _: self._count(caller, -size))  # type: ignore[arg-type]  # it gets the context

    def _count(self, caller: str, size: int) -> None:
        self._bytes += size
        self._bytes_of[caller] += size
        if not self._bytes_of[caller]:
            del self._bytes_of[caller]

    def bounded(self, behavior: Behavior, serializer: Callable[[Any], bytes]) -> Behavior:
        """What answers a read with bytes, if there is room for them."""

        async def call(request: Any, context: Context) -> bytes:
            reply = serializer(await behavior(request, context))  # so the message itself is not kept
            refusal = self.refused(context, len(reply))
            if refusal is not None:
                del reply  # else what ends the call keeps it, in its traceback
                await allowed(context, refusal)
            self.hold(context, len(reply))
            return reply

        return call
