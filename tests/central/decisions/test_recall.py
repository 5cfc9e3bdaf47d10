"""Recalls, lost sidecars and the server's clock, as they are stored on each engine; and how sidecars are notified."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select, text

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.messages import REPEAT_GRACE, Answer, Fenced, Message, Need
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.settlement.answering import RECLAIM_GRACE, SKEW_MARGIN
from creditmeter.core.settlement.recalling import recall_everything
from creditmeter.core.values import replace
from tests.central.accounts import ACME, available, balance_summary, count, create, give, lines, opened, remaining, update
from tests.central.accounts import account as wanted
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock
from tests.fixtures import store_on

PATIENCE = Span(MINUTE)
SILENCE = Span(10 * MINUTE + SKEW_MARGIN + HOUR + RECLAIM_GRACE)
A, B, C, D = (AccountId(name) for name in "abcd")
SOON = 10.0
"""Seconds within which a busy machine delivers a notification."""


def need(amount: int, patience: Span = PATIENCE) -> Need:
    """Credit that is waited for."""
    return Need(Microcredits(amount), Microcredits(amount), Microcredits(amount), patience)


async def recalls(store: CentralStore, account_id: AccountId = ACME) -> list[tuple[Any, ...]]:
    """The recalls of an account: who waits, for what, how much, until when, for whose word, and whether it may ask again."""
    table = tables.recalls
    query = select(table).where(table.c.account_id == account_id).order_by(table.c.number)
    async with store.database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    names = ("sidecar_id", "purpose", "amount_microcredits", "deadline", "awaited", "is_ripe")
    return [tuple(row[name] for name in names) for row in rows]


# What is stored.


async def test_a_need_that_waits_is_a_row(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """It names whose word is missing; with that word it turns ready, and it is gone once it is met."""
    await opened(store, permanent=10)
    await elsewhere.exchange(need=10)
    answer = await here.exchange(need=need(4))
    assert (answer.granted, answer.short, answer.is_pending) == (0, 4, True)
    row = "s1", "LEASE", 4, NOON + PATIENCE
    assert await recalls(store) == [(*row, '["s2"]', False)]
    clock.advance(SECOND)
    await elsewhere.holds(6)
    assert await recalls(store) == [(*row, "[]", True)]
    assert (await here.exchange(need=need(4))).granted == 4
    assert await recalls(store) == []


async def test_a_message_that_comes_again_changes_no_recall(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """It gets its answer again, that more may come, also when more has come or somebody else has it."""
    await opened(store, permanent=10)
    await elsewhere.exchange(need=10)
    message = here.message(need=need(4))
    first = await here.send(message)
    asked = await recalls(store)
    assert await here.send(message) == first
    assert await recalls(store) == asked
    await elsewhere.holds(0)
    ready = await recalls(store)
    assert await here.send(message) == first
    assert await recalls(store) == ready
    assert [row[-1] for row in ready] == [True]
    assert (await balance_summary(store)).leased == 0
    assert (await elsewhere.exchange(need=replace(need(10), smallest=Microcredits(1)))).granted == 6, "the rest is promised"


async def test_recalls_of_each_purpose_stand_side_by_side(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """Excess comes before a need; a change of the account waits for both sidecars."""
    await opened(store, permanent=10)
    await elsewhere.exchange(need=9)
    await here.exchange(need=1)
    charge = here.charge("c", 1, excess=5)
    assert not (await here.exchange(charge, need=need(4))).postings
    await update(store, "suspend", AccountUpdate(state=AccountState.SUSPENDED))
    await update(store, "resume", AccountUpdate(state=AccountState.ACTIVE))
    stored = await recalls(store)
    assert [(row[0], row[1], row[2], row[4]) for row in stored] == [
        ("s1", "EXCESS", 5, '["s2"]'),
        ("s1", "LEASE", 4, '["s2"]'),
        ("", "STATE", 0, '["s1","s2"]'),
    ]
    await elsewhere.holds(2)
    assert [(row[1], row[4], row[5]) for row in await recalls(store)] == [
        ("EXCESS", "[]", True),
        ("LEASE", "[]", False),
        ("STATE", '["s1"]', False),
    ]
    answer = await here.exchange(charge, need=replace(need(4), since=NOON))
    assert (answer.postings[charge.charge_id].covered, answer.granted, answer.is_pending) == (6, 0, False)
    assert await recalls(store) == []
    assert await remaining(store) == (0, 0, 4)


# Notifications.


@pytest.fixture(params=["sqlite", "postgresql", "postgresql without NOTIFY"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bool]:
    """The address of a store on each engine, and whether there is NOTIFY: some have PostgreSQL's protocol, and are polled."""
    name = str(request.param)
    return store_on(name.partition(" ")[0], request, tmp_path), "without" not in name


