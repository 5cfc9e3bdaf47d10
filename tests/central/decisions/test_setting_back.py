"""An account that was decided about by a clock that was ahead, once the clock is right again.

| what the wrong clock brought | what is so at the real time |
| --- | --- |
| today's credit lapsed | it is there again, with a line of history; of a refund's part that lapsed nothing is given |
| credit of a day to come was given | it waits for that day, cannot be drawn on today, and is not given again then |
| it was a little ahead, as of a transaction that waited for a lock | nothing: decisions do not go back so far |
| a lease was opened | nothing more is leased on it; its charges draw on the credit of the day that it was opened on |
| a lease was renewed by a sidecar that is gone | it is reclaimed as long after now as after any renewal |
| a grant was given that begins at once | it begins now; one with a later beginning of its own waits for that |
| a grant was voided | it is voided now |
| a grant is voided that waits, with a lease on it | what the lease has out stays |
| a need waits | for what it had left |
| lines of history are of moments to come | a balance in the past is the sum of the lines until then, whatever their order |
"""

import random

import pytest
from sqlalchemy import select

from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.messages import Need
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.reports.past_balance import PastBalance
from creditmeter.core.settlement.setting_back import MOST_AHEAD, NOTE
from tests.central.accounts import (
    ACME,
    balance_summary,
    give,
    history,
    lines,
    opened,
    put_plan,
    refund,
    remaining,
    update,
    void,
)
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


async def look_ahead(store: CentralStore, clock: ManualClock, span: int) -> None:
    """Have the account read by a clock that is ahead for a moment."""
    clock.step_wall(span)
    await balance_summary(store)
    clock.step_wall(-span)


async def of_period(store: CentralStore, kind: GrantKind) -> dict[str, tuple[int, int, int]]:
    """What the plan's grants of a kind have as amount, as left and as lapsed, by period."""
    grants = tables.grants.c
    query = select(
        grants.period_key, grants.amount_microcredits, grants.remaining_microcredits, grants.lapsed_microcredits
    ).where(grants.account_id == ACME, grants.kind == kind.value, grants.period_key.is_not(None))
    async with store.database.read() as connection:
        return {row[0]: (row[1], row[2], row[3]) for row in await connection.execute(query)}


@pytest.mark.parametrize("ahead", [DAY, 40 * DAY, 400 * DAY])
async def test_what_lapsed_is_there_again(store: CentralStore, clock: ManualClock, ahead: int) -> None:
    """Of the day and of the month; the next midnights give and let lapse as if nothing had been."""
    await opened(store, daily=5, monthly=30, permanent=20)
    assert await remaining(store) == (5, 30, 20)
    await look_ahead(store, clock, ahead)
    assert await remaining(store) == (5, 30, 20)
    back = [each for each in await history(store) if each.type is EntryType.LAPSED and each.amount > 0]
    assert [(each.amount, each.note, each.posted_at) for each in back[:1]] == [(5, NOTE, NOON)]
    clock.advance(DAY)
    assert await remaining(store) == (5, 30, 20)


