"""Two sidecars and a central store whose clocks are set, with time that passes for all of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from creditmeter.core.prices.rate_cards import LoadedCard
from tests.cases import more
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench, credits
from tests.sidecar.requests import commit, held, reserve


@dataclass
class Fleet:
    """Two sidecars, each on a machine of its own, and the clock of their central store."""

    one: Bench
    two: Bench
    store: ManualClock

    async def passes(self, span: int, every: int = 20 * SECOND) -> None:
        """Let time pass. Whoever is in touch with the store says so."""
        for _ in range(0, span, every):
            for clock in (self.one.clock, self.two.clock, self.store):
                clock.advance(every)
            for each in (self.one, self.two):
                await each.sidecar.beat()
                await each.sidecar.look_after()


@pytest.fixture
async def fleet(tmp_path: Path, card: LoadedCard, central_url: str) -> AsyncIterator[Fleet]:
    """A fleet that has just started."""
    store = ManualClock()
    one = Bench(tmp_path, ManualClock(), card, central_url, store)
    await one.start()
    two = one.beside("two", ManualClock())
    await two.start()
    yield Fleet(one, two, store)
    await two.crash()
    await one.crash()


@pytest.mark.parametrize("step", [75 * MINUTE, *more(DAY, 400 * DAY)])
async def test_a_store_that_is_set_forward_reclaims_no_lease_that_may_be_used(fleet: Fleet, step: int) -> None:
    """Its holder cannot reach the store for a while, and goes on with what it has. Nothing is authorised twice."""
    await fleet.one.account(permanent=300)
    hold = await held(fleet.one, "all of it", 300)
    await fleet.one.sidecar.settle()
    fleet.one.wire.is_cut = True
    await fleet.passes(2 * MINUTE)
    fleet.store.step_wall(step)
    await fleet.passes(5 * MINUTE)
    assert not isinstance(await reserve(fleet.two, "the same again", 1, within=0), Done)
    fleet.store.step_wall(-step)
    fleet.one.wire.is_cut = False
    await fleet.passes(MINUTE)
    assert isinstance(await commit(fleet.one, "c", hold, 300), Done)
    await fleet.one.sidecar.settle()
    assert not sum(each.lease.out for each in await fleet.one.central.listing.leases(10))
    assert (await fleet.one.summary()).available == 0


async def holds_for_an_hour_after_a_restart(fleet: Fleet) -> None:
    """A hold that is placed while the store is 400 days ahead, which is right again when the sidecar starts once more."""
    fleet.store.step_wall(400 * DAY)
    await fleet.passes(MINUTE)
    hold = await held(fleet.one, "r", 10)
    await fleet.one.crash()
    fleet.store.step_wall(-400 * DAY)
    await fleet.one.start()
    await fleet.passes(59 * MINUTE, every=MINUTE)
    assert fleet.one.sidecar.books.open(hold.account_id).held == credits(10)
    await fleet.passes(2 * MINUTE)
    assert fleet.one.sidecar.books.open(hold.account_id).held == 0


async def test_a_stores_wrong_time_over_a_restart(fleet: Fleet) -> None:
    """A hold that was placed by it has as long left as any hold may have, once the time is right."""
    await fleet.one.account(permanent=300)
    await holds_for_an_hour_after_a_restart(fleet)


async def test_a_hold_that_the_last_run_placed_by_a_wrong_time(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine ran through, and what it kept of the time was right: no answer puts anything right after the start."""
    await fleet.one.crash()
    fleet.one.boot_id = "one"
    await fleet.one.start()
    await fleet.one.account(permanent=300)
    await fleet.passes(MINUTE)
    monkeypatch.setattr(fleet.one.sidecar._time_keeper, "keep", lambda **_: None)
    await holds_for_an_hour_after_a_restart(fleet)


@pytest.mark.parametrize("step", [75 * MINUTE, *more(26 * HOUR, 400 * DAY)])
async def test_a_store_that_was_behind_at_a_renewal_reclaims_no_lease_that_may_be_used(fleet: Fleet, step: int) -> None:
    """By the clock that is right again it was renewed long ago. Its holder lives, and cannot reach the store for a while."""
    await fleet.one.account(permanent=300)
    hold = await held(fleet.one, "all of it", 300)
    fleet.store.step_wall(-step)
    await fleet.one.sidecar.settle()
    fleet.store.step_wall(step)
    await fleet.one.sidecar.beat()
    fleet.one.wire.is_cut = True
    await fleet.passes(5 * MINUTE)
    assert not isinstance(await reserve(fleet.two, "the same again", 1, within=0), Done)
    fleet.one.wire.is_cut = False
    await fleet.passes(MINUTE)
    assert isinstance(await commit(fleet.one, "c", hold, 300), Done)
    await fleet.one.sidecar.settle()
    assert (await fleet.one.summary()).available == 0
    assert not sum(each.lease.out for each in await fleet.one.central.listing.leases(10))