@pytest.fixture
async def notifying(engine: tuple[str, bool], clock: ManualClock) -> AsyncIterator[CentralStore]:
    """A store on each engine."""
    url, notifies = engine
    async with CentralStore(url, clock.wall, notifies=notifies) as store:
        yield store


class Listener:
    """The notifications that a sidecar receives."""

    def __init__(self, notifications: AsyncGenerator[AccountId, None]) -> None:
        self._notifications = notifications
        self.received: list[AccountId] = []

    async def waits_for(self, account_id: AccountId) -> None:
        """Wait until it is notified about an account."""
        async with asyncio.timeout(SOON):
            while True:
                self.received.append(await anext(self._notifications))
                if self.received[-1] == account_id:
                    return


@asynccontextmanager
async def listening(store: CentralStore, sidecar: Peer) -> AsyncIterator[Listener]:
    """A sidecar that listens."""
    notifications = store.notifications.listen(sidecar.sidecar_id)
    async with aclosing(cast("AsyncGenerator[AccountId, None]", notifications)) as generator:
        yield Listener(generator)


async def test_sidecars_that_should_send_a_message_are_notified(notifying: CentralStore, clock: ManualClock) -> None:
    """The one that has credit out, and then the one that waits for it; also of what came up before they listened."""
    holder, asker, other = [await Peer.registered(notifying, clock, name) for name in ("s11", "s1", "s111")]
    for name in (A, B, C):
        await opened(notifying, name, permanent=10)
    await holder.exchange(account=A, need=10)
    await holder.exchange(account=B, need=10)
    await other.exchange(account=C, need=10)
    await asker.exchange(account=A, need=need(4))
    async with listening(notifying, holder) as holders, listening(notifying, asker) as askers:
        await holders.waits_for(A)
        await holder.exchange(account=A, leases=())
        await askers.waits_for(A)
        await asker.exchange(account=A, need=need(4))
        await asker.exchange(account=B, need=need(11))
        await asker.exchange(account=B, need=need(4))
        await holders.waits_for(B)
        await holder.exchange(account=B, leases=())
        await askers.waits_for(B)
        assert set(holders.received) == {A, B}
        await asker.exchange(account=C, need=need(4))
        await other.exchange(account=C, leases=())
        await askers.waits_for(C)


async def test_what_an_operator_does_notifies(notifying: CentralStore, clock: ManualClock) -> None:
    """A grant notifies the sidecar that waits for credit. A suspension notifies all that may authorise, until each has sent a
    message.
    """
    holder, asker = [await Peer.registered(notifying, clock, name) for name in ("s1", "s2")]
    await opened(notifying, permanent=10)
    await holder.exchange(need=10)
    await asker.exchange(need=need(4))
    async with listening(notifying, asker) as askers, listening(notifying, holder) as holders:
        await holders.waits_for(ACME)
        await give(notifying, "more", 4)
        await askers.waits_for(ACME)
    assert (await asker.exchange(need=need(4))).granted == 4
    await update(notifying, "suspend", AccountUpdate(state=AccountState.SUSPENDED))
    for each in (holder, asker):
        async with listening(notifying, each) as listener:
            await listener.waits_for(ACME)
        assert (await each.holds(0)).account.state is AccountState.SUSPENDED
    assert await count(notifying, "recalls") == 0


