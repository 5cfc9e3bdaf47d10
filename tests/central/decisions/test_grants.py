"""Grants that are given and taken back: where they begin and end, and what is left to take."""

import pytest

from creditmeter.central.decisions.grant_loading import FIRST_GRANTS
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify
from creditmeter.core.amounts import MAX_AMOUNT, MAX_BALANCE, ZERO, Microcredits
from creditmeter.core.credit.administration import AccountUpdate, GrantCredits, Voided, VoidGrant
from creditmeter.core.credit.calendar import LAST_MOMENT, Calendar, day_of
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.credit.messages import LeaseReport
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import AccountId, GrantId, RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant
from creditmeter.core.refusals import (
    AccountNotFound,
    GrantEnded,
    GrantNotFound,
    GrantVoided,
    InvalidRequest,
    RequestIdReused,
)
from creditmeter.core.reports.forecasting import Forecast
from tests.cases import more
from tests.central.accounts import (
    ACME,
    assign,
    available,
    balance_summary,
    count,
    done,
    give,
    giving,
    lines,
    opened,
    posted,
    put_plan,
    refund,
    remaining,
    update,
    void,
)
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

MIDNIGHT = Instant(NOON + 12 * HOUR)


async def test_a_permanent_grant_has_no_end(store: CentralStore) -> None:
    """By default; it begins at once."""
    await opened(store)
    grant = await give(store, "gift", 5)
    assert (grant.kind, grant.effective_at, grant.expires_at) == (GrantKind.PERMANENT, NOON, None)
    assert (grant.amount, grant.remaining, grant.created_at) == (5, 5, NOON)
    assert (await balance_summary(store)).grants == (grant,)


@pytest.mark.parametrize(("kind", "days"), [(GrantKind.DAILY, 0), (GrantKind.MONTHLY, 29)])
async def test_daily_and_monthly_grants_end_with_their_period(store: CentralStore, kind: GrantKind, days: int) -> None:
    """The running day, and the running month of the account, which began on its anchor day."""
    await opened(store)
    assert (await give(store, "gift", 5, kind)).expires_at == MIDNIGHT + days * DAY


async def test_an_end_within_a_day_is_moved_to_its_midnight(store: CentralStore) -> None:
    """The account's own midnight; an end on a midnight stays."""
    await opened(store, time_zone="Asia/Tokyo")
    tokyo = Instant(NOON + 3 * HOUR)
    within = await give(store, "within", 5, expires_at=Instant(tokyo + DAY + 1))
    on = await give(store, "on", 5, expires_at=Instant(tokyo + DAY))
    assert (within.expires_at, on.expires_at) == (tokyo + 2 * DAY, tokyo + DAY)


async def test_a_beginning_in_the_past_is_now(store: CentralStore) -> None:
    """Nobody is given credit for calls that were made without it."""
    await opened(store)
    assert (await give(store, "gift", 5, effective_at=Instant(NOON - HOUR))).effective_at == NOON


async def test_a_grant_that_begins_later_cannot_be_used_yet(store: CentralStore, clock: ManualClock) -> None:
    """It is part of the balance, and usable from its first instant on."""
    await opened(store)
    grant = await give(store, "gift", 5, GrantKind.DAILY, effective_at=Instant(MIDNIGHT + HOUR))
    assert grant.expires_at == MIDNIGHT + DAY
    assert (await available(store), await lines(store)) == (0, [("GRANTED", 5, 5)])
    clock.advance(13 * HOUR - 1)
    assert await available(store) == 0
    clock.advance(1)
    assert await available(store) == 5


async def test_an_account_is_given_no_more_than_it_may_have(store: CentralStore) -> None:
    """Up to the limit, on each engine. What is refused has no effect, and its id may be used again once there is room."""
    await opened(store)
    first = await give(store, "most", MAX_BALANCE - 1)
    await give(store, "last", 1)
    refused = await store.administration.grant_credits(giving("more", 1))
    assert isinstance(refused, InvalidRequest)
    assert [name for name, _ in refused.violations] == ["amount_microcredits"]
    assert await available(store) == MAX_BALANCE
    await void(store, first.grant_id)
    await give(store, "more", 1)
    assert await available(store) == 2


async def test_a_plan_gives_what_it_owes_however_much_there_is(store: CentralStore) -> None:
    """An account that has all that it may have is not refused the credit of its periods."""
    await opened(store)
    await give(store, "most", MAX_BALANCE)
    await put_plan(store, "large", daily=MAX_AMOUNT, monthly=MAX_AMOUNT)
    await assign(store, "large")
    assert await available(store) == MAX_BALANCE + 2 * MAX_AMOUNT


