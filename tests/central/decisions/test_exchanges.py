"""A sidecar's message takes effect once, and its answer is the stored one."""

import pytest
from sqlalchemy import event

from creditmeter.central.engine.faults import CentralRowDamaged
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.messages import Answer, Fenced, Message, Need, Outdated, Preview, Registered
from creditmeter.core.ids import AccountId, PlanId, SidecarId
from creditmeter.core.instants import DAY, HOUR
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.values import replace
from tests.central.accounts import ACME, available, balance_summary, count, history, lines, opened, put_plan, remaining, suspend
from tests.central.peer import Peer
from tests.clocks import ManualClock

NIL = Microcredits(0)


# The order of messages.


async def test_a_message_that_comes_again_gets_its_answer_again(store: CentralStore, here: Peer) -> None:
    """To the letter, and nothing happens a second time."""
    await opened(store, permanent=100)
    await here.exchange(need=10)
    message = here.message(here.charge("c", 4), need=20)
    first = await here.send(message)
    before = await lines(store)
    await opened(store, AccountId("other"))
    assert await here.send(message) == first
    assert await lines(store) == before
    assert (await balance_summary(store)).leased == 26


async def test_a_message_that_was_overtaken_has_no_effect(store: CentralStore, here: Peer) -> None:
    """It says which one was applied last."""
    await opened(store, permanent=100)
    late = here.message(need=10)
    await here.exchange(need=20)
    assert await here.send(late) == Outdated(2)
    assert (await balance_summary(store)).leased == 20


async def test_a_message_of_another_run_is_fenced_off(store: CentralStore, here: Peer) -> None:
    """Of an earlier epoch, of one that was never issued, and of a sidecar that never came: whoever is meant, it is not sure."""
    await opened(store, permanent=100)
    message = here.message(need=10)
    for sent in (replace(message, epoch=0), replace(message, epoch=2), replace(message, sidecar_id=SidecarId("s7"))):
        assert await store.exchanges.exchange([sent]) == Fenced(sent.sidecar_id)
    assert isinstance(await store.registration.register(here.sidecar_id, 1, "next"), Registered)
    assert await store.exchanges.exchange([message]) == Fenced(here.sidecar_id)
    assert (await balance_summary(store)).leased == 0


async def test_a_new_epoch_counts_its_messages_anew(store: CentralStore, here: Peer) -> None:
    """Its first message is the first, however many came before."""
    await opened(store, permanent=100)
    for _ in range(3):
        await here.exchange(need=1)
    await store.registration.register(here.sidecar_id, 1, "next")
    answer = await store.exchanges.exchange([Message(here.sidecar_id, 2, ACME, 1)])
    assert isinstance(answer, tuple)
    assert isinstance(answer[0], Answer)
    assert (await balance_summary(store)).leased == 0, "what a new run does not name is not held"


# Credit.


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ("UPDATE accounts SET alerts = '[' WHERE account_id = 'acme'", "UPDATE accounts SET alerts = '[]'"),
        (
            "UPDATE grants SET remaining_microcredits = 99 WHERE account_id = 'acme' AND kind = 'PERMANENT'",
            "UPDATE grants SET remaining_microcredits = 100 WHERE account_id = 'acme' AND kind = 'PERMANENT'",
        ),
        (
            "UPDATE grants SET kind = 'NONSENSE' WHERE account_id = 'acme' AND kind = 'PERMANENT'",
            "UPDATE grants SET kind = 'PERMANENT' WHERE kind = 'NONSENSE'",
        ),
        (
            "UPDATE leases SET posted_microcredits = 99 WHERE account_id = 'acme'",
            "UPDATE leases SET posted_microcredits = 0",
        ),
    ],
)
async def test_an_account_that_cannot_be_read_is_named(store: CentralStore, here: Peer, damage: str, repair: str) -> None:
    """The transaction changes nothing, of the other account neither. Without that one the other goes on."""
    other = AccountId("other")
    await opened(store, permanent=100)
    await opened(store, other, permanent=100)
    await here.exchange(need=10)
    async with store.database.write() as connection:
        assert (await connection.exec_driver_sql(damage)).rowcount == 1
    bad, good = here.message(need=20), here.message(account=other, need=20)
    with pytest.raises(CentralRowDamaged) as refused:
        await store.exchanges.exchange([good, bad])
    assert refused.value.account_id == ACME
    assert (await balance_summary(store, other)).leased == 0
    assert isinstance(await here.send(good), Answer)
    async with store.database.write() as connection:
        await connection.exec_driver_sql(repair)
    assert isinstance(await here.send(bad), Answer)


