"""Accounts with more permanent grants than a decision looks at: nothing of what is left shows."""

from typing import Any

import pytest
from sqlalchemy import event, text, update

from creditmeter.central.decisions import grant_loading
from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.decisions.topics import NOTHING_ELSE, Topic
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.messages import Preview
from creditmeter.core.instants import DAY, HOUR, Instant
from creditmeter.core.settlement.ledger import Ledger
from tests.central.accounts import ACME, available, balance_summary, give, opened, refund, void
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

pytestmark = pytest.mark.both_engines

MANY = 3 * grant_loading.FIRST_GRANTS
MIDNIGHT = Instant(NOON + 12 * HOUR)


async def give_many(store: CentralStore, count: int = MANY, prefix: str = "g") -> list[str]:
    """Grants of one microcredit each. Returns their ids in the order in which they are drawn on."""
    return sorted([(await give(store, f"{prefix}{number:03}", 1)).grant_id for number in range(count)])


async def looked_at(store: CentralStore, topic: Topic = NOTHING_ELSE) -> Ledger:
    """The account as a decision about a topic loads it."""
    async with store.database.read() as connection:
        found = await open_ledger(connection, ACME, NOON, topic, lock=False)
    assert found is not None
    return found.ledger


async def test_only_the_first_are_looked_at(store: CentralStore) -> None:
    """And all of them count."""
    await opened(store)
    await give_many(store)
    ledger = await looked_at(store)
    assert len(ledger.grants) == grant_loading.FIRST_GRANTS
    assert (ledger.rest.remaining, ledger.rest.given) == (MANY - grant_loading.FIRST_GRANTS,) * 2
    shown = await balance_summary(store)
    assert (shown.available, len(shown.grants)) == (MANY, MANY)
    assert (shown.buckets[2].granted, shown.buckets[2].remaining) == (MANY, MANY)


async def test_what_they_gave_may_be_more_than_an_int64_says(store: CentralStore) -> None:
    """Though little of it is left: the sum is exact, whatever the engine adds up by itself."""
    await opened(store)
    await give_many(store)
    each = 10**18
    await _put_all_grants(store, amount_microcredits=each, drawn_microcredits=each - 1)
    shown = await balance_summary(store)
    await _put_all_grants(store, amount_microcredits=1, drawn_microcredits=0)
    assert (shown.buckets[2].granted, shown.buckets[2].remaining) == (MANY * each, MANY)


async def _put_all_grants(store: CentralStore, **values: int) -> None:
    """Change what is stored of every grant."""
    async with store.database.write() as connection:
        await connection.execute(update(tables.grants).values(**values))


async def test_as_many_are_looked_at_as_a_charge_needs(store: CentralStore, clock: ManualClock) -> None:
    """They are drawn on in their order to the last one."""
    await opened(store)
    ids = await give_many(store)
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange(need=MANY)
    made = sidecar.charge("c", MANY - 1)
    answered = await sidecar.exchange(made)
    assert [draw.grant_id for draw in answered.postings[made.charge_id].draws] == ids[:-1]
    assert await available(store) == 1


async def test_the_order_is_by_end_then_beginning_then_id(store: CentralStore, clock: ManualClock) -> None:
    """Whatever order they were given in; without an end last."""
    await opened(store)
    lasting = await give_many(store, 4, "z")
    ends = [
        (await give(store, f"e{days:02}", 1, expires_at=Instant(MIDNIGHT + days * DAY))).grant_id for days in range(20, 0, -1)
    ]
    clock.advance(HOUR)
    younger = (await give(store, "a", 1)).grant_id
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange(need=25)
    made = sidecar.charge("c", 25)
    answered = await sidecar.exchange(made)
    assert [draw.grant_id for draw in answered.postings[made.charge_id].draws] == [*ends[::-1], *lasting, younger]


async def test_what_is_left_is_listed_to_the_hundredth(store: CentralStore, clock: ManualClock) -> None:
    """Also while a charge that is not posted yet is to draw on the first ones."""
    await opened(store)
    await give_many(store, 150)
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange(need=95)
    waiting = sidecar.message(sidecar.charge("c", 95))
    shown = await store.exchanges.preview(waiting, 100)
    assert isinstance(shown, Preview)
    assert (shown.balance.buckets[2].remaining, len(shown.balance.grants)) == (55, 55)


async def test_what_begins_later_is_not_among_the_rest(store: CentralStore, clock: ManualClock) -> None:
    """Before it begins it counts in the balance only; then as the others."""
    await opened(store)
    await give_many(store)
    await give(store, "later", 7, effective_at=Instant(MIDNIGHT))
    daily = await give(store, "daily", 3, GrantKind.DAILY, effective_at=Instant(MIDNIGHT))
    assert daily.effective_at == MIDNIGHT
    assert await available(store) == MANY
    clock.advance(DAY)
    assert await available(store) == MANY + 7 + 3


async def test_all_that_ended_lapses(store: CentralStore, clock: ManualClock) -> None:
    """Though it is more than is looked at first."""
    await opened(store)
    for number in range(MANY):
        await give(store, f"e{number}", 1, expires_at=MIDNIGHT)
    await give(store, "stays", 5)
    clock.advance(DAY)
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange()
    async with store.database.read() as connection:
        assert (await connection.execute(text("SELECT balance_microcredits FROM accounts"))).scalar_one() == 5


async def test_refunds_and_voids_reach_the_last_ones(store: CentralStore, clock: ManualClock) -> None:
    """Whichever grants they are about, the sums stay right. What comes back to the voided one, 4 of the 5, is taken back."""
    await opened(store)
    await give_many(store, 2, "a")
    last = await give(store, "last", 9, effective_at=Instant(NOON + 1))
    clock.advance(HOUR)
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange(need=6)
    made = sidecar.charge("c", 6)
    await sidecar.exchange(made)
    await give_many(store, MANY, "b")
    await void(store, last.grant_id)
    assert await available(store) == MANY
    await refund(store, made.charge_id, 5, mode=RefundMode.ORIGINAL)
    assert (await available(store), (await balance_summary(store)).buckets[2].remaining) == (MANY + 1, MANY + 1)


async def test_debt_is_repaid_from_as_many_as_it_takes(store: CentralStore, clock: ManualClock) -> None:
    """A debt may be larger than what the first ones have."""
    await opened(store, overdraft=MANY)
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange(sidecar.charge("c", 0, excess=MANY))
    assert (await balance_summary(store)).debt == MANY
    await give_many(store, MANY - 1)
    assert ((await balance_summary(store)).debt, await available(store)) == (1, 0)


async def test_no_engine_looks_at_every_grant(store: CentralStore) -> None:
    """The first ones come from an index in their order, in one query: nothing is sorted or read whole."""
    await opened(store, daily=3)
    await give_many(store)
    asked: list[tuple[str, Any]] = []

    def seen(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if "FROM grants" in statement and not statement.startswith("EXPLAIN"):
            asked.append((statement, parameters))

    async with store.database.write() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", seen)
        if not store.database.is_sqlite:  # of so few rows it would read and sort all, whatever there is to find them by
            for each in ("enable_seqscan", "enable_sort"):
                await connection.execute(text(f"SET LOCAL {each} = off"))
        assert await open_ledger(connection, ACME, NOON) is not None
        assert len(asked) == 1
        explain = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
        for statement, parameters in asked:
            plan = [str(row) for row in await connection.exec_driver_sql(f"{explain} {statement}", parameters)]
            assert not [line for line in plan if "B-TREE" in line or "Sort" in line or "SCAN grants" in line], plan
            assert [line for line in plan if "grants_with_credit" in line], plan
