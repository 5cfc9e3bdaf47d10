"""A random year of one account, computed three times: in one pass from the design's words (`one_pass`), step by step through
the ledger in memory, and by a real central store. After each step all agree to the microcredit.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import grant_of
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify
from creditmeter.core.credit.administration import AccountUpdate, UpdateAccount, VoidGrant
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.charges import Charge, RefundMode
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import GrantId, PlanId, RequestId
from creditmeter.core.instants import Instant, from_datetime
from creditmeter.core.refusals import RefundExceedsCharge, Refusal, TimeZoneChangeTooSoon
from creditmeter.core.settlement.balance_summary import balance_summary as summary_of
from creditmeter.core.settlement.refunding import refund
from tests.central.accounts import ACME, account, balance_summary, create, give, giving_back, history, put_plan
from tests.central.one_pass import NEVER, Life
from tests.central.peer import Peer
from tests.clocks import ManualClock
from tests.core.builders import Central, charge, grant, refund_of
from tests.core.builders import plan as plan_of

START = datetime(2026, 1, 15, 10, 7, tzinfo=UTC)
ZONES = ("UTC", "Asia/Tokyo", "Europe/Berlin", "Africa/Cairo", "Pacific/Kiritimati", "Etc/GMT+12")
PLANS = ("free", "pro", "max")
LONG_AGO = datetime.min.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Step:
    """What is done, and how long after the step before it; None is at the end of the account's day, to the microsecond or one
    before it.
    """

    after: timedelta | None
    what: tuple[object, ...]
    early: bool = False

    def moment(self, life: Life) -> datetime:
        """When it is done."""
        if self.after is not None:
            return life.now + self.after
        return max(life.now + MICROSECOND, life.day[1] - (MICROSECOND if self.early else timedelta()))


amounts = st.integers(1, 30)
actions = st.one_of(
    st.tuples(st.just("call"), amounts),
    st.tuples(st.just("call"), amounts),
    st.tuples(st.just("refund"), st.integers(0, 9), st.none() | st.integers(1, 9), st.booleans()),
    st.tuples(
        st.just("give"),
        st.sampled_from(GrantKind),
        amounts,
        st.sampled_from((0, 0, 5, 40)),
        st.none() | st.integers(1, 90),
    ),
    st.tuples(st.just("void"), st.integers(0, 5)),
    st.tuples(st.just("assign"), st.sampled_from((*PLANS, ""))),
    st.tuples(st.just("put_plan"), st.sampled_from(PLANS), st.integers(0, 12), st.integers(0, 40)),
    st.tuples(st.just("move"), st.sampled_from(ZONES), st.sampled_from((1, 15, 29, 30, 31))),
    st.tuples(st.just("touch")),
)
gaps = st.none() | st.one_of(
    st.builds(lambda minutes: timedelta(minutes=minutes), st.integers(1, 24 * 60)),
    st.builds(lambda hours: timedelta(hours=hours), st.integers(1, 24 * 20)),
)
years = st.lists(st.builds(Step, gaps, actions, st.booleans()), min_size=30, max_size=60)


def at(moment: datetime) -> Instant:
    """A moment as the program has it."""
    return from_datetime(moment)


def end_of(grant_ends: datetime) -> Instant | None:
    """An end as the program has it."""
    return None if grant_ends == NEVER else at(grant_ends)


@dataclass
class Steps:
    """The account in memory: each step is a ledger of its own."""

    central: Central
    names: int = 0

    async def call(self, amount: int) -> None:
        """All of it is excess: no lease is asked for."""
        self.central.touch(self.now)
        self.central.post(charge(f"call-{len(self.central.charges):04}", excess=amount, committed=self.now), self.now)

    async def refund(self, number: int, amount: int | None, *, goodwill: bool) -> bool:
        """Through the ledger's own refund."""
        mode = RefundMode.GOODWILL if goodwill else RefundMode.ORIGINAL
        asked = refund_of(f"call-{number:04}", amount or 0, name=self._name(), mode=mode, when=self.now)
        ledger = self.central.ledger(self.now, refunded=(asked.charge_id,))
        ledger.touch()
        if isinstance(refund(ledger, asked, everything=amount is None), RefundExceedsCharge):
            return False
        ledger.repay_debt()
        self.central.save(ledger)
        return True

    async def give(self, kind: GrantKind, amount: int, begins: Instant, ends: Instant | None) -> None:
        """Its end is given as it should come out."""
        ledger = self.central.ledger(self.now)
        ledger.touch()
        ledger.give(grant(f"given-{len(self.given):04}", amount, kind=kind, begins=begins, ends=ends))
        ledger.repay_debt()
        self.central.save(ledger)

    async def void(self, number: int) -> bool:
        """Through the ledger's own void."""
        ledger = self.central.ledger(self.now, grants=(self.given[number],))
        ledger.touch()
        ledger.repay_debt()
        if isinstance(ledger.void(self.given[number]), Refusal):
            return False
        self.central.save(ledger)
        return True

    @property
    def given(self) -> list[GrantId]:
        """What operators gave, in order."""
        return sorted(each for each in self.central.grants if each.startswith("given-"))

    async def assign(self, plan: str) -> None:
        """Another plan, or none."""
        self.central.touch(self.now)
        if plan != (self.central.account.plan_id or ""):
            self.central.assign(plan, self.now)

    async def put_plan(self, plan: str, daily: int, monthly: int) -> None:
        """A new version of a plan."""
        self.central.put_plan(plan_of(plan, daily, monthly), self.now)

    async def move(self, zone: str, anchor: int) -> bool:
        """Another calendar."""
        moved = self.central.move(Calendar(zone, anchor), self.now)
        return not isinstance(moved, TimeZoneChangeTooSoon)

    async def touch(self) -> None:
        """Nothing but a touch."""
        self.central.touch(self.now)

    def come_to(self, now: datetime) -> None:
        """Time goes by."""
        self.now = at(now)

    async def left(self) -> tuple[tuple[int, ...], int]:
        """What is left in each bucket, and what is owed. Looking touches, as it does in the store."""
        self.central.touch(self.now)
        ledger = self.central.ledger(self.now)
        return tuple(each.remaining for each in summary_of(ledger).buckets), ledger.debt

    def _name(self) -> str:
        self.names += 1
        return f"refund-{self.names}"


