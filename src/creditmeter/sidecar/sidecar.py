"""A running sidecar: its parts put together, and the tasks that run beside the requests.

The lease keeper serves requests that wait for credit, and gives back what is recalled. Another task follows the notifications
of the central store. The settler posts charges; the reporter says in time what is held. The heartbeat counts the time for the
central store, which waits by that for sidecars that are silent. Housekeeping ends holds that are past their deadline, has
leases renewed and given back, prunes what is old, and recovers when the disk does.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

import structlog

from creditmeter.central.engine.faults import CentralDamaged, CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.clocks import LeastClock
from creditmeter.core.credit.leases import Moment
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import has_idle, holds_on_trust
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.metering.metered import has_progress
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_cards import LoadedCard, RateCards
from creditmeter.journal.faults import FileMissing, JournalUnusable, StorageUnavailable
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.account_records import AccountRecords, Mark
from creditmeter.sidecar.background import Work, logged
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.card_keeper import CardKeeper
from creditmeter.sidecar.clock import SidecarClock
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced
from creditmeter.sidecar.fenced_posting import post_when_fenced
from creditmeter.sidecar.lease_keeper import LeaseKeeper
from creditmeter.sidecar.meter import Meter
from creditmeter.sidecar.metered_calls import MeteredCalls
from creditmeter.sidecar.patience import PATIENCE_SECONDS
from creditmeter.sidecar.posting_waits import PostingWaits
from creditmeter.sidecar.reader import Reader
from creditmeter.sidecar.reporter import Reporter
from creditmeter.sidecar.rhythm import ExchangeSettings, Rhythm
from creditmeter.sidecar.settler import Settler
from creditmeter.sidecar.status import CentralContact, Condition, ObservedCondition, Status, tally
from creditmeter.sidecar.time_keeper import TimeKeeper
from creditmeter.sidecar.upkeep import Upkeep

_RETRY_SECONDS = 0.01
"""Between attempts to settle the last charges. A message about the same account may be under way."""

PRUNE_INTERVAL = MINUTE
"""Between searches for what is old."""

PRUNED_BY = HOUR
"""What is pruned is as old as it has to be by the least that the time of day was for this long."""

LONGEST_REST = Span(5 * SECOND)
"""Housekeeping looks at the books this often, also if nothing was recorded and nothing is known to be due."""

_PUT_BACK = (
    "nothing is acknowledged until the same file is moved back, or the sidecar is stopped, a copy of the file is put there, and"
    " the sidecar is started again"
)

_log = structlog.get_logger()


class Sidecar:
    """Meters for the workers beside it. `meter` changes things, `reader` answers questions."""

    def __init__(
        self, journal: Journal, central: CentralStore, clock: SidecarClock, own_card: LoadedCard, limits: Limits, rhythm: Rhythm
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._rhythm = rhythm
        self._condition = ObservedCondition()
        self._tasks: list[asyncio.Task[None]] = []
        self._prune_at = Span(0)
        self._due_at = Span(0)
        self._changes_seen = 0
        self._logged = ""
        self._least = LeastClock(PRUNED_BY)
        clock.on_step.append(lambda step: self._least.read(step.after, clock.boot()))  # records may be written at that time
        self.central = central
        self.records = AccountRecords()
        self.books = Books(self.records, journal, clock, limits.max_hold_lifetime)
        self._time_keeper = TimeKeeper(journal, clock, self.books)
        self._started = Moment(clock.wall(), clock.boot())
        self._planner = ExchangePlanner(self.records, PATIENCE_SECONDS if central.database.is_sqlite else None)
        settings = ExchangeSettings(rhythm.lease_ttl, limits.max_hold_lifetime, rhythm.settlement_batch)
        self._exchanger = Exchanger(self.records, self.books, journal, central, clock, self._planner, settings, self._on_fenced)
        self._lease_keeper = LeaseKeeper(self.records, self.books, self._exchanger, self._planner, rhythm.lease_ttl)
        self._upkeep = Upkeep(self._exchanger, central, clock)
        self._settler = Settler(self.records, self.books, self._exchanger)
        self._reporter = Reporter(self.records, self._exchanger, self._settler, clock, rhythm.report, rhythm.settle)
        self.cards = RateCards(own_card.card)
        self.card_keeper = CardKeeper(self.cards, own_card, journal, central, self.books, limits.late_commit_window)
        pricing = Pricing(self.cards)
        self.meter = Meter(
            self.books, journal, self._exchanger, self._planner, self._settler, central, pricing, limits, rhythm.recall_timeout
        )
        self.metered_calls = MeteredCalls(self.books, self.meter, pricing, limits.default_ttl)
        self.reader = Reader(self.books, journal, central, pricing, self._exchanger)
        self.posting_waits = PostingWaits(self.books, self._planner)

    @property
    def sidecar_id(self) -> SidecarId:
        """Who this is, as the central store knows it."""
        return self._journal.identity.sidecar_id

    @property
    def condition(self) -> Condition:
        """What condition the sidecar is in."""
        return self._condition.now

    async def status(self) -> Status:
        """How the sidecar is. This asks neither the central store nor another sidecar."""
        at = Moment(self._clock.wall(), self._clock.boot())
        contact = self._exchanger.contact
        last = contact.last_answer
        return Status(
            sidecar_id=self.sidecar_id,
            epoch=self._exchanger.epoch,
            condition=self.condition,
            started_at=self._started.now,
            uptime=Span(at.boot - self._started.boot),
            central=CentralContact(
                is_reachable=last is not None and not contact.is_failing,
                seen_at=None if last is None else Instant(at.now - (at.boot - last)),
                clock_offset=self._clock.offset,
            ),
            rate_card_version=self.card_keeper.version_in_force,
            journal_bytes=await self._journal.size(),
            tally=await tally(self.books, self._journal.archive),
            quarantine=tuple(self.records.quarantine),
        )

    def add_condition_listener(self, listener: Callable[[Condition], None]) -> None:
        """Call `listener` with the condition now, and with every later one."""
        self._condition.listeners.append(listener)
        listener(self.condition)

    async def start(self) -> None:
        """Load what is in the journal and begin to work. The central store may be away: then only what needs it waits.

        Raises:
            CardChanged: the rate card that it was started with is not what it was.
            CentralDamaged: a row of the central store is not as it was written.
            JournalUnusable: a row of the journal is not as it was written.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        at = self.books.moment()
        self._least.read(at.now, at.boot)
        await self.books.reload()
        await self.card_keeper.load()
        try:
            await self._exchanger.register()
            await self.card_keeper.refresh()
        except CentralUnavailable:
            pass
        except SidecarFenced:
            await self._post_as_fenced()
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # What reading raises where a row has something else than was written.
            raise CentralDamaged(f"the central store cannot be read: {error}".splitlines()[0]) from error
        self._spawn("lease keeper", self._lease_keeper.run)
        self._spawn("recalls", self._follow_notifications)
        self._spawn("settler", partial(self._settler.run, self._rhythm.settle))
        self._spawn("reports", self._reporter.run)
        self._spawn("heartbeat", self._beat)
        self._spawn("housekeeping", self._housekeep)
        self._spawn("rate cards", self._follow_cards)

    async def settle(self) -> None:
        """Post all charges and refunds, now.

        Raises:
            CentralUnavailable: the store did not answer; what is unposted goes on waiting.
        """
        await self._settler.settle()

    def drain(self) -> None:
        """Take no new work any more. Commit, Release, Refund and charges of incurred cost still work."""
        self.meter.is_draining = True
        self._planner.look_again()
        self._condition.become(Condition.DRAINING)
        self.metered_calls.stop()

    async def holds_ended(self, most_seconds: float) -> None:
        """Wait until nothing is held any more, for `most_seconds` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_seconds):
                while any(book.open_reservations for book in self.books):
                    self.books.reservations_changed.clear()
                    await self.books.reservations_changed.wait()

    async def stop(self, grace_seconds: float) -> bool:
        """Post what is unposted and give back idle credit, for at most `grace_seconds`; then stop.

        Returns whether every charge is settled, as far as the journal can be read. The others are safe in it.
        """
        try:
            async with asyncio.timeout(grace_seconds):
                await (self._post_as_fenced() if self.condition is Condition.FENCED else self._return_all())
        except (TimeoutError, CentralUnavailable, StorageUnavailable, SidecarFenced) as error:
            waits = any(book.has_unposted for book in self.books)
            what = "everything was settled" if waits else "all credit was given back"
            _log.warning(f"stopped before {what}", reason=str(error) or "out of time")
        tasks = [*self._tasks, *self._planner.going_on]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._time_keeper.keep(is_last=True)
        return not self.records.quarantine and not any(map(_is_unsettled, self.books))

    async def _return_all(self) -> None:
        """Settle until nothing is unposted, no lease has idle credit, and all messages are answered, but for accounts that the
        central store cannot read. The last message about an account says that nothing more is authorised on its leases, so one
        is sent also where there are holds alone. A store that does not answer is asked once more, as soon as the pause after a
        failed attempt is over.
        """
        self._planner.returns_all = True
        loop = asyncio.get_running_loop()
        give_up = loop.time() + LONGEST_WAIT / 1_000_000 + _RETRY_SECONDS
        while True:
            for book in self.books:
                if has_idle(book) or book.has_unposted or book.refused or holds_on_trust(book, self._clock.boot()):
                    self.records.mark(book.account_id, Mark.UNSETTLED)
            if not self.records.any_readable(Mark.UNSETTLED) and self._exchanger.has_nothing_under_way:
                return
            try:
                await self._settler.settle()
            except CentralUnavailable:
                if loop.time() >= give_up:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    async def _post_as_fenced(self) -> None:
        """Post what a fenced sidecar still has to post, under a new id and backed by no lease. What cannot be posted now stays
        in the journal, and is posted when a process starts on it once more.
        """
        try:
            await post_when_fenced(self.books, self.central)
        except (CentralUnavailable, StorageUnavailable) as error:
            _log.warning("charges are left behind", reason=str(error))

    async def _follow_notifications(self) -> None:
        """Follow what the central store notifies this sidecar of, and begin again when the store was away."""
        while True:
            try:
                sidecar_id = self._journal.identity.sidecar_id
                notifications = self.central.notifications.listen(sidecar_id, self._lease_keeper.may_be_notified)
                await self._lease_keeper.follow(notifications)
            except CentralUnavailable:
                pass
            except Exception:  # noqa: BLE001 - a sidecar that follows none keeps credit from others
                _log.exception("listening failed")
            await asyncio.sleep(self._rhythm.housekeeping)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._rhythm.heartbeat)
            await self.beat()

    async def beat(self) -> None:
        """Send a heartbeat, and reclaim the leases of lost sidecars, if the central store can be reached."""
        try:
            await self._upkeep.round()
        except (CentralUnavailable, StorageUnavailable):
            pass
        except SidecarFenced:
            raise
        except Exception:  # noqa: BLE001 - without heartbeats nothing is reclaimed or pruned
            _log.exception("heartbeat failed")

    async def _follow_cards(self) -> None:
        """Pick up published rate cards. While that fails, the known ones stay in force."""
        while True:
            await asyncio.sleep(self._rhythm.rate_cards)
            try:
                await self.card_keeper.refresh()
            except (CentralUnavailable, StorageUnavailable):
                pass
            except Exception:  # noqa: BLE001 - a sidecar that follows none charges by old prices for ever
                _log.exception("rate cards cannot be followed")

    def _spawn(self, name: str, work: Work) -> None:
        self._tasks.append(asyncio.create_task(logged(name, work), name=name))

    def _on_fenced(self) -> None:
        self._condition.become(Condition.FENCED)

    async def _housekeep(self) -> None:
        while True:
            await asyncio.sleep(self._rhythm.housekeeping)
            await self.look_after()

    async def look_after(self) -> None:
        """One round of housekeeping: look for files that are gone, recover if the journal failed, then tidy if there may be
        anything to do. What fails is done in the next round.
        """
        self._time_keeper.look()
        try:
            self._check_files()
            if self._journal.has_failed:
                await self._recover()
            await self.metered_calls.end_broken()
            if self.books.changes != self._changes_seen or self._clock.boot() >= self._due_at:
                await self.tidy()
        except FileMissing as error:
            self._condition.become(Condition.FILE_MISSING)
            self._log_once("a file is missing", str(error), file=str(error.path), what_to_do=_PUT_BACK)
        except JournalUnusable as error:
            self._condition.become(Condition.JOURNAL_UNWRITABLE)
            self._log_once("the journal is damaged", str(error))
        except StorageUnavailable as error:
            _log.error("the journal cannot be written", reason=str(error))
            self._condition.become(Condition.JOURNAL_UNWRITABLE)
        except CentralUnavailable as error:
            _log.warning("the central store is away", reason=str(error))
        except SidecarFenced:
            raise
        except Exception:  # noqa: BLE001 - without housekeeping nothing would expire or recover: it is tried again
            _log.exception("housekeeping failed")

    def _log_once(self, event: str, reason: str, **more: str) -> None:
        """Log what does not pass by itself, once until the sidecar recovers."""
        if reason != self._logged:
            self._logged = reason
            _log.error(event, reason=reason, **more)

    def _check_files(self) -> None:
        """Refuse everything while a file of the journal or of the embedded central store is not where it was opened.

        Raises:
            FileMissing: one is not.
        """
        self._journal.check_files()
        lost = self.central.database.missing_file()
        if lost is not None:
            self._journal.refuse(lost)
            raise FileMissing(lost)

    async def tidy(self) -> None:
        """End what is due, prune what is old, and look after leases.

        Raises:
            CentralUnavailable: the store did not answer.
            StorageUnavailable: the journal cannot be written.
        """
        changes, at = self.books.changes, self.books.moment()
        prunes = at.boot >= self._prune_at
        if prunes:
            self._prune_at = Span(at.boot + PRUNE_INTERVAL)
        for count, book in enumerate(list(self.books)):
            self.books.expire(book, at.now)
            if prunes:
                self.books.tidy(book, at.now)
            if count % 100 == 99:  # noqa: PLR2004 - let requests in between
                await asyncio.sleep(0)
        self.books.write_image()
        self._least.read(at.now, at.boot)
        if prunes:
            self._prune(self._least.at(at.boot))
        due_at = self._lease_keeper.keep()
        rested = Span(at.boot + LONGEST_REST)
        self._changes_seen, self._due_at = changes, rested if due_at is None else min(due_at, rested)

    def _prune(self, surely: Instant | None) -> None:
        """Drop from disk what nobody can ask for any more, if it is as late as this for sure.

        Raises:
            StorageUnavailable: the journal cannot be written.
        """
        self.card_keeper.prune()
        kept_for = self._limits.max_hold_lifetime + self._limits.late_commit_window + self._rhythm.retention
        if surely is not None:
            self.books.drop_before(Instant(surely - kept_for))

    async def _recover(self) -> None:
        """Read the books from disk again, once it can be written. What was never acknowledged is gone from memory too."""
        await self._journal.reopen()
        await self.card_keeper.restore()
        await self.books.reload()
        self._logged = ""
        _log.info("the journal can be written again")
        self._condition.become(Condition.DRAINING if self.meter.is_draining else Condition.SERVING)


def _is_unsettled(book: Book) -> bool:
    """Whether a charge has still to be posted, or to be made: of a metered call that used something."""
    return book.has_unposted or any(map(has_progress, book.reservations.values()))
