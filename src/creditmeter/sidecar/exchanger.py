"""Exchanges with the central store: one message at a time for each account, sent again until it is answered.

A message is composed from a book, what it changes is made durable, and only then is it sent. If no answer comes, nobody knows
whether it was applied; it is kept and sent again before anything else is said about that account.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.messages import Answer, Fenced, Message, Outdated, Reply
from creditmeter.core.ids import AccountId, account_key
from creditmeter.core.instants import Span
from creditmeter.core.metering.composing import MAX_CHARGES_PER_MESSAGE, Envelope, accept, compose, reading
from creditmeter.core.refusals import AccountNotFound
from creditmeter.journal.journal import Journal, StorageUnavailable
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import Clock
from creditmeter.sidecar.contact import Contact
from creditmeter.sidecar.demand import Demand, Speech
from creditmeter.sidecar.naming import new_nonce
from creditmeter.sidecar.rhythm import Terms

_log = structlog.get_logger()


RECLAIM_PAGE = 100
"""Accounts with leases of lost sidecars are looked for in pages."""

MAX_CHARGES_PER_TRANSACTION = 1_000
"""Accounts share a transaction of the central store up to so many charges: it keeps them all locked while it lasts."""


class SidecarFenced(Exception):
    """Another process speaks for this sidecar. This one authorises nothing more and has to stop."""


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A message, what it is to achieve, and since when the central store may have applied it, on the boot-time clock."""

    message: Message
    speech: Speech
    since: Span