async def test_what_is_needed_is_leased(store: CentralStore, here: Peer) -> None:
    """The answer says how much, how much is left to give, and the terms."""
    await opened(store, permanent=100)
    answer = await here.exchange(need=30)
    assert (answer.granted, answer.short, answer.free) == (30, 0, 70)
    (terms,) = answer.leases
    assert (terms.limit, terms.posted, terms.ends_at - terms.opened_at) == (30, 0, 12 * HOUR)
    answer = await here.exchange(need=20)
    assert [each.limit for each in answer.leases] == [50], "one lease a day, that grows"


async def test_more_than_there_is_is_not_leased(store: CentralStore, here: Peer) -> None:
    """Less than the most modest need is of no use; what is of use is given, and what lacks is said."""
    await opened(store, permanent=10)
    assert (await here.exchange(need=11)).granted == 0
    modest = Need(Microcredits(15), Microcredits(15), Microcredits(6))
    answer = await here.exchange(need=modest)
    assert (answer.granted, answer.short, answer.free) == (10, 5, 0)


async def test_what_is_wanted_is_half_of_what_is_there(store: CentralStore, here: Peer) -> None:
    """So that one sidecar does not take all."""
    await opened(store, permanent=100)
    wanted = Need(Microcredits(10), Microcredits(1000), Microcredits(10))
    assert (await here.exchange(need=wanted)).granted == 50
    assert (await here.exchange(need=wanted)).granted == 25
    assert (await here.exchange(need=Need(Microcredits(20), Microcredits(30), Microcredits(20)))).granted == 20


