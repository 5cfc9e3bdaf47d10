"""What survives: crashes, a disk that cannot be written, a central store that cannot be reached, a copied journal."""

import asyncio
from pathlib import Path

import pytest

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.requests import ChargeNow, Commit, Done
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from creditmeter.core.metering.book import Change
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.core.refusals import Refusal
from creditmeter.core.values import replace
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.status import Condition
from tests.clocks import ManualClock
from tests.postgres import PostgresServer
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, receipt, refund, release, reserve


async def test_what_was_acknowledged_is_there_after_a_crash(bench: Bench) -> None:
    """Holds, charges, refunds and the replies to their requests; and all of it is settled, once."""
    await bench.account(permanent=50)
    hold = await held(bench, "hold", 5)
    gone = await held(bench, "gone", 5)
    await release(bench, "release", gone)
    done = await charge(bench, "charge", 7)
    await refund(bench, "refund", charge_id(done), 2)
    before = await bench.summary()
    await bench.restart()
    assert (await bench.summary()).available == before.available
    assert (await bench.summary()).held == credits(5)
    assert await charge(bench, "charge", 7) == Done(receipt(done), replayed=True)
    assert isinstance(await commit(bench, "commit", hold, 5), Done), "holds commit before the sidecar has new leases"
    for _ in range(2):
        await bench.sidecar.settle()
        await bench.restart()
    assert (await bench.summary()).available == credits(40)
    assert sum(each.type.value == "CHARGED" for each in await bench.history()) == 2


async def test_a_crash_between_a_settlement_and_its_answer_settles_once(bench: Bench) -> None:
    """The charge arrived at the central store, and the journal does not know: it is sent again and means nothing new."""
    await bench.account(permanent=50)
    await charge(bench, "charge", 7)
    copy = bench.copy_of_journal("before")
    await bench.sidecar.settle()
    await bench.crash()
    bench.put_back(copy)
    await bench.start()
    await bench.sidecar.settle()
    assert (await bench.summary()).available == credits(43)
    assert sum(each.type.value == "CHARGED" for each in await bench.history()) == 1


async def test_credit_whose_arrival_was_never_written_down_goes_home(bench: Bench) -> None:
    """A lease was granted and the process died before it knew: registration gives the credit back."""
    await bench.account(permanent=50)
    copy = bench.copy_of_journal("empty")
    hold = await held(bench, "r", 5)
    await bench.crash()
    bench.put_back(copy)
    await bench.start()
    await bench.sidecar.settle()
    assert isinstance(await bench.sidecar.reader.reservation(hold.reservation_id), Refusal)
    assert (await bench.summary()).available == credits(50)
    assert (await bench.summary()).leased == 0