class Exchanger:
    """Speaks to the central store for all books."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        central: CentralStore,
        clock: Clock,
        demand: Demand,
        terms: Terms,
        on_fenced: Callable[[], None],
    ) -> None:
        self._books = books
        self._journal = journal
        self._central = central
        self._clock = clock
        self._demand = demand
        self._terms = terms
        self._on_fenced = on_fenced
        self.contact = Contact()
        self.fence: SidecarFenced | None = None
        self._epoch = 0
        self._registration = asyncio.Lock()
        self._seq = itertools.count(1)
        self._unanswered: dict[AccountId, _Unanswered] = {}
        self._busy: set[AccountId] = set()
        self._idle = asyncio.Event()

    @property
    def epoch(self) -> int:
        """The epoch that the central store issued to this run; 0 before it did."""
        return self._epoch

    @property
    def is_registered(self) -> bool:
        """Whether the central store issued this run its epoch."""
        return self._epoch > 0

    @property
    def is_cut_off(self) -> bool:
        """Whether the central store did not answer when it was last asked."""
        return self.contact.is_failing

    def is_busy(self, account_id: AccountId) -> bool:
        """Whether a message about this account is under way."""
        return account_id in self._busy

    @property
    def has_nothing_under_way(self) -> bool:
        """Whether every message that was sent is answered, and none is about to be."""
        return not self._busy and not self._unanswered

    async def one_finished(self) -> None:
        """Wait until some exchange that is under way has ended."""
        self._idle.clear()
        if self._busy:
            await self._idle.wait()

    # Who speaks.

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
        self._journal.check()  # a nonce whose write failed may be known nowhere but here
        identity = self._journal.identity
        with self._attempt():
            reply = await self._central.exchanges.register(identity.sidecar_id, identity.epoch, nonce, self._terms.lease_ttl)
        if isinstance(reply, Fenced):
            raise self._fenced()
        await self._journal.put_identity(replace(identity, epoch=reply.epoch, pending_nonce=""))
        return reply.accounts

    def _fenced(self) -> SidecarFenced:
        for book in self._books:
            book.distrust_leases()
        self.fence = SidecarFenced(f"another process speaks for sidecar {self._journal.identity.sidecar_id}")
        self._demand.fail_all(self.fence)
        self._on_fenced()
        return self.fence

    async def beat(self) -> None:
        """Tell the central store that this sidecar is there, and give up for lost those that have not been for too long.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process speaks for this sidecar.
        """
        await self.register()
        with self._attempt():
            fenced = await self._central.exchanges.beat(self._journal.identity.sidecar_id, self._epoch)
        if fenced is not None:
            raise self._fenced()
        if self.contact.is_steady(self._clock.boot()):
            await self._reclaim()

    async def _reclaim(self) -> None:
        """Give up what lost sidecars have, an account at a time: a fault in one must not keep the others from it."""
        after = None
        while page := await self._central.exchanges.reclaimable(after, RECLAIM_PAGE):
            for account_id in page:
                try:
                    await self._central.exchanges.reclaim(account_id)
                except CentralUnavailable:
                    raise
                except Exception:  # noqa: BLE001 - see above
                    _log.exception("reclaim failed", account_id=account_id)
                else:
                    _log.warning("leases of lost sidecars reclaimed", account_id=account_id)
            after = page[-1]

    # What is said.

    async def speak(self, accounts: Sequence[AccountId]) -> None:
        """Say what there is to say about some accounts, leaving out those about which a message is under way.

        Raises:
            CentralUnavailable: the store did not answer; the messages will be sent again.
            SidecarFenced: another process speaks for this sidecar.
            StorageUnavailable: the journal cannot be written.
        """
        for batch in self._batches(accounts):
            free = [each for each in batch if each not in self._busy]
            try:
                if free:
                    await self._exchange(free)
            except (CentralUnavailable, SidecarFenced, StorageUnavailable):
                raise
            except Exception:  # noqa: BLE001 - one account's fault must not end the exchange for all
                _log.exception("exchange failed", accounts=free)
                if len(free) > 1:  # so that the account at fault does not hold up the others
                    for account_id in free:
                        await self.speak([account_id])

    def _batches(self, accounts: Sequence[AccountId]) -> Iterator[list[AccountId]]:
        """The accounts that share a transaction."""
        batch: list[AccountId] = []
        charges = 0
        for account_id in accounts:
            book = self._books.find(account_key(account_id))
            more = min(MAX_CHARGES_PER_MESSAGE, book.unposted_charge_count) if book is not None else 0
            if batch and (len(batch) == self._terms.settlement_batch or charges + more > MAX_CHARGES_PER_TRANSACTION):
                yield batch
                batch, charges = [], 0
            batch.append(account_id)
            charges += more
        if batch:
            yield batch

    async def _exchange(self, accounts: list[AccountId]) -> None:
        """One transaction of the central store. Those who wait are told what it says, or that it said nothing."""
        self._busy.update(accounts)
        try:
            self.contact.check(self._clock.boot())
            await self.register()
            await self._send(await self._composed(accounts))
        except BaseException as error:
            for account_id in accounts:
                self._books.put_unsettled(account_id)  # so that what was to be said is said without traffic, too
            is_expected = isinstance(error, CentralUnavailable | SidecarFenced | StorageUnavailable)
            if isinstance(error, Exception) and (is_expected or len(accounts) == 1):
                for account_id in accounts:
                    self._demand.fail(account_id, error)
            raise
        finally:
            self._busy.difference_update(accounts)
            self._idle.set()
            self._demand.woken.set()

    async def _composed(self, accounts: list[AccountId]) -> list[_Unanswered]:
        """What to send about these accounts, once all that it changes is on disk. Until then it was never said, whatever ends
        the wait: there will be another message, and what this one gives back is given back with that.
        """
        composed: dict[AccountId, _Unanswered] = {}
        try:
            for account_id in accounts:
                composed[account_id] = self._unanswered.get(account_id) or self._message(account_id)
            await self._books.durable()
        except BaseException:
            for account_id, unsaid in composed.items():
                if unsaid.speech.answers:
                    self._demand.recall(account_id)
                elif unsaid.speech.give_back:
                    self._demand.give_back(account_id)
            raise
        self._unanswered |= composed
        return list(composed.values())

    def _message(self, account_id: AccountId) -> _Unanswered:
        at = self._books.moment()
        book = self._books.open(account_id)
        self._books.expire(book, at.now)
        speech = self._demand.speech(book, at)
        message, change = compose(book, self._envelope(), at.now, speech.need, give_back=speech.give_back, keep=speech.keep)
        message = replace(message, answers=speech.answers)
        if change:
            self._books.record(change)
        self._books.report(account_id)
        return _Unanswered(message, speech, at.boot)

    def _envelope(self) -> Envelope:
        return Envelope(
            self._journal.identity.sidecar_id,
            self._epoch,
            next(self._seq),
            self._terms.lease_ttl,
            self._terms.max_hold_lifetime,
        )

    async def _send(self, unanswered: Sequence[_Unanswered]) -> None:
        is_steady = self.contact.is_steady(self._clock.boot())  # now, not when a message was first sent
        messages = [replace(each.message, is_steady=is_steady) for each in unanswered]
        with self._attempt():
            replies = await self._central.exchanges.exchange(messages)
        if isinstance(replies, Fenced):
            raise self._fenced()
        if self.fence is not None:  # found out meanwhile: leases that are renewed now are the other process's
            raise self.fence
        for each, reply in zip(unanswered, replies, strict=True):
            del self._unanswered[each.message.account_id]
            self._accept(each, reply)

    def _accept(self, answered: _Unanswered, reply: Reply) -> None:
        account_id = answered.message.account_id
        trusted_until = Span(answered.since + self._terms.lease_ttl)
        match reply:
            case Answer():
                book = self._books.open(account_id)
                self._books.record(accept(book, answered.message, reply, trusted_until))
                book.reading = reading(answered.message, reply)
                self.contact.clock_offset = Span(reply.standing.as_of - self._clock.wall())
                book.told_of_refused(answered.message.refused)
                self._demand.answered(account_id, answered.speech, reply, self._clock.boot())
                answered.speech.tell(reply)
            case Outdated(applied_seq):
                seq = answered.message.seq
                _log.error("message outdated", account_id=account_id, seq=seq, applied=applied_seq)
                self._demand.fail(account_id, CentralUnavailable("the message was outdated"))
            case AccountNotFound():
                answered.speech.tell(reply)
                self._books.drop_if_empty(account_id)

    def _attempt(self) -> "_Attempt":
        return _Attempt(self.contact, self._clock)


class _Attempt:
    """One call to the central store: not made while it is too early, and remembered by how it went."""

    def __init__(self, contact: Contact, clock: Clock) -> None:
        self._contact = contact
        self._clock = clock

    def __enter__(self) -> None:
        self._contact.check(self._clock.boot())

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, CentralUnavailable) and not error.is_crowded:
            self._contact.failed(self._clock.boot())
        elif error is None:
            self._contact.succeeded(self._clock.boot())
