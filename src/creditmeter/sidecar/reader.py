"""Queries: reservations, charges, refunds, balances and history, with the sidecar's own effects in them.

What this sidecar did and has not posted yet is in its books; everything else is at the central store. A reply waits until
what it shows is on disk.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.grants import Grant, GrantCursor
from creditmeter.core.credit.history import Entry, HistoryFilter
from creditmeter.core.credit.messages import MAX_LISTED_GRANTS, BalanceSummary
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, ChargeId, RefundId, ReservationId, account_key, origin_of
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import Envelope, compose, idle_of_other_days
from creditmeter.core.metering.listing import MadeAt, ReservationQuery
from creditmeter.core.metering.offline import with_later_resets
from creditmeter.core.prices.explaining import ExplainedCharge, explained_charge
from creditmeter.core.prices.price_table import PriceLine, PricePosition, PriceTable
from creditmeter.core.prices.pricing import Pricing, Quoted
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.refusals import (
    AccountNotFound,
    ChargeNotFound,
    InvalidRequest,
    Overloaded,
    RefundNotFound,
    Refusal,
    ReservationElsewhere,
    ReservationNotFound,
    UnpricedWork,
)
from creditmeter.core.reports.forecasting import Forecast
from creditmeter.core.reports.past_balance import PastBalance
from creditmeter.core.reports.usage_summary import Keys, UsageQuery, UsageSummary
from creditmeter.core.values import replace
from creditmeter.core.work import Work
from creditmeter.forms.rate_cards import card_of
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchanger import Exchanger
from creditmeter.sidecar.reservation_pages import newest_reservations

MAX_PENDING = 1_000
"""Most unposted charges on the first page of history."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How an account stands. `stale`: as the central store last answered, because it is away."""

    account: Account
    summary: BalanceSummary
    stale: bool


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Lines of history, newest first, and on the first page the charges that are not posted yet. `next_before` is the number
    below which the next page goes on; None: there is no more.
    """

    entries: list[Entry]
    pending: list[Charge]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Quotes:
    """One quote for each work, and what the account has available, in microcredits; None if none was named."""

    quotes: tuple[Quoted, ...]
    available: Microcredits | None


class Reader:
    """Answers questions."""

    def __init__(self, books: Books, journal: Journal, central: CentralStore, pricing: Pricing, exchanger: Exchanger) -> None:
        self._books = books
        self._exchanger = exchanger
        self._pricing = pricing
        self._journal = journal
        self._central = central
        self._table: PriceTable | None = None
        self._old_card: RateCard | None = None

    async def reservation(self, reservation_id: ReservationId) -> Reservation | Refusal:
        """A reservation of this sidecar, as it is now: past its deadline it has expired."""
        origin = origin_of(reservation_id)
        if origin is not None and origin.sidecar_id != self._journal.identity.sidecar_id:
            return ReservationElsewhere(origin.sidecar_id)
        book = self._books.find(origin.account_key) if origin else None
        if book is not None:
            self._books.expire(book, self._books.moment().now)
        found = self._books.reservation(reservation_id)
        await self._books.durable()
        return found or ReservationNotFound(reservation_id)

    async def reservations(
        self,
        account_id: AccountId | None,
        state: ReservationState | None,
        limit: int,
        before: MadeAt | None = None,
    ) -> list[Reservation]:
        """Reservations of this sidecar, newest first, at most `limit`, those made before `before`."""
        wanted = ReservationQuery(account_id, state, limit, before)
        return await newest_reservations(wanted, self._books, self._journal.archive)

    async def charge(self, charge_id: ChargeId) -> Charge | ChargeNotFound:
        """A charge, wherever it was made.

        Raises:
            CentralUnavailable: it is not one that waits here to be posted, and the central store did not answer.
        """
        book = self._book_of(charge_id)
        own = book.charges.get(charge_id) if book else None
        if own is not None and own.posting is None:
            await self._books.durable()
            return own
        return await self._central.reader.find_charge(charge_id) or ChargeNotFound(charge_id)

    async def explained_charge(self, charge_id: ChargeId) -> ExplainedCharge | ChargeNotFound:
        """A charge, wherever it was made, and how its cost came about.

        Raises:
            CentralUnavailable: the charge or its rate card is not known here, and the central store did not answer.
        """
        found = await self.charge(charge_id)
        if isinstance(found, ChargeNotFound):
            return found
        return explained_charge(await self._card(found.rate_card_version) if found.usage else None, found)

    async def _card(self, version: str) -> RateCard | None:
        """The card of this version: one of this sidecar, or else the published one; None if there is none that this program can
        use. The last one that had to be read is kept.
        """
        if (known := self._pricing.cards.find(version)) is not None:
            return known
        if self._old_card is not None and self._old_card.version == version:
            return self._old_card
        kept = await self._central.rate_cards.find(version)
        if kept is None or kept.version != version:
            return None
        try:
            self._old_card = await asyncio.to_thread(card_of, kept)
        except RateCardError:
            return None
        return self._old_card

    async def refund(self, refund_id: RefundId) -> Refund | RefundNotFound:
        """A refund, wherever it was made.

        Raises:
            CentralUnavailable: it is not one that waits here to be posted, and the central store did not answer.
        """
        book = self._book_of(refund_id)
        own = book.refunds.get(refund_id) if book else None
        if own is not None and own.posting is None:
            await self._books.durable()
            return own
        found = await self._central.reader.find_refund(refund_id)
        own = own or self._journal.archive.refund(refund_id)
        return found or own or RefundNotFound(refund_id)  # its own is not there if another sidecar's counts for its request

    async def balance(self, account_id: AccountId) -> Balance | AccountNotFound:
        """How an account stands, as if everything that this sidecar did had been posted. If the central store does not answer,
        the last snapshot, marked stale.

        Raises:
            CentralUnavailable: the store did not answer, and this sidecar has no snapshot.
        """
        try:
            await self._give_back_ended(account_id)
            return await self._fresh_balance(account_id)
        except CentralUnavailable:
            stale = await self._stale_balance(account_id)
            if stale is None:
                raise
            return stale

    async def _fresh_balance(self, account_id: AccountId) -> Balance | AccountNotFound:
        book = self._books.open(account_id)
        now = self._books.moment().now
        self._books.expire(book, now)
        envelope = Envelope(self._journal.identity.sidecar_id, 0, 0)
        message, _ = compose(book, envelope, now, None, give_back=False)
        self._books.drop_if_empty(account_id)
        await self._books.durable()
        previewed = await self._central.exchanges.preview(message, MAX_LISTED_GRANTS)
        if isinstance(previewed, AccountNotFound):
            return previewed
        unposted = sum(each.cost for each in message.charges) + previewed.balance.unposted
        return Balance(previewed.account, replace(previewed.balance, unposted=Microcredits(unposted)), stale=False)

    async def _stale_balance(self, account_id: AccountId) -> Balance | None:
        book = self._book_if_any(account_id)
        now = self._books.moment().now
        self._books.expire(book, now)
        stale = _stale_balance(book, now)
        await self._books.durable()
        return stale

    async def quote(self, works: Sequence[Work], account_id: AccountId | None) -> Quotes | Refusal:
        """What works would cost now. If an account is named, also what it could pay of them. Nothing is held.

        Raises:
            CentralUnavailable: the store did not answer, and this sidecar has no snapshot of the account.
        """
        balance = await self.balance(account_id) if account_id is not None else None
        if isinstance(balance, AccountNotFound):
            return balance
        credit = balance.summary.available if balance is not None else Microcredits(0)
        now = self._books.moment().now
        quotes = []
        for number, work in enumerate(works):
            quoted = self._pricing.quote(work, credit, now)
            if isinstance(quoted, Refusal):
                return _of_work(quoted, number)
            quotes.append(quoted)
        return Quotes(tuple(quotes), None if balance is None else credit)

    def model_prices(self, action: str, after: PricePosition | None, limit: int) -> tuple[str, list[PriceLine]]:
        """The version of the card in force, and at most `limit` lines of its table after a position. They are of one action,
        or of all if `action` is empty.
        """
        now = self._books.moment().now
        card = self._pricing.cards.in_force(now)
        if self._table is None or self._table.card is not card:
            self._table = PriceTable(card)
        return card.version, self._table.lines(now, action, after, limit)

    async def history(
        self, account_id: AccountId, wanted: HistoryFilter, limit: int, before: int | None = None
    ) -> HistoryPage | AccountNotFound:
        """A page of an account's history.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        await self._give_back_ended(account_id)
        book = self._book_if_any(account_id)
        pending = [each for each in book.unposted_charges if wanted.has(each)] if before is None else []
        pending = sorted(pending, key=lambda each: each.committed_at, reverse=True)[:MAX_PENDING]
        waiting = [each.charge_id for each in pending]
        lines = await self._central.reader.list_history(account_id, wanted, limit, before, waiting)
        if isinstance(lines, AccountNotFound):
            return lines
        await self._books.durable()
        still = [each for each in pending if each.charge_id not in lines.posted]
        return HistoryPage(lines.entries, still, lines.next_before)

    async def grants(
        self, account_id: AccountId, limit: int, after: GrantCursor | None = None
    ) -> list[Grant] | AccountNotFound:
        """A page of an account's grants, newest first.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        await self._give_back_ended(account_id)
        return await self._central.reader.list_grants(account_id, limit, after)

    async def usage(
        self, wanted: UsageQuery, limit: int, after: Keys | None = None
    ) -> UsageSummary | AccountNotFound | Overloaded:
        """Sums over an account's posted charges.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        await self._give_back_ended(wanted.account_id)
        return await self._central.usage.summarize(wanted, limit, after)

    async def forecast(self, account_id: AccountId) -> Forecast | AccountNotFound | Overloaded:
        """How long an account's credit lasts, by what is settled.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        await self._give_back_ended(account_id)
        return await self._central.forecasts.forecast(account_id)

    async def past_balance(
        self, account_id: AccountId, at: Instant
    ) -> PastBalance | AccountNotFound | InvalidRequest | Overloaded:
        """What was left of an account's credit at a moment, by what was posted then.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        await self._give_back_ended(account_id)
        return await self._central.past_balances.read(account_id, at)

    async def _give_back_ended(self, account_id: AccountId) -> None:
        """Give back the idle credit of ended days, so that it lapses before the new day's credit is granted.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        book = self._books.find(account_key(account_id))
        if book is None:
            return
        now = self._books.moment().now
        self._books.expire(book, now)
        patience = self._exchanger.patience()
        while idle_of_other_days(book, now) and self._exchanger.is_busy(account_id):
            await self._exchanger.exchange_next(account_id, patience)
        if idle_of_other_days(book, now):
            await self._exchanger.exchange_next(account_id, patience)

    def _book_of(self, made_id: str) -> Book | None:
        """The book that has what this sidecar made and did not post yet.

        Raises:
            AccountDamaged: it may be in what is damaged.
        """
        origin = origin_of(made_id)
        if origin is None:
            return None
        is_own = origin.sidecar_id == self._journal.identity.sidecar_id
        return self._books.find_sound(origin.account_key) if is_own else None

    def _book_if_any(self, account_id: AccountId) -> Book:
        book = self._books.open(account_id)
        self._books.drop_if_empty(account_id)
        return book


def _of_work(refusal: Refusal, number: int) -> Refusal:
    """A refusal of one of several works, with the number of that work in it."""
    match refusal:
        case UnpricedWork(message):
            return UnpricedWork(f"work[{number}]: {message}")
        case InvalidRequest(violations):
            return InvalidRequest(tuple((name.replace("work", f"work[{number}]", 1), why) for name, why in violations))
        case _:
            return refusal


def _stale_balance(book: Book, now: Instant) -> Balance | None:
    """The last snapshot, less what was held and committed here since; None if there is none."""
    if book.snapshot is None or book.account is None:
        return None
    then = book.snapshot
    unposted = Microcredits(sum(each.cost for each in book.unposted_charges))
    held_more, unposted_more = book.held - then.own_held, unposted - then.own_unposted
    summary = replace(
        with_later_resets(then.balance, book.account.calendar, now),
        available=Microcredits(max(0, then.balance.available - held_more - unposted_more)),
        held=Microcredits(then.balance.held + held_more),
        unposted=Microcredits(then.balance.unposted + unposted_more),
    )
    return Balance(book.account, summary, stale=True)