async def test_a_write_that_fails_fails_everything_that_saw_it(bench: Bench) -> None:
    """Also reads and replays; then the sidecar recovers by itself, and knows only what was acknowledged."""
    await bench.account(permanent=50)
    kept = await held(bench, "kept", 5)
    await bench.break_disk()
    outcomes = await asyncio.gather(
        reserve(bench, "lost", 5), bench.sidecar.reader.reservation(kept.reservation_id), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [StorageUnavailable, StorageUnavailable]
    with pytest.raises(StorageUnavailable):
        await reserve(bench, "kept", 5)
    await bench.sidecar.look_after()
    assert bench.sidecar.condition.value == "JOURNAL_UNWRITABLE"
    await bench.mend_disk()
    await bench.sidecar.look_after()
    assert bench.sidecar.condition.value == "SERVING"
    assert (await bench.summary()).held == credits(5)
    assert isinstance(await reserve(bench, "lost", 5), Done)
    assert (await bench.summary()).available == credits(40)


async def test_what_was_decided_may_leave_once_it_is_durable(bench: Bench) -> None:
    """Also a replay. A decision is there at once, when nothing new is on disk yet; if the disk fails, `durable` does."""
    await bench.account(permanent=50)
    asked = Commit(RequestId("c"), (await held(bench, "r", 5)).reservation_id, amount=credits(5))
    meter, before = bench.sidecar.meter, bench.journal.last_record
    first = meter.decide(asked)
    assert isinstance(first, Done)
    assert bench.journal.last_record == before
    await meter.durable()
    assert bench.journal.last_record == before + 1
    assert meter.decide(asked) == replace(first, replayed=True)
    await bench.break_disk()
    assert isinstance(meter.decide(ChargeNow(RequestId("lost"), ACCOUNT, amount=credits(1))), Done)
    with pytest.raises(StorageUnavailable):
        await meter.durable()
    await bench.mend_disk()
    await bench.sidecar.look_after()


async def test_expiry_is_written_down_without_traffic(bench: Bench) -> None:
    """Housekeeping ends holds, and a restart finds them ended."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    bench.clock.advance(11 * MINUTE)
    await bench.sidecar.tidy()
    await bench.restart()
    found = bench.sidecar.books.reservation(hold.reservation_id)
    assert found is not None
    assert (found.state, found.ended_at) == (ReservationState.EXPIRED, hold.expires_at)


async def test_idle_leases_are_returned_and_used_ones_are_renewed(bench: Bench) -> None:
    """Without traffic and without an operator."""
    await bench.account(permanent=50)
    await release(bench, "release", await held(bench, "r", 5))
    assert (await bench.summary()).leased > 0
    bench.clock.advance(MINUTE)
    await bench.round()
    assert (await bench.summary()).leased == 0


async def test_nothing_old_authorises_after_a_restart(bench: Bench) -> None:
    """The lease's time to live is on the boot-time clock and is not written down."""
    await bench.account(permanent=50)
    await held(bench, "r", 5)
    await bench.restart()
    assert bench.sidecar.books.open(ACCOUNT).idle(bench.sidecar.books.moment()) == 0
    assert isinstance(await reserve(bench, "again", 5), Done)


def state_of(bench: Bench, hold: Reservation) -> ReservationState:
    """What has become of a hold."""
    found = bench.sidecar.books.reservation(hold.reservation_id)
    assert found is not None
    return found.state


async def test_a_clock_that_is_set_back_is_followed(bench: Bench) -> None:
    """Over a restart too. A hold that has ended stays so, and one that has not has as long left as before."""
    await bench.account(permanent=50)
    over = await held(bench, "over", 5)
    bench.clock.advance(6 * MINUTE)
    hold = await held(bench, "r", 5)
    bench.clock.advance(5 * MINUTE)
    await bench.sidecar.tidy()
    bench.clock.step_wall(-2 * HOUR)
    assert bench.sidecar.books.moment().now == bench.clock.wall()
    await bench.sidecar.books.durable()
    await bench.restart()
    assert bench.sidecar.books.moment().now == bench.clock.wall()
    assert state_of(bench, over) is ReservationState.EXPIRED
    assert state_of(bench, hold) is ReservationState.HELD
    bench.clock.advance(5 * MINUTE - SECOND)
    await bench.sidecar.tidy()
    assert state_of(bench, hold) is ReservationState.HELD
    bench.clock.advance(SECOND)
    await bench.sidecar.tidy()
    assert state_of(bench, hold) is ReservationState.EXPIRED


@pytest.mark.parametrize("step", [-HOUR, -2 * SECOND, 2 * SECOND, HOUR, 400 * DAY])
async def test_a_step_of_the_clock_ends_no_hold_early_or_late(bench: Bench, step: int) -> None:
    """Of several accounts, and of one that is made after it. What is used of them is charged."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    bench.clock.advance(9 * MINUTE)
    bench.clock.step_wall(step)
    await bench.sidecar.tidy()
    assert state_of(bench, hold) is ReservationState.HELD
    late = await held(bench, "late", 5)
    bench.clock.advance(MINUTE - 1)
    await bench.sidecar.tidy()
    assert state_of(bench, hold) is ReservationState.HELD
    bench.clock.advance(1)
    await bench.sidecar.tidy()
    assert [state_of(bench, each) for each in (hold, late)] == [ReservationState.EXPIRED, ReservationState.HELD]
    assert isinstance(await commit(bench, "c", late, 5), Done)


async def test_a_clock_that_is_ahead_for_a_while_prunes_nothing(bench: Bench) -> None:
    """An acknowledged request is answered as before, however far ahead the clock was."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    await commit(bench, "c", hold, 5)
    await bench.round()
    for ahead in (2 * DAY, 400 * DAY):
        for _ in range(3):
            bench.clock.advance(MINUTE)
            await bench.round()
        bench.clock.step_wall(ahead)
        for _ in range(3):
            bench.clock.advance(MINUTE)
            await bench.round()
        bench.clock.step_wall(-ahead)
        await bench.round()
    await bench.restart()
    again = await commit(bench, "c", hold, 5)
    assert isinstance(again, Done)
    assert again.replayed


async def test_a_clock_that_was_behind_for_a_while_prunes_nothing_early(bench: Bench) -> None:
    """What was written meanwhile seems older than it is, and what came before that is kept for as long as it is needed."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    await commit(bench, "c", hold, 5)
    await bench.round()
    bench.clock.step_wall(-2 * DAY)
    await charge(bench, "meanwhile", 1)
    await bench.round()
    bench.clock.step_wall(2 * DAY)
    for _ in range(5):
        bench.clock.advance(HOUR)
        await charge(bench, f"later-{bench.clock.wall()}", 1)
        await bench.round()
        await bench.sidecar.books.durable()
    await bench.restart()
    again = await commit(bench, "c", hold, 5)
    assert isinstance(again, Done)
    assert again.replayed


async def test_what_is_old_is_forgotten(bench: Bench) -> None:
    """What has ended leaves memory at once, an account with its last lease; both leave the disk after the late window."""
    await bench.account(permanent=50)
    await commit(bench, "c", await held(bench, "r", 5), 5)
    await bench.sidecar.settle()
    await bench.sidecar.tidy()
    await bench.sidecar.books.durable()
    (book,) = bench.sidecar.books
    assert replace(book.live, leases=(), account=None) == Change(ACCOUNT)
    assert bench.rows("records") > 1
    for _ in range(3):  # the first round gives the lease back, the next forgets the account, the last what was known of it
        bench.clock.advance(40 * HOUR)
        await bench.round()
        await bench.sidecar.tidy()
        await bench.sidecar.books.durable()
    assert not list(bench.sidecar.books)
    assert {bench.rows(table) for table in ("records", "image")} == {0}
    assert (await bench.summary()).available == credits(45)


async def test_a_copied_journal_is_fenced(bench: Bench, tmp_path: Path, clock: ManualClock) -> None:
    """Two processes on copies of one journal: the one that registers second fences the other."""
    await bench.account(permanent=50)
    twin = bench.twin(tmp_path / "twin", clock)
    await twin.start()
    with pytest.raises(SidecarFenced):
        await reserve(bench, "r", 5)
    assert bench.sidecar.condition is Condition.FENCED
    await twin.crash()


async def test_without_the_central_store_commits_work_and_new_credit_waits(
    postgres_server: PostgresServer, tmp_path: Path, clock: ManualClock, card: LoadedCard
) -> None:
    """Leases in hand serve; what needs more is CENTRAL_UNAVAILABLE; all is settled when the store is back."""
    url = postgres_server.create_database()
    async with CentralStore(url, clock.wall) as store:
        await store.migrate()
    bench = Bench(tmp_path, clock, card, url)
    await bench.start()
    await bench.account(permanent=50)
    hold = await held(bench, "r", 1)
    postgres_server.stop()
    try:
        assert isinstance(await reserve(bench, "in hand", 5), Done)
        assert isinstance(await commit(bench, "c", hold, 1), Done)
        with pytest.raises(CentralUnavailable):
            await reserve(bench, "more", 40)
        balance = await bench.sidecar.reader.balance(ACCOUNT)
        assert not isinstance(balance, Refusal)
        assert (balance.stale, balance.summary.available) == (True, credits(44))
    finally:
        postgres_server.start()
    clock.advance(LONGEST_WAIT)
    await bench.sidecar.settle()
    assert (await bench.summary()).available == credits(44)
    assert isinstance(await reserve(bench, "more", 40), Done)
    await bench.crash()
