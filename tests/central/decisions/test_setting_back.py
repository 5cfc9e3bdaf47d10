"""An account that was decided about by a clock that was ahead, once the clock is right again.

| what the wrong clock brought | what is so at the real time |
| --- | --- |
| today's credit lapsed | it is there again, with a line of history; of a refund's part that lapsed nothing is given |
| credit of a day to come was given | it waits for that day, cannot be drawn on today, and is not given again then |
| and then the plan or the calendar is changed | it is as much as the plan gives now, in the period as it is now |
| it was a little ahead, as of a transaction that waited for a lock | nothing: decisions do not go back so far |
| a lease was opened | nothing more is leased on it; its charges draw on the credit of the day that it was opened on |
| a lease was renewed by a sidecar that is gone | it is reclaimed as long after now as after any renewal |
| a grant was given that begins at once | it begins now; one with a later beginning of its own waits for that |
| a grant was voided | it is voided now |
| a lease was opened, and then the grant was voided, or is voided now | what the lease has out stays |
| a grant is voided that waits, with a lease on it | what the lease has out stays |
| a need waits | for what it had left |
| an alert fired | it is silent for the rest of the real period, whatever the clock does then; it fires in the next |
| lines of history are of moments to come | a balance in the past is the sum of the lines until then, whatever their order |
"""

import json
import random
from collections import Counter
from collections.abc import Collection

import pytest
from sqlalchemy import select

