"""What one exchange with the central store asks for and gives back, and the requests that wait for its answer."""

import asyncio
from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.messages import Answer, Need
from creditmeter.core.instants import Instant, Span
from creditmeter.core.refusals import AccountNotFound
from creditmeter.sidecar.patience import Patience

AccountReply = Answer | AccountNotFound
"""What a waiting request receives from the central store."""


class InHand:
    """What a waiting request receives instead of a reply: credit that may serve it came in with the reply to a message that did
    not ask for it.
    """


class WaitingRequest:
    """A request that waits for credit. All microcredits of `amount` will do, or, where a part will do, `smallest` of them.

    It waits until it is decided. An answer that arrives while the request is being decided is received afterwards. `patience`
    is how long it waits for the central store's replies, together. `until` is the end of its wait for recalled credit. Until
    `notified_until` the central store notifies the sidecar when credit is there, so no exchange has to ask for it; None: an
    exchange has to ask. Both are moments on the event loop's clock. It `is_recalled` if by the last answer the central store
    has a recall for it. It `is_asked` for while a message that asks for its credit is composed or under way.

    `asked_at` is when it was first asked for, by the central store's count, as a caller that repeats it has it repeated. With
    `repeated_until`, on the boot-time clock, its caller was told to repeat it.
    """

    def __init__(self, until: float, patience: Patience, asked_at: Instant | None = None) -> None:
        self.until = until
        self.patience = patience
        self.asked_at = asked_at
        self.repeated_until: Span | None = None
        self.amount = Microcredits(0)
        self.smallest = Microcredits(0)
        self.notified_until: float | None = None
        self.is_recalled = False
        self.is_asked = False
        self._newest: AccountReply | InHand | Exception | None = None
        self._has_arrived = asyncio.Event()

    @property
    def needs_exchange(self) -> bool:
        """Whether an exchange has to ask for its credit: it has no answer to look at, and expects no notification."""
        return self.notified_until is None and not self._has_arrived.is_set()

    def pass_on(self, reply: AccountReply | InHand | Exception) -> None:
        """Hand it the newest reply, or the error that came instead of one. An older one that it did not receive is lost."""
        self.is_asked = False
        self._newest = reply
        self._has_arrived.set()

    async def receive(self) -> AccountReply | InHand:
        """Wait for the next reply, and return the newest one. Raises the error that came instead of a reply."""
        await self._has_arrived.wait()
        self._has_arrived.clear()
        assert self._newest is not None, "whatever arrived was passed on"
        if isinstance(self._newest, Exception):
            raise self._newest
        return self._newest


@dataclass(frozen=True, slots=True)
class ExchangePlan:
    """What a message about an account asks for and gives back.

    With `gives_back` all idle credit returns but `keep`, in microcredits. `answers_recall` says that the message answers a
    recall of which this sidecar was notified. `waiting` are the requests that receive the reply. With `is_last` the sidecar
    stops and no request waits: nothing is authorised on the account's leases from here on. With `keeps_place` there are
    requests beside those whose callers were told to repeat them.
    """

    need: Need | None
    gives_back: bool
    keep: Microcredits
    answers_recall: bool
    waiting: tuple[WaitingRequest, ...]
    is_last: bool = False
    keeps_place: bool = False

    def pass_on(self, reply: AccountReply) -> None:
        """Hand the reply to every request that the message asked for."""
        for each in self.waiting:
            if each.asked_at is None and isinstance(reply, Answer):
                each.asked_at = reply.asked_at
            each.pass_on(reply)
