"""Reading history: newest first, filtered, page by page, and steady while new lines arrive."""

import pytest

from creditmeter.central.reading import HistoryFilter
from creditmeter.central.store import CentralStore
from creditmeter.core.history import Entry, EntryType
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import HOUR, Instant
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.work import Usage
from tests.central.accounts import ACME, give, history, opened, refund
from tests.central.speaker import Speaker
from tests.clocks import NOON, ManualClock

WORKS = (
    Usage(action="text", request_model="gpt", response_model="gpt-5"),
    Usage(action="text", request_model="claude"),
    Usage(action="tool", tool="web_search"),
    Usage(action="tool", tool="seo_search"),
    Usage(action="image", request_model="gpt"),
)


@pytest.fixture
async def busy(store: CentralStore, here: Speaker, clock: ManualClock) -> None:
    """An account with a grant and, an hour apart, a charge for each work and a refund of the first."""
    await opened(store, permanent=100)
    await here.say(need=50)
    charges = []
    for number, usage in enumerate(WORKS):
        clock.advance(HOUR)
        charges.append(here.charge(f"c{number}", number + 1, usage=usage))
        await here.say(charges[-1])
    clock.advance(HOUR)
    await refund(store, charges[0].charge_id)


async def page(store: CentralStore, limit: int, before: int | None = None, wanted: HistoryFilter | None = None) -> list[Entry]:
    """A page of the account's history."""
    found = await store.reader.list_history(ACME, wanted or HistoryFilter(), limit, before)
    assert isinstance(found, list)
    return found


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (HistoryFilter(), [7, 6, 5, 4, 3, 2, 1]),
        (HistoryFilter(types=(EntryType.GRANTED,)), [1]),
        (HistoryFilter(types=(EntryType.GRANTED, EntryType.REFUNDED)), [7, 1]),
        (HistoryFilter(types=(EntryType.LAPSED,)), []),
        (HistoryFilter(action="tool"), [5, 4]),
        (HistoryFilter(action="text"), [7, 3, 2]),
        (HistoryFilter(model="gpt-5"), [7, 2]),
        (HistoryFilter(model="gpt"), [6]),
        (HistoryFilter(tool="seo_search"), [5]),
        (HistoryFilter(action="text", model="claude"), [3]),
        (HistoryFilter(action="image", tool="seo_search"), []),
        (HistoryFilter(start=Instant(NOON + 3 * HOUR)), [7, 6, 5, 4]),
        (HistoryFilter(end=Instant(NOON + 3 * HOUR)), [3, 2, 1]),
        (HistoryFilter(start=Instant(NOON + 2 * HOUR), end=Instant(NOON + 5 * HOUR), action="tool"), [5, 4]),
        (HistoryFilter(start=NOON, end=NOON), []),
    ],
)
async def test_a_filter_shows_what_matches_all_of_it(store: CentralStore, wanted: HistoryFilter, numbers: list[int]) -> None:
    """The start is inclusive, the end exclusive."""
    assert [each.number for each in await page(store, 100, wanted=wanted)] == numbers


@pytest.mark.usefixtures("busy")
async def test_pages_follow_on_each_other_while_lines_arrive(store: CentralStore, here: Speaker) -> None:
    """Nothing is shown twice or left out of what was there at the beginning."""
    found: list[int] = []
    before = None
    while lines := await page(store, 2, before):
        found += [each.number for each in lines]
        before = lines[-1].number
        await give(store, f"gift {before}", 1)
    assert found == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.usefixtures("busy")
async def test_a_filtered_listing_pages_too(store: CentralStore) -> None:
    """The page's end is the number of its last line."""
    text = HistoryFilter(action="text")
    first = await page(store, 2, wanted=text)
    assert [each.number for each in first] == [7, 3]
    assert [each.number for each in await page(store, 2, first[-1].number, text)] == [2]


async def test_a_charge_posted_late_comes_last_and_says_when_it_was(
    store: CentralStore, here: Speaker, clock: ManualClock
) -> None:
    """The order is that of posting; the time is that of the call."""
    await opened(store, permanent=10)
    await here.say(need=5)
    late = here.charge("late", 2)
    clock.advance(HOUR)
    await give(store, "gift", 1)
    await here.say(late)
    line = (await history(store))[-1]
    assert (line.type, line.number, line.occurred_at, line.posted_at) == (EntryType.CHARGED, 3, NOON, NOON + HOUR)
    assert [each.number for each in await page(store, 9, wanted=HistoryFilter(end=Instant(NOON + 1)))] == [3, 1]


async def test_histories_are_apart(store: CentralStore) -> None:
    """Each account counts its own lines; one that is not there has none."""
    for name in ("acme", "other"):
        await opened(store, AccountId(name), permanent=3)
    assert [each.number for each in await history(store, AccountId("other"))] == [1]
    unknown = AccountId("unknown")
    assert await store.reader.list_history(unknown, HistoryFilter(), 9) == AccountNotFound(unknown)


async def test_every_balance_follows_from_the_one_before(store: CentralStore, busy: None) -> None:
    """Line by line, to what there is."""
    balance = 0
    for line in await history(store):
        balance += line.amount
        assert line.balance_after == balance
    assert balance == 100 - sum(range(2, 6))
