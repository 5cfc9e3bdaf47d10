"""How a sidecar is: what an operator looks at first. It is computed from memory, without a call to the central store."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book
from creditmeter.journal.archive import Archive
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.journal.index import Remembered
from creditmeter.sidecar.books import Books

_BOOKS_AT_ONCE = 100
"""After this many books requests get a turn."""


class Condition(Enum):
    """Whether the sidecar can meter. Only local causes count, since commits work without the central store."""

    SERVING = "SERVING"
    DRAINING = "DRAINING"
    JOURNAL_UNWRITABLE = "JOURNAL_UNWRITABLE"
    FENCED = "FENCED"
    FILE_MISSING = "FILE_MISSING"


@dataclass(slots=True)
class ObservedCondition:
    """The sidecar's condition now, and the listeners that are called with each later one."""

    now: Condition = Condition.SERVING
    listeners: list[Callable[[Condition], None]] = field(default_factory=list)

    def become(self, condition: Condition) -> None:
        """Change it, and call the listeners. A fenced sidecar stays so."""
        if self.now in (condition, Condition.FENCED):
            return
        self.now = condition
        for listener in self.listeners:
            listener(condition)


@dataclass(slots=True)
class Tally:
    """What is in all books together; amounts in microcredits. `leased` is what may still be authorised or posted.

    `remembered` is what is on disk, most of which has ended and is in no book.
    """

    remembered: Remembered = field(default_factory=Remembered)
    accounts: int = 0
    open_reservations: int = 0
    held: int = 0
    leases: int = 0
    leased: int = 0
    unposted: int = 0
    unposted_cost: int = 0
    oldest_unposted_at: Instant | None = None

    def add(self, book: Book) -> None:
        """Count one book."""
        self.accounts += 1
        self.open_reservations += book.open_reservations
        self.held += book.held
        out = [each.limit - each.spent + book.unposted_on(each.lease_id) for each in book.leases.values() if not each.offline]
        self.leases += sum(each > 0 for each in out)
        self.leased += sum(each for each in out if each > 0)
        self._add_unposted(book)

    def _add_unposted(self, book: Book) -> None:
        written = [each.committed_at for each in book.unposted_charges] + [each.refunded_at for each in book.unposted_refunds]
        self.unposted += len(written)
        self.unposted_cost += sum(each.cost for each in book.unposted_charges)
        known = () if self.oldest_unposted_at is None else (self.oldest_unposted_at,)
        self.oldest_unposted_at = min((*written, *known), default=None)


@dataclass(frozen=True, slots=True)
class CentralContact:
    """What is known of the central store: whether the last call succeeded, when it last answered, and how far the time of day,
    which is its clock's, is ahead of this machine's wall clock, in microseconds. None: not known.
    """

    is_reachable: bool
    seen_at: Instant | None
    clock_offset: Span | None


@dataclass(frozen=True, slots=True)
class Status:
    """How a sidecar is. `epoch` is 0 before the central store issued one to this run. `quarantine`: the accounts of which a row
    of the journal cannot be read.
    """

    sidecar_id: SidecarId
    epoch: int
    condition: Condition
    started_at: Instant
    uptime: Span
    central: CentralContact
    rate_card_version: str
    journal_bytes: int
    tally: Tally
    quarantine: tuple[AccountId, ...] = ()


async def tally(books: Books, archive: Archive) -> Tally:
    """Count all books, and what is on disk. Holds past their deadline are ended first, if the journal can be written."""
    found = Tally(archive.remembered)
    now = books.moment().now
    for number, book in enumerate(list(books), start=1):
        with contextlib.suppress(StorageUnavailable):
            books.expire(book, now)
        found.add(book)
        if number % _BOOKS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
