"""One record for each account: all that a sidecar remembers of it in memory.

A record is made by the first thing that there is to remember of its account, and dropped with the last one. This module alone
decides that (`AccountRecord.is_needed`), so memory follows the accounts in use:

| what is remembered | from | until |
| --- | --- | --- |
| the book | a read, a request or a message opens it | it turns out to be empty, or all of it was pruned |
| waiting requests | a request lacks credit | it is decided |
| unmet requests | their callers are told to repeat them | they are repeated, or were not for a while |
| the burn, and the pause of refills | credit is authorised | its rate is nothing again |
| a mark | see `Mark` | see `Mark` |
| the unanswered message | it is about to be sent | it is answered |
| that needs are refused | the central store had nothing for one | it has, or nothing was needed for a while |
| the damage | the central store cannot read a row of the account | it answers a message about it |

The parts end independently. A book that was found empty goes while a request waits for its account or a message about it is
under way; their record stays, without a book. When the books are read from the journal again, waiting requests, unanswered
messages and marks stay as they are, but for UNSETTLED, which follows from the books and the unanswered messages. When a book is
dropped, what is known of its use is dropped with it.

An account in quarantine (`journal/quarantine.py`) has no book and gets no mark: so no message is composed about it. What is out
to this sidecar on its leases stays out at the central store.

A record is looked up anew after every wait, since it may have been dropped and made again, unless the caller has a part in it
that keeps it: a waiting request or a mark of its own.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from creditmeter.central.engine.faults import CentralRowDamaged
from creditmeter.core.credit.messages import Message
from creditmeter.core.ids import AccountId, AccountKey, RequestId, account_key
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.burn import Burn
from creditmeter.journal.faults import AccountDamaged
from creditmeter.sidecar.exchange_plan import ExchangePlan, WaitingRequest


class Mark(Enum):
    """Why an account needs an exchange, or what keeps it from another one."""

    WAITED_FOR = auto()
    """Requests wait for its credit."""

    RECALLED = auto()
    """The central store sent a notification of it, and no message about it was composed since."""

    FREED = auto()
    """Credit was let go here a moment after others waited for it, and no message about it was composed since."""

    RETRACTED = auto()
    """A request that waited for recalled credit ended, and no message about it was composed since."""

    POSTING = auto()
    """A caller waits for a charge of it to be posted, and no message about it was composed since."""

    RETURNING = auto()
    """The next message gives its idle credit back."""

    UNSETTLED = auto()
    """The next settlement includes it."""

    UNREPORTED = auto()
    """What it holds changed, and no message was composed since."""

    UNDER_WAY = auto()
    """A message about it is composed or under way: there is no other one before its end."""

    UNANSWERED = auto()
    """A message about it was sent and is not answered: it is sent again before any other."""


@dataclass(frozen=True, slots=True)
class UnansweredMessage:
    """A message, the plan that it follows, and since when the central store may have applied it, on the boot-time clock.

    `only_asks` (`looking.py`): then the message before it that stated what is held was sent at `reported_at`.
    """

    message: Message
    plan: ExchangePlan
    since: Span
    only_asks: bool = False
    reported_at: Span = Span(0)


@dataclass(frozen=True, slots=True)
class UnmetRequest:
    """A request whose caller was told to repeat it: when it was first asked for, by the central store's count, and until when
    it keeps its place, on the boot-time clock.
    """

    asked_at: Instant
    until: Span


@dataclass(slots=True, eq=False)
class AccountRecord:
    """What is remembered of one account. Moments are on the boot-time clock.

    `used_at` and `reported_at` say when a request last changed the book and when a message last stated what it holds; 0: not in
    this run. `unreported_since` is the first change of what it holds that no message stated yet. Before `no_refill_before` the
    central store is not asked for a refill. With `damage` the central store could not read the account: before
    `no_message_before` it is not asked again. Until `wanted_until` others may still want what is let go here. Until
    `looks_until` the next need may be refused as the last one was; 0: nothing speaks for that.
    """

    account_id: AccountId
    book: Book | None = None
    used_at: Span = Span(0)
    reported_at: Span = Span(0)
    unreported_since: Span | None = None
    waiting: list[WaitingRequest] = field(default_factory=list)
    unmet: dict[RequestId, UnmetRequest] = field(default_factory=dict)
    burn: Burn | None = None
    no_refill_before: Span = Span(0)
    unanswered: UnansweredMessage | None = None
    damage: CentralRowDamaged | None = None
    no_message_before: Span = Span(0)
    wanted_until: Span = Span(0)
    looks_until: Span = Span(0)
    marks: set[Mark] = field(default_factory=set)

    @property
    def is_needed(self) -> bool:
        """Whether anything is left to remember. Waiting requests and an unanswered message have a mark each."""
        has_part = self.book is not None or self.burn is not None or self.damage is not None
        return has_part or bool(self.marks or self.unmet or self.looks_until)

    def drop_book(self) -> None:
        """Forget the book, and with it how it was used and reported."""
        if self.book is not None:
            self.book.leave_listing()
        self.book = None
        self.used_at = self.reported_at = self.wanted_until = Span(0)
        self.unreported_since = None


class AccountRecords:
    """The records of all accounts. Which accounts have a mark is answered without a look at those that have not."""

    def __init__(self) -> None:
        self._records: dict[AccountKey, AccountRecord] = {}
        self._marked: dict[Mark, dict[AccountId, AccountRecord]] = {mark: {} for mark in Mark}
        self._set_aside: dict[AccountKey, AccountId] = {}
        self.unsettled = asyncio.Event()
        """Set while the next settlement may include an account."""
        self.unreported = asyncio.Event()
        """Set while what is held of an account may be unreported."""
        self.woken = asyncio.Event()
        """Set when an account may need an exchange at once."""

    def __iter__(self) -> Iterator[AccountRecord]:
        """All records. They may be changed meanwhile, but none may be made or dropped."""
        return iter(self._records.values())

    def find(self, account_id: AccountId) -> AccountRecord | None:
        """The record of an account, if there is one."""
        return self._records.get(account_key(account_id))

    def with_key(self, key: AccountKey) -> AccountRecord | None:
        """The record of the account with this key, if there is one."""
        return self._records.get(key)

    def open(self, account_id: AccountId) -> AccountRecord:
        """The record of an account, a new one if there is none. A caller that leaves nothing in it drops it."""
        key = account_key(account_id)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = AccountRecord(account_id)
        return record

    def drop_unneeded(self, record: AccountRecord) -> None:
        """Drop a record if nothing is left to remember in it."""
        if not record.is_needed and self.find(record.account_id) is record:
            del self._records[account_key(record.account_id)]

    @property
    def quarantine(self) -> Collection[AccountId]:
        """The accounts in quarantine."""
        return self._set_aside.values()

    def in_quarantine(self, key: AccountKey) -> AccountId | None:
        """The account with this key, if it is in quarantine."""
        return self._set_aside.get(key)

    def put_in_quarantine(self, accounts: Iterable[AccountId]) -> None:
        """Forget what is remembered of these accounts, for as long as the process lives. Requests that wait on them fail."""
        self._set_aside = {account_key(each): each for each in sorted(accounts)}
        for account_id in self.quarantine:
            record = self.find(account_id)
            if record is not None:
                for each in record.waiting:
                    each.pass_on(AccountDamaged(account_id))
                record.drop_book()
                record.unanswered = record.burn = None
                self.unmark(account_id, *(mark for mark in Mark if mark not in (Mark.WAITED_FOR, Mark.UNDER_WAY)))

    def note_unreported(self, account_id: AccountId, boot: Span) -> None:
        """Note that no message states what is held of an account, from this moment on if that was not known before."""
        record = self.open(account_id)
        if not self.is_marked(account_id, Mark.UNREPORTED):
            record.unreported_since = boot
        self.mark(account_id, Mark.UNREPORTED)

    def note_reported(self, account_id: AccountId, boot: Span) -> None:
        """Note that a message states what is held of an account."""
        record = self.open(account_id)
        record.unreported_since = None
        record.reported_at = boot
        self.unmark(account_id, Mark.UNREPORTED)

    def add_waiting(self, account_id: AccountId, request: WaitingRequest) -> None:
        """Let a request wait for credit of an account."""
        self.open(account_id).waiting.append(request)
        self.mark(account_id, Mark.WAITED_FOR)

    def remove_waiting(self, account_id: AccountId, request: WaitingRequest) -> None:
        """End the wait of a request."""
        record = self.open(account_id)
        record.waiting.remove(request)
        if not record.waiting:
            self.unmark(account_id, Mark.WAITED_FOR)

    def put_unanswered(self, unanswered: UnansweredMessage) -> None:
        """Keep a message until it is answered."""
        account_id = unanswered.message.account_id
        self.open(account_id).unanswered = unanswered
        self.mark(account_id, Mark.UNANSWERED)

    def drop_unanswered(self, account_id: AccountId) -> None:
        """Forget the message of an account: it was answered."""
        self.open(account_id).unanswered = None
        self.unmark(account_id, Mark.UNANSWERED)

    def mark(self, account_id: AccountId, mark: Mark) -> None:
        """Give an account a mark. One that has it keeps its place in the order, and one in quarantine gets none."""
        if account_id not in self._marked[mark] and account_key(account_id) not in self._set_aside:
            record = self._marked[mark][account_id] = self.open(account_id)
            record.marks.add(mark)
            if mark is Mark.UNSETTLED:
                self.unsettled.set()
            if mark is Mark.UNREPORTED:
                self.unreported.set()

    def unmark(self, account_id: AccountId, *marks: Mark) -> None:
        """Take marks from an account, and drop its record if nothing is left in it."""
        record = self.find(account_id)
        if record is None:
            return
        for mark in marks:
            record.marks.discard(mark)
            self._marked[mark].pop(account_id, None)
        self.drop_unneeded(record)

    def take(self, mark: Mark) -> list[AccountId]:
        """Take a mark from all accounts that have it. Returns them, the one that has had it longest first."""
        taken, self._marked[mark] = self._marked[mark], {}
        if mark is Mark.UNSETTLED:
            self.unsettled.clear()
        for record in taken.values():
            record.marks.discard(mark)
            self.drop_unneeded(record)
        return list(taken)

    def marked(self, mark: Mark) -> list[AccountRecord]:
        """The records of the accounts with a mark, the one that has had it longest first."""
        return list(self._marked[mark].values())

    def first(self, mark: Mark) -> AccountRecord | None:
        """The record of the account that has had a mark longest, if any has it."""
        return next(iter(self._marked[mark].values()), None)

    def is_marked(self, account_id: AccountId, mark: Mark) -> bool:
        """Whether an account has a mark."""
        return account_id in self._marked[mark]

    def any_readable(self, *marks: Mark) -> bool:
        """Whether any account has one of these marks, apart from those that the central store cannot read."""
        return any(record.damage is None for mark in marks for record in self._marked[mark].values())

    def any_marked(self, *marks: Mark) -> bool:
        """Whether any account has one of these marks."""
        return any(self._marked[mark] for mark in marks)