from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify_database
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.messages import Need
from creditmeter.core.credit.planned_grants import GIVEN_AHEAD
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.reports.past_balance import PastBalance
from creditmeter.core.settlement.setting_back import MOST_AHEAD, NOTE
from tests.cases import more
from tests.central.accounts import (
    ACME,
    assign,
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


@pytest.mark.parametrize("now_gives", [0, 4, 9, 20])
@pytest.mark.parametrize("puts", [True, False])
async def test_a_plan_that_changes_before_a_day_to_come(
    store: CentralStore, clock: ManualClock, now_gives: int, *, puts: bool
) -> None:
    """That day has what the plan gives then, put anew or another one. Within the day nothing is taken back, and what is lacking
    is given.
    """
    await opened(store, daily=9)
    await balance_summary(store)
    await look_ahead(store, clock, 2 * DAY)
    clock.advance(MINUTE)
    await put_plan(store, f"plan of {ACME}" if puts else "other", now_gives)
    if not puts:
        await assign(store, "other")
    assert (await remaining(store))[0] == (9 if puts else max(9, now_gives))
    clock.advance(2 * DAY)
    assert (await remaining(store))[0] == now_gives
    back = [(each.type, each.amount) for each in await history(store) if each.note == GIVEN_AHEAD]
    assert back == ([(EntryType.VOIDED, now_gives - 9)] if now_gives < 9 else [])
    await put_plan(store, "more", 30)
    await assign(store, "more")
    assert (await remaining(store))[0] == 30
    await put_plan(store, "less", 1)
    await assign(store, "less")
    assert (await remaining(store))[0] == 30
    clock.advance(DAY)
    assert (await remaining(store))[0] == 1
    assert (await verify_database(store.database)).problems == ()


async def test_a_day_to_come_that_was_passed_and_is_reached(store: CentralStore, clock: ManualClock) -> None:
    """Its credit waited, lapsed by a clock that was further ahead, and is set right as that is set back into the day itself."""
    await opened(store, daily=9)
    await balance_summary(store)
    await look_ahead(store, clock, 2 * DAY)
    await put_plan(store, "less", 4)
    await assign(store, "less")
    clock.advance(2 * DAY - HOUR)
    clock.step_wall(3 * DAY)
    await balance_summary(store)
    clock.step_wall(-3 * DAY)
    clock.advance(HOUR)
    assert (await remaining(store))[0] == 4


async def test_what_was_used_of_a_day_to_come_counts(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """It is not taken back, and more is there that day only if the plan gives more."""
    await opened(store, daily=9)
    clock.step_wall(2 * DAY)
    await here.exchange(here.charge("ahead", 0, excess=6), leases=())
    clock.step_wall(-2 * DAY)
    await put_plan(store, "less", 4)
    await assign(store, "less")
    clock.advance(2 * DAY)
    assert (await remaining(store))[0] == 0
    await put_plan(store, "more", 8)
    await assign(store, "more")
    assert (await remaining(store))[0] == 2


async def test_what_is_given_after_a_plan_changed_is_not_taken_back(store: CentralStore, clock: ManualClock) -> None:
    """A clock that was behind for a moment makes no running day one to come."""
    await opened(store, daily=9)
    await balance_summary(store)
    clock.advance(DAY)
    await balance_summary(store)
    await put_plan(store, "less", 4)
    await assign(store, "less")
    await look_ahead(store, clock, -DAY)
    assert (await remaining(store))[0] == 9


@pytest.mark.parametrize("changed_at", [0, 5 * MINUTE, 40 * DAY])
@pytest.mark.parametrize("wrong_by", [-2 * HOUR, -HOUR, -MINUTE])
async def test_a_smaller_plan_takes_nothing_of_the_running_month(
    store: CentralStore, clock: ManualClock, changed_at: int, wrong_by: int
) -> None:
    """Whatever the clock showed when the plan was changed, and shows for a moment after that."""
    await opened(store, monthly=1000)
    await balance_summary(store)
    clock.advance(HOUR)
    clock.step_wall(changed_at)
    await put_plan(store, "less", 0, 500)
    await assign(store, "less")
    clock.step_wall(-changed_at)
    assert (await remaining(store))[1] == 1000
    await look_ahead(store, clock, wrong_by)
    assert (await remaining(store))[1] == 1000
    clock.advance(HOUR)
    assert (await remaining(store))[1] == 1000


@pytest.mark.parametrize("ahead", [DAY, *more(2 * DAY, 40 * DAY)])
@pytest.mark.parametrize(
    ("time_zone", "anchor_day"),
    [("Asia/Tokyo", None), ("America/New_York", None), ("Pacific/Apia", None), (None, 3), ("Asia/Tokyo", 12), (None, 31)],
)
async def test_a_calendar_that_changes_before_a_day_to_come(
    store: CentralStore, clock: ManualClock, ahead: int, time_zone: str | None, anchor_day: int | None
) -> None:
    """No moment has the credit of two days or of two months, and each has its own."""
    await opened(store, daily=5, monthly=30)
    await balance_summary(store)
    await look_ahead(store, clock, ahead)
    await update(store, "calendar", AccountUpdate(time_zone=time_zone, anchor_day=anchor_day))
    for _ in range(20):
        assert await remaining(store) == (5, 30, 0)
        clock.advance(5 * HOUR)
    clock.advance(20 * DAY)
    for _ in range(30):
        assert await remaining(store) == (5, 30, 0)
        clock.advance(DAY - HOUR)
    assert (await verify_database(store.database)).problems == ()


async def test_a_day_to_come_that_a_lease_has_credit_of(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """It stays as it is, so that what was authorised on it is paid by it."""
    await opened(store, daily=5)
    await balance_summary(store)
    clock.step_wall(2 * DAY)
    await here.exchange(need=4)
    made = here.charge("ahead", 4)
    clock.step_wall(-2 * DAY)
    await update(store, "calendar", AccountUpdate(time_zone="America/New_York"))
    posting = (await here.exchange(made)).postings[made.charge_id]
    assert (posting.covered, posting.draws[0].grant_id) == (4, "daily-2026-11-26")
    await here.exchange(leases=())
    assert (await remaining(store))[0] == 5


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
    await elsewhere.beat()
    await elsewhere.counts(reclaim_at - NOON - 1)
    assert await store.exchanges.reclaimable(None, 10) == []
    await elsewhere.counts(1)
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


@pytest.mark.parametrize("waits", [False, True])
async def test_a_grant_that_is_voided_after_a_lease_was_opened(
    store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer, waits: bool
) -> None:
    """What is out is the lease's, while the clock is behind and once it is right again, though other credit could take its
    place meanwhile: that ends before the lease.
    """
    await opened(store)
    clock.step_wall(DAY)
    given = await give(store, "first", 10)
    await here.exchange(need=4)
    await here.holds(4)
    made = here.charge("held", 3)
    clock.advance(SECOND)
    if not waits:
        assert (await void(store, given.grant_id)).amount == 6
    clock.step_wall(-DAY)
    await give(store, "another", 20, expires_at=Instant(clock.wall() + HOUR))
    if waits:
        assert (await void(store, given.grant_id)).amount == 6
    await here.exchange()
    clock.step_wall(DAY)
    assert (await elsewhere.exchange(need=1)).granted == 0
    assert await remaining(store) == (0, 0, 4)
    assert (await here.exchange(made)).postings[made.charge_id].covered == 3
    await here.exchange(leases=here.reports(idle=False))
    assert await remaining(store) == (0, 0, 0)
    assert (await verify_database(store.database)).problems == ()


async def test_grants_that_are_voided_one_after_another(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """What the first one keeps for the lease the second one need not keep, and each void says what it took."""
    await opened(store)
    clock.step_wall(DAY)
    given = [await give(store, name, 10) for name in ("first", "second")]
    await here.exchange(need=10)
    await here.holds(10)
    clock.step_wall(-DAY)
    assert [(await void(store, each.grant_id, each.grant_id)).amount for each in given] == [0, 10]
    assert await remaining(store) == (0, 0, 10)


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
    await here.beat()
    await update(store, "alert", AccountUpdate(alerts=(Alert(amount=Microcredits(3)),)))
    clock.step_wall(400 * DAY)
    await here.exchange(here.charge("ahead", 0, excess=8), leases=())
    clock.step_wall(-400 * DAY)
    for number in range(3):
        await here.exchange(here.charge(f"c{number}", 0, excess=8), leases=())
        await here.counts(DAY)
    assert [each[0] for each in await lines(store)].count("LOW_BALANCE") == 3


async def fall(store: CentralStore, clock: ManualClock, peer: Peer, moments: list[int]) -> list[int]:
    """Use up more credit at each of these moments. Returns how many alerts each of them fired."""
    fired, start = [], clock.wall()
    for number, each in enumerate(moments):
        before = [line[0] for line in await lines(store)].count("LOW_BALANCE")
        clock.step_wall(start + each - clock.wall())
        await peer.exchange(peer.charge(f"fall {number} of {start}", 0, excess=4), leases=())
        fired.append([line[0] for line in await lines(store)].count("LOW_BALANCE") - before)
    return fired


@pytest.mark.parametrize(("daily", "monthly", "period"), [(10, 0, DAY), (0, 10, 30 * DAY)])
@pytest.mark.parametrize(
    ("ahead", "behind"), [(DAY, DAY), (40 * DAY, HOUR), *more((DAY, 400 * DAY), (40 * DAY, 40 * DAY), (400 * DAY, 400 * DAY))]
)
async def test_an_alert_fires_once_in_the_real_period(
    store: CentralStore, clock: ManualClock, here: Peer, daily: int, monthly: int, period: int, ahead: int, behind: int
) -> None:
    """It has fired; a clock that is ahead, and one that is behind, come between; and what was used up is given back."""
    await opened(store, daily=daily, monthly=monthly, permanent=4)
    await here.beat()
    await update(store, "alert", AccountUpdate(alerts=(Alert(amount=Microcredits(6)),)))
    wrong = [ahead + 2 * MINUTE, ahead + 3 * MINUTE]
    fired = await fall(store, clock, here, [0, MINUTE, *wrong, 3 * MINUTE, -behind, 4 * MINUTE])
    assert fired == [0, 1, 0, int(ahead >= period), 0, 0, 0]
    await give(store, "more", 20)
    assert await fall(store, clock, here, [MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]) == [0] * 4
    await here.counts(2 * HOUR)
    assert await fall(store, clock, here, [0]) == [0]
    await here.counts(period)
    await give(store, "even more", 20)
    assert sum(await fall(store, clock, here, [each * MINUTE for each in range(10)])) == 1


@pytest.mark.parametrize("is_counted", [True, False])
async def test_an_alert_that_fired_for_a_day_to_come_fires_on_that_day(
    store: CentralStore, clock: ManualClock, here: Peer, is_counted: bool
) -> None:
    """Also later on it than the wrong clock said, if an hour was counted since. If not, the day may have been real, and the
    clock behind since.
    """
    await opened(store, daily=10)
    await here.beat()
    await update(store, "alert", AccountUpdate(alerts=(Alert(amount=Microcredits(3)),)))
    clock.step_wall(DAY)
    await here.exchange(here.charge("ahead", 0, excess=5), here.charge("more", 0, excess=3), leases=())
    clock.step_wall(-DAY)
    await here.exchange(here.charge("right", 0, excess=1), leases=())
    if is_counted:
        await here.counts(DAY + HOUR)
    else:
        clock.advance(DAY + HOUR)
    await give(store, "more", 5)
    await here.exchange(here.charge("low", 0, excess=6), leases=())
    assert [each[0] for each in await lines(store)].count("LOW_BALANCE") == 1 + is_counted


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


@pytest.mark.parametrize("seed", [0, *more(*range(1, 8))])
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


@pytest.mark.parametrize("seed", [0, *more(*range(1, 12))])
async def test_a_life_with_a_clock_that_is_ahead_now_and_then(
    store: CentralStore, clock: ManualClock, here: Peer, seed: int
) -> None:
    """Whatever was decided while it was: of alerts that fire while it is right there is one a day, and no day has more than one
    of the plans gives that the account had on it. The time zone changes once.
    """
    choose = random.Random(seed)  # noqa: S311 - the same life each time
    await opened(store, daily=9)
    await here.beat()
    plans, plan = {"plan 2": 2, "plan 5": 5, "plan 14": 14}, 9
    for name, daily in plans.items():
        await put_plan(store, name, daily)
    await update(store, "alert", AccountUpdate(alerts=(Alert(amount=Microcredits(3)), Alert(percent=50))))
    most: Counter[str] = Counter()
    right = set()
    for number in range(120):
        await here.counts(choose.choice([SECOND, MINUTE, HOUR, 7 * HOUR]))
        if choose.random() < 0.3:
            ahead = choose.choice([HOUR, DAY, DAY, 2 * DAY, 40 * DAY])
            clock.step_wall(ahead)
            await here.exchange(here.charge(f"ahead {number}", 0, excess=choose.randint(0, 9)), leases=())
            clock.step_wall(-ahead)
        right.add(clock.wall())
        shown = await balance_summary(store)
        day = await running_day(store, clock)
        most[day] = max(most[day], plan)
        assert shown.buckets[0].remaining <= most[day]
        if number == 60:
            await update(store, "zone", AccountUpdate(time_zone=choose.choice(["Asia/Tokyo", "America/New_York"])))
        if choose.random() < 0.1:
            name = choose.choice(list(plans))
            await assign(store, name, f"assign {number}")
            plan = plans[name]
            most[day] = max(most[day], plan)
        await here.exchange(here.charge(f"right {number}", 0, excess=choose.randint(0, 4)), leases=())
    assert set(Counter(await alerts_fired(store, right)).values()) == {1}
    assert (await verify_database(store.database)).problems == ()


async def running_day(store: CentralStore, clock: ManualClock) -> str:
    """The key of the day that the plan's credit is of now. One that was to begin within a day that became longer is none."""
    grants, now = tables.grants.c, clock.wall()
    runs = grants.kind == GrantKind.DAILY.value, grants.effective_at <= now, grants.expires_at > now
    query = select(grants.period_key).where(*runs).order_by(grants.effective_at).limit(1)
    async with store.database.read() as connection:
        return str((await connection.execute(query)).scalar_one())


async def alerts_fired(store: CentralStore, moments: Collection[int]) -> list[str]:
    """The thresholds of alerts that fired at one of these moments, each with its period."""
    async with store.database.read() as connection:
        rows = (await connection.execute(select(tables.alert_deliveries))).mappings()
        told = [json.loads(row["body"])["data"] for row in rows if row["created_at"] in moments]
    return [f"{each['threshold']} {each['period']}" for each in told]


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
