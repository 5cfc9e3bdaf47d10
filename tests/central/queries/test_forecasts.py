"""Forecasts from what is stored: charges, lapses, grants used up, and calls that were refused."""

import pytest

from creditmeter.central.decisions import refused_calls
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.messages import RefusedCall
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import DAY, HOUR
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.reports.findings import Reason
from creditmeter.core.reports.forecasting import BucketForecast, Forecast
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from tests.central.accounts import ACME, count, lines, opened, put_plan
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


async def forecast(store: CentralStore) -> Forecast:
    """The forecast of the test's account."""
    found = await store.forecasts.forecast(ACME)
    assert isinstance(found, Forecast)
    return found


async def bucket(store: CentralStore, kind: GrantKind) -> BucketForecast:
    """That of one of its buckets."""
    return next(each for each in (await forecast(store)).buckets if each.kind is kind)


async def spend(here: Peer, name: str, amount: int, usage: Usage | None = None) -> None:
    """Lease and charge so much now."""
    await here.exchange(need=amount)
    await here.exchange(here.charge(name, amount, usage=usage))


async def refuse(here: Peer, *refused: tuple[str, int], clock: ManualClock) -> None:
    """Tell of calls that are refused now."""
    calls = tuple(RefusedCall(RequestId(name), clock.wall(), "text", Microcredits(amount)) for name, amount in refused)
    await here.send(replace(here.message(), refused=calls))


async def test_an_account_that_nobody_opened(store: CentralStore) -> None:
    """It has no forecast."""
    assert await store.forecasts.forecast(AccountId("nobody")) == AccountNotFound(AccountId("nobody"))


async def test_an_account_without_a_past(store: CentralStore) -> None:
    """Its whole credit lasts, and the smallest plan there is would have been enough. What it is owed is written first."""
    await opened(store, daily=5)
    found = await forecast(store)
    assert (found.start, found.end, found.refused_count, found.runs_out_at, found.findings) == (NOON, NOON, 0, None, ())
    assert [each.spent_per_day for each in found.buckets] == [0, 0, 0]
    assert [each.remaining for each in found.buckets] == [5, 0, 0]
    assert found.smallest_plan is not None
    assert await lines(store) == [("GRANTED", 5, 5)]