async def test_credit_is_leased_once(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """What one has, another does not get; the answer says that it is idle there."""
    await opened(store, permanent=10)
    await here.exchange(need=7)
    answer = await elsewhere.exchange(need=5)
    assert (answer.granted, answer.free, answer.elsewhere) == (0, 3, 7)
    await here.exchange(leases=here.reports(held=6))
    assert (await elsewhere.exchange(need=5)).elsewhere == 1


async def test_what_goes_back_is_there_for_others(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """A limit is lowered to what is held and unposted."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    assert [each.limit for each in (await here.holds(2, unposted=3)).leases] == [5]
    assert (await elsewhere.exchange(need=5)).granted == 5
    assert (await balance_summary(store)).held == 2
    assert (await balance_summary(store)).unposted == 3


async def test_a_lease_that_is_not_named_has_nothing_on_it(store: CentralStore, here: Peer) -> None:
    """Its answer was lost, so nobody knows of it."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    (terms,) = (await here.exchange(leases=())).leases
    assert (terms.limit, await available(store)) == (0, 10)


async def test_a_sidecar_cannot_raise_its_own_limit(store: CentralStore, here: Peer) -> None:
    """Nor lower it below what was posted."""
    await opened(store, permanent=10)
    await here.exchange(need=5)
    await here.exchange(here.charge("c", 3))
    (report,) = here.reports()
    assert [each.limit for each in (await here.exchange(leases=[replace(report, limit=Microcredits(9))])).leases] == [5]
    assert [each.limit for each in (await here.exchange(leases=[replace(report, limit=NIL)])).leases] == [3]


async def test_a_suspended_account_is_leased_nothing(store: CentralStore, here: Peer) -> None:
    """What is out still commits."""
    await opened(store, permanent=10)
    await here.exchange(need=5)
    await suspend(store)
    answer = await here.exchange(here.charge("c", 5), need=2)
    assert (answer.granted, answer.short) == (0, 2)
    assert [each.covered for each in answer.postings.values()] == [5]


# Several accounts.


async def test_many_accounts_are_settled_in_one_transaction(store: CentralStore, here: Peer) -> None:
    """Each reply is to its message, in the order in which they were sent."""
    names = [AccountId(f"account{number}") for number in range(20)]
    for number, name in enumerate(names):
        await opened(store, name, permanent=number + 1)
    messages = [here.message(account=each, need=1) for each in reversed(names)]
    messages.insert(3, here.message(account=AccountId("unknown")))
    replies = await store.exchanges.exchange(messages)
    assert isinstance(replies, tuple)
    assert replies[3] == AccountNotFound("unknown")
    answers = [each for each in replies if isinstance(each, Answer)]
    assert [each.account.account_id for each in answers] == names[::-1]
    assert [each.free for each in answers] == list(range(19, -1, -1))


async def test_the_unknown_account_changes_nothing(store: CentralStore, here: Peer) -> None:
    """Nor does it burn the message's number: the account may be opened yet."""
    message = here.message(need=1)
    assert await here.send(message) == AccountNotFound(ACME)
    assert await count(store, "exchanges") == 0
    await opened(store, permanent=10)
    assert isinstance(await here.send(message), Answer)


async def test_an_account_can_be_opened_by_its_first_touch(central_url: str, store: CentralStore, clock: ManualClock) -> None:
    """If the operator wants that: with the plan he named, its months beginning on that day."""
    await put_plan(store, "free", 3, 10)
    async with CentralStore(central_url, clock.wall, PlanId("free")) as opening:
        sidecar = await Peer.registered(opening, clock, "s1")
        answer = await sidecar.exchange(need=13)
        assert (answer.granted, answer.account.plan_id, answer.account.anchor_day) == (13, "free", 24)
    assert await store.administration.get_account(ACME) == answer.account


# Reading.


async def test_a_preview_is_what_would_be(store: CentralStore, here: Peer) -> None:
    """With what the sidecar has not posted yet, and with the day's grants; and nothing is changed by looking."""
    await opened(store, daily=3, permanent=10)
    await here.exchange(need=8)
    before = {table: await count(store, table) for table in ("charges", "history", "grants", "exchanges", "leases")}
    message = here.message(here.charge("c", 4), leases=here.reports(held=1))
    previewed = await store.exchanges.preview(message, 100)
    assert isinstance(previewed, Preview)
    assert isinstance(previewed.account, Account)
    seen = previewed.balance
    assert (seen.available, seen.held, seen.leased) == (8, 1, 4)
    assert [each.remaining for each in seen.buckets] == [0, 0, 9]
    assert {table: await count(store, table) for table in before} == before
    answer = await here.send(message)
    assert isinstance(answer, Answer)
    assert answer.balance == replace(seen, grants=())


async def test_a_preview_lists_what_can_be_drawn_on(store: CentralStore, clock: ManualClock) -> None:
    """In the order of deduction, no more than was asked for, and none that a preview of an unknown account would invent."""
    await opened(store, daily=3, monthly=4, permanent=5)
    grants = (await balance_summary(store)).grants
    assert [(each.kind, each.remaining) for each in grants] == [
        (GrantKind.DAILY, 3),
        (GrantKind.MONTHLY, 4),
        (GrantKind.PERMANENT, 5),
    ]
    nobody = Message(SidecarId("s1"), 0, ACME, 0)
    limited = await store.exchanges.preview(nobody, 2)
    assert isinstance(limited, Preview)
    assert limited.balance.grants == grants[:2]
    unknown = replace(nobody, account_id=AccountId("unknown"))
    assert await store.exchanges.preview(unknown, 2) == AccountNotFound("unknown")


# The end of a day.


async def test_what_is_left_of_a_day_lapses_once(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its line names the day's end, whenever it is noticed."""
    await opened(store, daily=5)
    await here.exchange(need=2)
    await here.exchange(here.charge("c", 2))
    midnight = here.leases[ACME][-1].ends_at
    clock.advance(DAY)
    for _ in range(3):
        await here.exchange()
    assert await lines(store) == [
        ("GRANTED", 5, 5),
        ("CHARGED", -2, 3),
        ("LAPSED", -3, 0),
        ("GRANTED", 5, 5),
    ]
    lapsed = (await history(store))[-2]
    assert (lapsed.occurred_at, lapsed.posted_at, lapsed.kind) == (midnight, clock.wall(), GrantKind.DAILY)


async def test_yesterdays_hold_is_drawn_on_yesterdays_credit(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """However late it is posted: what is out stays for it, and the new day's credit is not touched."""
    await opened(store, daily=5, permanent=10)
    await here.exchange(need=4)
    charge, lease = here.charge("late", 4), here.lease
    clock.advance(DAY)
    await here.holds(0, unposted=4)
    assert await remaining(store) == (5, 0, 10)
    assert await available(store) == 15
    answer = await here.exchange(need=15)
    assert answer.granted == 15, "yesterday's open hold does not eat today's credit"
    posting = (await here.exchange(charge)).postings[charge.charge_id]
    assert [(each.kind, each.amount) for each in posting.draws] == [(GrantKind.DAILY, 4)]
    assert lease not in [each.lease_id for each in (await here.exchange()).leases], "it is over"
    assert (await lines(store))[2:] == [("LAPSED", -1, 14), ("GRANTED", 5, 19), ("CHARGED", -4, 15)]


async def test_a_lease_of_an_ended_day_is_not_used_for_new_needs(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its end never changes: the new day has a lease of its own."""
    await opened(store, permanent=10)
    await here.exchange(need=4)
    clock.advance(DAY)
    answer = await here.exchange(need=3)
    assert [(each.limit, each.ends_at <= clock.wall()) for each in answer.leases] == [(4, True), (3, False)]


@pytest.mark.parametrize("idle", [False, True])
async def test_of_a_grant_that_ended_all_lapses_that_no_lease_may_draw(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock, idle: bool
) -> None:
    """Before the new day is granted; the rest when it returns, whichever sidecar has it, in use or only not returned."""
    await opened(store, daily=5)
    await elsewhere.exchange(need=2)
    await elsewhere.exchange(leases=elsewhere.reports(held=0 if idle else 2))
    clock.advance(DAY)
    await here.exchange()
    midnight = [("GRANTED", 5, 5), ("LAPSED", -3, 2), ("GRANTED", 5, 7)]
    assert await lines(store) == midnight
    await elsewhere.exchange(leases=())
    assert await lines(store) == [*midnight, ("LAPSED", -2, 5)]


# The rehearsal of an exchange.


async def test_a_rehearsal_leaves_nothing(store: CentralStore, here: Peer) -> None:
    """It may be repeated, and the accounts that are there go on as before."""
    await opened(store, permanent=100)
    await here.exchange(need=10)
    before = {name: await count(store, name) for name in tables.metadata.tables}
    for _ in range(2):
        await store.exchanges.rehearse()
    assert {name: await count(store, name) for name in tables.metadata.tables} == before
    assert (await here.exchange(need=20)).granted == 20


async def test_a_first_exchange_has_no_statement_that_was_not_rehearsed(store: CentralStore, here: Peer) -> None:
    """Nor has a later one that only leases."""
    await opened(store, permanent=100)
    known: set[str] = set()

    @event.listens_for(store.database.engine.sync_engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        known.add(statement)

    await store.exchanges.rehearse()
    rehearsed = set(known)
    assert (await here.exchange(need=10)).granted == 10
    assert (await here.exchange(need=20)).granted == 20
    assert known == rehearsed
