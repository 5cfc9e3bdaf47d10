"""The line between a sidecar and the central store, on which the test decides what arrives."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

from creditmeter.central.decisions.exchanges import Exchanges
from creditmeter.central.decisions.registration import Registration
from creditmeter.central.engine.faults import CentralRowDamaged, CentralUnavailable
from creditmeter.core.credit.messages import Answer, Fenced, Message, Registered, Reply
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Span

NOBODY = AccountId("nobody")

_Reply = TypeVar("_Reply")


class Fate(Enum):
    """What becomes of one call."""

    LOST = "it never arrives"
    UNHEARD = "it arrives, and the reply is lost"
    MISREAD = "it arrives, and a row of an account that it is not about is damaged"


class Wire:
    """Exchanges and registration as a sidecar sees them. `fates` are those of its next exchanges and registrations; then all
    goes well.
    """

    def __init__(self, exchanges: Exchanges, registration: Registration) -> None:
        self._real = exchanges
        self._registration = registration
        self.fates: list[Fate] = []
        self.sent: list[Sequence[Message]] = []
        self.is_cut = False
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def exchange(self, messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        """Messages, if they arrive."""
        self.sent.append(messages)
        await self.is_open.wait()
        fate = self._next_fate()
        replies = await self._real.exchange(messages)
        return _unless_unheard(replies, fate)

    async def look(self, messages: Sequence[Message]) -> tuple[Answer | None, ...] | Fenced:
        """A look at messages, if they arrive."""
        await self.is_open.wait()
        fate = self._next_fate()
        return _unless_unheard(await self._real.look(messages), fate)

    async def register(self, *asked: Any) -> Registered | Fenced:
        """A registration, if it arrives."""
        fate = self._next_fate()
        return _unless_unheard(await self._registration.register(*asked), fate)

    async def beat(self, *asked: Any) -> Fenced | Span:
        """A heartbeat, unless the line is cut."""
        if self.is_cut:
            raise CentralUnavailable("cut")
        return await self._registration.beat(*asked)

    async def deliver_again(self, messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        """A copy of what was sent arrives once more, and its reply is lost."""
        return await self._real.exchange(messages)

    def _next_fate(self) -> Fate | None:
        if self.is_cut:
            raise CentralUnavailable("cut")
        fate = self.fates.pop(0) if self.fates else None
        if fate is Fate.LOST:
            raise CentralUnavailable("lost on the way")
        if fate is Fate.MISREAD:
            raise CentralRowDamaged(NOBODY, "a row", ValueError())
        return fate

    def __getattr__(self, name: str) -> Any:
        if self.is_cut:
            raise CentralUnavailable("cut")
        return getattr(self._real, name)


def _unless_unheard(reply: _Reply, fate: Fate | None) -> _Reply:
    if fate is Fate.UNHEARD:
        raise CentralUnavailable("the reply was lost")
    return reply
