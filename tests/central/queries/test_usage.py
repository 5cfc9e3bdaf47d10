"""Usage and grants as the store reads them: bounded pages, one snapshot, and the charges that count."""

from decimal import Decimal

import pytest

from creditmeter.central.queries import usage
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.charges import PricedPart, RefundMode
from creditmeter.core.credit.grants import Grant, GrantCursor
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, HOUR, Instant
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.reports.usage_summary import Dimension, LabelKey, UsageQuery, UsageSummary
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from tests.central.accounts import ACME, give, history, opened, refund
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


@pytest.fixture
async def busy(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Seven charges of 1 to 7, an hour apart from noon on, of two models and three jobs; two at the same moment."""
    await opened(store, daily=4, permanent=100)
    await here.exchange(need=60)
    for number in range(1, 8):
        model = Usage(action="text", request_model=f"m{number % 2}", input_tokens=number, output_tokens=1)
        made = replace(here.charge(f"c{number}", number, usage=model), labels={"job": f"j{number % 3}"})
        await here.exchange(replace(made, cost_usd=Decimal("0.1")))
        clock.advance(0 if number == 3 else HOUR)


async def summed(store: CentralStore, wanted: UsageQuery, limit: int = 100) -> UsageSummary:
    """A summary of the account."""
    found = await store.usage.summarize(wanted, limit)
    assert isinstance(found, UsageSummary)
    return found


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("page", [1, 2, 3, 7, 500])
async def test_all_charges_are_summed_however_they_are_read(
    store: CentralStore, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a page ends between two of one moment."""
    monkeypatch.setattr(usage, "PAGE", page)
    found = await summed(store, UsageQuery(ACME, group_by=[Dimension.MODEL]))
    assert {keys: (each.charges, each.cost) for keys, each in found.page()} == {("m0",): (3, 12), ("m1",): (4, 16)}
    total = found.total
    assert (total.charges, total.cost, total.covered, total.cost_usd) == (7, 28, 28, Decimal("0.7"))
    assert (total.input_tokens, total.output_tokens) == (28, 7)


@pytest.mark.usefixtures("busy")
async def test_a_charge_of_two_models_is_split_by_model(store: CentralStore, here: Peer) -> None:
    """As the bill of the provider is: 0.2 dollars of the helper's are in none of the sums of the model that answered."""
    run = Usage(action="text", request_model="m1", input_tokens=1_100, output_tokens=110)
    parts = (
        PricedPart("", "m1", "", {"input_tokens": 1_000, "output_tokens": 100}, {}, Decimal("0.5")),
        PricedPart("", "m2", "", {"input_tokens": 100, "output_tokens": 10}, {}, Decimal("0.2")),
    )
    await here.exchange(replace(here.charge("c8", 8, usage=run), cost_usd=Decimal("0.7"), priced_parts=parts))
    found = dict((await summed(store, UsageQuery(ACME, group_by=[Dimension.MODEL]))).page())
    assert {keys: (each.cost_usd, each.input_tokens, each.charges, each.cost) for keys, each in found.items()} == {
        ("m0",): (Decimal("0.3"), 12, 3, 12),
        ("m1",): (Decimal("0.9"), 1_016, 5, 24),
        ("m2",): (Decimal("0.2"), 100, 0, 0),
    }


@pytest.mark.usefixtures("busy")
async def test_charges_are_those_committed_in_time(store: CentralStore) -> None:
    """The start is inclusive, the end exclusive; charges 3 and 4 are of two hours after noon."""
    for start, end, cost in (
        (None, None, 28),
        (2 * HOUR, None, 25),
        (2 * HOUR + 1, None, 18),
        (None, 2 * HOUR, 3),
        (HOUR, 3 * HOUR, 9),
        (HOUR, HOUR, 0),
        (DAY, None, 0),
    ):
        first, last = (None if each is None else Instant(NOON + each) for each in (start, end))
        assert (await summed(store, UsageQuery(ACME, first, last))).total.cost == cost, (start, end)


@pytest.mark.usefixtures("busy")
async def test_kinds_split_what_was_covered(store: CentralStore) -> None:
    """The third charge was paid by two kinds: the day's 4 were used up."""
    found = dict((await summed(store, UsageQuery(ACME, group_by=[Dimension.KIND, LabelKey("job")]))).page())
    covered = {keys: totals.covered for keys, totals in found.items()}
    assert sum(amount for keys, amount in covered.items() if keys[0] == "GRANT_KIND_DAILY") == 4
    assert covered["GRANT_KIND_DAILY", "j0"] == 1
    assert covered["GRANT_KIND_PERMANENT", "j0"] == 8
    assert sum(covered.values()) == 28


@pytest.mark.parametrize("mode", RefundMode)
@pytest.mark.parametrize("later", [0, DAY])
async def test_a_refund_is_booked_on_the_kinds_whose_draws_it_undid(
    store: CentralStore, here: Peer, clock: ManualClock, mode: RefundMode, later: int
) -> None:
    """Last drawn first, wherever the credit went: back, lapsed, or into goodwill. Cancelled debt had been paid by none."""
    await opened(store, daily=3, permanent=4, overdraft=5)
    made = here.charge("c", 0, excess=9)
    await here.exchange(made)
    clock.advance(later)
    for number, amount in enumerate((4, 3)):
        await refund(store, made.charge_id, amount, mode=mode, name=f"refund {number}")
    found = await summed(store, UsageQuery(ACME, group_by=[Dimension.KIND]))
    refunded = {keys[0]: totals.refunded for keys, totals in found.page()}
    assert refunded == {"GRANT_KIND_DAILY": 1, "GRANT_KIND_PERMANENT": 4}
    assert found.total.refunded == 5


async def test_a_duplicate_is_not_in_it_and_a_refund_shows(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """The same request charged through two sidecars counts once."""
    await opened(store, permanent=100)
    for each in (here, elsewhere):
        await each.exchange(need=10)
    first = here.charge("c", 5, request="same")
    await here.exchange(first)
    await elsewhere.exchange(elsewhere.charge("c", 5, request="same"))
    await refund(store, first.charge_id, 2)
    total = (await summed(store, UsageQuery(ACME))).total
    assert (total.charges, total.cost, total.covered, total.refunded) == (1, 5, 5, 2)


async def test_debt_and_what_was_written_off_are_apart(store: CentralStore, here: Peer) -> None:
    """As the charges stand now: debt that was repaid is covered."""
    await opened(store, permanent=3, overdraft=4)
    await here.exchange(here.charge("c", 0, excess=10))
    total = (await summed(store, UsageQuery(ACME))).total
    assert (total.cost, total.covered, total.debt, total.uncovered) == (10, 3, 4, 3)
    await give(store, "more", 1)
    total = (await summed(store, UsageQuery(ACME))).total
    assert (total.covered, total.debt, total.uncovered) == (4, 3, 3)


async def test_days_are_those_of_the_accounts_zone(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Noon in London is the evening in Tokyo; four hours later it is the next day there."""
    await opened(store, permanent=9, time_zone="Asia/Tokyo")
    await here.exchange(need=5)
    await here.exchange(here.charge("c1", 1))
    clock.advance(2 * HOUR)
    await here.exchange(here.charge("c2", 2))
    clock.advance(2 * HOUR)
    await here.exchange(here.charge("c3", 0, excess=4))
    found = await summed(store, UsageQuery(ACME, group_by=[Dimension.DAY]))
    assert [(keys, each.cost) for keys, each in found.page()] == [(("2026-11-24",), 3), (("2026-11-25",), 4)]


async def test_an_unknown_account_has_no_usage(store: CentralStore) -> None:
    """It is not one without charges."""
    await opened(store)
    assert (await summed(store, UsageQuery(ACME))).total.charges == 0
    nobody = AccountId("nobody")
    assert await store.usage.summarize(UsageQuery(nobody), 1) == AccountNotFound(nobody)
    assert await store.reader.list_grants(nobody, 1) == AccountNotFound(nobody)


async def test_all_grants_are_listed_newest_first_while_others_arrive(store: CentralStore, clock: ManualClock) -> None:
    """Ended ones too, each once: what comes after the first page is not on the next ones."""
    await opened(store, daily=5)
    for number in range(3):
        await give(store, f"g{number}", 1)
        clock.advance(DAY)
        await give(store, f"h{number}", 1)
    stored = {each.grant_id for each in await history(store) if each.grant_id is not None}
    pages: list[list[Grant]] = []
    after = None
    while True:
        found = await store.reader.list_grants(ACME, 2, after)
        assert isinstance(found, list)
        if not found:
            break
        pages.append(found)
        after = GrantCursor(found[-1].created_at, found[-1].grant_id)
        await give(store, f"late {len(pages)}", 1)
    listed = [each for page in pages for each in page]
    assert [len(page) for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert [each.created_at for each in listed] == sorted((each.created_at for each in listed), reverse=True)
    assert {each.grant_id for each in listed} == stored
    assert len(listed) == len(stored) == 10
    assert any(each.lapsed for each in listed)
