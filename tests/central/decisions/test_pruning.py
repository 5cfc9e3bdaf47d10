"""Pruning: what nothing needs any more goes, in small steps, and whatever may still come finds what it needs.

| what comes late | what it finds |
| --- | --- |
| a request again, within 90 days | its first reply |
| a request for a grant again, after that | the grant, which is not given twice |
| a refund again, after that | the refund, which is not made twice |
| a message again, of an epoch that goes on, within 7 days | its answer, as it was |
| a message again after more than 7 days | it is applied once more; what it posts is known by its ids |
| a message of an epoch that is over, or of a twin | it is fenced, whether its answer is kept or not |
| a charge on a lease that was pruned | the same as on a closed lease: it is excess |
| a sidecar after more than 90 days | it is fenced, and posts what it has under a new id |
| a heartbeat or a lease at the moment at which its sidecar is pruned | the sidecar stays |
| a round that breaks off between any two of its transactions | the next one does the rest |
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, insert, select, text, update

from creditmeter.central.decisions import pruning
from creditmeter.central.decisions.pruning import HEARING, ROUND
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify_database
from creditmeter.core.credit.messages import Fenced, RefusedCall, Registered
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import AccountId, RequestId, SidecarId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant
from creditmeter.core.refusals import RequestIdReused
from creditmeter.core.values import replace
from tests.central.accounts import ACME, available, count, done, give, giving, giving_back, lines, opened, posted, refund
from tests.central.peer import Peer
from tests.clocks import ManualClock


@pytest.fixture
async def store(store: CentralStore) -> AsyncIterator[CentralStore]:
    """A store on which rounds are made already."""
    await store.pruning.prune()
    yield store
    assert (await verify_database(store.database)).problems == ()


async def pass_days(store: CentralStore, clock: ManualClock, days: int) -> None:
    """Let days pass in which sidecars make rounds: the first one after the gap only waits for everybody."""
    clock.advance(days * DAY)
    assert await store.pruning.prune() == {}
    clock.advance(HEARING)


async def beat(peer: Peer) -> None:
    """Send a heartbeat."""
    assert await peer.store.registration.beat(peer.sidecar_id, peer.epoch) == 0


async def test_closed_leases_go_a_week_after_their_end(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Open ones stay, however old: credit may be out on them."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    await here.exchange(here.charge("a", 3))
    clock.advance(DAY)
    await here.exchange(need=4, leases=())  # the lease of the first day is closed
    await pass_days(store, clock, 6)
    assert await store.pruning.prune() == {}
    await pass_days(store, clock, 1)
    assert (await store.pruning.prune())["leases"] == 1
    assert await count(store, "leases") == 1
    await pass_days(store, clock, 60)
    await beat(here)
    assert "leases" not in await store.pruning.prune()
    assert await count(store, "leases") == 1


async def test_a_clock_that_is_ahead_prunes_nothing(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """It goes by what the time surely is, as the sidecar says."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    clock.advance(DAY)
    await here.exchange(need=4, leases=())
    surely = clock.wall()
    await pass_days(store, clock, 400)
    assert await store.pruning.prune(surely) == {}
    clock.advance(MINUTE)
    assert (await store.pruning.prune(clock.wall()))["leases"] == 1


