"""A sidecar's status: it rests on what the sidecar knows itself, whatever fails around it."""

import shutil
from pathlib import Path

import pytest

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, RefundCharge, Reserve
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import MINUTE, SECOND, Span
from creditmeter.core.work import Usage
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.journal.index import Remembered
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.sidecar.status import CentralContact, Condition
from tests.clocks import ManualClock
from tests.sidecar.bench import ACCOUNT, Bench, credits


async def reserve(bench: Bench, request_id: str, amount: float) -> Outcome:
    """Hold so many credits for ten minutes."""
    return await bench.sidecar.meter.answer(Reserve(RequestId(request_id), ACCOUNT, amount=credits(amount)))


async def charge(bench: Bench, request_id: str, amount: float) -> str:
    """Charge so many credits; the charge's id."""
    asked = ChargeNow(RequestId(request_id), ACCOUNT, amount=credits(amount))
    done = await bench.sidecar.meter.answer(asked)
    assert isinstance(done, Done)
    assert done.reply.charge is not None
    return done.reply.charge.charge_id


async def test_a_new_sidecar(bench: Bench) -> None:
    """It has nothing, and has just registered."""
    status = await bench.sidecar.status()
    assert (status.sidecar_id, status.epoch, status.condition) == (bench.sidecar.sidecar_id, 1, Condition.SERVING)
    assert (status.started_at, status.uptime) == (bench.clock.wall(), 0)
    assert status.central == CentralContact(is_reachable=True, seen_at=bench.clock.wall(), clock_offset=None)
    assert status.rate_card_version == bench.sidecar.card_keeper.version_in_force
    assert status.journal_bytes > 0
    assert (status.tally.accounts, status.tally.leases, status.tally.oldest_unposted_at) == (0, 0, None)


async def test_what_it_holds_charged_and_waits_to_post(bench: Bench) -> None:
    """Counted over all accounts; a hold past its deadline is none, and what is settled waits no more."""
    await bench.account(permanent=100)
    await reserve(bench, "r", 5)
    first = bench.clock.wall()
    charge_id = await charge(bench, "c", 7)
    bench.clock.advance(MINUTE)
    await charge(bench, "d", 2)
    tally = (await bench.sidecar.status()).tally
    assert (tally.accounts, tally.remembered.reservations, tally.open_reservations, tally.held) == (1, 1, 1, credits(5))
    assert tally.remembered == Remembered(receipts=3, reservations=1, charges=2)
    assert (tally.unposted, tally.unposted_cost, tally.oldest_unposted_at) == (2, credits(9), first)
    (lease,) = await bench.central.listing.leases(10, ACCOUNT)
    assert (tally.leases, tally.leased) == (1, lease.lease.out)
    await bench.round()
    await bench.sidecar.meter.answer(RefundCharge(RequestId("f"), charge_id))  # type: ignore[arg-type]  # an id, as text
    bench.clock.advance(20 * MINUTE)
    tally = (await bench.sidecar.status()).tally
    assert (tally.open_reservations, tally.held) == (0, 0)
    assert tally.remembered == Remembered(receipts=4, reservations=1, charges=2, refunds=1)
    assert (tally.unposted, tally.unposted_cost, tally.oldest_unposted_at) == (0, 0, None)


async def test_how_long_it_runs_is_counted_by_a_clock_that_no_step_moves(bench: Bench) -> None:
    """Only the moment of its start is by the wall clock."""
    started = bench.clock.wall()
    bench.clock.advance(90 * SECOND)
    bench.clock.step_wall(-MINUTE)
    status = await bench.sidecar.status()
    assert (status.started_at, status.uptime) == (started, 90 * SECOND)


@pytest.mark.parametrize("ahead", [Span(0), Span(3 * SECOND), Span(-2 * SECOND)])
async def test_how_far_the_stores_clock_is_ahead(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, bench: Bench, ahead: Span
) -> None:
    """By its last answer. Its clock counts, so a sidecar whose machine's clock is another is in step with it."""
    there = ManualClock(bench.clock.wall())
    there.step_wall(ahead)
    directory = tmp_path_factory.mktemp("apart")
    central = shutil.copyfile(migrated_file, directory / "central.db")
    apart = Bench(directory, bench.clock, bench._card, f"sqlite:///{central}", there)
    await apart.start()
    try:
        assert (await apart.sidecar.status()).central.clock_offset == ahead
        assert apart.sidecar.books.moment().now == there.wall()
        await apart.account(permanent=10)
        await reserve(apart, "r", 5)
        assert (await apart.sidecar.status()).central.clock_offset == ahead
    finally:
        await apart.crash()


async def test_without_the_central_store_it_says_when_that_last_answered(bench: Bench) -> None:
    """And since when there was nothing."""
    await bench.account(permanent=10)
    await reserve(bench, "r", 1)
    seen = bench.clock.wall()
    bench.wire.is_cut = True
    bench.clock.advance(MINUTE)
    with pytest.raises(CentralUnavailable):
        await bench.sidecar.meter.answer(Reserve(RequestId("s"), ACCOUNT, amount=credits(9)))
    status = await bench.sidecar.status()
    assert (status.condition, status.central.is_reachable, status.central.seen_at) == (Condition.SERVING, False, seen)
    assert status.tally.held == credits(1)


async def test_with_a_broken_disk_it_answers_as_well(bench: Bench) -> None:
    """What it cannot write down it does not change: a hold that is over is still counted."""
    await bench.account(permanent=10)
    await reserve(bench, "r", 1)
    await bench.break_disk()
    with pytest.raises(StorageUnavailable):
        await charge(bench, "c", 1)
    await bench.sidecar.look_after()
    bench.clock.advance(20 * MINUTE)
    status = await bench.sidecar.status()
    assert status.condition is Condition.JOURNAL_UNWRITABLE
    assert (status.tally.remembered.reservations, status.tally.open_reservations) == (1, 1)
    await bench.mend_disk()
    await bench.sidecar.look_after()
    assert (await bench.sidecar.status()).condition is Condition.SERVING


async def test_while_it_stops_facts_are_taken_and_new_work_is_not(bench: Bench) -> None:
    """A cost that was incurred is as much of a fact as a commit, also of an account that this sidecar does not know."""
    await bench.account(permanent=100)
    held = await reserve(bench, "r", 5)
    assert isinstance(held, Done)
    assert held.reply.reservation is not None
    bench.sidecar.drain()
    assert (await bench.sidecar.status()).condition is Condition.DRAINING
    fact = ChargeNow(RequestId("fact"), ACCOUNT, amount=credits(7), already_incurred=True)
    assert isinstance(await bench.sidecar.meter.answer(fact), Done)
    replayed = await bench.sidecar.meter.answer(fact)
    assert isinstance(replayed, Done)
    assert replayed.replayed
    usage = Usage("tool", tool="web_search")
    priced = ChargeNow(RequestId("priced"), ACCOUNT, usage=usage, already_incurred=True)
    assert isinstance(await bench.sidecar.meter.answer(priced), Done)
    refused = await bench.sidecar.meter.answer(ChargeNow(RequestId("new"), ACCOUNT, amount=Microcredits(1)))
    assert type(refused).__name__ == "ShuttingDown"
    assert type(await reserve(bench, "more", 1)).__name__ == "ShuttingDown"
    commit = Commit(RequestId("c"), held.reply.reservation.reservation_id, amount=credits(5))
    assert isinstance(await bench.sidecar.meter.answer(commit), Done)
    await bench.round()
    assert (await bench.summary()).available == credits(100 - 7 - 1 - 5)
