"""Alerts of low credit at the central store: they fire on every path on which credit goes, once a period, and are lines of
history.

| what happens | fires |
| --- | --- |
| a charge is posted, backed by a lease or not | yes |
| credit is leased, held, given back | no: nothing is posted |
| many charges of one message cross the threshold | once |
| a grant ends, and nothing as large comes | with the first transaction after its end |
| a grant is voided | yes |
| debt is repaid | no: what is left less debt stays the same |
| the plan gives less than the threshold | with the first day of it |
| a refund brings credit back, which is spent again | once in the period |
| a refund gives back a little of a pack that was used up | no: what is left rose; the fall after it does |
| one of many packs after the other is used up | yes: a share is of the most that was left in the period |
| a date comes twice after a move west | on both days |
| a change to a plan with other periods, and back | no: it fired within each of them |
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, event, select

from creditmeter.central.engine.database import announce
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.calendar import Calendar, day_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.ids import PlanId, account_key
from creditmeter.core.instants import DAY, HOUR
from creditmeter.core.values import replace
from tests.central.accounts import (
    ACME,
    account,
    assign,
    count,
    create,
    give,
    history,
    opened,
    put_plan,
    refund,
    update,
    void,
)
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


def at(amount: int) -> Alert:
    """An alert at an amount."""
    return Alert(amount=Microcredits(amount))


async def watched(store: CentralStore, *alerts: Alert, **terms: int) -> None:
    """An account with credit and alerts."""
    await opened(store, **terms)  # type: ignore[arg-type]  # amounts, all of them
    await set_alerts(store, *alerts)


async def set_alerts(store: CentralStore, *alerts: Alert, name: str = "alerts") -> None:
    """Replace the account's alerts."""
    await update(store, name, AccountUpdate(alerts=alerts))


async def fired(store: CentralStore) -> list[int]:
    """What was left as alerts fired, in microcredits."""
    async with store.database.read() as connection:
        query = select(tables.alert_deliveries.c.body).order_by(tables.alert_deliveries.c.created_at)
        bodies = (await connection.execute(query)).scalars().all()
    lines = [each for each in await history(store) if each.type is EntryType.LOW_BALANCE]
    assert len(lines) == len(bodies)
    return [msgspec.json.decode(body)["data"]["left_microcredits"] for body in bodies]


async def spend(sidecar: Peer, name: str, amount: int) -> None:
    """Post a charge that no lease stands behind."""
    await sidecar.exchange(sidecar.charge(name, 0, excess=amount))


async def test_leases_and_holds_do_not_count_but_posted_charges_do(store: CentralStore, here: Peer) -> None:
    """As posted at the central store: 50 of 100 are left after the second charge."""
    await watched(store, at(50), permanent=100)
    await here.exchange(need=80)
    await here.exchange(leases=here.reports(held=70))
    await here.exchange(here.charge("a", 49), leases=here.reports(held=21))
    assert await fired(store) == []
    await here.exchange(here.charge("b", 1))
    assert await fired(store) == [50]


async def test_cost_that_no_lease_stands_behind_counts(store: CentralStore, here: Peer) -> None:
    """It is drawn as it is posted."""
    await watched(store, at(50), permanent=100)
    await spend(here, "a", 60)
    assert await fired(store) == [40]


async def test_an_alert_is_a_line_of_history_that_moves_nothing(store: CentralStore, here: Peer) -> None:
    """It comes after what made it fire, and says the threshold and what is left."""
    await watched(store, at(50), permanent=100)
    await spend(here, "a", 60)
    charged, alerted = (await history(store))[-2:]
    assert charged.type is EntryType.CHARGED
    assert (alerted.type, alerted.amount, alerted.balance_after) == (EntryType.LOW_BALANCE, 0, 40)
    assert (alerted.occurred_at, alerted.posted_at, alerted.number) == (NOON, NOON, charged.number + 1)
    assert alerted.note == "0.00004 credits left: the alert is at 0.00005"


