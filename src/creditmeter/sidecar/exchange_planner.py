"""The exchange planner: which accounts need an exchange now, and what the next one asks for and gives back.

It asks for the credit that waiting requests lack, and for some in hand for those that will come. It gives back what nobody uses
here or what requests at other sidecars wait for.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.messages import Answer, Need
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.burn import FIRST_LEASE, LOW_WATER, Burn
from creditmeter.sidecar.account_records import AccountRecord, AccountRecords, Mark, UnmetRequest
from creditmeter.sidecar.exchange_plan import ExchangePlan, InHand, WaitingRequest
from creditmeter.sidecar.patience import Patience

REFILL_PAUSE = Span(5 * SECOND)
"""After the central store had nothing to spare, it is not asked to refill for this long."""

LOOKS_FIRST_FOR = Span(60 * SECOND)
"""How long after a need was refused the next one is expected to be refused, too."""

_MICROSECONDS = 1_000_000


class ExchangePlanner:
    """Plans the exchanges of all accounts. `returns_all` has every exchange give back what is idle: the sidecar stops.
    `patience_seconds` is how long each caller waits for the central store's replies; None: as long as these take. `going_on`
    are exchanges that callers began themselves.
    """

    def __init__(self, records: AccountRecords, patience_seconds: float | None = None) -> None:
        self._records = records
        self._patience_seconds = patience_seconds
        self.going_on: set[asyncio.Task[None]] = set()
        self.returns_all = False
        self.woken = records.woken

    def patience(self) -> Patience:
        """How long a caller waits for the central store's replies."""
        return Patience(self._patience_seconds, self.going_on)

    # Waiting requests.

    @contextlib.contextmanager
    def waiting_request(self, account_id: AccountId, request_id: RequestId, until: float) -> Iterator[WaitingRequest]:
        """Have a request wait for credit, for as long as the block runs. If it ends while credit is recalled for it, the
        central store is notified at once, because requests of others may be next. If its caller is told to repeat it, it keeps
        its place for a while instead.
        """
        unmet = self._records.open(account_id).unmet.pop(request_id, None)
        request = WaitingRequest(until, self.patience(), None if unmet is None else unmet.asked_at)
        self._records.add_waiting(account_id, request)
        try:
            yield request
        finally:
            if request.repeated_until is not None and request.asked_at is not None:
                self._records.open(account_id).unmet[request_id] = UnmetRequest(request.asked_at, request.repeated_until)
            elif request.is_recalled:
                self._records.mark(account_id, Mark.RETRACTED)
                self.woken.set()
            self._records.remove_waiting(account_id, request)

    def fail(self, account_id: AccountId, error: Exception) -> None:
        """Pass an error on to all requests that wait on an account. A recall is answered with the next message instead: it is
        not urgent any more.
        """
        if any(self._records.is_marked(account_id, mark) for mark in (Mark.RECALLED, Mark.FREED)):
            self._records.mark(account_id, Mark.RETURNING)
        self._records.unmark(account_id, Mark.RECALLED, Mark.FREED, Mark.RETRACTED, Mark.POSTING)
        record = self._records.find(account_id)
        for each in record.waiting if record is not None else ():
            each.pass_on(error)

    def fail_all(self, error: Exception) -> None:
        """Pass an error on to all waiting requests."""
        for record in self._records.marked(Mark.WAITED_FOR):
            self.fail(record.account_id, error)

    def look_again(self) -> None:
        """Have all waiting requests be decided again with what is in hand: what is decided may have changed."""
        for record in self._records.marked(Mark.WAITED_FOR):
            for each in record.waiting:
                each.pass_on(InHand())

    def urgent(self) -> list[AccountId]:
        """The accounts that need an exchange at once: those of waiting requests first, then those that were recalled."""
        records = [each for each in self._records.marked(Mark.WAITED_FOR) if any(one.needs_exchange for one in each.waiting)]
        for mark in (Mark.RECALLED, Mark.FREED, Mark.RETRACTED, Mark.POSTING):
            records += self._records.marked(mark)
        return list(dict.fromkeys(each.account_id for each in records))

    # Credit in hand.

    def used(self, book: Book, amount: Microcredits, at: Moment) -> None:
        """Count what was authorised, and have credit in hand refilled with the next settlement if it runs low."""
        record = self._records.open(book.account_id)
        record.burn = (record.burn or Burn(since=at.boot)).used(amount, at.boot)
        if _lacking(record, book.idle(at), at.boot) > 0:
            self._records.mark(book.account_id, Mark.UNSETTLED)

    def offer(self, book: Book, at: Moment) -> None:
        """Have requests look at the credit in hand that came while the message before theirs was under way, as far as it serves
        them: those need no exchange.
        """
        waiting = self._records.open(book.account_id).waiting
        if waiting and _is_active(book):
            _, short = _served(waiting, book.idle(at))
            for each in waiting:
                if each.needs_exchange and each not in short:
                    each.pass_on(InHand())

    def note_answer(self, account_id: AccountId, plan: ExchangePlan, answer: Answer, boot: Span) -> None:
        """Pause refills if this exchange asked for one and got nothing. If it got nothing that requests need, and nothing was
        recalled for them, expect the same of the next ones.
        """
        if plan.need is None or answer.granted:
            return
        record = self._records.open(account_id)
        if not plan.need.required:
            record.no_refill_before = Span(boot + REFILL_PAUSE)
        elif not answer.is_pending and not any(each.is_recalled for each in plan.waiting):
            record.looks_until = Span(boot + LOOKS_FIRST_FOR)

    def expects_refusal(self, account_id: AccountId, boot: Span) -> bool:
        """Whether the central store is expected to refuse what the account's requests need, as it did a while ago."""
        record = self._records.find(account_id)
        return record is not None and boot < record.looks_until

    def forget_unused(self, boot: Span) -> None:
        """Forget the rate of accounts that were not used for long, and requests that were not repeated."""
        for record in list(self._records):
            record.unmet = {key: each for key, each in record.unmet.items() if boot < each.until}
            if record.looks_until <= boot:
                record.looks_until = Span(0)
            if record.burn is not None and not record.burn.in_a_horizon(boot):
                record.burn = None
                record.no_refill_before = Span(0)
            self._records.drop_unneeded(record)

    # Credit that is given back.

    def recall(self, account_id: AccountId, wanted_until: Span = Span(0)) -> None:
        """Note that others wait for credit of this account, or that the central store wants a message about it. What is let go
        here until `wanted_until`, on the boot-time clock, is given back at once as well.
        """
        self._records.mark(account_id, Mark.RECALLED)
        record = self._records.find(account_id)
        if record is not None:
            record.wanted_until = max(record.wanted_until, wanted_until)
        self.woken.set()

    def post(self, account_id: AccountId) -> None:
        """Have the charges of an account posted at once: a caller waits for it."""
        self._records.mark(account_id, Mark.POSTING)
        self.woken.set()

    def give_back(self, account_id: AccountId) -> None:
        """Have the next message give back the account's idle credit."""
        self._records.mark(account_id, Mark.RETURNING)

    # The plan.

    def plan(self, book: Book, at: Moment) -> ExchangePlan:
        """What a message about a book asks for and gives back at this moment. It answers the recalls until now; a later one
        needs another message.
        """
        record = self._records.open(book.account_id)
        answers_recall = Mark.RECALLED in record.marks
        gives_back = self.returns_all or not record.marks.isdisjoint((Mark.RECALLED, Mark.FREED, Mark.RETURNING))
        waiting = tuple(record.waiting)
        for each in waiting:
            each.is_asked = True
        idle = book.idle_once_renewed(at.now)
        if gives_back:
            idle = _enough_for_some(waiting, idle)
        need = _need(record, book, idle, at.boot, may_refill=not gives_back)
        self._records.unmark(book.account_id, Mark.RECALLED, Mark.FREED, Mark.RETURNING, Mark.RETRACTED, Mark.POSTING)
        is_last = self.returns_all and not waiting
        keeps_place = any(at.boot < each.until for each in record.unmet.values())
        return ExchangePlan(need, gives_back, idle, answers_recall, waiting, is_last, keeps_place)


