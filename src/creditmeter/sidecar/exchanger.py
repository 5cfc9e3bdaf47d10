"""Exchanges with the central store: one message at a time for each account, sent again as it is until it is answered.

A message is composed from a book, what it changes is made durable, and only then is it sent. If no answer comes, nobody knows
whether it was applied; it is kept and sent again before anything else is said about that account.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from creditmeter.central.exchanges import Fenced, Outdated, Reply
from creditmeter.central.store import CentralStore
from creditmeter.core.exchange import Answer, Message, Need
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Span
from creditmeter.core.lease_keeping import Envelope, accept, compose
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import Clock
from creditmeter.sidecar.naming import new_nonce

_log = structlog.get_logger()


class SidecarFenced(Exception):
    """Another process speaks for this sidecar. This one authorises nothing more and has to stop."""


class Exchanger:
    """Speaks to the central store for all books."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        central: CentralStore,
        clock: Clock,
        lease_ttl: Span,
        on_fenced: Callable[[], None],
    ) -> None:
        self._books = books
        self._journal = journal
        self._central = central
        self._clock = clock
        self._lease_ttl = lease_ttl
        self._on_fenced = on_fenced
        self._epoch = 0
        self._registration = asyncio.Lock()
        self._seq = itertools.count(1)
        self._unanswered: dict[AccountId, Message] = {}
        self._busy: set[AccountId] = set()
        self._idle = asyncio.Event()

    @property
    def is_registered(self) -> bool:
        """Whether the central store issued this run its epoch."""
        return self._epoch > 0

    def is_busy(self, account_id: AccountId) -> bool:
        """Whether a message about this account is under way."""
        return account_id in self._busy

    async def one_finished(self) -> None:
        """Wait until some exchange that is under way has ended."""
        self._idle.clear()
        if self._busy:
            await self._idle.wait()

    async def register(self) -> None:
        """Get this run's epoch from the central store, once.

        The nonce is in the journal before it is sent, so a registration whose answer was lost is recognised after a restart.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process registered with this journal's identity.
            StorageUnavailable: the journal cannot be written.
        """
        async with self._registration:
            if self._epoch:
                return
            if self._journal.identity.pending_nonce:
                await self._register_with(self._journal.identity.pending_nonce)
            await self._journal.put_identity(replace(self._journal.identity, pending_nonce=new_nonce()))
            accounts = await self._register_with(self._journal.identity.pending_nonce)
            self._epoch = self._journal.identity.epoch
            for account_id in accounts:
                self._books.put_unsettled(account_id)

    async def _register_with(self, nonce: str) -> tuple[AccountId, ...]:
        identity = self._journal.identity
        reply = await self._central.exchanges.register(identity.sidecar_id, identity.epoch, nonce)
        if isinstance(reply, Fenced):
            raise self._fenced()
        await self._journal.put_identity(replace(identity, epoch=reply.epoch, pending_nonce=""))
        return reply.accounts

    def _fenced(self) -> SidecarFenced:
        for book in self._books:
            book.distrust_leases()
        self._on_fenced()
        return SidecarFenced(f"another process speaks for sidecar {self._journal.identity.sidecar_id}")

    async def exchange(
        self, needs: Mapping[AccountId, Need | None], *, give_back: bool = False
    ) -> dict[AccountId, tuple[Message, Reply]]:
        """Say what there is to say about some accounts, none of them busy, in one transaction of the central store.

        Returns for each account the message that was answered, which is an older one if that had no answer yet, and the reply.

        Raises:
            CentralUnavailable: the store did not answer; the messages will be sent again.
            SidecarFenced: another process speaks for this sidecar.
            StorageUnavailable: the journal cannot be written.
        """
        assert not self._busy.intersection(needs), "one message at a time for each account"
        self._busy.update(needs)
        try:
            await self.register()
            messages = [self._message(account_id, need, give_back=give_back) for account_id, need in needs.items()]
            await self._books.durable()
            return await self._send(messages)
        finally:
            self._busy.difference_update(needs)
            self._idle.set()

    def _message(self, account_id: AccountId, need: Need | None, *, give_back: bool) -> Message:
        waiting = self._unanswered.get(account_id)
        if waiting is not None:
            return waiting
        envelope = Envelope(self._journal.identity.sidecar_id, self._epoch, next(self._seq))
        book = self._books.open(account_id)
        now = self._books.moment().now
        self._books.expire(book, now)
        message, change = compose(book, envelope, now, need, give_back=give_back)
        if change:
            self._books.record(change)
        self._unanswered[account_id] = message
        return message

    async def _send(self, messages: list[Message]) -> dict[AccountId, tuple[Message, Reply]]:
        sent_at = self._clock.boot()
        replies = await self._central.exchanges.exchange(messages)
        if isinstance(replies, Fenced):
            raise self._fenced()
        trusted_until = Span(sent_at + self._lease_ttl)
        for message, reply in zip(messages, replies, strict=True):
            del self._unanswered[message.account_id]
            self._accept(message, reply, trusted_until)
        return {message.account_id: (message, reply) for message, reply in zip(messages, replies, strict=True)}

    def _accept(self, message: Message, reply: Reply, trusted_until: Span) -> None:
        match reply:
            case Answer():
                book = self._books.open(message.account_id)
                self._books.record(accept(book, message, reply, trusted_until))
                book.standing = reply.standing
            case Outdated(applied_seq):
                _log.error("message outdated", account_id=message.account_id, seq=message.seq, applied=applied_seq)
            case _:
                pass  # an account that the central store does not know has nothing to take over