async def test_what_concerns_no_sidecar_does_not_notify(notifying: CentralStore, clock: ManualClock) -> None:
    """What is long past its deadline, what its sidecar answered, and what a transaction recalled that was rolled back."""
    sidecar, asker = [await Peer.registered(notifying, clock, name) for name in ("s1", "s2")]
    for name in (A, B, C, D):
        await opened(notifying, name, permanent=10)
        await sidecar.exchange(account=name, need=10)
    await asker.exchange(account=A, need=need(1, Span(SECOND)))
    await asker.exchange(account=B, need=need(1))
    clock.advance(SECOND + REPEAT_GRACE)
    await asker.exchange(account=B, need=need(1))
    await sidecar.exchange(account=B, leases=())
    await asker.exchange(account=C, need=need(1))
    async with listening(notifying, sidecar) as listener:
        await listener.waits_for(C)
        assert listener.received == [C]
        with pytest.raises(ZeroDivisionError):
            await _change_in_vain(notifying, B)
        await asker.exchange(account=D, need=need(1))
        await listener.waits_for(D)
        assert set(listener.received) == {C, D}


async def _change_in_vain(store: CentralStore, account_id: AccountId) -> None:
    async with store.database.write() as connection:
        found = await open_ledger(connection, account_id, NOON)
        assert found is not None
        recall_everything(found.ledger)
        assert "s1" in found.ledger.changes.notified
        await found.save(connection)
        raise ZeroDivisionError


async def test_a_lost_connection_is_noticed(postgres_url: str, clock: ManualClock) -> None:
    """A listener gets the fault at once, and finds what was recalled meanwhile when it listens again."""
    async with CentralStore(postgres_url, clock.wall) as store:
        await store.migrate()
        sidecar, asker = [await Peer.registered(store, clock, name) for name in ("s1", "s2")]
        for name in (A, B):
            await opened(store, name, permanent=10)
            await sidecar.exchange(account=name, need=10)
        await asker.exchange(account=A, need=need(1))
        async with listening(store, sidecar) as listener:
            await listener.waits_for(A)
            await sidecar.exchange(account=A, leases=())
            async with store.database.write() as connection:
                listeners = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                ended = await connection.execute(text(f"SELECT pg_terminate_backend(pid) {listeners}"))
                assert ended.scalars().all() == [True]
            with pytest.raises(CentralUnavailable, match="lost"):
                await listener.waits_for(B)
        await asker.exchange(account=B, need=need(1))
        async with listening(store, sidecar) as listener:
            await listener.waits_for(B)
            assert listener.received == [B]


async def test_a_server_that_is_not_there_cannot_be_listened_to(tmp_path: object) -> None:
    """Each kind of notifications raises at once."""
    for notifies in (True, False):
        async with CentralStore(f"postgresql://nobody@/none?host={tmp_path}", None, notifies=notifies) as store:
            with pytest.raises(CentralUnavailable):
                await anext(aiter(store.notifications.listen(SidecarId("s1"))))


# Sidecars that are there, and sidecars that are lost.


