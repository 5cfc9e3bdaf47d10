"""When housekeeping looks at the books: whenever something is due or was recorded, and seldom besides."""

from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import account_key
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import has_idle
from creditmeter.sidecar.account_records import Mark
from creditmeter.sidecar.lease_keeper import IDLE_AFTER
from creditmeter.sidecar.looking import REFUSED_REPORTED_WITHIN
from creditmeter.sidecar.sidecar import LONGEST_REST
from tests.clocks import NOON
from tests.sidecar.bench import ACCOUNT, Bench
from tests.sidecar.requests import commit, held, release, reserve

_TTL = Span(10 * MINUTE)
"""Of leases, where no setting says anything else."""


def keep(bench: Bench) -> Span | None:
    """What is due next, from now on."""
    at = bench.sidecar._lease_keeper.keep()
    return None if at is None else Span(at - bench.clock.boot())


def book(bench: Bench) -> Book:
    """The test account's."""
    found = bench.sidecar.books.find(account_key(ACCOUNT))
    assert found is not None
    return found


def is_unsettled(bench: Bench) -> bool:
    """Whether the next settlement has a message about the account."""
    return bench.sidecar.records.is_marked(ACCOUNT, Mark.UNSETTLED)


async def settled(bench: Bench) -> None:
    """Settle twice: the first answer may leave something for another message."""
    await bench.sidecar.settle()
    await bench.sidecar.settle()


async def rested(bench: Bench) -> None:
    """Do all that is due now, and have nothing left that was recorded since the last look."""
    for _ in range(2):
        await bench.sidecar.look_after()
        await settled(bench)
    await bench.sidecar.look_after()
    assert not is_unsettled(bench)


async def test_nothing_is_due_of_an_account_that_is_not_in_use(bench: Bench) -> None:
    """Neither before its first request, nor once its lease was returned."""
    assert keep(bench) is None
    await bench.account(permanent=100)
    await commit(bench, "c", await held(bench, "r", 5), 5)
    await settled(bench)
    bench.clock.advance(IDLE_AFTER)
    await bench.sidecar.look_after()
    await settled(bench)
    bench.clock.advance(HOUR)  # until then the deadline of what was held counts
    await bench.sidecar.look_after()
    assert keep(bench) is None


async def test_a_hold_ends_with_the_first_round_after_its_deadline(bench: Bench) -> None:
    """Although nothing was recorded lately."""
    await bench.account(permanent=100)
    hold = await held(bench, "r", 5)
    bench.clock.advance(hold.expires_at - SECOND - bench.clock.wall())
    await rested(bench)
    assert keep(bench) == SECOND
    bench.clock.advance(SECOND - 1)
    await bench.sidecar.look_after()
    assert book(bench).open_reservations == 1
    bench.clock.advance(1)
    await bench.sidecar.look_after()
    await bench.sidecar.books.durable()
    ended = bench.sidecar.books.reservation(hold.reservation_id)
    assert ended is not None
    assert ended.state is ReservationState.EXPIRED


async def test_an_unused_lease_is_returned_in_time(bench: Bench) -> None:
    """Half a minute after the last request."""
    await bench.account(permanent=100)
    await release(bench, "free", await held(bench, "r", 5))
    bench.clock.advance(2 * SECOND)
    await bench.sidecar.look_after()
    await settled(bench)
    assert keep(bench) == IDLE_AFTER - 2 * SECOND
    await bench.sidecar.look_after()
    bench.clock.advance(IDLE_AFTER - 2 * SECOND - 1)
    await bench.sidecar.look_after()
    assert not is_unsettled(bench)
    bench.clock.advance(1)
    await bench.sidecar.look_after()
    assert is_unsettled(bench)
    await settled(bench)
    assert not has_idle(book(bench))


async def test_a_lease_with_a_hold_is_renewed_in_time(bench: Bench) -> None:
    """In the middle of its time, although no request uses it."""
    await bench.account(permanent=5)
    await reserve(bench, "r", 5, ttl=HOUR)
    await settled(bench)
    assert keep(bench) == _TTL // 2
    await bench.sidecar.look_after()
    bench.clock.advance(_TTL // 2 - 1)
    await bench.sidecar.look_after()
    assert not is_unsettled(bench)
    bench.clock.advance(1)
    await bench.sidecar.look_after()
    assert is_unsettled(bench)


async def test_a_refusal_is_reported_in_time(bench: Bench) -> None:
    """It is no change of the book, so it is found by the next look, which comes in time."""
    await bench.account(permanent=5)
    await reserve(bench, "r", 5, ttl=HOUR)
    await settled(bench)
    await bench.sidecar.look_after()
    await reserve(bench, "more", 5)
    await settled(bench)
    bench.sidecar.records.take(Mark.UNSETTLED)
    passed = 0
    while not is_unsettled(bench):
        bench.clock.advance(SECOND)
        passed += SECOND
        await bench.sidecar.look_after()
    assert passed == REFUSED_REPORTED_WITHIN


async def test_the_end_of_the_day_is_not_missed(bench: Bench) -> None:
    """What is idle of a day that ended is given back at once by an account that is in use."""
    await bench.account(permanent=100)
    midnight = NOON + DAY // 2
    bench.clock.advance(midnight - SECOND - bench.clock.wall())
    await release(bench, "free", await held(bench, "r", 5))
    await settled(bench)
    assert keep(bench) == SECOND
    await bench.sidecar.look_after()
    assert not is_unsettled(bench)
    bench.clock.advance(SECOND)
    await bench.sidecar.look_after()
    assert is_unsettled(bench)


async def test_books_are_left_alone_while_nothing_is_due(bench: Bench) -> None:
    """But for one look now and then: so nothing is missed for long, whatever the clocks do."""
    await bench.account(permanent=5)
    await reserve(bench, "r", 5, ttl=HOUR)
    await settled(bench)
    bench.clock.advance(SECOND)
    await bench.sidecar.look_after()
    looked = bench.sidecar._due_at
    assert looked == bench.clock.boot() + LONGEST_REST
    bench.clock.advance(LONGEST_REST - 1)
    await bench.sidecar.look_after()
    assert bench.sidecar._due_at == looked
    bench.clock.advance(1)
    await bench.sidecar.look_after()
    assert bench.sidecar._due_at == looked + LONGEST_REST