@pytest.mark.parametrize("ends", [NOON - DAY, MIDNIGHT])
async def test_a_grant_ends_after_it_begins(store: CentralStore, ends: int) -> None:
    """Else it is refused, and burns no id."""
    await opened(store)
    refused = await store.administration.grant_credits(
        giving("gift", 5, effective_at=Instant(MIDNIGHT + HOUR), expires_at=Instant(ends))
    )
    assert refused == InvalidRequest((("expires_at", "the grant would end before it begins"),))
    assert (await give(store, "gift", 5)).amount == 5


async def test_giving_twice_gives_once(store: CentralStore, clock: ManualClock) -> None:
    """The first reply comes again; another amount under the same id is refused with the field's name."""
    await opened(store)
    grant = await give(store, "gift", 5)
    clock.advance(DAY)
    assert await store.administration.grant_credits(giving("gift", 5)) == Done(grant, replayed=True)
    assert await store.administration.grant_credits(giving("gift", 6)) == RequestIdReused("amount")
    assert await available(store) == 5


async def test_a_grant_says_where_it_comes_from(store: CentralStore) -> None:
    """Its source and its note are kept, and history shows the note."""
    await opened(store)
    asked = GrantCredits(
        RequestId("gift"), ACME, GrantKind.PERMANENT, Microcredits(5), source=GrantSource.REFERRAL, note="from Ann"
    )
    grant = done(await store.administration.grant_credits(asked))
    assert (grant.source, grant.note) == (GrantSource.REFERRAL, "from Ann")
    assert (await balance_summary(store)).grants == (grant,)


async def test_an_unknown_account_is_given_nothing(store: CentralStore) -> None:
    """Nor is anything taken from it."""
    assert await store.administration.grant_credits(giving("gift", 5)) == AccountNotFound(ACME)
    voiding = VoidGrant(RequestId("void"), ACME, GrantId("gift"))
    assert await store.administration.void_grant(voiding) == AccountNotFound(ACME)
    assert await count(store, "requests") == 0


# Taking back.


async def test_voiding_takes_back_what_is_left(store: CentralStore, here: Peer) -> None:
    """What was spent stays charged."""
    await opened(store)
    grant = await give(store, "gift", 10)
    await here.exchange(need=4)
    await here.exchange(here.charge("c", 4))
    voided = await void(store, grant.grant_id)
    assert (voided.amount, voided.grant.remaining, voided.grant.voided) == (6, 0, 6)
    assert (await lines(store))[-1] == ("VOIDED", -6, 0)


async def test_what_is_out_on_a_lease_cannot_be_voided(store: CentralStore, here: Peer) -> None:
    """A sidecar may have promised it already; it can be charged afterwards, to the last microcredit."""
    await opened(store)
    grant = await give(store, "gift", 10)
    await here.exchange(need=7)
    assert (await void(store, grant.grant_id)).amount == 3
    answer = await here.exchange(here.charge("c", 7))
    assert [each.covered for each in answer.postings.values()] == [7]


async def test_voiding_leaves_room_for_what_other_grants_back(store: CentralStore, here: Peer) -> None:
    """A lease is an amount, not a part of a certain grant."""
    await opened(store, permanent=5)
    grant = await give(store, "gift", 10)
    await here.exchange(need=7)
    assert (await void(store, grant.grant_id)).amount == 8


async def test_a_grant_that_has_not_begun_is_voided_whole(store: CentralStore, here: Peer) -> None:
    """Nothing can be out on it."""
    await opened(store, permanent=5)
    later = await give(store, "later", 10, effective_at=Instant(NOON + DAY))
    await here.exchange(need=5)
    assert (await void(store, later.grant_id)).amount == 10


async def test_voiding_twice_voids_once(store: CentralStore, here: Peer) -> None:
    """The first reply comes again; another request is refused as nothing is left to do, now and when all has returned."""
    await opened(store)
    grant = await give(store, "gift", 10)
    await here.exchange(need=7)
    first = await void(store, grant.grant_id)
    assert (first.grant.remaining, first.grant.voided_at) == (7, NOON)
    again = VoidGrant(RequestId("again"), ACME, grant.grant_id)
    assert await store.administration.void_grant(again) == GrantVoided(grant.grant_id)
    await here.holds(0)
    voiding = VoidGrant(RequestId("void"), ACME, grant.grant_id)
    assert await store.administration.void_grant(voiding) == Done(first, replayed=True)
    assert await store.administration.void_grant(again) == GrantVoided(grant.grant_id)
    assert await lines(store) == [("GRANTED", 10, 10), ("VOIDED", -3, 7), ("VOIDED", -7, 0)]
    reused = VoidGrant(RequestId("void"), ACME, GrantId("another"))
    assert await store.administration.void_grant(reused) == RequestIdReused("grant_id")