async def test_what_was_drawn_and_what_lapsed(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """Five days of an account that was used on two of them: the days that nobody touched lapsed, too."""
    await opened(store, daily=10, permanent=100)
    await spend(here, "a", 12)
    clock.advance(2 * DAY)
    await spend(here, "b", 4)
    clock.advance(3 * DAY)
    await here.exchange()  # its leases of ended days are closed
    daily, _, permanent = (await forecast(store)).buckets
    assert (daily.remaining, daily.spent_per_day, daily.lapsed, daily.exhausted_days) == (10, 14 // 5, 36, 1)
    assert (permanent.remaining, permanent.spent_per_day, permanent.lapsed, permanent.exhausted_days) == (98, 0, 0, 0)
    assert permanent.lasts == 30 * DAY


async def test_only_the_last_30_days_are_looked_at(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """To the microsecond."""
    await opened(store, permanent=100)
    await spend(here, "a", 30)
    clock.advance(30 * DAY)
    assert (await bucket(store, GrantKind.PERMANENT)).spent_per_day == 1
    clock.advance(1)
    assert (await bucket(store, GrantKind.PERMANENT)).spent_per_day == 0


async def test_pages_of_charges_are_added_up(
    store: CentralStore, clock: ManualClock, here: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where many charges have one moment."""
    monkeypatch.setattr("creditmeter.central.queries.forecasts.PAGE", 2)
    await opened(store, permanent=100)
    await here.exchange(need=70)
    await here.exchange(*(here.charge(f"c{number}", 10) for number in range(7)))
    clock.advance(DAY)
    assert (await bucket(store, GrantKind.PERMANENT)).spent_per_day == 70


async def test_a_bucket_that_was_used_up_stays_so_to_its_end(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """The monthly credit, used up on the first of three days; it runs out early."""
    await opened(store, monthly=10)
    await spend(here, "a", 10)
    clock.advance(2 * DAY)
    found = await bucket(store, GrantKind.MONTHLY)
    assert (found.exhausted_days, found.lasts, found.runs_out_at) == (3, 0, clock.wall())
    assert [each.reason for each in (await forecast(store)).findings] == [Reason.MONTHLY_RUNS_OUT_EARLY]


async def test_refused_calls_count_in_the_replay(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """The smallest plan pays for what was charged and for what was refused."""
    await opened(store, daily=10)
    await put_plan(store, "more", 15)
    await put_plan(store, "much", 0, 1_000)
    await spend(here, "a", 10)
    plan = (await forecast(store)).smallest_plan
    assert plan is not None
    assert plan.daily == 10
    await refuse(here, ("r1", 3), ("r2", 2), clock=clock)
    found = await forecast(store)
    assert found.refused_count == 2
    assert found.smallest_plan is not None
    assert found.smallest_plan.plan_id == "more"
    await refuse(here, ("r3", 1_000), clock=clock)
    assert (await forecast(store)).smallest_plan is None


async def test_a_call_refused_again_or_charged_after_all(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """It counts once, as it was last; and not at all once it was charged."""
    await opened(store, permanent=10)
    await refuse(here, ("r1", 3), clock=clock)
    clock.advance(HOUR)
    await refuse(here, ("r1", 5), ("r2", 5), clock=clock)
    assert (await count(store, "refused_calls"), (await forecast(store)).refused_count) == (2, 2)
    await here.exchange(need=5)
    await here.exchange(here.charge("c", 5, request="r1"))
    assert (await forecast(store)).refused_count == 1


async def test_a_repeated_message_tells_nothing_twice(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """Nor does an older one that comes late."""
    await opened(store, permanent=10)
    refused = (RefusedCall(RequestId("r"), clock.wall(), "", Microcredits(1)),)
    message = replace(here.message(), refused=refused)
    first = await here.send(message)
    assert await here.send(message) == first
    assert await count(store, "refused_calls") == 1


async def test_refused_calls_are_bounded(
    store: CentralStore, clock: ManualClock, here: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those older than 31 days go, and the oldest where there are too many."""
    await opened(store, permanent=10)
    await refuse(here, ("old", 1), clock=clock)
    clock.advance(31 * DAY)
    await refuse(here, ("new", 1), clock=clock)
    assert await count(store, "refused_calls") == 1
    monkeypatch.setattr(refused_calls, "MOST_KEPT", 2)
    for name in ("a", "b", "c"):
        clock.advance(1)
        await refuse(here, (name, 1), clock=clock)
    assert await count(store, "refused_calls") == 2


async def test_habits(store: CentralStore, here: Peer) -> None:
    """Images and searches by their share of the cost, text by the input of a call."""
    await opened(store, permanent=100)
    await spend(here, "a", 30, Usage(action="text", input_tokens=30_000))
    await spend(here, "b", 40, Usage(action="image"))
    await spend(here, "c", 30, Usage(action="tool", tool="web_search"))
    found = [(each.reason, each.observed) for each in (await forecast(store)).findings]
    assert found == [(Reason.LONG_SESSIONS, 30_000), (Reason.IMAGE_HEAVY, 40), (Reason.SEARCH_HEAVY, 30)]


async def test_parallel_workflows(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """By the reservations of charges: eight are open at once, each of which was committed in two steps."""
    await opened(store, permanent=100)
    await here.exchange(need=16)
    first = [here.charge(f"a{number}", 1, commit=(f"r{number}", 1)) for number in range(8)]
    clock.advance(HOUR)
    second = [replace(here.charge(f"b{number}", 1, commit=(f"r{number}", 2)), authorized_at=NOON) for number in range(8)]
    await here.exchange(*first, *second)
    assert [(each.reason, each.observed) for each in (await forecast(store)).findings] == [(Reason.PARALLEL_WORKFLOWS, 8)]