@dataclass
class Stored:
    """The account at a real central store, which leases what a call needs before it is charged."""

    store: CentralStore
    clock: ManualClock
    here: Peer
    charges: list[Charge]
    given: list[Grant]
    names: int = 0

    async def call(self, amount: int) -> None:
        """Leased, then charged; what cannot be leased is excess."""
        leased = (await self.here.exchange(need=amount)).granted
        made = self.here.charge(self._name(), leased, excess=amount - leased)
        await self.here.exchange(made)
        self.charges.append(made)

    async def refund(self, number: int, amount: int | None, *, goodwill: bool) -> bool:
        """Decided by the store."""
        mode = RefundMode.GOODWILL if goodwill else RefundMode.ORIGINAL
        request = giving_back(self.charges[number].charge_id, amount, mode=mode, name=self._name())
        made = await self.store.refunds.refund(*request)
        assert isinstance(made, (Done, RefundExceedsCharge))
        return isinstance(made, Done)

    async def give(self, kind: GrantKind, amount: int, begins: Instant, ends: Instant | None) -> None:
        """Its end is the store's to say."""
        made = await give(self.store, self._name(), amount, kind, effective_at=begins, expires_at=ends)
        self.given.append(made)

    async def void(self, number: int) -> bool:
        """Decided by the store."""
        request = VoidGrant(RequestId(self._name()), ACME, self.given[number].grant_id)
        return isinstance(await self.store.administration.void_grant(request), Done)

    async def assign(self, plan: str) -> None:
        """Another plan, or none."""
        assert await self._update(AccountUpdate(plan_id=PlanId(plan)))

    async def put_plan(self, plan: str, daily: int, monthly: int) -> None:
        """A new version of a plan."""
        await put_plan(self.store, plan, daily, monthly)

    async def move(self, zone: str, anchor: int) -> bool:
        """Another calendar."""
        return await self._update(AccountUpdate(time_zone=zone, anchor_day=anchor))

    async def touch(self) -> None:
        """The sidecar says something."""
        await self.here.exchange()

    def come_to(self, now: datetime) -> None:
        """Time goes by."""
        self.clock.advance(at(now) - self.clock.wall())

    async def left(self) -> tuple[tuple[int, ...], int]:
        """What is left in each bucket, and what is owed."""
        stands = await balance_summary(self.store)
        return tuple(each.remaining for each in stands.buckets), stands.debt

    async def _update(self, update: AccountUpdate) -> bool:
        request = UpdateAccount(RequestId(self._name()), ACME, update)
        done = await self.store.administration.update_account(request)
        assert isinstance(done, (Done, TimeZoneChangeTooSoon))
        return isinstance(done, Done)

    def _name(self) -> str:
        self.names += 1
        return f"{self.names:04}"


async def live(life: Life, steps: Steps, stored: Stored, year: list[Step]) -> None:
    """Do a year's steps everywhere, and compare after each of them."""
    for step in year:
        now = step.moment(life)
        for each in (life, steps, stored):
            each.come_to(now)
        await _do(step, life, steps, stored)
        life.touch()
        expected = life.left(), life.debt
        assert await steps.left() == expected, f"in memory, after {step} at {now}"
        assert await stored.left() == expected, f"in the store, after {step} at {now}"


