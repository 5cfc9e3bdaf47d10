"""Accounts at the central store: opened and changed once per request, whatever is repeated."""

import asyncio

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, AccountCursor, AccountState, Alert
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, UpdateAccount
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import AccountId, PlanId, RequestId
from creditmeter.core.instants import HOUR, Instant
from creditmeter.core.refusals import (
    AccountClosed,
    AccountExists,
    AccountNotFound,
    PlanNotFound,
    Refusal,
    RequestIdReused,
)
from creditmeter.core.values import replace
from tests.central.accounts import (
    ACME,
    account,
    assign,
    count,
    create,
    done,
    lines,
    opened,
    put_plan,
    remaining,
    suspend,
    update,
)
from tests.clocks import NOON, ManualClock


async def creating(store: CentralStore, wanted: Account, request_id: str = "create") -> Done[Account] | Refusal:
    """Ask for an account."""
    return await store.administration.create_account(CreateAccount(RequestId(request_id), wanted))


async def updating(store: CentralStore, wanted: AccountUpdate, request_id: str = "update") -> Done[Account] | Refusal:
    """Ask for a change of the account."""
    return await store.administration.update_account(UpdateAccount(RequestId(request_id), ACME, wanted))


async def test_an_account_is_as_it_was_asked_for(store: CentralStore) -> None:
    """Its beginning is the store's to say, and its months begin on the day of its creation by default."""
    await put_plan(store, "pro", 5)
    wanted = replace(
        account(plan="pro", time_zone="Africa/Cairo", overdraft=7),
        state=AccountState.SUSPENDED,
        max_open_reservations=3,
        max_reservation=Microcredits(11),
        offline_allowance=Microcredits(13),
        alerts=(Alert(Microcredits(5)), Alert(percent=20)),
    )
    made = await create(store, wanted)
    assert made == replace(wanted, created_at=NOON, anchor_day=24)
    assert await store.administration.get_account(ACME) == made


async def test_the_day_of_creation_is_the_accounts_own(store: CentralStore, clock: ManualClock) -> None:
    """At eleven in the evening in UTC it is tomorrow in Tokyo."""
    clock.advance(11 * HOUR)
    assert (await create(store, account(time_zone="Asia/Tokyo"))).anchor_day == 25
    assert (await create(store, account(AccountId("other")))).anchor_day == 24


async def test_creating_twice_creates_once(store: CentralStore, clock: ManualClock) -> None:
    """The second time the first reply is given again, although time has passed and the account has changed."""
    first = await create(store, account(overdraft=1))
    await update(store, "update", AccountUpdate(overdraft_limit=Microcredits(2)))
    clock.advance(HOUR)
    assert await creating(store, account(overdraft=1)) == Done(first, replayed=True)
    assert await count(store, "accounts") == 1


async def test_an_id_is_not_used_for_another_account(store: CentralStore) -> None:
    """The field that differs is named."""
    await create(store, account(overdraft=1))
    assert await creating(store, account(overdraft=2)) == RequestIdReused("account.overdraft_limit")
    assert await updating(store, AccountUpdate(), "create") == RequestIdReused("rpc")


async def test_an_account_exists_once(store: CentralStore) -> None:
    """Another request for the same id is refused and changes nothing; it may come again under its own id."""
    first = await create(store, account(overdraft=1))
    assert await creating(store, account(overdraft=2), "another") == AccountExists(ACME)
    assert await store.administration.get_account(ACME) == first


async def test_request_ids_belong_to_their_account(store: CentralStore) -> None:
    """Two accounts may be opened by requests of one id."""
    await create(store, account())
    assert (await create(store, account(AccountId("other")))).account_id == "other"


async def test_an_account_needs_a_plan_that_is_there(store: CentralStore) -> None:
    """Refused, it burns no id."""
    assert await creating(store, account(plan="pro")) == PlanNotFound("pro")
    assert await store.administration.get_account(ACME) == AccountNotFound(ACME)
    await put_plan(store, "pro", 5)
    assert (await create(store, account(plan="pro"))).plan_id == "pro"
    assert await updating(store, AccountUpdate(plan_id=PlanId("max"))) == PlanNotFound("max")


