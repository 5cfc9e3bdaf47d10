"""What a sidecar knew of the time, after a restart while the central store cannot be reached."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from creditmeter.core.clocks import DRIFT_PARTS_PER_MILLION
from creditmeter.core.credit.requests import Done
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Span
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.sidecar.contact import LONGEST_WAIT
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench
from tests.sidecar.requests import commit, held, receipt, reserve

WRONG = (-400 * DAY, -40 * MINUTE, 40 * MINUTE, 2 * DAY)


@dataclass
class Fleet:
    """Two sidecars on machines that are named and have clocks of their own, and the clock of their central store."""

    one: Bench
    two: Bench
    store: ManualClock

    def passes(self, span: int) -> None:
        """Let time pass everywhere."""
        for clock in (self.one.clock, self.two.clock, self.store):
            clock.advance(span)

    def reconnect(self) -> None:
        """Have the first one reach the store again, as soon as it tries to."""
        self.one.wire.is_cut = False
        self.one.central.on_reading.append(self.one.time.learn)
        self.passes(LONGEST_WAIT)

    async def rounds(self, span: int, every: int = 20 * SECOND) -> None:
        """Let time pass, in which each does what it does by itself."""
        for _ in range(0, span, every):
            self.passes(every)
            for each in (self.one, self.two):
                await each.sidecar.beat()
                await each.sidecar.look_after()


@pytest.fixture
async def fleet(tmp_path: Path, card: LoadedCard, central_url: str) -> AsyncIterator[Fleet]:
    """A fleet that has just started, with an account."""
    store = ManualClock()
    one = Bench(tmp_path, ManualClock(), card, central_url, store)
    one.boot_id = "one"
    await one.start()
    two = one.beside("two", ManualClock())
    two.boot_id = "two"
    await two.start()
    await one.account(permanent=300)
    yield Fleet(one, two, store)
    await two.crash()
    await one.crash()


async def started_cut_off(bench: Bench) -> None:
    """Start a sidecar that neither reaches the store nor is notified by it."""
    await bench.start(is_cut=True)
    bench.central.on_reading.clear()


async def killed(bench: Bench) -> None:
    """End a sidecar as a kill does: nothing is written any more."""
    copy = bench.copy_of_journal("killed")
    await bench.crash()
    bench.put_back(copy)


@pytest.mark.parametrize("now", WRONG)
async def test_in_the_same_run_of_a_machine_the_stores_time_goes_on(fleet: Fleet, now: int) -> None:
    """Whatever the wall clock is set to meanwhile. A hold ends when it ends, and its commit is not late."""
    one = fleet.one
    hold = await held(one, "r", 10)
    await killed(one)
    fleet.passes(MINUTE)
    one.clock.step_wall(now)
    await started_cut_off(one)
    assert one.sidecar.books.moment().now == fleet.store.wall()
    assert one.time.error == MINUTE * DRIFT_PARTS_PER_MILLION // 1_000_000
    fleet.passes(8 * MINUTE)
    await one.sidecar.look_after()
    charge = receipt(await commit(one, "c", hold, 4, keep_open=True)).charge
    assert charge is not None
    assert not charge.late
    fleet.passes(MINUTE)
    await one.sidecar.tidy()
    assert one.sidecar.books.moment().now == fleet.store.wall()
    ended = one.sidecar.books.reservation(hold.reservation_id)
    assert ended is not None
    assert ended.state is not ReservationState.HELD


@pytest.mark.parametrize("wrong", WRONG)
async def test_after_a_reboot_the_wall_clock_is_corrected(fleet: Fleet, wrong: int) -> None:
    """As long as it is as wrong as it was, as far as the journal shows."""
    one = fleet.one
    one.clock.step_wall(wrong)
    await one.sidecar.look_after()
    await held(one, "r", 10)
    await killed(one)
    fleet.store.advance(10 * MINUTE)
    one.clock.reboot(10 * MINUTE)
    one.boot_id = "one, once more"
    await started_cut_off(one)
    assert one.sidecar.books.moment().now == fleet.store.wall()


@pytest.mark.parametrize("wrong", WRONG)
async def test_after_a_reboot_a_clock_that_was_put_right_is_believed(fleet: Fleet, wrong: int) -> None:
    """It is not corrected by what it was wrong before."""
    one = fleet.one
    one.clock.step_wall(wrong)
    await one.sidecar.look_after()
    await held(one, "r", 10)
    await killed(one)
    fleet.store.advance(10 * MINUTE)
    one.clock.reboot(10 * MINUTE)
    one.clock.step_wall(-wrong)
    one.boot_id = "one, once more"
    await started_cut_off(one)
    assert one.sidecar.books.moment().now == fleet.store.wall()


async def test_a_clock_of_1970_is_put_right_by_the_store(fleet: Fleet) -> None:
    """Until then it is as late as the journal says. No deadline moves."""
    one = fleet.one
    hold = await held(one, "r", 10)
    await killed(one)
    known = fleet.store.wall()
    fleet.store.advance(5 * MINUTE)
    one.clock.reboot(-known)
    one.boot_id = "one, once more"
    one.step_patience = Span(30 * SECOND)
    await started_cut_off(one)
    assert one.sidecar.books.moment().now == known
    fleet.reconnect()
    await one.sidecar.beat()
    assert one.sidecar.books.moment().now == fleet.store.wall()
    found = one.sidecar.books.reservation(hold.reservation_id)
    assert found is not None
    assert (found.state, found.expires_at) == (ReservationState.HELD, hold.expires_at)


@pytest.mark.parametrize("step", WRONG)
@pytest.mark.parametrize("again", ["goes on", "is killed", "is killed at once", "reboots"])
async def test_a_step_of_the_machine_is_undone_by_the_stores_answer(fleet: Fleet, step: int, again: str) -> None:
    """While the store was away it was believed, and deadlines moved along with it. They are again what they were, also if the
    sidecar started once more in between.
    """
    one = fleet.one
    hold = await held(one, "r", 10)
    await killed(one)
    one.clock.reboot(0)
    one.boot_id = "one, once more"
    await started_cut_off(one)
    one.clock.step_wall(step)
    one.sidecar.books.moment()
    await one.journal.durable()
    if again != "is killed at once":
        await one.sidecar.look_after()
    if again != "goes on":
        await killed(one)
        if again == "reboots":
            one.clock.reboot(0)
            one.boot_id = "one, for the third time"
        await started_cut_off(one)
    moved = one.sidecar.books.reservation(hold.reservation_id)
    assert moved is not None
    assert moved.expires_at == hold.expires_at + step
    fleet.reconnect()
    await one.sidecar.beat()
    await one.sidecar.look_after()
    found = one.sidecar.books.reservation(hold.reservation_id)
    assert found is not None
    assert (found.state, found.expires_at) == (ReservationState.HELD, hold.expires_at)


@pytest.mark.parametrize("step", [75 * MINUTE, 2 * DAY])
@pytest.mark.parametrize("reboots", [False, True])
async def test_a_start_by_clocks_that_were_set_forward_reclaims_nothing(fleet: Fleet, step: int, reboots: bool) -> None:
    """Those of the store and of the machine alike: what was known before counts as well."""
    one, two = fleet.one, fleet.two
    hold = await held(one, "all of it", 300)
    await one.sidecar.settle()
    one.wire.is_cut = True
    await killed(two)
    for clock in (fleet.store, two.clock):
        clock.step_wall(step)
    if reboots:
        two.clock.reboot(0)
        two.boot_id = "two, once more"
    await two.start()
    await fleet.rounds(5 * MINUTE)
    assert two.sidecar.books.moment().now == fleet.store.wall()
    assert not isinstance(await reserve(two, "the same again", 1, within=0), Done)
    one.wire.is_cut = False
    await fleet.rounds(MINUTE)
    assert isinstance(await commit(one, "c", hold, 300), Done)
    await one.sidecar.settle()
    assert (await one.summary()).available == 0


async def test_a_step_of_the_store_is_kept_with_the_deadlines_that_it_moves(fleet: Fleet) -> None:
    """A kill right after it finds both or neither, so the next start moves nothing twice."""
    one = fleet.one
    hold = await held(one, "r", 10)
    fleet.store.step_wall(HOUR)
    await one.sidecar.beat()
    await one.journal.durable()
    await killed(one)
    await started_cut_off(one)
    assert one.sidecar.books.moment().now == fleet.store.wall()
    fleet.reconnect()
    await one.sidecar.beat()
    one.sidecar.books.moment()
    found = one.sidecar.books.reservation(hold.reservation_id)
    assert found is not None
    assert found.expires_at == hold.expires_at + HOUR


async def test_it_is_written_seldom(fleet: Fleet) -> None:
    """A second of difference is, or so much time that it may have come to that."""
    one = fleet.one
    first = one.journal.identity.time
    assert first is not None
    assert (first.boot_id, first.is_stores, first.correction) == ("one", True, 0)
    surely = Span(SECOND * 1_000_000 // DRIFT_PARTS_PER_MILLION)
    fleet.passes(surely - SECOND)
    await one.sidecar.beat()
    await one.sidecar.look_after()
    assert one.journal.identity.time is first
    fleet.passes(SECOND)
    await one.sidecar.beat()
    await one.sidecar.look_after()
    again = one.journal.identity.time
    assert again is not None
    assert again.at == first.at + surely
    one.clock.step_wall(SECOND)
    await one.sidecar.look_after()
    assert one.journal.identity.time != again


@pytest.mark.parametrize("wrong", [-40 * MINUTE, 40 * MINUTE])
@pytest.mark.parametrize("put_right", [False, True])
async def test_an_orderly_stop_keeps_how_late_it_was(fleet: Fleet, wrong: int, put_right: bool) -> None:
    """So a clock that was put right is told from one that is as wrong as it was, also where nothing was written for long."""
    one = fleet.one
    one.clock.step_wall(wrong)
    await one.sidecar.look_after()
    fleet.passes(HOUR)
    await one.crash()
    fleet.store.advance(10 * MINUTE)
    one.clock.reboot(10 * MINUTE)
    one.boot_id = "one, once more"
    if put_right:
        one.clock.step_wall(-wrong)
    await started_cut_off(one)
    assert one.sidecar.books.moment().now == fleet.store.wall()
