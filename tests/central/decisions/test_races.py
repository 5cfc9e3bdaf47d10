"""Several callers at once, through several connections: what must happen once happens once."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.core.credit.administration import CreateAccount
from creditmeter.core.credit.messages import Answer
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import AccountId, PlanId, RequestId
from creditmeter.core.instants import DAY
from creditmeter.core.refusals import AccountExists
from tests.central.accounts import account, available, balance_summary, create, giving, lines, opened, put_plan, refund
from tests.central.peer import Peer
from tests.clocks import ManualClock

pytestmark = pytest.mark.both_engines


@pytest.fixture
async def stores(central_url: str, store: CentralStore, clock: ManualClock) -> AsyncIterator[list[CentralStore]]:
    """Five programs on one database."""
    async with contextlib.AsyncExitStack() as stack:
        yield [store, *[await stack.enter_async_context(CentralStore(central_url, clock.wall)) for _ in range(4)]]


@pytest.fixture
async def sidecars(stores: list[CentralStore], clock: ManualClock) -> list[Peer]:
    """A sidecar on each."""
    return [await Peer.registered(each, clock, f"s{number}") for number, each in enumerate(stores)]


async def test_five_first_touches_of_a_day_give_one_grant(
    store: CentralStore, sidecars: list[Peer], clock: ManualClock
) -> None:
    """Of the day and of the month."""
    await opened(store, daily=5, monthly=7)
    await asyncio.gather(*(each.exchange() for each in sidecars))
    assert await lines(store) == [("GRANTED", 5, 5), ("GRANTED", 7, 12)]
    clock.advance(DAY)
    await asyncio.gather(*(each.exchange() for each in sidecars))
    assert Counter(line[0] for line in await lines(store)) == {"GRANTED": 3, "LAPSED": 1}


async def test_five_first_touches_of_an_unknown_account_open_it_once(
    store: CentralStore, central_url: str, clock: ManualClock
) -> None:
    """And all are answered."""
    await put_plan(store, "free", 5)
    async with contextlib.AsyncExitStack() as stack:
        sidecars = []
        for number in range(5):
            opening = await stack.enter_async_context(CentralStore(central_url, clock.wall, PlanId("free")))
            sidecars.append(await Peer.registered(opening, clock, f"s{number}"))
        answers = await asyncio.gather(*(each.exchange(need=1) for each in sidecars))
    assert [each.granted for each in answers] == [1] * 5
    assert await lines(store) == [("GRANTED", 5, 5)]


@pytest.mark.parametrize("same", [True, False])
async def test_five_creations_of_one_account_make_one(stores: list[CentralStore], same: bool) -> None:
    """Copies of one request all get its reply; of different requests one is served, and the others are refused."""
    for number in range(5):
        wanted = account(AccountId(f"account{number}"))
        outcomes = await asyncio.gather(
            *(
                each.administration.create_account(CreateAccount(RequestId("same" if same else f"r{caller}"), wanted))
                for caller, each in enumerate(stores)
            )
        )
        served = [each for each in outcomes if isinstance(each, Done)]
        assert [each.replayed for each in served].count(False) == 1
        assert len(served) == (5 if same else 1)
        assert all(each.reply == served[0].reply for each in served)
        assert all(each == AccountExists(wanted.account_id) for each in outcomes if not isinstance(each, Done))


async def test_five_copies_of_one_request_give_one_grant(store: CentralStore, stores: list[CentralStore]) -> None:
    """All get the same reply."""
    await opened(store)
    outcomes = await asyncio.gather(*(each.administration.grant_credits(giving("gift", 5)) for each in stores))
    assert sorted(each.replayed for each in outcomes if isinstance(each, Done)) == [False, True, True, True, True]
    assert await lines(store) == [("GRANTED", 5, 5)]


async def test_no_more_is_leased_than_there_is(store: CentralStore, sidecars: list[Peer]) -> None:
    """However many ask at once, and each gets what it needs while there is enough."""
    await opened(store, permanent=17)
    for _ in range(2):
        answers = await asyncio.gather(*(each.exchange(need=2) for each in sidecars))
        assert all(each.granted in (0, 2) for each in answers)
    assert (await balance_summary(store)).leased == 16


async def test_one_request_through_five_sidecars_is_charged_once(store: CentralStore, sidecars: list[Peer]) -> None:
    """All at once; the others are duplicates of the one that came first."""
    await opened(store, permanent=50)
    await asyncio.gather(*(each.exchange(need=7) for each in sidecars))
    charges = [each.charge("c", 3 + number, request="job") for number, each in enumerate(sidecars)]
    answers = await asyncio.gather(*(each.exchange(charge) for each, charge in zip(sidecars, charges, strict=True)))
    postings = [posting for each in answers for posting in each.postings.values()]
    assert len({posting.duplicate_of for posting in postings if posting.duplicate_of}) == 1
    assert sum(posting.covered > 0 for posting in postings) == 1


async def test_five_copies_of_one_refund_give_back_once(
    store: CentralStore, stores: list[CentralStore], sidecars: list[Peer]
) -> None:
    """All get the same reply."""
    await opened(store, permanent=10)
    await sidecars[0].exchange(need=10)
    charge = sidecars[0].charge("c", 10)
    await sidecars[0].exchange(charge)
    made = await asyncio.gather(*(refund(each, charge.charge_id, 4) for each in stores))
    assert made == [made[0]] * 5
    assert await available(store) == 4


async def test_sidecars_that_use_several_accounts_at_once_do_not_block_each_other(
    store: CentralStore, sidecars: list[Peer]
) -> None:
    """Accounts are locked in one order, whatever order the messages name them in."""
    chance = random.Random(1)  # noqa: S311 - a test's variety
    names = [AccountId(f"account{number}") for number in range(6)]
    for name in names:
        await opened(store, name, permanent=1_000)
    for turn in range(5):
        await asyncio.gather(*(_settle_all(each, chance.sample(names, len(names)), str(turn)) for each in sidecars))
    for name in names:
        assert (await balance_summary(store, name)).available == 1_000 - 5 * 5


async def _settle_all(sidecar: Peer, names: list[AccountId], turn: str) -> None:
    messages = [
        sidecar.message(
            sidecar.charge(turn, 0, excess=1, account=name),
            account=name,
        )
        for name in names
    ]
    replies = await sidecar.store.exchanges.exchange(messages)
    assert isinstance(replies, tuple)
    assert all(isinstance(each, Answer) for each in replies)


@pytest.mark.long
async def test_a_long_run_of_everything_adds_up(store: CentralStore, sidecars: list[Peer], clock: ManualClock) -> None:
    """Needs, charges, refunds and give-backs of five sidecars over three days, all at once; then all is returned."""
    chance = random.Random(2)  # noqa: S311 - a test's variety
    await create(store, account(plan=(await put_plan(store, "pro", 40, 300)).plan_id, overdraft=10))
    for day in range(3):
        for turn in range(6):
            await asyncio.gather(*(_some_turn(each, chance, f"{day}.{turn}") for each in sidecars))
        clock.advance(DAY)
    await asyncio.gather(*(each.exchange(leases=()) for each in sidecars))
    seen = await balance_summary(store)
    assert (seen.leased, seen.held) == (0, 0)


async def _some_turn(sidecar: Peer, chance: random.Random, turn: str) -> None:
    """Ask for credit, spend some of it on the newest lease, and perhaps refund or give back."""
    answer = await sidecar.exchange(need=chance.randrange(1, 20))
    out = answer.leases[-1].limit - answer.leases[-1].posted if answer.leases else 0
    spent = chance.randint(0, out)
    charge = sidecar.charge(turn, spent, excess=chance.choice((0, 0, 3)) + (not spent))
    refunds = [sidecar.refund(charge.charge_id, charge.cost // 2 + 1, name=turn)] if chance.random() < 0.5 else []
    await sidecar.exchange(charge, refunds=refunds)
    if chance.random() < 0.5:
        await sidecar.exchange(leases=sidecar.reports(idle=False))
