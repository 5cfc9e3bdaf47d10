"""What has ended is on disk alone: requests, late commits and reads find it there, also after a restart."""

import pytest

from creditmeter.core.credit.charges import Refund
from creditmeter.core.credit.requests import Commit, Done, RefundCharge, Reserve
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import HOUR, MINUTE
from creditmeter.core.refusals import RequestIdReused, ReservationCommitted, ReservationExpired, ReservationNotFound
from creditmeter.core.values import replace
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, receipt, refund, release, reserve

OTHER = AccountId("bob")


def in_memory(bench: Bench) -> int:
    """How many reservations, charges, refunds and receipts the books have."""
    kinds = ("reservations", "charges", "refunds", "receipts")
    return sum(len(getattr(book, kind)) for book in bench.sidecar.books for kind in kinds)


async def ended_and_on_disk(bench: Bench) -> None:
    """Settle, and keep house until an image is made and nothing that has ended is in memory."""
    await bench.round()
    bench.sidecar.books._journal.min_bytes_between_images = 0
    await bench.sidecar.tidy()
    await bench.sidecar.books.durable()
    assert in_memory(bench) == 0


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_request_that_is_repeated_20_hours_later_is_replayed(bench: Bench, restarts: bool) -> None:
    """Each kind of request; and another one under its id is refused with the field that differs."""
    await bench.account(permanent=100)
    hold = await held(bench, "r", 5)
    first = [
        receipt(await reserve(bench, "r", 5)),
        receipt(await commit(bench, "c", hold, 4)),
        receipt(await release(bench, "rel", await held(bench, "r2", 1))),
        receipt(await charge(bench, "now", 2)),
    ]
    await ended_and_on_disk(bench)
    bench.clock.advance(20 * HOUR)
    if restarts:
        await bench.restart()
    meter = bench.sidecar.meter
    second = await held(bench, "r2", 1)
    again = [await reserve(bench, "r", 5), await commit(bench, "c", hold, 4), await release(bench, "rel", second)]
    again.append(await charge(bench, "now", 2))
    assert again == [Done(each, replayed=True) for each in first]
    assert await meter.answer(Reserve(RequestId("r"), ACCOUNT, amount=credits(6))) == RequestIdReused("amount")
    assert await commit(bench, "now", hold, 4) == RequestIdReused("rpc")
    assert (await bench.summary()).available == credits(94)


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_commit_23_hours_late_is_taken_once(bench: Bench, restarts: bool) -> None:
    """After its hold expired, and its account left memory."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    bench.clock.advance(hold.expires_at - bench.clock.wall() + MINUTE)
    await ended_and_on_disk(bench)
    bench.clock.advance(23 * HOUR)
    await bench.round()
    if restarts:
        await bench.restart()
    late = receipt(await commit(bench, "c", hold, 5))
    assert late.charge is not None
    assert late.charge.late
    assert await commit(bench, "c2", hold, 5) == ReservationCommitted(hold.reservation_id)
    await bench.round()
    assert await commit(bench, "c3", hold, 5) == ReservationCommitted(hold.reservation_id)
    assert (await bench.summary()).available == credits(45)


async def test_what_is_older_than_the_late_window_is_no_more(bench: Bench) -> None:
    """A commit is refused by the window as long as the reservation is known, and then because it is not."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    bench.clock.advance(hold.expires_at - bench.clock.wall() + MINUTE)
    await ended_and_on_disk(bench)
    bench.clock.advance(24 * HOUR)
    assert await commit(bench, "c", hold, 5) == ReservationExpired(hold.reservation_id)
    for _ in range(2):
        bench.clock.advance(4 * HOUR)
        await bench.round()
        await bench.sidecar.books.durable()
    assert await commit(bench, "c", hold, 5) == ReservationNotFound(hold.reservation_id)


