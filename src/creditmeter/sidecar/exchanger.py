"""Exchanges with the central store: one message at a time for each account, sent again until it is answered.

A message is composed from a book, what it changes is made durable, and only then is it sent. If no answer arrives, nobody knows
whether it was applied. It is kept, and sent again before any other message about that account.
"""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Sequence

import structlog

from creditmeter.central.engine.faults import CentralRowDamaged, CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.clocks import LeastClock
from creditmeter.core.credit.messages import Answer, Fenced, Outdated, Reply
from creditmeter.core.elapsed import ElapsedCount
from creditmeter.core.ids import AccountId, account_key
from creditmeter.core.instants import HOUR, SECOND, Instant, Span
from creditmeter.core.metering.composing import Envelope, accept, compose, snapshot
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.values import replace
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.account_records import AccountRecords, Mark, UnansweredMessage
from creditmeter.sidecar.batches import batches
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import SidecarClock
from creditmeter.sidecar.contact import Attempt, Contact
from creditmeter.sidecar.exchange_plan import AccountReply, InHand, WaitingRequest
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.looking import only_asks
from creditmeter.sidecar.naming import new_nonce
from creditmeter.sidecar.patience import Patience
from creditmeter.sidecar.rhythm import ExchangeSettings

_log = structlog.get_logger()

DAMAGE_PAUSE = Span(30 * SECOND)
"""Between attempts to exchange a message about an account of which the central store cannot read a row."""


class SidecarFenced(Exception):
    """Another process has this sidecar's identity. This process authorises nothing more and has to stop."""