async def test_days_to_come_wait(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """Nothing of the day after tomorrow is there today or tomorrow; then it is, once."""
    await opened(store, daily=5)
    clock.step_wall(2 * DAY)
    await here.exchange(here.charge("ahead", 0, excess=2), leases=())
    clock.step_wall(-2 * DAY)
    assert await remaining(store) == (5, 0, 0)
    assert (await here.exchange(need=6)).granted == 0
    assert (await here.exchange(need=5)).granted == 5
    await here.exchange(leases=here.reports(idle=False))
    clock.advance(DAY)
    assert await remaining(store) == (5, 0, 0)
    clock.advance(DAY)
    assert await remaining(store) == (3, 0, 0)
    given = [each for each in await history(store) if each.type is EntryType.GRANTED]
    assert len({each.grant_id for each in given}) == len(given) == 3


async def test_a_little_ahead_is_no_fault(store: CentralStore, clock: ManualClock) -> None:
    """A transaction that waited for a lock does not go back behind the one that it waited for."""
    await opened(store, daily=5)
    await balance_summary(store)
    await look_ahead(store, clock, MOST_AHEAD)
    before = await lines(store)
    assert (await balance_summary(store)).as_of == NOON
    await give(store, "more", 1)
    clock.step_wall(MOST_AHEAD)
    await give(store, "ahead", 1)
    clock.step_wall(-MOST_AHEAD)
    assert (await balance_summary(store)).as_of == NOON + MOST_AHEAD
    assert (await lines(store))[: len(before)] == before


async def test_a_lease_of_a_day_to_come(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """It takes nothing from today, and grows no more. What is charged on it was authorised on that day's credit."""
    await opened(store, daily=5)
    await here.exchange(here.charge("of today", 0, excess=5), leases=())
    clock.step_wall(2 * DAY)
    assert (await here.exchange(need=4)).granted == 4
    (ahead,) = here.leases[ACME]
    made = here.charge("ahead", 3)
    clock.step_wall(-2 * DAY)
    assert (await elsewhere.exchange(need=1)).granted == 0
    await give(store, "some", 3)
    assert (await elsewhere.exchange(need=3)).granted == 3
    assert (await here.exchange(made)).postings[made.charge_id].covered == 3
    await give(store, "more", 2)
    assert (await here.exchange(need=2)).granted == 2
    assert [each.opened_at for each in here.leases[ACME]] == [NOON, ahead.opened_at]
    newest = here.leases[ACME][0]
    await here.exchange(leases=[each for each in here.reports() if each.lease_id == newest.lease_id])
    assert [each.lease_id for each in here.leases[ACME]] == [newest.lease_id]
    clock.advance(2 * DAY)
    assert (await remaining(store))[0] == 2


async def test_permanent_credit_that_is_out(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """What a lease of a day to come has beyond that day's credit is out today, and cannot be leased twice."""
    await opened(store, daily=5, permanent=10)
    clock.step_wall(2 * DAY)
    assert (await here.exchange(need=12)).granted == 12
    made = here.charge("ahead", 12)
    clock.step_wall(-2 * DAY)
    assert (await elsewhere.exchange(need=9)).granted == 0
    assert (await elsewhere.exchange(need=8)).granted == 8
    paid = elsewhere.charge("today", 8)
    assert (await elsewhere.exchange(paid)).postings[paid.charge_id].covered == 8
    assert (await here.exchange(made)).postings[made.charge_id].covered == 12
    assert await remaining(store) == (0, 0, 0)


async def test_a_sidecar_that_is_gone(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """What it leased by the wrong clock comes back as soon as if it had been leased now."""
    await opened(store, permanent=10)
    clock.step_wall(400 * DAY)
    await here.exchange(need=10)
    clock.step_wall(-400 * DAY)
    assert (await elsewhere.exchange(need=10)).granted == 0
    async with store.database.read() as connection:
        (reclaim_at,) = (await connection.execute(select(tables.leases.c.reclaim_at))).scalars()
    assert NOON < reclaim_at < NOON + DAY
    clock.advance(reclaim_at - NOON - 1)
    assert await store.exchanges.reclaimable(None, 10) == []
    clock.advance(1)
    assert await store.exchanges.reclaimable(None, 10) == [ACME]
    await store.exchanges.reclaim(ACME)
    assert (await elsewhere.exchange(need=10)).granted == 10


async def test_a_grant_that_begins_at_once(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """Whoever paid for it has it. A beginning that was asked for stays."""
    await opened(store)
    later = Instant(NOON + 400 * DAY + HOUR)
    clock.step_wall(400 * DAY)
    await give(store, "bought", 7)
    await give(store, "for later", 2, effective_at=later)
    clock.step_wall(-400 * DAY)
    assert await remaining(store) == (0, 0, 7)
    assert (await here.exchange(need=7)).granted == 7
    clock.advance(401 * DAY)
    assert await remaining(store) == (0, 0, 9)


async def test_a_grant_that_was_voided(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """What a lease had out of it is the lease's; the rest stays taken back."""
    await opened(store)
    given = await give(store, "first", 10)
    await here.exchange(need=4)
    await here.holds(4)
    made = here.charge("held", 3)
    clock.advance(SECOND)
    clock.step_wall(DAY)
    assert (await void(store, given.grant_id)).amount == 6
    clock.step_wall(-DAY)
    assert await remaining(store) == (0, 0, 4)
    assert (await elsewhere.exchange(need=1)).granted == 0
    assert (await here.exchange(made)).postings[made.charge_id].covered == 3
    await here.exchange(leases=here.reports(idle=False))
    assert await remaining(store) == (0, 0, 0)


async def test_a_grant_that_waits_is_voided(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """All of it but what a lease of its day has out, which is charged to it; what is not charged is taken back then."""
    await opened(store, daily=5)
    clock.step_wall(2 * DAY)
    await here.exchange(need=3)
    made = here.charge("ahead", 2)
    (waiting,) = (await balance_summary(store)).grants
    clock.step_wall(-2 * DAY)
    assert (await void(store, waiting.grant_id)).amount == 2
    assert (await elsewhere.exchange(need=5)).granted == 5
    assert (await here.exchange(made)).postings[made.charge_id].draws[0].grant_id == waiting.grant_id
    await here.exchange(leases=here.reports(idle=False))
    assert (await lines(store))[-1] == ("VOIDED", -1, 5)


async def test_a_need_that_waits(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """Until the time that it had left is over, and not until that date."""
    await opened(store, permanent=10)
    await elsewhere.exchange(need=10)
    await elsewhere.exchange(leases=elsewhere.reports())
    clock.step_wall(400 * DAY)
    await elsewhere.exchange(leases=elsewhere.reports())
    ten = Microcredits(10)
    need = Need(required=ten, wanted=ten, smallest=ten, patience=Span(4 * SECOND))
    assert (await here.exchange(need=need)).pending_for == 4 * SECOND
    clock.step_wall(-400 * DAY)
    clock.advance(SECOND)
    assert (await here.exchange(need=need)).pending_for == 4 * SECOND
    clock.advance(4 * SECOND)
    assert (await recall_deadlines(store)) == [clock.wall()]


async def recall_deadlines(store: CentralStore) -> list[int]:
    """When the needs that wait stop waiting."""
    async with store.database.read() as connection:
        return list((await connection.execute(select(tables.recalls.c.deadline))).scalars())


async def test_credit_behind_a_lease_of_a_day_to_come_may_end(
    store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer
) -> None:
    """What was given for today was behind it, ends before it is charged, and is kept for it."""
    await opened(store, monthly=30)
    await give(store, "for today", 20, GrantKind.DAILY)
    clock.step_wall(2 * DAY)
    await here.exchange(need=20)
    made = here.charge("ahead", 20)
    clock.step_wall(-2 * DAY)
    paid = [await elsewhere.exchange(need=30)]
    await elsewhere.exchange(elsewhere.charge("all", paid[0].granted))
    clock.advance(DAY)
    posting = (await here.exchange(made)).postings[made.charge_id]
    assert posting.covered + posting.uncovered == 20


async def test_a_charge_is_posted_whatever_is_behind_it(
    store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer
) -> None:
    """A void while the clock was ahead took what was out: the rest is excess, and the account goes on."""
    await opened(store, daily=5)
    first = await give(store, "first", 20)
    await elsewhere.exchange(elsewhere.charge("of today", 0, excess=5), leases=())
    await here.exchange(need=9)
    await here.holds(9)
    made = here.charge("held", 9)
    clock.advance(SECOND)
    clock.step_wall(2 * DAY)
    await void(store, first.grant_id)
    clock.step_wall(-2 * DAY)
    posting = (await here.exchange(made)).postings[made.charge_id]
    assert (posting.covered + posting.uncovered, posting.debt) == (9, 0)
    await give(store, "more", 3)
    assert (await here.exchange(need=3)).granted == 3


async def test_alerts_fire_at_the_real_time(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """That one fired at a moment to come silences it for the rest of the day, and not until then."""
    await opened(store, daily=10)
    await update(store, "alert", AccountUpdate(alerts=(Alert(amount=Microcredits(3)),)))
    clock.step_wall(400 * DAY)
    await here.exchange(here.charge("ahead", 0, excess=8), leases=())
    clock.step_wall(-400 * DAY)
    for number in range(3):
        await here.exchange(here.charge(f"c{number}", 0, excess=8), leases=())
        clock.advance(DAY)
    assert [each[0] for each in await lines(store)].count("LOW_BALANCE") == 3


async def test_a_grant_that_was_used_up_begins_now(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """Whenever something of it is refunded, it is there."""
    await opened(store)
    clock.step_wall(400 * DAY)
    await give(store, "bought", 7)
    made = here.charge("ahead", 0, excess=7)
    await here.exchange(made)
    clock.step_wall(-400 * DAY)
    await balance_summary(store)
    await refund(store, made.charge_id)
    assert await remaining(store) == (0, 0, 7)


async def test_what_was_changed_while_ahead_may_be_changed_again(store: CentralStore, clock: ManualClock) -> None:
    """A plan counts from the next period on, also the same one; the time zone need not rest for 400 days."""
    await opened(store, daily=5)
    clock.step_wall(400 * DAY)
    await put_plan(store, f"plan of {ACME}", 9)
    await update(store, "zone", AccountUpdate(time_zone="Asia/Tokyo"))
    clock.step_wall(-400 * DAY)
    await put_plan(store, f"plan of {ACME}", 9)
    await update(store, "again", AccountUpdate(time_zone="UTC"))
    clock.advance(DAY)
    assert (await remaining(store))[0] == 9
    await put_plan(store, f"plan of {ACME}", 2)
    clock.advance(450 * DAY)
    assert (await remaining(store))[0] == 2


async def test_balances_in_the_past(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """They are the sums of the lines until then, also while and after the days of the wrong clock come."""
    await opened(store, daily=5, permanent=20)
    for number, (step, rest) in enumerate([(0, HOUR), (3 * DAY, MINUTE), (-3 * DAY, 30 * HOUR), (0, 40 * HOUR), (0, 3 * DAY)]):
        clock.step_wall(step)
        await here.exchange(here.charge(f"c{number}", 0, excess=1), leases=())
        clock.advance(rest)
    end = clock.wall()
    for at in [NOON, NOON + HOUR, NOON + 2 * HOUR, *range(NOON + 10 * HOUR, end, 7 * HOUR), end]:
        found = await store.past_balances.read(ACME, Instant(at))
        assert isinstance(found, PastBalance)
        wanted = sum(each.amount for each in await history(store) if each.posted_at <= at)
        assert (found.balance, found.adds_up) == (wanted, True), (at - NOON) / HOUR


@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.long) for each in range(1, 8))])
async def test_a_life_with_a_clock_that_jumps(
    store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer, seed: int
) -> None:
    """Whatever was decided while it was wrong: no period is given for twice, nothing that has not ended has lapsed, and all
    that leases have out can be posted.
    """
    choose = random.Random(seed)  # noqa: S311 - the same life each time
    await opened(store, daily=5, monthly=30, permanent=20, overdraft=4, time_zone="America/New_York")
    wrong = 0
    for number in range(60):
        clock.advance(choose.choice([SECOND, MINUTE, HOUR, 9 * HOUR]))
        if choose.random() < 0.3:
            wrong, before = choose.choice([0, 0, -2 * DAY, -HOUR, HOUR, DAY, 40 * DAY, 400 * DAY]), wrong
            clock.step_wall(wrong - before)
        await _something(choose, store, choose.choice([here, elsewhere]), f"n{number}")
    clock.step_wall(-wrong)
    for each in (here, elsewhere):
        owed = tuple(
            each.charge(f"last {lease.lease_id}", lease.limit - lease.posted, lease=lease.lease_id)
            for lease in each.leases.get(ACME, ())
            if lease.limit > lease.posted
        )
        answer = await each.exchange(*owed)
        assert {posting.covered for posting in answer.postings.values()} == {charge.cost for charge in owed}
    await here.exchange(leases=())
    await elsewhere.exchange(leases=())
    daily, monthly = await of_period(store, GrantKind.DAILY), await of_period(store, GrantKind.MONTHLY)
    assert {amount for amount, _, _ in daily.values()} == {5}
    assert {amount for amount, _, _ in monthly.values()} == {30}
    shown = await balance_summary(store)
    today = Schedule(Calendar("America/New_York", 1)).day_at(clock.wall()).key
    assert daily[today][2] == 0
    assert shown.buckets[0].remaining >= daily[today][1]


async def _something(choose: random.Random, store: CentralStore, peer: Peer, name: str) -> None:
    """One of all that moves credit."""
    leases = peer.leases.get(ACME, ())
    what = choose.randrange(7)
    if what <= 1:
        await peer.exchange(need=choose.randint(1, 12))
    elif what == 2:
        await peer.exchange(leases=peer.reports(idle=False))
    elif what == 3 and leases:
        lease = choose.choice(leases)
        await peer.exchange(peer.charge(name, min(lease.limit - lease.posted, choose.randint(1, 4)), lease=lease.lease_id))
    elif what == 4:
        made = peer.charge(name, 0, excess=choose.randint(1, 5))
        if made.charge_id in (await peer.exchange(made)).postings:
            await refund(store, made.charge_id, 1, name=f"refund {name}")
    elif what == 5:
        given = await give(store, name, 3, choose.choice([GrantKind.PERMANENT, GrantKind.MONTHLY]))
        if choose.randrange(2):
            await void(store, given.grant_id, f"void {name}")
    else:
        await balance_summary(store)