async def test_a_heartbeat_is_received(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """Also without any message; unless another process was registered later."""
    clock.advance(MINUTE)
    assert await store.registration.beat(here.sidecar_id, here.epoch) == 0
    for sidecar_id, epoch in ((here.sidecar_id, 0), (here.sidecar_id, 2), (SidecarId("s9"), 1)):
        assert await store.registration.beat(sidecar_id, epoch) == Fenced(sidecar_id)
    await store.registration.register(elsewhere.sidecar_id, 1, "next")
    clock.advance(MINUTE)
    assert await store.registration.beat(elsewhere.sidecar_id, 1) == Fenced(elsewhere.sidecar_id)
    sidecars = tables.sidecars
    async with store.database.read() as connection:
        query = select(sidecars.c.sidecar_id, sidecars.c.last_seen_at - NOON).order_by(sidecars.c.sidecar_id)
        seen = [tuple(row) for row in await connection.execute(query)]
    assert seen == [("s1", MINUTE), ("s2", MINUTE)]


async def reclaimed(store: CentralStore, limit: int) -> int:
    """Give up what is lost on so many accounts; says on how many there was anything."""
    accounts = await store.exchanges.reclaimable(None, limit)
    for account_id in accounts:
        await store.exchanges.reclaim(account_id)
    return len(accounts)


async def test_lost_leases_are_reclaimed(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """Those that are due and no others, on so many accounts at once; debt is repaid, and the sidecar that waits is notified."""
    await elsewhere.beat()
    for name in (A, B, C):
        await opened(store, name, permanent=10, overdraft=5 if name == A else 0)
        await here.exchange(account=name, need=10)
    await here.exchange(account=A, leases=here.reports(A, held=10))
    owing = elsewhere.charge("c", 0, excess=4, account=A)
    posting = (await elsewhere.exchange(owing, account=A)).postings.get(owing.charge_id)
    assert posting is None
    await elsewhere.counts(SECOND)
    await here.exchange(account=C, leases=here.reports(C, held=10))
    await elsewhere.counts(SILENCE - SECOND - 1)
    assert await reclaimed(store, 10) == 0
    await elsewhere.exchange(account=B, need=need(3))
    assert (await elsewhere.exchange(owing, account=A)).postings[owing.charge_id].debt == 4
    await elsewhere.counts(1)
    assert await store.exchanges.reclaimable(AccountId(A), 10) == [B]
    assert [await reclaimed(store, 1) for _ in range(3)] == [1, 1, 0]
    assert (await balance_summary(store, A)).debt == 0
    assert [await available(store, name) for name in (A, B, C)] == [6, 10, 0]
    assert [(row[0], row[5]) for row in await recalls(store, B)] == [("s2", True)]
    await elsewhere.counts(SECOND)
    assert [await reclaimed(store, 10) for _ in range(2)] == [1, 0]
    late = here.charge("late", 10, account=B)
    assert (await elsewhere.exchange(account=B, need=need(3))).granted == 3
    await elsewhere.exchange(account=B, leases=elsewhere.reports(B, unposted=3))
    assert (await here.exchange(late, account=B)).postings[late.charge_id].uncovered == 3


# The clock.


async def test_the_servers_clock_is_the_one_that_counts(postgres_url: str) -> None:
    """Whoever asks, and also for an account that was decided about by a clock that was ahead."""
    async with CentralStore(postgres_url, None) as store, CentralStore(postgres_url, _tomorrow) as ahead:
        await store.migrate()
        before = _now()
        for name in (A, B):
            await create(store, wanted(name))
            await give(store, "first", 10, account_id=name)
        registered = await store.registration.register(SidecarId("s1"), 0, "nonce")
        assert not isinstance(registered, Fenced)
        first = await _told(store, A, 1)
        assert before <= first.leases[0].opened_at <= _now()
        later = await _told(store, A, 2)
        assert later.balance.as_of > first.balance.as_of
        await give(ahead, "more", 10, account_id=A)
        for name, seq in ((A, 3), (B, 1)):
            assert later.balance.as_of < (await _told(store, name, seq)).balance.as_of <= _now()
        assert [line[0] for line in await lines(store, A)] == ["GRANTED", "GRANTED"]


def _now() -> Instant:
    """The server of the tests runs on this machine, so its clock is this one."""
    return Instant(time.time_ns() // 1_000)


def _tomorrow() -> Instant:
    return Instant(_now() + DAY)


async def _told(store: CentralStore, account_id: AccountId, seq: int) -> Answer:
    replies = await store.exchanges.exchange([Message(SidecarId("s1"), 1, account_id, seq, need=need(1))])
    assert isinstance(replies, tuple)
    (reply,) = replies
    assert isinstance(reply, Answer)
    return reply