async def test_what_was_out_is_taken_back_when_it_returns(
    store: CentralStore, here: Peer, clock: ManualClock, central_url: str
) -> None:
    """Its sidecar is asked for it. A hold commits against it, whatever else was given; verification agrees at every step."""
    await opened(store)
    grant = await give(store, "gift", 10)
    await here.exchange(need=7)
    held = here.charge("held", 3)
    clock.advance(MINUTE)
    await void(store, grant.grant_id)
    assert (await here.exchange(leases=here.reports(held=4, idle=False))).balance.available == 0
    assert (await lines(store))[-1] == ("VOIDED", -3, 4)
    bought = await give(store, "bought", 20)
    clock.advance(MINUTE)
    await here.exchange(held, leases=here.reports(idle=True))
    stored = (await posted(store, held.charge_id)).posting
    assert stored is not None
    assert [(each.grant_id, each.amount) for each in stored.draws] == [(grant.grant_id, 3)]
    assert [(each.grant_id, each.remaining) for each in (await balance_summary(store)).grants] == [
        (grant.grant_id, 1),
        (bought.grant_id, 20),
    ]
    assert (await verify(central_url)).problems == ()
    await here.holds(0)
    assert (await lines(store))[-1] == ("VOIDED", -1, 20)
    assert (await balance_summary(store)).grants == (bought,)
    await refund(store, held.charge_id)
    assert (await lines(store))[-2:] == [("REFUNDED", 3, 23), ("VOIDED", -3, 20)]
    assert (await verify(central_url)).problems == ()


async def test_credit_bought_after_a_void_is_leased_apart(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock, central_url: str
) -> None:
    """So what was out when the grant was voided is taken back as it returns, and of twelve no more than six can be spent."""
    await opened(store)
    grant = await give(store, "gift", 6)
    first = (await here.exchange(need=6)).leases[0]
    clock.advance(MINUTE)
    assert (await void(store, grant.grant_id)).amount == 0
    await give(store, "bought", 6)
    await here.exchange(need=6)
    old, new = here.leases[ACME]
    assert (old.lease_id, old.limit, new.limit) == (first.lease_id, 6, 6)
    clock.advance(MINUTE)
    await here.exchange(
        leases=[LeaseReport(old.lease_id, ZERO, ZERO, ZERO), LeaseReport(new.lease_id, new.limit, new.limit, ZERO)]
    )
    assert (await lines(store))[-1] == ("VOIDED", -6, 6)
    assert (await elsewhere.exchange(need=6)).granted == 0
    assert (await verify(central_url)).problems == ()