async def test_what_a_webhook_is_to_be_told_is_written_with_the_alert(store: CentralStore, here: Peer) -> None:
    """Due at once, under an id of its own."""
    await watched(store, Alert(percent=40), daily=60, permanent=40)
    await spend(here, "a", 60)
    async with store.database.read() as connection:
        (row,) = (await connection.execute(select(tables.alert_deliveries))).mappings().all()
    (line,) = [each for each in await history(store) if each.type is EntryType.LOW_BALANCE]
    key = account_key(ACME)
    assert (row["account_id"], row["delivery_id"]) == (ACME, f"low-{key}-{line.number}")
    assert (row["created_at"], row["due_at"], row["attempts"]) == (NOON, NOON, 0)
    assert msgspec.json.decode(row["body"]) == {
        "type": "creditmeter.low_balance",
        "timestamp": "2026-11-24T12:00:00Z",
        "data": {
            "account_id": "acme",
            "threshold": {"percent": 40},
            "left_microcredits": 40,
            "granted_microcredits": 100,
            "period": {"kind": "DAILY", "starts_on": "2026-11-24"},
            "entry_id": f"his-{key}-{line.number}",
        },
    }


async def test_many_charges_of_one_message_fire_once(store: CentralStore, here: Peer) -> None:
    """The note has what is left after all of them."""
    await watched(store, at(50), at(30), at(10), permanent=100)
    await here.exchange(*(here.charge(str(number), 0, excess=10) for number in range(8)))
    assert await fired(store) == [20, 20]
    notes = [each.note for each in await history(store) if each.type is EntryType.LOW_BALANCE]
    assert [note.rpartition(" ")[2] for note in notes] == ["0.00005", "0.00003"]


async def test_an_alert_that_is_named_twice_fires_once(store: CentralStore, here: Peer) -> None:
    """It is one threshold."""
    await watched(store, at(50), at(50), permanent=100)
    await spend(here, "a", 60)
    assert await fired(store) == [40]