@pytest.mark.parametrize(
    "wanted",
    [
        AccountUpdate(state=AccountState.CLOSED),
        AccountUpdate(overdraft_limit=Microcredits(9)),
        AccountUpdate(overdraft_limit=Microcredits(0)),
        AccountUpdate(max_open_reservations=9),
        AccountUpdate(max_reservation=Microcredits(9)),
        AccountUpdate(offline_allowance=Microcredits(9)),
        AccountUpdate(alerts=(Alert(percent=9),)),
        AccountUpdate(alerts=()),
    ],
)
async def test_an_update_changes_what_it_names(store: CentralStore, wanted: AccountUpdate) -> None:
    """And nothing else; naught and none are values too."""
    before = await create(store, replace(account(overdraft=1), alerts=(Alert(percent=5),)))
    named = {name: value for name in AccountUpdate.__struct_fields__ if (value := getattr(wanted, name)) is not None}
    expected = replace(before, **named)
    assert await update(store, "update", wanted) == expected
    assert await store.administration.get_account(ACME) == expected


async def test_updating_twice_updates_once(store: CentralStore) -> None:
    """A late copy of a request does not undo what came after it."""
    await create(store, account())
    suspended = await update(store, "one", AccountUpdate(state=AccountState.SUSPENDED))
    await update(store, "two", AccountUpdate(state=AccountState.ACTIVE))
    assert await updating(store, AccountUpdate(state=AccountState.SUSPENDED), "one") == Done(suspended, replayed=True)
    current = await store.administration.get_account(ACME)
    assert isinstance(current, Account)
    assert current.state is AccountState.ACTIVE
    assert await updating(store, AccountUpdate(state=AccountState.CLOSED), "one") == RequestIdReused("update.state")


async def test_an_unknown_account_is_not_found(store: CentralStore) -> None:
    """Neither read nor changed."""
    assert await store.administration.get_account(ACME) == AccountNotFound(ACME)
    assert await updating(store, AccountUpdate(state=AccountState.CLOSED)) == AccountNotFound(ACME)


@pytest.mark.parametrize("wanted", [AccountUpdate(time_zone="UTC"), AccountUpdate(time_zone=""), AccountUpdate(anchor_day=24)])
async def test_naming_the_calendar_that_is_there_changes_nothing(store: CentralStore, wanted: AccountUpdate) -> None:
    """A client that sends back what it read is not refused."""
    before = await create(store, account())
    assert await update(store, "update", wanted) == before


# Plans of accounts.


async def test_an_upgrade_grants_the_difference_at_once(store: CentralStore, clock: ManualClock) -> None:
    """Of the running day and month: what the new plan says less what was given already."""
    await opened(store, daily=3, monthly=10)
    assert await remaining(store) == (3, 10, 0)
    await put_plan(store, "pro", 5, 30)
    clock.advance(HOUR)
    await assign(store, "pro")
    assert await remaining(store) == (5, 30, 0)
    assert await lines(store) == [
        ("GRANTED", 3, 3),
        ("GRANTED", 10, 13),
        ("PLAN_CHANGED", 0, 13),
        ("GRANTED", 2, 15),
        ("GRANTED", 20, 35),
    ]


async def test_a_downgrade_takes_nothing_back(store: CentralStore, clock: ManualClock) -> None:
    """What was given stays; the next day gives less."""
    await opened(store, daily=5, monthly=10)
    await put_plan(store, "free", 1)
    await assign(store, "free")
    assert await remaining(store) == (5, 10, 0)
    clock.advance(24 * HOUR)
    assert await remaining(store) == (1, 10, 0)


async def test_switching_to_and_fro_mints_nothing(store: CentralStore, clock: ManualClock) -> None:
    """Whichever way round, and however often within a day."""
    await opened(store, daily=3, monthly=10)
    await put_plan(store, "pro", 5, 30)
    for number in range(4):
        await assign(store, "pro" if number % 2 == 0 else f"plan of {ACME}", f"switch {number}")
        clock.advance(HOUR)
    assert await remaining(store) == (5, 30, 0)