async def test_what_will_be_taken_back_is_not_available(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """Although it is idle, and other credit was bought: that is held elsewhere."""
    await opened(store)
    grant = await give(store, "gift", 10)
    await here.exchange(need=10)
    clock.advance(MINUTE)
    await void(store, grant.grant_id)
    await give(store, "bought", 5)
    await elsewhere.exchange(need=5)
    refused = await elsewhere.exchange(leases=elsewhere.reports(held=5), need=5)
    assert (refused.granted, refused.elsewhere, refused.balance.available) == (0, 0, 0)
    assert (await balance_summary(store)).available == 0


async def test_credit_that_is_given_later_frees_what_other_credit_stood_in_for(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """It is taken back with the decision that freed it, so history, grants and balance agree."""
    await opened(store)
    grant = await give(store, "gift", 10)
    await here.exchange(need=7)
    clock.advance(MINUTE)
    await void(store, grant.grant_id)
    clock.advance(MINUTE)
    await give(store, "bought", 20)
    await elsewhere.exchange(need=20)
    await here.exchange(here.charge("late", 5))
    await here.holds(0)
    assert (await lines(store))[-1] == ("VOIDED", -2, 20)
    await give(store, "more", 10)
    assert (await lines(store))[-2:] == [("GRANTED", 10, 30), ("VOIDED", -5, 25)]
    assert sum(each.remaining for each in (await balance_summary(store)).buckets) == 25
    listed = await store.reader.list_grants(ACME, 50)
    assert isinstance(listed, list)
    assert sum(each.remaining for each in listed) == 25


async def test_a_voided_grant_is_found_behind_many_others(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """However many are drawn on before it."""
    await opened(store)
    for number in range(2 * FIRST_GRANTS):
        await give(store, f"g{number:02}", 1)
        clock.advance(MINUTE)
    last = await give(store, "last", 9)
    await here.exchange(need=2 * FIRST_GRANTS + 9)
    assert (await void(store, last.grant_id)).amount == 0
    await here.holds(0)
    assert (await lines(store))[-1] == ("VOIDED", -9, 2 * FIRST_GRANTS)
    assert await available(store) == 2 * FIRST_GRANTS


async def test_a_grant_that_is_over_cannot_be_voided(store: CentralStore, clock: ManualClock) -> None:
    """Neither can one that never was."""
    await opened(store)
    grant = await give(store, "gift", 10, GrantKind.DAILY)
    clock.advance(12 * HOUR)
    voiding = VoidGrant(RequestId("void"), ACME, grant.grant_id)
    assert await store.administration.void_grant(voiding) == GrantEnded(grant.grant_id)
    voiding = VoidGrant(RequestId("void"), ACME, GrantId("another"))
    assert await store.administration.void_grant(voiding) == GrantNotFound("another")


async def test_a_used_up_grant_has_nothing_to_void(store: CentralStore, here: Peer) -> None:
    """It is found although nothing is left of it."""
    await opened(store)
    grant = await give(store, "gift", 4)
    await here.exchange(need=4)
    await here.exchange(here.charge("c", 4))
    voided = await void(store, grant.grant_id)
    assert isinstance(voided, Voided)
    assert (voided.amount, voided.grant.drawn) == (0, 4)


async def test_a_plans_grant_can_be_voided_and_does_not_come_again(store: CentralStore, clock: ManualClock) -> None:
    """What was given for the day was given, and the next day gives anew."""
    await opened(store, daily=5)
    await give(store, "touch", 1)
    daily = next(each for each in (await balance_summary(store)).grants if each.kind is GrantKind.DAILY)
    assert isinstance(daily, Grant)
    clock.advance(MINUTE)
    assert (await void(store, daily.grant_id)).amount == 5
    assert await remaining(store) == (0, 0, 1)
    clock.advance(DAY)
    assert await remaining(store) == (5, 0, 1)


@pytest.mark.parametrize("zone", ["UTC", *more("Pacific/Kiritimati", "Etc/GMT+12", "America/Los_Angeles")])
@pytest.mark.parametrize("before_the_last", [0, 12 * HOUR, DAY, *more(3 * DAY)])
@pytest.mark.parametrize("kind", [GrantKind.MONTHLY, GrantKind.PERMANENT])
async def test_an_end_at_the_end_of_time(store: CentralStore, zone: str, before_the_last: int, kind: GrantKind) -> None:
    """As "never" is often written: it is the last midnight at the latest, also after the account moved; and all can be read."""
    await opened(store, daily=5, time_zone="UTC")
    wanted = Instant(LAST_MOMENT - before_the_last)
    assert_is_midnight(await give(store, "never", 5, kind, expires_at=wanted), "UTC", wanted)
    await update(store, "move", AccountUpdate(time_zone=zone, anchor_day=31))
    assert_is_midnight(await give(store, "again", 5, kind, expires_at=wanted), zone, wanted)
    listed = await store.reader.list_grants(ACME, 10)
    assert isinstance(listed, list)
    for each in listed:
        if not each.period_key:
            assert_is_midnight(each, zone, wanted)
    assert sum(await remaining(store)) == 15
    assert isinstance(await store.forecasts.forecast(ACME), Forecast)


def assert_is_midnight(grant: Grant, zone: str, wanted: Instant) -> None:
    """It ends where a day of the zone begins, no more than a day and the width of the world's zones from where it was to."""
    assert grant.expires_at is not None
    assert day_of(Calendar(zone), grant.expires_at).starts_at == grant.expires_at
    assert abs(grant.expires_at - wanted) < 3 * DAY


@pytest.mark.parametrize("kind", GrantKind)
@pytest.mark.parametrize("moment", [0, 1, NOON])
async def test_an_end_at_the_beginning_of_time_is_refused(store: CentralStore, kind: GrantKind, moment: int) -> None:
    """In zones east and west of it: the grant would end before it begins. So would one that begins when time is over."""
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        account_id = AccountId(f"in-{zone.replace('/', '-')}")
        await opened(store, account_id, time_zone=zone)
        too_early = giving("early", 5, kind, account_id=account_id, expires_at=Instant(moment - moment % DAY))
        at_last = giving("last", 5, kind, account_id=account_id, effective_at=LAST_MOMENT, expires_at=LAST_MOMENT)
        for each in (too_early, at_last):
            assert isinstance(await store.administration.grant_credits(each), InvalidRequest)