class Exchanger:
    """Exchanges messages with the central store for all books."""

    def __init__(
        self,
        records: AccountRecords,
        books: Books,
        journal: Journal,
        central: CentralStore,
        clock: SidecarClock,
        planner: ExchangePlanner,
        settings: ExchangeSettings,
        on_fenced: Callable[[], None],
    ) -> None:
        self._records = records
        self._books = books
        self._journal = journal
        self._central = central
        self._clock = clock
        self._planner = planner
        self._settings = settings
        self._on_fenced = on_fenced
        self.contact = Contact()
        self.fence: SidecarFenced | None = None
        self.epoch = 0
        """The epoch that the central store issued to this run; 0 before it did. Without one nothing may be authorised."""
        self._registration = asyncio.Lock()
        self._seq = itertools.count(1)
        self._one_finished = asyncio.Event()
        self._elapsed = ElapsedCount()
        self._least = LeastClock(Span(settings.lease_ttl + settings.max_hold_lifetime + HOUR))
        self._least.read(clock.surely(), clock.boot())

    def is_busy(self, account_id: AccountId) -> bool:
        """Whether a message about this account is under way."""
        return self._records.is_marked(account_id, Mark.UNDER_WAY)

    @property
    def has_nothing_under_way(self) -> bool:
        """Whether every message that was sent is answered, and none is about to be. The central store answers none about an
        account that it cannot read.
        """
        return not (self._records.any_marked(Mark.UNDER_WAY) or self._records.any_readable(Mark.UNANSWERED))

    async def exchange_next(self, account_id: AccountId, patience: Patience) -> None:
        """Wait until some exchange has ended while one about this account is under way; else exchange a message about it.

        Raises:
            CentralUnavailable: the store did not answer. If the patience is over, the exchange goes on.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        if self.is_busy(account_id):
            await patience.outlast(self.one_finished())
            return
        await patience.see(self.exchange([account_id]))
        patience.renew()

    def patience(self) -> Patience:
        """How long a caller waits for the central store's replies."""
        return self._planner.patience()

    async def one_finished(self) -> None:
        """Wait until some exchange that is under way has ended."""
        self._one_finished.clear()
        if self._records.any_marked(Mark.UNDER_WAY):
            await self._one_finished.wait()

    async def obtain(self, request: WaitingRequest) -> AccountReply | InHand:
        """The next reply of the central store about the account that a request waits for. An exchange asks for its credit now,
        unless it expects a notification of recalled credit. What was leased is in the book when this returns; other requests
        may be quicker to use it.

        Raises:
            CentralUnavailable: the store did not answer, or an embedded one not in time.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
            TimeoutError: no notification arrived in time.
        """
        if self.fence is not None:
            raise self.fence
        if request.notified_until is None:
            self._planner.woken.set()
            return await request.patience.outlast(request.receive())
        async with asyncio.timeout_at(request.notified_until):
            return await request.receive()

    # Registration and heartbeat.

    async def register(self) -> None:
        """Get this run's epoch from the central store, once.

        The nonce is in the journal before it is sent, so a registration whose answer was lost is recognised after a restart.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process registered with the identity in this journal.
            StorageUnavailable: the journal cannot be written.
        """
        async with self._registration:
            if self.epoch:
                return
            if self._journal.identity.pending_nonce:
                await self._register_with(self._journal.identity.pending_nonce)
            await self._journal.put_identity(dataclasses.replace(self._journal.identity, pending_nonce=new_nonce()))
            accounts = await self._register_with(self._journal.identity.pending_nonce)
            self.epoch = self._journal.identity.epoch
            for account_id in accounts:
                self._records.mark(account_id, Mark.UNSETTLED)
                self._records.note_unreported(account_id, self._clock.boot())

    async def _register_with(self, nonce: str) -> tuple[AccountId, ...]:
        self._journal.check()  # a nonce whose write failed may be known nowhere but here
        identity = self._journal.identity
        with self._attempt():
            reply = await self._central.registration.register(
                identity.sidecar_id, identity.epoch, nonce, self._settings.lease_ttl
            )
        if isinstance(reply, Fenced):
            raise self._fenced()
        await self._journal.put_identity(dataclasses.replace(identity, epoch=reply.epoch, pending_nonce=""))
        return reply.accounts

    def _fenced(self) -> SidecarFenced:
        for book in self._books:
            book.distrust_leases()
        self.fence = SidecarFenced(f"another process runs as sidecar {self._journal.identity.sidecar_id}")
        self._planner.fail_all(self.fence)
        self._on_fenced()
        return self.fence

    async def beat(self) -> None:
        """Send a heartbeat to the central store, which counts by it what time has passed.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        await self.register()
        with self._attempt():
            least = self._elapsed.least(self._clock.boot())
            reply = await self._central.registration.beat(self._journal.identity.sidecar_id, self.epoch, least)
        if isinstance(reply, Fenced):
            raise self._fenced()
        self._elapsed.hear(reply, self._clock.boot())

    def surely(self) -> Instant:
        """As how late the time is taken where the central store is pruned: a clock that was set forward has to stay so for
        hours.
        """
        at = self._books.moment()
        self._least.read(at.now, at.boot)
        return self._least.so_far(at.boot)

    # Exchanges.

    async def exchange(self, accounts: Sequence[AccountId]) -> None:
        """Exchange a message about each of some accounts, but for those about which one is under way, those in quarantine, and
        for a while those that the central store cannot read.

        Raises:
            CentralUnavailable: the store did not answer; the messages will be sent again.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        usable = [each for each in accounts if self._is_usable(each)]
        for batch in batches(self._books, usable, self._settings.settlement_batch):
            free = [each for each in batch if not self.is_busy(each)]
            try:
                if free:
                    await self._exchange_at_once(free)
            except (CentralUnavailable, SidecarFenced, StorageUnavailable):
                raise
            except CentralRowDamaged as error:
                if error.account_id not in free:  # without it the same messages would be sent for ever
                    raise
                await self.exchange([each for each in free if each != error.account_id])
            except Exception:  # noqa: BLE001 - one account's fault must not end the exchange for all
                _log.exception("exchange failed", accounts=free)
                if len(free) > 1:  # so that the account at fault does not hold up the others
                    for account_id in free:
                        await self.exchange([account_id])

    def damage_of(self, account_id: AccountId) -> CentralRowDamaged | None:
        """Why the central store could not read an account when it was last asked; None if it could."""
        record = self._records.find(account_id)
        return None if record is None else record.damage

    def _is_usable(self, account_id: AccountId) -> bool:
        """Whether a message about an account can be sent now. If the central store could not read it a while ago, all who wait
        for it are told.
        """
        if self._records.in_quarantine(account_key(account_id)) is not None:
            return False
        record = self._records.find(account_id)
        if record is None or record.damage is None or self._clock.boot() >= record.no_message_before:
            return True
        self._planner.fail(account_id, record.damage)
        self._records.mark(account_id, Mark.UNSETTLED)
        return False

    def _note_damage(self, error: CentralRowDamaged) -> None:
        record = self._records.open(error.account_id)
        record.damage, record.no_message_before = error, Span(self._clock.boot() + DAMAGE_PAUSE)
        self._planner.fail(error.account_id, error)

    async def _exchange_at_once(self, accounts: list[AccountId]) -> None:
        """Exchange messages in one transaction of the central store. Waiting requests receive its replies or its failure."""
        for account_id in accounts:
            self._records.mark(account_id, Mark.UNDER_WAY)
        try:
            self.contact.check(self._clock.boot())
            await self.register()
            await self._send(await self._composed(accounts))
        except BaseException as error:
            for account_id in accounts:
                self._records.mark(account_id, Mark.UNSETTLED)  # so that it is tried again without traffic, too
                self._records.note_unreported(account_id, self._clock.boot())
            if isinstance(error, CentralRowDamaged):
                self._note_damage(error)
            is_expected = isinstance(error, CentralUnavailable | SidecarFenced | StorageUnavailable)
            if isinstance(error, Exception) and (is_expected or len(accounts) == 1):
                for account_id in accounts:
                    self._planner.fail(account_id, error)
            raise
        finally:
            for account_id in accounts:
                self._records.unmark(account_id, Mark.UNDER_WAY)
            self._one_finished.set()
            self._planner.woken.set()

    async def _composed(self, accounts: list[AccountId]) -> list[UnansweredMessage]:
        """What to send about these accounts, once all that it changes is on disk, but for what the central store answers at a
        look. If that fails or is cancelled, nothing is sent, and the next messages give back what these would have given back.
        """
        composed: dict[AccountId, UnansweredMessage] = {}
        try:
            for account_id in accounts:
                composed[account_id] = self._records.open(account_id).unanswered or self._message(account_id)
            await self._books.durable()
            await self._look(composed)
        except BaseException:
            for account_id, unsent in composed.items():
                if unsent.plan.answers_recall:
                    self._planner.recall(account_id)
                elif unsent.plan.gives_back:
                    self._planner.give_back(account_id)
            raise
        for each in composed.values():
            self._records.put_unanswered(each)
        return list(composed.values())

    def _message(self, account_id: AccountId) -> UnansweredMessage:
        at = self._books.moment()
        book = self._books.open(account_id)
        self._books.expire(book, at.now)
        plan = self._planner.plan(book, at)
        message, change = compose(book, self._envelope(), at.now, plan.need, give_back=plan.gives_back, keep=plan.keep)
        message = replace(message, answers=plan.answers_recall, authorises=not plan.is_last, keeps_place=plan.keeps_place)
        looks = not change and self._planner.expects_refusal(account_id, at.boot)
        looks = looks and only_asks(book, message, at, self._settings.lease_ttl)
        if change:
            self._books.record(change)
        if plan.is_last:
            book.distrust_leases()
        reported_at = self._records.open(account_id).reported_at
        self._records.note_reported(account_id, self._clock.boot())
        return UnansweredMessage(message, plan, at.boot, looks, reported_at)

    async def _look(self, composed: dict[AccountId, UnansweredMessage]) -> None:
        """Have the central store look at the messages that only ask. Those that would change nothing are answered, and not
        sent: they renewed no lease.
        """
        looks = [each for each in composed.values() if each.only_asks]
        if not looks:
            return
        with self._attempt():
            answers = await self._central.exchanges.look([each.message for each in looks])
        if isinstance(answers, Fenced):
            raise self._fenced()
        for each, answer in zip(looks, answers, strict=True):
            account_id = each.message.account_id
            record = self._records.open(account_id)
            if answer is None:
                record.looks_until = Span(0)
                composed[account_id] = dataclasses.replace(each, only_asks=False)
                continue
            del composed[account_id]
            record.damage, record.reported_at = None, each.reported_at
            if self._records.in_quarantine(account_key(account_id)) is None:
                self._take_over(each, answer, None)

    def _envelope(self) -> Envelope:
        return Envelope(
            self._journal.identity.sidecar_id,
            self.epoch,
            next(self._seq),
            self._settings.lease_ttl,
            self._settings.max_hold_lifetime,
        )

    async def _send(self, unanswered: Sequence[UnansweredMessage]) -> None:
        if not unanswered:
            return
        with self._attempt():
            replies = await self._central.exchanges.exchange([each.message for each in unanswered])
        if isinstance(replies, Fenced):
            raise self._fenced()
        if self.fence is not None:  # found out meanwhile: leases that are renewed now are the other process's
            raise self.fence
        for each, reply in zip(unanswered, replies, strict=True):
            self._records.open(each.message.account_id).damage = None
            self._records.drop_unanswered(each.message.account_id)
            if self._records.in_quarantine(account_key(each.message.account_id)) is None:
                self._accept(each, reply)

    def _accept(self, answered: UnansweredMessage, reply: Reply) -> None:
        account_id = answered.message.account_id
        trusted_until = Span(answered.since + self._settings.lease_ttl if answered.message.authorises else 0)
        match reply:
            case Answer():
                self._books.open(account_id).forget_reported(answered.message.refused)
                self._take_over(answered, reply, trusted_until)
            case Outdated(applied_seq):
                seq = answered.message.seq
                _log.error("message outdated", account_id=account_id, seq=seq, applied=applied_seq)
                self._planner.fail(account_id, CentralUnavailable("the message was outdated"))
            case AccountNotFound():
                answered.plan.pass_on(reply)
                self._books.drop_if_empty(account_id)

    def _take_over(self, answered: UnansweredMessage, answer: Answer, trusted_until: Span | None) -> None:
        """Record what an answer changes, and pass it on. See `accept` for `trusted_until`."""
        book = self._books.open(answered.message.account_id)
        change = accept(book, answered.message, answer, trusted_until)
        if change:
            self._books.record(change)
        book.snapshot = snapshot(answered.message, answer)
        self._planner.note_answer(book.account_id, answered.plan, answer, self._clock.boot())
        answered.plan.pass_on(answer)
        self._planner.offer(book, self._books.moment())

    def _attempt(self) -> Attempt:
        return Attempt(self.contact, self._clock)
