"""Reading history: newest first, filtered, page by page, and steady while new lines arrive."""

from itertools import product

import pytest

from creditmeter.central.queries import history as reading
from creditmeter.central.queries.history import Lines
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.history import Entry, EntryType, HistoryFilter, LabelFilter
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, HOUR, Instant
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from tests.central.accounts import ACME, account, create, done, give, giving, history, opened, put_plan, refund, void
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

WORKS = (
    Usage(action="text", request_model="gpt", response_model="gpt-5"),
    Usage(action="text", request_model="claude"),
    Usage(action="tool", tool="web_search"),
    Usage(action="tool", tool="seo_search"),
    Usage(action="image", request_model="gpt"),
)


@pytest.fixture
async def busy(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """An account with a grant and, an hour apart, a charge for each work and a refund of the first."""
    await opened(store, permanent=100)
    await here.exchange(need=50)
    charges = []
    for number, usage in enumerate(WORKS):
        clock.advance(HOUR)
        charges.append(here.charge(f"c{number}", number + 1, usage=usage))
        await here.exchange(charges[-1])
    clock.advance(HOUR)
    await refund(store, charges[0].charge_id)


async def page(store: CentralStore, limit: int, before: int | None = None, wanted: HistoryFilter | None = None) -> list[Entry]:
    """A page of the account's history."""
    found = await store.reader.list_history(ACME, wanted or HistoryFilter(), limit, before)
    assert isinstance(found, Lines)
    return found.entries


FILTERS: tuple[tuple[HistoryFilter, list[int]], ...] = (
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
)


@pytest.mark.usefixtures("busy")
async def test_a_filter_shows_what_matches_all_of_it(store: CentralStore) -> None:
    """The start is inclusive, the end exclusive."""
    for wanted, numbers in FILTERS:
        assert [each.number for each in await page(store, 100, wanted=wanted)] == numbers, wanted


@pytest.mark.usefixtures("busy")
async def test_pages_follow_on_each_other_while_lines_arrive(store: CentralStore, here: Peer) -> None:
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
    store: CentralStore, here: Peer, clock: ManualClock
) -> None:
    """The order is that of posting; the time is that of the call."""
    await opened(store, permanent=10)
    await here.exchange(need=5)
    late = here.charge("late", 2)
    clock.advance(HOUR)
    await give(store, "gift", 1)
    await here.exchange(late)
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


# By kind and source.