async def test_a_late_charge_on_a_pruned_lease_is_excess(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """As it is on a lease that is closed."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    first, second = here.charge("a", 3), here.charge("b", 3)
    clock.advance(DAY)
    await here.exchange(leases=())
    answered = (await here.exchange(first)).postings[first.charge_id]
    await pass_days(store, clock, 20)
    await beat(here)
    assert (await store.pruning.prune())["leases"] == 1
    late = (await here.exchange(second)).postings[second.charge_id]
    assert (late.covered, late.draws) == (answered.covered, answered.draws)
    assert (await posted(store, second.charge_id)).parts == (await posted(store, first.charge_id)).parts == ()


async def test_a_damaged_lease_stays_to_be_found(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """`verify` goes on telling of it."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    clock.advance(DAY)
    await here.exchange(leases=())
    async with store.database.write() as connection:
        await connection.execute(update(tables.leases).values(limit_microcredits=5))
    await pass_days(store, clock, 30)
    await store.pruning.prune()
    assert len((await verify_database(store.database)).problems) == 1
    async with store.database.write() as connection:
        await connection.execute(update(tables.leases).values(limit_microcredits=tables.leases.c.posted_microcredits))


async def test_a_request_is_repeated_within_90_days(store: CentralStore, clock: ManualClock) -> None:
    """Then its reply goes, and yet nothing is given or refunded twice; another request of its id is still noticed."""
    await opened(store)
    given = await give(store, "gift", 7)
    here = await Peer.registered(store, clock, "s1")
    charge = here.charge("c", 0, excess=4)
    await here.exchange(charge)
    made = await refund(store, charge.charge_id, 2)
    await pass_days(store, clock, 89)
    await store.pruning.prune()
    assert await give(store, "gift", 7) == given
    assert await refund(store, charge.charge_id, 2) == made
    await pass_days(store, clock, 2)
    assert (await store.pruning.prune())["requests"] == 3
    before = await lines(store)
    again = await store.administration.grant_credits(giving("gift", 7))
    assert again == Done(done(again), replayed=True)
    assert (done(again).grant_id, done(again).amount) == (given.grant_id, 7)
    assert await store.administration.grant_credits(giving("gift", 8)) == RequestIdReused("amount")
    assert await store.refunds.refund(*giving_back(charge.charge_id, 2)) == Done(made, replayed=True)
    assert await lines(store) == before


async def test_an_answer_is_given_again_for_a_week(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """After that the message is applied once more, and what it posts is posted once."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    message = here.message(here.charge("a", 3), here.charge("over", 0, excess=2), need=2)
    answer = await here.send(message)
    await pass_days(store, clock, 6)
    await store.pruning.prune()
    assert await here.send(message) == answer
    await pass_days(store, clock, 2)
    assert (await store.pruning.prune())["exchanges"] == 1
    before = await available(store), await lines(store)
    await here.send(message)
    assert (await available(store), await lines(store)) == before


async def test_an_answer_of_an_epoch_that_is_over_goes_at_once(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its messages are fenced, before as well as after."""
    await opened(store, permanent=20)
    message = here.message(need=8)
    await here.send(message)
    clock.advance(HEARING)
    assert await store.pruning.prune() == {}
    assert await store.registration.register(here.sidecar_id, here.epoch, "restart") == Registered(2, (ACME,))
    assert await store.exchanges.exchange([message]) == Fenced(here.sidecar_id)
    clock.advance(ROUND)
    assert await store.pruning.prune() == {"exchanges": 1}
    assert await store.exchanges.exchange([message]) == Fenced(here.sidecar_id)


async def test_an_answer_of_an_older_program_stays_while_its_epoch_lasts(
    store: CentralStore, here: Peer, clock: ManualClock
) -> None:
    """It does not say when it answered."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    async with store.database.write() as connection:
        await connection.execute(update(tables.exchanges).values(answered_at=0))
    await pass_days(store, clock, 30)
    await beat(here)
    assert "exchanges" not in await store.pruning.prune()
    assert await count(store, "exchanges") == 1


async def test_a_sidecar_that_is_gone_is_forgotten_after_90_days(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """With its answers. One that is heard of stays, and so does one that has something leased. If the other comes back, it is
    fenced, and what it still has is posted under a new id, once.
    """
    await opened(store, permanent=20)
    leasing = await Peer.registered(store, clock, "s3")
    for each in (here, leasing):
        await each.exchange(need=4)
    await here.exchange(here.charge("a", 3))
    left = here.charge("b", 1)
    clock.advance(DAY)
    await here.exchange(leases=())
    await pass_days(store, clock, 91)
    await beat(elsewhere)
    assert (await store.pruning.prune())["sidecars"] == 1
    assert await count(store, "exchanges") == 0
    listed = {each.sidecar_id for each in await store.listing.sidecars(9)}
    assert listed == {elsewhere.sidecar_id, leasing.sidecar_id}
    assert await store.registration.register(here.sidecar_id, here.epoch, "back") == Fenced(here.sidecar_id)
    assert await store.exchanges.exchange([here.message(left)]) == Fenced(here.sidecar_id)
    heir = await Peer.registered(store, clock, "heir")
    for _ in range(2):
        assert (await heir.exchange(left)).postings[left.charge_id].covered == 1
    assert [each for each in await lines(store) if each[0] == "CHARGED"] == [("CHARGED", -3, 17), ("CHARGED", -1, 16)]


async def test_refused_calls_and_recalls_of_idle_accounts_go(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """An account that is used drops its own; these are of accounts that nobody uses any more."""
    await opened(store, permanent=5)
    call = RefusedCall(RequestId("r"), clock.wall(), "text", giving("x", 9).amount)
    await here.send(replace(here.message(), refused=(call,)))
    columns = {"amount_microcredits": 1, "smallest_microcredits": 1, "asked_at": 0, "awaited": "[]", "is_ripe": False}
    recall = {"account_id": ACME, "sidecar_id": "s9", "purpose": "LEASE", "number": 1, "deadline": clock.wall()} | columns
    async with store.database.write() as connection:
        await connection.execute(insert(tables.recalls), [recall])
    await pass_days(store, clock, 2)
    assert await store.pruning.prune() == {"recalls": 1}
    await pass_days(store, clock, 30)
    assert (await store.pruning.prune())["refused_calls"] == 1


# Rounds.


async def test_a_clock_that_jumps_forgets_nobody(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Whoever lives is heard before anything is pruned, also when the clock goes back again."""
    await pass_days(store, clock, 400)
    await beat(here)
    assert await store.pruning.prune() == {}
    clock.step_wall(-400 * DAY)
    assert await store.pruning.prune() == {}, "a round that is due in a year is due now"
    clock.advance(HEARING)
    await beat(here)
    assert await store.pruning.prune() == {}
    clock.advance(ROUND - 1)
    async with store.database.read() as connection:
        (due_at,) = (await connection.execute(select(tables.chores.c.due_at))).scalars()
    assert due_at == clock.wall() + 1


async def put_requests(store: CentralStore, number: int) -> None:
    """Old requests, by the clock of the beginning of time."""
    row = {"account_id": ACME, "rpc": "r", "request": "", "reply": "", "created_at": 1}
    async with store.database.write() as connection:
        await connection.execute(insert(tables.requests), [row | {"request_id": f"r{each}"} for each in range(number)])


async def test_a_round_is_bounded_and_the_next_follows_soon(
    store: CentralStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of each table in a transaction of its own."""
    monkeypatch.setattr(pruning, "MOST_AT_ONCE", 500)
    await put_requests(store, 1_100)
    found = []
    clock.advance(HEARING)
    for _ in range(4):
        found.append(await store.pruning.prune())
        clock.advance(5 * SECOND)
    assert found == [{"requests": 500}, {"requests": 500}, {"requests": 100}, {}]


async def test_all_answers_are_looked_at_in_turn(
    store: CentralStore, here: Peer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page a round, and then from the first one again. No answer is passed over because others were deleted."""
    monkeypatch.setattr(pruning, "MOST_LOOKED_AT", 3)
    for number in range(8):
        await opened(store, AccountId(f"a{number}"), permanent=5)
        await here.exchange(account=AccountId(f"a{number}"))
    clock.advance(7 * DAY)
    await here.exchange(account=AccountId("a1"))
    await pass_days(store, clock, 0)
    counts = []
    for _ in range(4):
        counts.append((await store.pruning.prune()).get("exchanges"))
        clock.advance(5 * SECOND)
    assert counts == [2, 3, 2, None]
    assert await count(store, "exchanges") == 1


async def test_sidecars_share_the_work(store: CentralStore, clock: ManualClock) -> None:
    """However many find a round due at once, one does it."""
    await put_requests(store, 30)
    clock.advance(HEARING)
    rounds = await asyncio.gather(*(store.pruning.prune() for _ in range(5)))
    assert sorted(rounds, key=len) == [{}, {}, {}, {}, {"requests": 30}]


@pytest.mark.parametrize("after", range(10))
async def test_a_round_that_breaks_off_is_done_by_the_next(
    store: CentralStore, here: Peer, clock: ManualClock, after: int
) -> None:
    """After any of its transactions: nothing is half done, and nothing is left for ever."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    clock.advance(DAY)
    await here.exchange(leases=())
    await put_requests(store, 3)
    await pass_days(store, clock, 100)
    begun = 0

    def fail(_connection: object) -> None:
        nonlocal begun
        begun += 1
        if begun > after:
            raise OSError("killed")

    engine = store.database.engine.sync_engine
    event.listen(engine, "begin", fail)
    try:
        await store.pruning.prune()
        assert begun <= after, "a round that broke off says so"
    except (CentralUnavailable, OSError):
        assert begun > after
    event.remove(engine, "begin", fail)
    for _ in range(3):
        clock.advance(ROUND)
        await store.pruning.prune()
    counts = [await count(store, name) for name in ("leases", "requests", "sidecars", "exchanges")]
    assert counts == [0, 0, 0, 0]


async def test_a_sidecar_that_is_heard_of_just_then_stays(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its heartbeat or its lease may come between the look and the deletion."""
    await opened(store, permanent=20)
    await pass_days(store, clock, 100)
    beats = [beat(here) for _ in range(3)]
    await asyncio.gather(store.pruning.prune(), *beats, return_exceptions=True)
    known = await count(store, "sidecars")
    assert (await store.registration.beat(here.sidecar_id, here.epoch) == 0) == (known == 1)
    clock.advance(HOUR)
    if known:
        await here.exchange(need=4)
        async with store.database.write() as connection:
            await connection.execute(text("UPDATE sidecars SET last_seen_at = 0, registered_at = 0"))
        await store.pruning.prune()
        clock.advance(HEARING)
        await store.pruning.prune()
        assert await count(store, "sidecars") == 1


async def test_all_adds_up_beside_settlements(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """Before, while and after rounds are made, with messages of two sidecars at the same moments; nobody waits for ever."""
    await opened(store, permanent=500)
    charged = 0
    for number in range(8):
        for each in (here, elsewhere):
            await each.exchange(need=9, leases=())
        async with asyncio.TaskGroup() as group:
            for each in (here, elsewhere):
                group.create_task(store.pruning.prune())
                group.create_task(each.exchange(each.charge(f"c{number}", 4)))
            verified = group.create_task(verify_database(store.database))
            group.create_task(store.pruning.prune())
        assert verified.result().problems == ()
        charged += 8
        clock.advance(4 * DAY)
        assert await store.pruning.prune() == {}
        clock.advance(HEARING)
        for each in (here, elsewhere):
            await beat(each)
    assert 500 - sum(each[1] for each in await lines(store) if each[0] == "CHARGED") == 500 + charged
    for each in (here, elsewhere):
        await each.exchange(leases=())
    assert await available(store) == 500 - charged
    assert await count(store, "leases") < 16


async def test_a_store_without_sidecars_has_nothing_to_prune(store: CentralStore, clock: ManualClock) -> None:
    """And a round that is not due is one read."""
    statements: list[str] = []
    event.listen(
        store.database.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_more: statements.append(statement.split(" ", 1)[0]),
    )
    assert await store.pruning.prune() == {}
    assert statements.count("SELECT") == 1
    assert not {"UPDATE", "DELETE", "INSERT"} & set(statements)
    clock.advance(Instant(HEARING))
    assert await store.pruning.prune() == {}
    assert SidecarId("s1") not in [each.sidecar_id for each in await store.listing.sidecars(5)]
