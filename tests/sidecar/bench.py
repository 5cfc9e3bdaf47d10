"""A whole sidecar on real files, at a clock that stands still until the test moves it."""

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import cast

from creditmeter.central.decisions.exchanges import Exchanges
from creditmeter.central.decisions.registration import Registration
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.accounts import Account, Plan
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, GrantCredits, UpdateAccount
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import Entry, HistoryFilter
from creditmeter.core.credit.messages import BalanceSummary
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import AccountId, PlanId, RequestId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.clock import SidecarClock
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.naming import new_sidecar_id
from creditmeter.sidecar.reader import Balance, HistoryPage
from creditmeter.sidecar.rhythm import Rhythm
from creditmeter.sidecar.sidecar import Sidecar
from tests.clocks import ManualClock
from tests.sidecar.wire import Wire

NEVER = 100_000.0
ACCOUNT = AccountId("alice")


class Bench:
    """A sidecar on a directory, which can be stopped, crashed and started again. Its central store has the schema."""

    def __init__(
        self, directory: Path, clock: ManualClock, card: LoadedCard, central_url: str, store_clock: ManualClock | None = None
    ) -> None:
        self.clock = clock
        self.store_clock = store_clock or clock
        self.boot_id = ""
        self.step_patience = Span(0)
        self._directory = directory
        self._card = card
        self._central_url = central_url

    async def start(
        self, *, limits: Limits | None = None, recall_timeout: float = 20.0, report: float = NEVER, is_cut: bool = False
    ) -> Sidecar:
        """Start the sidecar. Nothing is settled in the background, so that the test decides when; recalls are followed."""
        self.journal = await Journal.open(self._directory / "journal.db", new_sidecar_id())
        self.time = SidecarClock(self.clock, self.step_patience, self.boot_id)
        self.central = CentralStore(self._central_url, self.store_clock.wall, boot=self.clock.boot)
        if self.store_clock is not self.clock:
            self.central.on_reading.append(self.time.learn)
        self.wire = Wire(self.central.exchanges, self.central.registration)
        self.wire.is_cut = is_cut
        self.central.exchanges = cast("Exchanges", self.wire)
        self.central.registration = cast("Registration", self.wire)
        rhythm = Rhythm(NEVER, report, housekeeping=NEVER, heartbeat=NEVER, rate_cards=NEVER, recall_timeout=recall_timeout)
        self.sidecar = Sidecar(self.journal, self.central, self.time, self._card, limits or Limits(), rhythm)
        await self.sidecar.start()
        return self.sidecar

    def use(self, card: LoadedCard) -> None:
        """Price by another card from the next start on."""
        self._card = card

    async def crash(self) -> None:
        """End the sidecar without a last exchange with the central store."""
        await self.sidecar.stop(grace_seconds=0)
        await self.journal.close()
        await self.central.close()

    async def round(self) -> None:
        """One round of what runs beside the requests: housekeeping, then settlement."""
        await self.sidecar.tidy()
        await self.sidecar.settle()

    async def counts(self, span: int) -> None:
        """Let time pass, in microseconds, while the sidecar sends heartbeats."""
        for _ in range(0, span, 28 * SECOND):
            await self.sidecar.beat()
            self.clock.advance(28 * SECOND)
        await self.sidecar.beat()

    async def settled_in_the_end(self) -> None:
        """Let time pass until nothing waits to be posted, or the sidecar is fenced."""
        with contextlib.suppress(SidecarFenced):
            while any(book.has_unposted for book in self.sidecar.books):
                self.clock.advance(LONGEST_WAIT)
                with contextlib.suppress(CentralUnavailable):
                    await self.sidecar.settle()
                await self.sidecar._exchanger.one_finished()  # settling leaves an account out while its message is under way

    async def restart(self) -> Sidecar:
        """Crash and start again from what is on disk."""
        await self.crash()
        return await self.start()

    def beside(self, name: str, clock: ManualClock | None = None) -> "Bench":
        """Another sidecar on the same central store, by its own clock if it has one."""
        directory = self._directory / name
        directory.mkdir()
        return Bench(directory, clock or self.clock, self._card, self._central_url, self.store_clock)

    def twin(self, directory: Path, clock: ManualClock) -> "Bench":
        """Another process on a copy of this one's journal."""
        shutil.copytree(self._directory, directory, ignore=shutil.ignore_patterns("central*", directory.name))
        return Bench(directory, clock, self._card, self._central_url)

    def copy_of_journal(self, name: str) -> Path:
        """Keep the journal as it is now."""
        copy = self._directory / f"{name}.db"
        with self._open_journal() as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def put_back(self, copy: Path) -> None:
        """Set the journal back to a copy, as if nothing that came after it had reached the disk."""
        for left in self._directory.glob("journal.db*"):
            left.unlink()
        copy.rename(self._directory / "journal.db")

    def rows(self, table: str) -> int:
        """How many rows a table of the journal has on disk."""
        with self._open_journal() as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def _open_journal(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self._directory / "journal.db"))

    async def break_disk(self) -> None:
        """Have every further write of the journal fail."""
        await self.journal._connection.execute("PRAGMA query_only = ON")

    async def mend_disk(self) -> None:
        """Let writes succeed again."""
        await self.journal._connection.execute("PRAGMA query_only = OFF")

    async def account(self, *, daily: int = 0, monthly: int = 0, permanent: int = 0, **terms: object) -> None:
        """Open the test's account. Amounts in credits."""
        plan = Plan(PlanId("plan"), from_credits(daily), from_credits(monthly))
        await self.central.administration.put_plan(plan)
        created = Account(ACCOUNT, Instant(0), plan_id=plan.plan_id, **terms)  # type: ignore[arg-type]  # as the test says
        await self.central.administration.create_account(CreateAccount(RequestId("create"), created))
        if permanent:
            await self.grant("first", permanent)

    async def grant(self, request_id: str, credits: int, kind: GrantKind = GrantKind.PERMANENT) -> None:
        """Give credit."""
        asked = GrantCredits(RequestId(request_id), ACCOUNT, kind, from_credits(credits))
        assert isinstance(await self.central.administration.grant_credits(asked), Done)

    async def update(self, request_id: str, update: AccountUpdate) -> None:
        """Change the account."""
        asked = UpdateAccount(RequestId(request_id), ACCOUNT, update)
        assert isinstance(await self.central.administration.update_account(asked), Done)

    async def summary(self) -> BalanceSummary:
        """How the account stands."""
        balance = await self.sidecar.reader.balance(ACCOUNT)
        assert isinstance(balance, Balance)
        return balance.summary

    async def remaining(self) -> tuple[float, ...]:
        """What is left in the daily, monthly and permanent bucket, in credits."""
        return tuple(bucket.remaining / from_credits(1) for bucket in (await self.summary()).buckets)

    async def history(self) -> list[Entry]:
        """The account's history, oldest first."""
        page = await self.sidecar.reader.history(ACCOUNT, HistoryFilter(), 1_000)
        assert isinstance(page, HistoryPage)
        return page.entries[::-1]


def credits(amount: float) -> Microcredits:
    """Microcredits."""
    return from_credits(str(amount))