@pytest.mark.long
async def test_a_lease_that_its_living_sidecar_never_renews_is_reclaimed_in_the_end(fleet: Fleet) -> None:
    """As one of an account in quarantine. It is kept for as long as one of a sidecar that is lost."""
    await fleet.one.account(permanent=300)
    await held(fleet.one, "all of it", 300)
    await fleet.one.sidecar.settle()
    fleet.one.wire.is_cut = True
    central, sidecar = fleet.two.central, fleet.one.sidecar

    async def passes(span: int) -> None:
        for _ in range(0, span, MINUTE):
            await central.registration.beat(sidecar.sidecar_id, 1)
            await fleet.passes(MINUTE)

    await passes(70 * MINUTE)
    assert not isinstance(await reserve(fleet.two, "too early", 1, within=0), Done)
    await passes(3 * MINUTE)
    assert isinstance(await reserve(fleet.two, "r", 300), Done)


@pytest.mark.long
async def test_a_lost_sidecars_lease_is_reclaimed_in_the_end(fleet: Fleet) -> None:
    """Also after the store was set forward: when as much time has really passed."""
    await fleet.one.account(permanent=300)
    await held(fleet.one, "all of it", 300)
    await fleet.one.sidecar.settle()
    fleet.one.wire.is_cut = True
    fleet.store.step_wall(75 * MINUTE)
    await fleet.passes(73 * MINUTE)
    assert isinstance(await reserve(fleet.two, "r", 300), Done)


@pytest.mark.parametrize("step", [-HOUR, 2 * SECOND, *more(-2 * SECOND, HOUR, 400 * DAY)])
async def test_a_step_of_a_machine_changes_nothing(fleet: Fleet, step: int) -> None:
    """The store's clock counts: no hold ends, and all agree on the time."""
    await fleet.one.account(permanent=300)
    hold = await held(fleet.one, "r", 10)
    fleet.one.clock.step_wall(step)
    await fleet.passes(9 * MINUTE)
    assert {each.sidecar.books.moment().now for each in (fleet.one, fleet.two)} == {fleet.store.wall()}
    assert fleet.one.sidecar.books.open(hold.account_id).held == credits(10)
    await fleet.passes(MINUTE)
    assert fleet.one.sidecar.books.open(hold.account_id).held == 0


async def test_sidecars_agree_on_midnight(fleet: Fleet) -> None:
    """Whatever their machines' clocks say, the new day's credit is there when the store's day begins, and not before."""
    await fleet.one.account(daily=10)
    fleet.one.clock.step_wall(HOUR)
    fleet.two.clock.step_wall(-HOUR)
    await fleet.passes(11 * HOUR, every=HOUR)
    await fleet.passes(59 * MINUTE, every=MINUTE)
    await commit(fleet.one, "c", await held(fleet.one, "r", 10), 10)
    await fleet.one.sidecar.settle()
    for each in (fleet.one, fleet.two):
        assert not isinstance(await reserve(each, "too early", 1, within=0), Done)
    await fleet.passes(MINUTE)
    assert isinstance(await reserve(fleet.two, "new day", 4), Done)
    assert isinstance(await reserve(fleet.one, "new day", 4), Done)


@pytest.mark.parametrize(("step", "left"), [(75 * MINUTE, 7), (400 * DAY, 10), *more((DAY, 10), (2 * DAY, 10))])
async def test_a_store_that_was_ahead(fleet: Fleet, step: int, left: int) -> None:
    """All that it brought is undone half a minute after it is right again, and what was held through it is charged once."""
    await fleet.one.account(daily=10)
    await fleet.passes(MINUTE)
    fleet.store.step_wall(step)
    await fleet.passes(MINUTE)
    hold = await held(fleet.one, "ahead", 3)
    await fleet.one.sidecar.settle()
    fleet.store.step_wall(-step)
    await fleet.passes(20 * SECOND, every=5 * SECOND)
    assert isinstance(await reserve(fleet.two, "all of today", left), Done)
    assert not isinstance(await reserve(fleet.two, "more", 1, within=0), Done)
    assert isinstance(await commit(fleet.one, "c", hold, 3), Done)
    while fleet.one.sidecar.books.open(hold.account_id).has_unposted:
        await fleet.one.sidecar.settle()
        await asyncio.sleep(0)  # another message about the account may be under way
    assert sum(each.lease.out for each in await fleet.one.central.listing.leases(10)) == credits(left)


async def test_a_lease_of_a_day_to_come_authorises_nothing(fleet: Fleet) -> None:
    """Its sidecar does not reach the store meanwhile: it has today's credit only, once that answers again."""
    await fleet.one.account(daily=10)
    fleet.store.step_wall(DAY)
    await commit(fleet.one, "c", await held(fleet.one, "ahead", 3), 3)
    fleet.store.step_wall(-DAY)
    await fleet.passes(20 * SECOND, every=5 * SECOND)
    await commit(fleet.one, "d", await held(fleet.one, "all of today", 10), 10)
    assert not isinstance(await reserve(fleet.one, "more", 1, within=0), Done)
    await fleet.passes(12 * HOUR, every=HOUR)
    assert isinstance(await reserve(fleet.one, "what is left of tomorrow", 7), Done)
    assert not isinstance(await reserve(fleet.one, "more", 1, within=0), Done)