async def test_charges_that_wait_keep_what_belongs_to_them(bench: Bench) -> None:
    """While the central store is away for days, a repeated request is not charged again."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    first = receipt(await commit(bench, "c", hold, 4))
    bench.wire.is_cut = True
    for _ in range(5):
        bench.clock.advance(24 * HOUR)
        await bench.sidecar.tidy()
        await bench.sidecar.books.durable()
    assert await commit(bench, "c", hold, 4) == Done(first, replayed=True)
    bench.wire.is_cut = False
    await bench.settled_in_the_end()
    assert (await bench.summary()).available == credits(46)


async def listed(bench: Bench, account_id: AccountId | None, state: ReservationState | None = None) -> list[str]:
    """The request ids of all reservations, page by page of two."""
    found: list[Reservation] = []
    while True:
        before = (found[-1].created_at, found[-1].reservation_id) if found else None
        page = await bench.sidecar.reader.reservations(account_id, state, 2, before)
        found += page
        if len(page) < 2:
            return [each.request_id for each in found]


async def test_open_and_ended_reservations_are_listed_together(bench: Bench) -> None:
    """The newest first, in pages; of one account or of all, of one state or of any."""
    await bench.account(permanent=100)
    holds = {}
    for number in range(6):
        holds[number] = await held(bench, f"r{number}", 1)
        bench.clock.advance(MINUTE)
    for number in (0, 2, 3):
        await commit(bench, f"c{number}", holds[number], 1)
    await release(bench, "rel", holds[4])
    await bench.round()
    assert await listed(bench, ACCOUNT) == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert await listed(bench, None) == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert await listed(bench, ACCOUNT, ReservationState.COMMITTED) == ["r3", "r2", "r0"]
    assert await listed(bench, None, ReservationState.RELEASED) == ["r4"]
    assert await listed(bench, ACCOUNT, ReservationState.HELD) == ["r5", "r1"]
    assert await listed(bench, OTHER) == []
    await bench.restart()
    assert await listed(bench, ACCOUNT) == ["r5", "r4", "r3", "r2", "r1", "r0"]


async def test_a_refund_that_is_on_disk_is_found(bench: Bench) -> None:
    """By its id, and by the request that is sent again."""
    await bench.account(permanent=50)
    paid = charge_id(await charge(bench, "c", 5))
    await bench.round()
    made = receipt(await refund(bench, "f", paid, 2)).refund
    assert made is not None
    await ended_and_on_disk(bench)
    again = await bench.sidecar.meter.answer(RefundCharge(RequestId("f"), paid, credits(2)))
    assert isinstance(again, Done)
    assert again.replayed
    found = await bench.sidecar.reader.refund(made.refund_id)
    assert isinstance(found, Refund)
    assert replace(found, posting=None) == replace(made, posting=None)


async def test_an_account_that_comes_back_has_what_was_known_of_it(bench: Bench) -> None:
    """Without the central store its offline allowance serves it, though it had left memory."""
    await bench.account(permanent=50, offline_allowance=credits(3))
    await commit(bench, "c", await held(bench, "r", 5), 5)
    for _ in range(3):
        bench.clock.advance(12 * HOUR)
        await bench.round()
        await bench.sidecar.tidy()
        await bench.sidecar.books.durable()
    assert not list(bench.sidecar.books)
    bench.wire.is_cut = True
    bench.clock.advance(MINUTE)
    assert isinstance(await reserve(bench, "away", 3), Done)


async def test_a_commit_finds_its_account_by_the_reservation_alone(bench: Bench) -> None:
    """The id of a reservation names its account by a digest."""
    await bench.account(permanent=50)
    hold = await held(bench, "r", 5)
    bench.clock.advance(40 * MINUTE)
    for _ in range(3):
        bench.clock.advance(7 * HOUR)
        await bench.round()
        await bench.sidecar.tidy()
    await bench.sidecar.books.durable()
    outcome = await bench.sidecar.meter.answer(Commit(RequestId("c"), hold.reservation_id, amount=credits(5)))
    late = receipt(outcome).charge
    assert late is not None
    assert (late.account_id, late.late) == (ACCOUNT, True)


@pytest.mark.long
async def test_the_journal_does_not_grow_at_a_constant_load(bench: Bench) -> None:
    """Over a week of days: what is dropped makes room for what comes. So it is with memory."""
    await bench.account(permanent=1_000_000)
    sizes, kept = [], []
    for day in range(7):
        for hour in range(24):
            for number in range(20):
                name = f"{day}-{hour}-{number}"
                await commit(bench, f"c{name}", await held(bench, f"r{name}", 2), 1)
            bench.clock.advance(HOUR)
            await bench.round()
            await bench.sidecar.books.durable()
        sizes.append(await bench.journal.size())
        kept.append(bench.rows("records"))
    assert max(kept[2:]) < 1.1 * kept[1], kept
    assert max(sizes[3:]) < 1.1 * sizes[2], sizes
    assert in_memory(bench) == 0