async def _do(step: Step, life: Life, steps: Steps, stored: Stored) -> None:
    what, *words = step.what
    if what == "give":
        await _give(words, life, steps, stored)
        return
    if what in ("refund", "void"):
        things = life.paid if what == "refund" else life.bought
        if not things:
            return
        words[0] = len(things) - 1 - int(str(words[0])) % len(things)
    more = {"goodwill": words.pop()} if what == "refund" else {}
    outcomes = [getattr(life, str(what))(*words, **more)]
    for each in (steps, stored):
        does: Callable[..., Awaitable[object]] = getattr(each, str(what))
        outcomes.append(await does(*words, **more))
    assert outcomes[1:] == outcomes[:1] * 2, f"{step}"


async def _give(words: list[object], life: Life, steps: Steps, stored: Stored) -> None:
    """What begins later says when it ends, if it is not permanent. In memory a grant is given the end that it should have."""
    kind, amount, days, lasts = words
    assert isinstance(kind, GrantKind)
    assert isinstance(amount, int)
    assert isinstance(days, int)
    begins = life.now + timedelta(days=days)
    ends = begins + timedelta(days=lasts) if isinstance(lasts, int) else None
    if days and ends is None and kind is not GrantKind.PERMANENT:
        ends = begins + timedelta(days=3)
    life.give(kind.value, amount, begins, ends)
    await steps.give(kind, amount, at(begins), end_of(life.bought[-1].ends))
    await stored.give(kind, amount, at(begins), None if ends is None else at(ends))
    assert stored.given[-1].expires_at == end_of(life.bought[-1].ends)


async def _compare_what_is_stored(life: Life, steps: Steps, stored: Stored) -> None:
    """The year is over: the store's rows, its history, and the ledger in memory have the same grants, balance and charges."""
    for each in (steps, stored):
        await each.touch()
    life.touch()
    expected = [(kind, left, at(begins), end_of(ends)) for kind, left, begins, ends in life.yet_to_end()]
    rows = await _rows(stored.store)
    in_rows = [(each.kind.value, each.remaining, each.effective_at, each.expires_at) for each in rows if each.remaining]
    assert sorted(in_rows, key=str) == sorted(expected, key=str)
    in_memory = [each for each in steps.central.grants.values() if each.remaining]
    assert sum(each.remaining for each in in_memory) == sum(left for _, left, *_ in expected) == steps.central.balance
    entries = await history(stored.store)
    assert sum(each.amount for each in entries) == entries[-1].balance_after == steps.central.balance
    lapsed = sum(each.amount for each in entries if each.type is EntryType.LAPSED)
    assert lapsed == sum(each.amount for each in steps.central.entries if each.type is EntryType.LAPSED)
    for paid, made in zip(life.paid, stored.charges, strict=True):
        posted = await stored.store.reader.find_charge(made.charge_id)
        assert posted is not None
        assert posted.posting is not None
        drawn = [(draw.kind.value, draw.amount, draw.returned) for draw in posted.posting.draws]
        assert drawn == [(given.kind, amount, returned[0]) for given, amount, returned in paid.draws]
        assert (posted.posting.debt, posted.posting.uncovered) == (paid.debt, paid.written_off)


async def _rows(store: CentralStore) -> list[Grant]:
    async with store.database.read() as connection:
        return [grant_of(row) for row in (await connection.execute(tables.grants.select())).mappings()]


async def _year(file: Path, year: list[Step], zone: str, anchor: int, overdraft: int) -> None:
    clock = ManualClock(at(START - timedelta(days=1)))
    async with CentralStore(f"sqlite:///{file}", clock.wall) as store:
        for name, number in zip(PLANS, (3, 8, 12), strict=True):
            await put_plan(store, name, number, 3 * number)
        here = await Peer.registered(store, clock, "s1")
        clock.advance(at(START) - clock.wall())
        opened = await create(store, account(plan="free", time_zone=zone, anchor_day=anchor, overdraft=overdraft))
        plans = [plan_of(name, number, 3 * number) for name, number in zip(PLANS, (3, 8, 12), strict=True)]
        versions = {str(each.plan_id): [(LONG_AGO, int(each.daily), int(each.monthly))] for each in plans}
        life = Life(START, zone, anchor, overdraft, versions, "free")
        steps, stored = Steps(Central(opened, *plans)), Stored(store, clock, here, [], [])
        await live(life, steps, stored, year)
        await _compare_what_is_stored(life, steps, stored)
    assert (await verify(f"sqlite:///{file}")).problems == ()


NOT_SHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""A year takes so long that making a failing one smaller would take minutes."""


@pytest.mark.long
@settings(max_examples=25, phases=NOT_SHRUNK, suppress_health_check=[HealthCheck.too_slow])
@given(years, st.sampled_from(ZONES), st.sampled_from((1, 15, 31)), st.sampled_from((0, 0, 25)))
def test_a_year_comes_to_the_same_however_it_is_computed(
    migrated_file: Path, year: list[Step], zone: str, anchor: int, overdraft: int
) -> None:
    """Grants, calls, refunds, resets, plans and calendars that change, at any moments and at the very midnights."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "central.db"
        shutil.copyfile(migrated_file, file)
        asyncio.run(_year(file, year, zone, anchor, overdraft))