async def test_an_account_can_lose_its_plan(store: CentralStore, clock: ManualClock) -> None:
    """An empty plan id takes it away; from the next period on nothing comes by itself."""
    await opened(store, daily=3)
    assert (await update(store, "none", AccountUpdate(plan_id=PlanId("")))).plan_id is None
    assert await remaining(store) == (3, 0, 0)
    clock.advance(24 * HOUR)
    assert await remaining(store) == (0, 0, 0)


# Listing.


async def test_accounts_are_listed_newest_first_and_page_by_page(store: CentralStore, clock: ManualClock) -> None:
    """No account is shown twice or left out, also among those of one instant, and while new ones are opened."""
    for number in range(5):
        await create(store, account(AccountId(f"account{number}")))
        if number % 2:
            clock.advance(1)
    found: list[str] = []
    after = None
    while page := await store.administration.list_accounts(2, after):
        found += [each.account_id for each in page]
        after = AccountCursor(page[-1].created_at, page[-1].account_id)
        clock.advance(1)
        await create(store, account(AccountId(f"later{len(found)}")))
    assert found == ["account4", "account3", "account2", "account1", "account0"]


async def test_reading_an_account_does_not_move_its_clock(store: CentralStore, clock: ManualClock) -> None:
    """The time of what was decided never goes back, whatever the store's clock does."""
    await opened(store, daily=3)
    clock.advance(HOUR)
    await update(store, "later", AccountUpdate(max_open_reservations=1))
    clock.step_wall(-2 * HOUR)
    granted = done(await updating(store, AccountUpdate(max_open_reservations=2)))
    assert granted.max_open_reservations == 2
    assert await remaining(store) == (3, 0, 0)
    assert granted.created_at == NOON > Instant(clock.wall())


@pytest.mark.parametrize("state", [AccountState.ACTIVE, AccountState.SUSPENDED])
async def test_a_closed_account_stays_closed(store: CentralStore, state: AccountState) -> None:
    """No update opens it again, whatever else is in it; what else is agreed may change, and it may be closed once more."""
    await opened(store, permanent=5)
    await update(store, "close", AccountUpdate(state=AccountState.CLOSED))
    wanted = UpdateAccount(RequestId("open"), ACME, AccountUpdate(state=state, overdraft_limit=Microcredits(7)))
    assert await store.administration.update_account(wanted) == AccountClosed(ACME)
    closed = await store.administration.get_account(ACME)
    assert isinstance(closed, Account)
    assert (closed.state, closed.overdraft_limit) == (AccountState.CLOSED, 0)
    changed = await update(store, "more", AccountUpdate(overdraft_limit=Microcredits(7), alerts=(Alert(Microcredits(1)),)))
    assert (changed.state, changed.overdraft_limit, len(changed.alerts)) == (AccountState.CLOSED, 7, 1)
    assert (await update(store, "again", AccountUpdate(state=AccountState.CLOSED))).state is AccountState.CLOSED
    first = await store.administration.update_account(
        UpdateAccount(RequestId("close"), ACME, AccountUpdate(state=AccountState.CLOSED))
    )
    assert isinstance(first, Done)
    assert first.replayed, "a repeated request is what it was, before any state is looked at"


async def test_a_suspended_account_may_be_active_again(store: CentralStore) -> None:
    """Suspending is for now."""
    await opened(store)
    await suspend(store)
    assert (await update(store, "on", AccountUpdate(state=AccountState.ACTIVE))).state is AccountState.ACTIVE


async def test_of_changes_that_race_with_closing_none_opens_it_again(
    central_url: str, store: CentralStore, clock: ManualClock
) -> None:
    """Whichever comes first: those after it are refused."""
    async with CentralStore(central_url, clock.wall) as other:
        for number in range(5):
            account_id = AccountId(f"account-{number}")
            await opened(store, account_id)
            changes = [
                UpdateAccount(RequestId(f"{each.value}-{turn}"), account_id, AccountUpdate(state=each))
                for turn in range(2)
                for each in (AccountState.SUSPENDED, AccountState.CLOSED, AccountState.ACTIVE)
            ]
            doing = (each.administration.update_account(change) for change in changes for each in (store, other))
            for outcome in await asyncio.gather(*doing):
                assert isinstance(outcome, Done) or outcome == AccountClosed(account_id)
            closed = await store.administration.get_account(account_id)
            assert isinstance(closed, Account)
            assert closed.state is AccountState.CLOSED