async def test_the_end_of_a_grant_fires(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """With the first transaction after it, whether or not the rest of it has lapsed by then."""
    await watched(store, at(50), permanent=20)
    midnight = day_of(Calendar(), NOON).ends_at
    await give(store, "short", 80, expires_at=midnight)
    await here.exchange(need=90)
    clock.advance(DAY)
    await here.exchange(leases=here.reports(held=5))
    assert await fired(store) == [20]
    assert EntryType.LAPSED not in {each.type for each in await history(store)}


async def test_a_lapse_fires(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """The same with nothing out on leases."""
    await watched(store, at(50), permanent=20)
    await give(store, "short", 80, expires_at=day_of(Calendar(), NOON).ends_at)
    clock.advance(DAY)
    await here.exchange()
    assert [each.type.value for each in (await history(store))[-2:]] == ["LAPSED", "LOW_BALANCE"]
    assert await fired(store) == [20]


async def test_a_void_fires(store: CentralStore) -> None:
    """Credit that is taken back is gone, too. Of what was granted it is no part any more."""
    await watched(store, at(50), Alert(percent=30), permanent=100)
    more = await give(store, "more", 60)
    await void(store, more.grant_id)
    assert await fired(store) == []
    first = (await history(store))[0].grant_id
    assert first is not None
    await void(store, first, "again")
    assert await fired(store) == [0, 0]


async def test_debt_counts_and_its_repayment_changes_nothing(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """What is left is 0 while debt is owed; what repays it was never left to spend."""
    await watched(store, at(50), permanent=60, overdraft=100)
    await spend(here, "a", 120)
    assert await fired(store) == [0]
    clock.advance(40 * DAY)
    await give(store, "half", 100)
    await spend(here, "b", 10)
    assert await fired(store) == [0], "40 were left of it, so it was not above"
    await give(store, "whole", 100)
    await spend(here, "c", 90)
    assert await fired(store) == [0, 40]


async def test_a_plan_that_gives_less_fires_with_its_first_day(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Once, for it is below from then on."""
    await watched(store, at(50), daily=100)
    await here.exchange()
    await put_plan(store, "plan of acme", 40)
    await here.exchange()
    assert await fired(store) == []
    for _ in range(3):
        clock.advance(DAY)
        await here.exchange()
    assert await fired(store) == [40]


async def test_the_loss_of_a_plan_fires_with_the_next_period(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """What it gave for the running period stays; then there is nothing."""
    await watched(store, at(50), daily=100)
    await here.exchange()
    await assign(store, "", "no plan")
    assert await fired(store) == []
    clock.advance(DAY)
    await here.exchange()
    assert await fired(store) == [0]


async def test_a_better_plan_brings_the_balance_above(store: CentralStore, here: Peer) -> None:
    """In the same transaction in which it is assigned; the alert has had its turn for the day."""
    await watched(store, at(50), daily=60)
    await put_plan(store, "more", 200)
    await spend(here, "a", 30)
    await assign(store, "more")
    await spend(here, "b", 160)
    assert await fired(store) == [30]


async def test_once_a_day_with_a_plan_that_gives_daily(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Each day begins above; a second fall of a day is silent."""
    await watched(store, at(50), daily=100)
    for day in range(3):
        await spend(here, f"{day}", 60)
        await give(store, f"{day}", 100, GrantKind.DAILY)
        await spend(here, f"{day} again", 120)
        clock.advance(DAY)
    assert await fired(store) == [40, 40, 40]


async def test_once_a_month_without(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """From anchor day to anchor day: the account was opened on the 24th."""
    await watched(store, at(50), monthly=100)
    for number in range(4):
        await spend(here, f"{number}", 30 if number % 2 else 55)
        await give(store, f"{number}", 20, GrantKind.MONTHLY)
        clock.advance(15 * DAY + HOUR)
    assert await fired(store) == [45, 45]
    assert [each.occurred_at for each in await history(store) if each.type is EntryType.LOW_BALANCE] == [
        NOON,
        NOON + 2 * (15 * DAY + HOUR),
    ]


async def test_a_refund_brings_it_above_for_the_next_period(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Spent again in the same one it is silent."""
    await watched(store, at(50), permanent=100)
    charge = here.charge("a", 0, excess=60)
    await here.exchange(charge)
    await refund(store, charge.charge_id)
    await spend(here, "b", 70)
    assert await fired(store) == [40]
    await give(store, "more", 100)
    clock.advance(31 * DAY)
    await spend(here, "c", 90)
    assert await fired(store) == [40, 40]


async def test_a_share_is_of_the_running_grants_and_the_most_that_was_left_of_others(
    store: CentralStore, here: Peer, clock: ManualClock
) -> None:
    """The day's 60 count whole to its end, and so do the others of the day; the next one begins with what is left."""
    await watched(store, Alert(percent=40), daily=60, permanent=30)
    clock.advance(HOUR)
    await give(store, "second", 60)
    await spend(here, "a", 89)
    assert await fired(store) == [], "61 of 150 are 40.7%"
    await spend(here, "b", 1)
    assert await fired(store) == [60]
    clock.advance(DAY)
    await spend(here, "c", 71)
    assert await fired(store) == [60], "49 of 120 are 40.8%"
    await spend(here, "d", 1)
    assert await fired(store) == [60, 48]


async def test_a_share_falls_as_one_pack_after_the_other_is_used_up(store: CentralStore, here: Peer) -> None:
    """More of them than are looked at one by one; those that are used up still count in what there was."""
    await watched(store, Alert(percent=50))
    for number in range(30):
        await give(store, f"{number:02}", 10)
    for number in range(29):
        await spend(here, f"{number}", 10)
    assert await fired(store) == [150]


async def test_a_refund_to_a_pack_that_was_used_up_is_no_fall(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """It brings back what it says, not the whole pack; the fall that comes after it fires."""
    await opened(store, daily=100, permanent=1_000)
    await spend(here, "day", 100)
    pack = here.charge("pack", 0, excess=1_000)
    await here.exchange(pack)
    clock.advance(DAY)
    await set_alerts(store, Alert(percent=10))
    await refund(store, pack.charge_id, 1)
    assert await fired(store) == []
    await spend(here, "fall", 95)
    assert await fired(store) == [6]


async def test_a_refund_and_a_charge_of_as_much_are_no_fall(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """In one message they leave a smaller share and no less credit: the alert waits for the next charge."""
    await watched(store, Alert(percent=50), daily=100, permanent=50)
    old = here.charge("old", 0, excess=150)
    await here.exchange(old)
    clock.advance(DAY)
    await spend(here, "day", 40)
    await here.exchange(here.charge("new", 0, excess=50), refunds=(here.refund(old.charge_id, 50),))
    await here.exchange()
    assert await fired(store) == [0], "60 of 150 are left, as were 60 of 100"
    await spend(here, "fall", 1)
    assert await fired(store) == [0, 59]


async def test_a_date_that_comes_twice_fires_on_both_days(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """After a move west over the date line; each of the days has credit of its own."""
    await opened(store, daily=100, time_zone="Pacific/Apia")
    await set_alerts(store, at(10))
    await update(store, "move", AccountUpdate(time_zone="Pacific/Pago_Pago"))
    for number in range(3):
        await spend(here, f"{number}", 95)
        clock.advance(DAY)
    assert await fired(store) == [5, 5, 5]
    async with store.database.read() as connection:
        bodies = (await connection.execute(select(tables.alert_deliveries.c.body))).scalars().all()
    days = [msgspec.json.decode(body)["data"]["period"]["starts_on"] for body in bodies]
    assert len(set(days)) == 2, "one date came twice"


async def test_a_change_of_periods_and_back_fires_no_more_often(store: CentralStore, here: Peer) -> None:
    """A month has had its alert if one of its days had, and so has the day."""
    await watched(store, at(10), daily=100)
    await put_plan(store, "monthly", 0, 1)
    await spend(here, "a", 95)
    for plan in ("monthly", "plan of acme"):
        await assign(store, plan)
        await give(store, plan, 100)
        left = 106
        await spend(here, plan, left - 5)
    assert await fired(store) == [5]


async def test_lost_leases_fire_nothing_by_being_reclaimed(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """But what ended meanwhile is noticed on that path, too."""
    await watched(store, at(50), permanent=20)
    await give(store, "short", 80, expires_at=day_of(Calendar(), NOON).ends_at)
    await here.exchange(need=90)
    clock.advance(DAY)
    await elsewhere.beat()
    await elsewhere.counts(2 * HOUR)
    assert await store.exchanges.reclaimable(None, 9) == [ACME]
    await store.exchanges.reclaim(ACME)
    assert await fired(store) == [20]


# Alerts that are new, taken away, set again.


async def test_a_new_alert_on_an_account_with_less_waits_until_there_was_more(store: CentralStore, here: Peer) -> None:
    """It fires on falling, not on being low."""
    await watched(store, at(50), permanent=40)
    await spend(here, "a", 1)
    assert await fired(store) == []
    await give(store, "more", 100)
    await spend(here, "b", 100)
    assert await fired(store) == [39]


async def test_an_alert_that_is_set_again_begins_anew(store: CentralStore, here: Peer) -> None:
    """What it knew is forgotten: that there was more than its threshold, and that it fired."""
    await watched(store, at(50), permanent=100)
    await set_alerts(store, name="none")
    assert await count(store, "alert_watches") == 0
    await spend(here, "a", 60)
    await set_alerts(store, at(50), name="again")
    await spend(here, "b", 1)
    assert await fired(store) == []
    await give(store, "more", 100)
    await spend(here, "c", 100)
    await set_alerts(store, at(60), name="other")
    await give(store, "still more", 100)
    await set_alerts(store, at(50), at(60), name="both")
    await spend(here, "d", 100)
    assert await fired(store) == [39, 39, 39]


async def test_an_alert_that_stays_remembers(store: CentralStore, here: Peer) -> None:
    """Another one beside it makes no difference, and neither does repeating it."""
    await watched(store, at(50), permanent=100)
    await spend(here, "a", 60)
    await set_alerts(store, at(50), at(30), name="another")
    await give(store, "more", 20)
    await spend(here, "b", 25)
    assert await fired(store) == [40]


async def test_alerts_of_a_new_account_are_in_force_at_once(store: CentralStore, here: Peer) -> None:
    """Its first touch brings the day's credit, and the same message spends it."""
    await put_plan(store, "daily", 100)
    await create(store, replace(account(plan="daily"), alerts=(at(50),)))
    await spend(here, "a", 60)
    assert await fired(store) == [40]


async def test_alerts_that_were_set_before_they_were_watched_are_in_force(store: CentralStore, here: Peer) -> None:
    """As after an upgrade: nothing is stored of how they stand."""
    await watched(store, at(50), permanent=100)
    async with store.database.write() as connection:
        await connection.execute(delete(tables.alert_watches))
    await spend(here, "a", 60)
    assert await fired(store) == [40]


# Races, and who is notified.


async def test_of_many_that_spend_at_once_one_makes_it_fire(store: CentralStore, clock: ManualClock) -> None:
    """The account is locked while it is decided about."""
    await watched(store, at(50), permanent=100)
    sidecars = [await Peer.registered(store, clock, f"s{number}") for number in range(9)]
    await asyncio.gather(*(spend(each, "a", 10) for each in sidecars))
    assert await fired(store) == [50]


async def test_a_message_that_is_sent_again_fires_nothing(store: CentralStore, here: Peer) -> None:
    """It has no effect, so it has none on alerts."""
    await watched(store, at(50), permanent=100)
    message = here.message(here.charge("a", 0, excess=60))
    for _ in range(2):
        await here.send(message)
    assert await fired(store) == [40]


async def test_who_listens_is_told_once_it_is_committed(store: CentralStore, here: Peer) -> None:
    """Each alert, by the store whose transaction it was."""
    fired: list[LowBalance] = []
    store.database.on_low_balance.append(fired.append)
    await watched(store, at(50), Alert(percent=50), permanent=100)
    await spend(here, "a", 60)
    await spend(here, "b", 10)
    assert [(each.account_id, each.alert, each.measure.left) for each in fired] == [
        (ACME, at(50), 40),
        (ACME, Alert(percent=50), 40),
    ]


async def announce_and_fail(store: CentralStore, fired: LowBalance) -> None:
    """A transaction that does not come to its end."""
    async with store.database.write() as connection:
        announce(connection, fired)
        _ = 1 // 0


async def test_nobody_is_told_of_what_was_rolled_back(store: CentralStore, here: Peer) -> None:
    """Also not with the next transaction on the same connection."""
    fired: list[LowBalance] = []
    await watched(store, at(50), permanent=100)
    store.database.on_low_balance.append(fired.append)
    await spend(here, "a", 60)
    with pytest.raises(ZeroDivisionError):
        await announce_and_fail(store, fired[0])
    await spend(here, "b", 1)
    assert len(fired) == 1


# What it costs.


@contextmanager
def statements(store: CentralStore) -> Iterator[list[str]]:
    """The statements that run in the block."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(" ".join(statement.split()))

    engine = store.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_an_account_without_alerts_costs_nothing(store: CentralStore, here: Peer) -> None:
    """With alerts it is one short query a transaction, and one write where one changed."""
    await opened(store, permanent=1_000)
    await spend(here, "warm", 1)
    with statements(store) as without:
        await spend(here, "a", 1)
    assert [each for each in without if "alert_" in each] == []
    await set_alerts(store, at(500))
    with statements(store) as beside:
        await spend(here, "b", 1)
    assert len(beside) == len(without) + 1
    with statements(store) as firing:
        await spend(here, "c", 600)
    assert len(firing) == len(without) + 3


async def test_a_plan_is_changed_beside_alerts(store: CentralStore) -> None:
    """What is set together takes effect together: with the new plan's credit there is more than the threshold."""
    await opened(store, permanent=10)
    await put_plan(store, "big", 100)
    await update(store, "both", AccountUpdate(plan_id=PlanId("big"), alerts=(at(50),)))
    async with store.database.read() as connection:
        assert (await connection.execute(select(tables.alert_watches.c.is_above))).scalar_one()