@pytest.fixture
async def mixed(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """An account with grants of every kind and of several sources, drawn on, refunded, voided and lapsed.

    | line | what                                        | kinds              | sources             |
    | ---- | ------------------------------------------- | ------------------ | ------------------- |
    | 1, 2 | the plan gives the day's 5, the month's 7   | daily; monthly     | plan                |
    | 3    | a purchase of 20                            | permanent          | purchase            |
    | 4    | a charge of 14                              | all three          | plan, purchase      |
    | 5    | a refund of 3 of it: 2 permanent, 1 monthly | monthly, permanent | plan, purchase      |
    | 6    | the charge of an excess, written off        | permanent          | purchase            |
    | 7    | what of it was written off                  | none               | none                |
    | 8, 9 | a goodwill refund, and its grant            | none; permanent    | none; goodwill      |
    """
    await put_plan(store, "plan", 5, 7)
    await create(store, account(plan="plan"))
    done(await store.administration.grant_credits(replace(giving("bought", 20), source=GrantSource.PURCHASE)))
    await here.exchange(need=14)
    first = here.charge("c1", 14)
    await here.exchange(first)
    await refund(store, first.charge_id, 3)
    second = here.charge("c2", 0, excess=30)
    await here.exchange(second)
    await refund(store, second.charge_id, 4, mode=RefundMode.GOODWILL, name="sorry")


BY_GRANT: tuple[tuple[HistoryFilter, list[int]], ...] = (
    (HistoryFilter(kinds=(GrantKind.DAILY,)), [4, 1]),
    (HistoryFilter(kinds=(GrantKind.MONTHLY,)), [6, 5, 4, 2]),
    (HistoryFilter(kinds=(GrantKind.PERMANENT,)), [9, 6, 5, 4, 3]),
    (HistoryFilter(kinds=(GrantKind.DAILY, GrantKind.MONTHLY)), [6, 5, 4, 2, 1]),
    (HistoryFilter(kinds=tuple(GrantKind) * 2), [9, 6, 5, 4, 3, 2, 1]),
    (HistoryFilter(source=GrantSource.PLAN), [6, 5, 4, 2, 1]),
    (HistoryFilter(source=GrantSource.PURCHASE), [6, 5, 4, 3]),
    (HistoryFilter(source=GrantSource.GOODWILL), [9]),
    (HistoryFilter(source=GrantSource.BONUS), []),
    (HistoryFilter(source=GrantSource.PURCHASE, types=(EntryType.REFUNDED,)), [5]),
    (HistoryFilter(source=GrantSource.PLAN, kinds=(GrantKind.PERMANENT,)), [6, 5, 4]),
)


@pytest.mark.usefixtures("mixed")
async def test_kinds_and_sources_are_those_of_the_grants_a_line_names(store: CentralStore) -> None:
    """Its own grant's, or those that its draws are on. A line that names none matches no such filter."""
    for wanted, numbers in BY_GRANT:
        assert [each.number for each in await page(store, 100, wanted=wanted)] == numbers, wanted


async def test_a_void_and_a_lapse_are_found_by_the_source_of_their_grant(
    store: CentralStore, here: Peer, clock: ManualClock
) -> None:
    """They name the grant alone."""
    await opened(store, daily=5)
    bonus = done(await store.administration.grant_credits(replace(giving("b", 3), source=GrantSource.BONUS)))
    await void(store, bonus.grant_id)
    clock.advance(DAY)
    await give(store, "touch", 1)
    assert [each.type.value for each in await page(store, 9, wanted=HistoryFilter(source=GrantSource.BONUS))] == [
        "VOIDED",
        "GRANTED",
    ]
    lapsed = HistoryFilter(source=GrantSource.PLAN, types=(EntryType.LAPSED,))
    assert [each.amount for each in await page(store, 9, wanted=lapsed)] == [-5]


# By label.

LABELS: tuple[dict[str, str], ...] = (
    {"job": "1"},
    {"job": "11", "team": "a"},
    {"job": '1","x":"1'},
    {"x": "job"},
    {'"job"': "1", "$.job": "1", "a.b": "c"},
    {"job": ""},
    {"Job": "1", "jo%": "1", "日本": "東\u2028京", "tab": "a\tb\\n", "'": "'"},
    {},
)


BY_LABEL: tuple[tuple[LabelFilter, list[int]], ...] = (
    (LabelFilter("job"), [7, 4, 3, 2]),
    (LabelFilter("job", "1"), [2]),
    (LabelFilter("job", "11"), [3]),
    (LabelFilter("job", ""), [7]),
    (LabelFilter("job", "%"), []),
    (LabelFilter("job", '1","x":"1'), [4]),
    (LabelFilter("x", "1"), []),
    (LabelFilter("x"), [5]),
    (LabelFilter('"job"', "1"), [6]),
    (LabelFilter("$.job"), [6]),
    (LabelFilter("a.b", "c"), [6]),
    (LabelFilter("jo%"), [8]),
    (LabelFilter("Job", "1"), [8]),
    (LabelFilter("日本", "東\u2028京"), [8]),
    (LabelFilter("tab", "a\tb\\n"), [8]),
    (LabelFilter("'", "'"), [8]),
    (LabelFilter("nobody"), []),
)


async def test_labels_match_exactly(store: CentralStore, here: Peer) -> None:
    """By key, and by value if one is asked for; no key or value looks like another to either engine."""
    await opened(store, permanent=100)
    await here.exchange(need=50)
    for number, labels in enumerate(LABELS):
        await here.exchange(replace(here.charge(f"c{number}", 1), labels=labels))
    for label, numbers in BY_LABEL:
        assert [each.number for each in await page(store, 100, wanted=HistoryFilter(label=label))] == numbers, label


# How far a page looks.


@pytest.mark.usefixtures("busy")
async def test_a_page_looks_at_so_many_lines_and_says_where_to_go_on(
    store: CentralStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be short or empty before the end; the pages together have every line that matches, once."""
    monkeypatch.setattr(reading, "MAX_LINES_LOOKED_AT", 3)
    found, before = [], None
    while True:
        lines = await store.reader.list_history(ACME, HistoryFilter(action="text"), 10, before)
        assert isinstance(lines, Lines)
        found.append([each.number for each in lines.entries])
        before = lines.next_before
        if before is None:
            break
    assert found == [[7], [3, 2], []]


@pytest.mark.usefixtures("busy")
async def test_the_last_page_says_that_there_is_no_more(store: CentralStore) -> None:
    """Also if it is full."""
    for limit, more in ((6, 2), (7, None), (8, None)):
        lines = await store.reader.list_history(ACME, HistoryFilter(), limit)
        assert isinstance(lines, Lines)
        assert lines.next_before == more


@pytest.mark.usefixtures("busy")
async def test_a_range_of_time_is_the_same_however_it_is_looked_for(
    store: CentralStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page; with lines posted late in it, and others before and after it."""
    give_late = giving("late", 1, effective_at=Instant(NOON + 9 * HOUR))
    done(await store.administration.grant_credits(give_late))
    for part, looked_at in product((1, 2, 1_000), (1, 3, 4, 50_000)):
        monkeypatch.setattr(reading, "PART", part)
        monkeypatch.setattr(reading, "MAX_LINES_LOOKED_AT", looked_at)
        for wanted, numbers in (
            (HistoryFilter(start=Instant(NOON + 2 * HOUR), end=Instant(NOON + 5 * HOUR)), [5, 4, 3]),
            (HistoryFilter(start=Instant(NOON + 5 * HOUR)), [8, 7, 6]),
            (HistoryFilter(end=Instant(NOON + 4 * HOUR), action="text"), [3, 2]),
            (HistoryFilter(start=Instant(NOON + 9 * HOUR)), [8]),
        ):
            assert await one_by_one(store, wanted) == numbers, (part, looked_at, wanted)


async def one_by_one(store: CentralStore, wanted: HistoryFilter) -> list[int]:
    """What pages of one line show."""
    found: list[int] = []
    before: int | None = None
    while True:
        lines = await store.reader.list_history(ACME, wanted, 1, before)
        assert isinstance(lines, Lines)
        found += [each.number for each in lines.entries]
        before = lines.next_before
        if before is None:
            return found


@pytest.mark.usefixtures("busy")
async def test_a_quiet_range_of_time_ends_at_once(store: CentralStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is behind more lines than are looked at for a page."""
    monkeypatch.setattr(reading, "MAX_LINES_LOOKED_AT", 2)
    quiet = HistoryFilter(start=Instant(NOON + HOUR), end=Instant(NOON + HOUR + 1))
    found = await store.reader.list_history(ACME, quiet, 5)
    assert isinstance(found, Lines)
    assert ([each.number for each in found.entries], found.next_before) == ([2], None)
    none = await store.reader.list_history(ACME, HistoryFilter(start=NOON, end=NOON), 5)
    assert none == Lines([], None)


async def test_what_is_posted_is_of_the_pages_moment(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """Also a duplicate, of which no line tells, and a charge whose line is on another page."""
    await opened(store, permanent=100)
    for each in (here, elsewhere):
        await each.exchange(need=10)
    first, again, waits = here.charge("c", 1), elsewhere.charge("c", 1), here.charge("d", 1)
    await here.exchange(first)
    await elsewhere.exchange(again)
    await give(store, "gift", 1)
    asked = [each.charge_id for each in (first, again, waits)]
    found = await store.reader.list_history(ACME, HistoryFilter(), 1, None, asked)
    assert isinstance(found, Lines)
    assert found.posted == {first.charge_id, again.charge_id}
