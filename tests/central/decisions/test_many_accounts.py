"""Exchanges about many accounts: each account is decided about as if it were alone, and no statement is added for it."""

from typing import Any

import pytest
from sqlalchemy import event

from creditmeter.central.decisions.accounts import OpenLedger, open_ledger, open_ledgers
from creditmeter.central.decisions.topics import NOTHING_ELSE, Topic
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.messages import Answer, Message, Need, Outdated
from creditmeter.core.ids import AccountId, ChargeId
from creditmeter.core.instants import DAY, SECOND, Instant
from creditmeter.core.refusals import AccountNotFound
from tests.central.accounts import give, opened
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

pytestmark = pytest.mark.both_engines

MANY = [AccountId(f"account-{number:02}") for number in range(20)]


def seen(found: OpenLedger) -> dict[str, Any]:
    """All that a decision may see of an account. The order of what is in no order does not count."""
    ledger = found.ledger
    parts = ("account", "schedule", "now", "balance", "rest", "grants", "leases", "charges", "refunds", "recalls")
    return {name: getattr(ledger, name) for name in parts} | {"sums": found.sums.to_come, "last_entry": found.last_entry}


async def unlike_accounts(store: CentralStore, clock: ManualClock) -> dict[AccountId, Topic]:
    """Accounts that differ in all that is loaded, and what decisions about them are about."""
    sidecar = await Peer.registered(store, clock, "s1")
    other = await Peer.registered(store, clock, "s2")
    topics: dict[AccountId, Topic] = {}
    many, owing, waiting, later, nothing = (AccountId(name) for name in ("many", "owing", "waiting", "later", "nothing"))
    await opened(store, many, daily=3, monthly=9, time_zone="Asia/Tokyo")
    for number in range(30):
        await give(store, f"g{number:02}", 2, account_id=many)
    topics[many] = Topic(listed=3)
    await opened(store, owing, permanent=5, overdraft=20)
    await sidecar.exchange(account=owing, need=5)
    charge = sidecar.charge("c", 5, excess=4, account=owing)
    await sidecar.exchange(charge, account=owing)
    topics[owing] = Topic(charges=frozenset({charge.charge_id}), refunded_charges=frozenset({charge.charge_id}))
    await opened(store, waiting, permanent=5, daily=1, time_zone="America/New_York")
    await sidecar.exchange(account=waiting, need=6)
    two = Microcredits(2)
    await other.exchange(account=waiting, need=Need(two, two, two, patience=SECOND))
    topics[waiting] = Topic(charges=frozenset({ChargeId(charge.charge_id)}))
    await opened(store, later, permanent=1)
    await give(store, "soon", 7, account_id=later, effective_at=Instant(NOON + DAY))
    topics[later] = NOTHING_ELSE
    await opened(store, nothing)
    topics[nothing] = NOTHING_ELSE
    return topics


async def test_each_is_loaded_as_if_it_were_alone(store: CentralStore, clock: ManualClock) -> None:
    """Debt, recalls, periods, and grants beyond the first load are each account's own. A name that two accounts have, too."""
    topics = await unlike_accounts(store, clock)
    async with store.database.read() as connection:
        alone = {each: await open_ledger(connection, each, NOON, topic, lock=False) for each, topic in topics.items()}
        together = await open_ledgers(connection, topics | {AccountId("unknown"): NOTHING_ELSE}, NOON, lock=False)
    assert list(together) == sorted(topics)
    for account_id, found in alone.items():
        assert found is not None
        assert seen(together[account_id]) == seen(found)
    assert together[AccountId("owing")].ledger.debt == 4
    assert together[AccountId("waiting")].ledger.recalls
    assert not together[AccountId("waiting")].ledger.charges, "a charge of this name is another account's"


async def test_each_message_has_its_own_answer(store: CentralStore, clock: ManualClock) -> None:
    """A new one, one that was applied before, one that is too old, and one about an account that does not exist."""
    sidecar = await Peer.registered(store, clock, "s1")
    new, again, old, unknown = (AccountId(name) for name in ("new", "again", "old", "unknown"))
    for account_id in (new, again, old):
        await opened(store, account_id, permanent=9)
    late = sidecar.message(account=old, need=2)
    await sidecar.exchange(account=old, need=3)
    repeated = sidecar.message(account=again, need=4)
    first = await sidecar.send(repeated)
    messages = [sidecar.message(account=unknown), sidecar.message(account=new, need=5), repeated, late]
    replies = await store.exchanges.exchange(messages)
    assert isinstance(replies, tuple)
    assert replies[0] == AccountNotFound(unknown)
    assert isinstance(replies[1], Answer)
    assert replies[1].granted == 5
    assert replies[2] == first
    assert isinstance(replies[3], Outdated)
    assert [await leased(store, each) for each in (new, again, old)] == [5, 4, 3]


async def test_accounts_add_no_statements(store: CentralStore, clock: ManualClock) -> None:
    """An exchange about sixteen accounts takes as many as one about two. SQLite's write a row for each."""
    sidecar = await Peer.registered(store, clock, "s1")
    for account_id in MANY:
        await opened(store, account_id, permanent=9)

    def leasing(accounts: list[AccountId]) -> list[Message]:
        return [sidecar.message(account=each, need=5) for each in accounts]

    few, many = await statements_of(store, leasing(MANY[:2])), await statements_of(store, leasing(MANY[2:18]))
    assert len(few) > 5
    assert [each.partition(" VALUES ")[0] for each in many] == [each.partition(" VALUES ")[0] for each in few]
    assert [await leased(store, each) for each in MANY] == [5] * 18 + [0] * 2


async def leased(store: CentralStore, account_id: AccountId) -> int:
    """What is out on the leases of an account."""
    async with store.database.read() as connection:
        found = await open_ledger(connection, account_id, NOON, lock=False)
    assert found is not None
    return sum(each.out for each in found.ledger.leases.values())


async def statements_of(store: CentralStore, messages: list[Message]) -> list[str]:
    """The statements that an exchange runs."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(store.database.engine.sync_engine, "before_cursor_execute", note)
    try:
        await store.exchanges.exchange(messages)
    finally:
        event.remove(store.database.engine.sync_engine, "before_cursor_execute", note)
    return seen
