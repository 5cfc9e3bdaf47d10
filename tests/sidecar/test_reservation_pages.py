"""Listings of the reservations of a sidecar: what a page costs, and what is on it while calls go on."""

from collections.abc import AsyncIterator, Iterable

import pytest

from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, RequestId, SidecarId, reservation_id
from creditmeter.core.instants import HOUR, MINUTE, Instant, Span
from creditmeter.core.metering.book import Change
from tests.sidecar.bench import ACCOUNT, Bench
from tests.sidecar.requests import commit, held, release

MANY = 65_000


class Watched(Reservation, frozen=True):
    """A reservation that notes when it is looked at."""

    def __getattribute__(self, name: str) -> object:
        """The attribute."""
        looked_at.add(id(self))
        return super().__getattribute__(name)


looked_at: set[int] = set()
"""The reservations that were looked at."""


def holds(now: Instant, accounts: Iterable[AccountId]) -> Iterable[Change]:
    """A hold for each account, which may be named more than once, a microsecond after the last."""
    for number, account_id in enumerate(accounts):
        name = reservation_id(account_id, SidecarId("here"), str(number))
        made = (name, account_id, RequestId(str(number)), ReservationState.HELD, ())
        yield Change(account_id, reservations=(Watched(*made, Instant(now + number), Instant(now + HOUR), "v1"),))


@pytest.mark.parametrize("accounts", [1, 500])
async def test_a_page_looks_at_its_own_reservations_alone(bench: Bench, accounts: int) -> None:
    """Of 65,000 open ones, of one account or of many."""
    names = [AccountId(f"account-{number % accounts}") for number in range(MANY)]
    for change in holds(bench.clock.wall(), names):
        bench.sidecar.books.open(change.account_id).apply(change)
    before = None
    for page in range(3):
        looked_at.clear()
        of = names[0] if accounts == 1 and page else None
        found = await bench.sidecar.reader.reservations(of, None, 100, before)
        assert len(looked_at) == len(found) == 100
        before = found[-1].created_at, found[-1].reservation_id


async def pages(bench: Bench, account_id: AccountId | None, state: ReservationState | None = None) -> AsyncIterator[list[str]]:
    """The request ids on each page of two, looked for when the one before it was taken."""
    before = None
    while page := await bench.sidecar.reader.reservations(account_id, state, 2, before):
        yield [each.request_id for each in page]
        before = page[-1].created_at, page[-1].reservation_id


@pytest.mark.parametrize("account_id", [None, ACCOUNT])
async def test_what_was_there_throughout_is_listed_once(bench: Bench, account_id: AccountId | None) -> None:
    """Some that were made at the same moment end while the pages are read, some are on disk alone, and new ones come."""
    await bench.account(permanent=1_000)
    holds = []
    for number in range(18):
        holds.append(await held(bench, f"r{number}", 1))
        if number % 6 == 5:
            bench.clock.advance(1)
    for each in (*holds[::3], *holds[1::3]):
        await commit(bench, f"c{each.request_id}", each, 1)
    found: list[str] = []
    async for page in pages(bench, account_id):
        found += page
        later = [each for each in holds if each.request_id not in found][::4]
        for each in later:
            await release(bench, f"rel{each.request_id}", each)
        bench.clock.advance(1)
        await held(bench, f"new{len(found)}", 1)
    assert sorted(found) == sorted(each.request_id for each in holds)


async def test_those_that_expired_are_listed_so(bench: Bench) -> None:
    """Past its deadline one is no longer open, on whatever page it is, before anything else has ended it."""
    await bench.account(permanent=100)
    for number in range(6):
        await held(bench, f"r{number}", 1, ttl=Span(MINUTE if number % 2 else HOUR))
        bench.clock.advance(1)
    bench.clock.advance(MINUTE)
    assert [page async for page in pages(bench, None, ReservationState.HELD)] == [["r4", "r2"], ["r0"]]
    for number in range(6, 9):
        await held(bench, f"r{number}", 1, ttl=Span(MINUTE))
        bench.clock.advance(1)
    bench.clock.advance(MINUTE)
    assert [page async for page in pages(bench, None, ReservationState.EXPIRED)] == [["r8", "r7"], ["r6", "r5"], ["r3", "r1"]]
    found = await bench.sidecar.reader.reservations(None, None, 9)
    assert [each.state is ReservationState.HELD for each in found] == [False] * 4 + [True, False, True, False, True]