def _need(record: AccountRecord, book: Book, idle: Microcredits, boot: Span, *, may_refill: bool) -> Need | None:
    """The credit to ask for when so much is idle; None if nothing is lacking."""
    lacking = _lacking(record, idle, boot) if may_refill and _is_active(book) else 0
    required = max(0, sum(each.amount for each in record.waiting) - idle)
    if record.burn is None or not record.burn.before:
        lacking = max(lacking, FIRST_LEASE * required)
    if not required and not lacking:
        return None
    left, short = _served(record.waiting, idle)
    patience = max((each.until for each in short), default=0.0) - asyncio.get_running_loop().time()
    asked = [each.asked_at for each in record.waiting]
    return Need(
        since=max((each for each in asked if each is not None), default=None) if None not in asked else None,
        required=Microcredits(required),
        wanted=Microcredits(max(required, lacking)),
        smallest=Microcredits(min((min(each.smallest, each.amount - left) for each in short), default=0)),
        patience=Span(max(0, int(patience * _MICROSECONDS))),
    )


def _lacking(record: AccountRecord, idle: int, boot: Span) -> int:
    """How many microcredits to refill: none while what is idle lasts for a while."""
    if boot < record.no_refill_before:
        return 0
    wanted = record.burn.in_a_horizon(boot) if record.burn is not None else 0
    return wanted - idle if idle < wanted // LOW_WATER else 0


def _enough_for_some(waiting: Iterable[WaitingRequest], idle: Microcredits) -> Microcredits:
    """The microcredits of what is idle that serve waiting requests. They were leased for these requests, so others do not get
    them. What serves none of them is of more use elsewhere.
    """
    left, _ = _served(waiting, idle)
    return Microcredits(idle - left)


def _served(waiting: Iterable[WaitingRequest], idle: int) -> tuple[int, list[WaitingRequest]]:
    """What is left of idle credit after the waiting requests that it serves, in their order, and those that it does not."""
    short = []
    for each in waiting:
        if each.amount <= idle:
            idle -= each.amount
        else:
            short.append(each)
    return idle, short


def _is_active(book: Book) -> bool:
    return book.account is not None and book.account.state is AccountState.ACTIVE
