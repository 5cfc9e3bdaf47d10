"""The meter over a real journal and a real central store: what callers are answered, and where the credits are afterwards."""

import asyncio
from typing import Any

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.history import EntryType, HistoryFilter
from creditmeter.core.credit.requests import ChargeNow, Done, Extend, Reserve
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, ChargeId, RequestId, ReservationId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.core.refusals import (
    AccountNotFound,
    AccountSuspended,
    ChargeNotFound,
    InsufficientCredits,
    RefundExceedsCharge,
    Refusal,
    RequestIdReused,
    ReservationCommitted,
    ReservationElsewhere,
    ReservationExpired,
    ReservationNotFound,
    ReservationReleased,
    ShuttingDown,
    UnpricedWork,
)
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from creditmeter.forms.rate_cards import load
from creditmeter.sidecar.reader import Balance, HistoryPage
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, receipt, refund, release, reservation, reserve


async def test_of_many_parallel_reserves_exactly_as_many_pass_as_there_is_credit_for(bench: Bench) -> None:
    """32 calls of 6 credits on an account with 10: one yes, and 31 refusals that name what is there."""
    await bench.account(permanent=10)
    outcomes = await asyncio.gather(*(reserve(bench, f"r{number}", 6) for number in range(32)))
    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert len(refused) == 31
    assert set(refused) == {InsufficientCredits(credits(6), credits(4), (await bench.summary()).next_reset_at)}
    assert (await bench.summary()).available == credits(4)


async def test_a_burn_draws_daily_then_monthly_then_permanent(bench: Bench) -> None:
    """A burn of 9 on daily 3, monthly 4 and permanent 10 leaves 0, 0 and 8, and history shows three draws in that order."""
    await bench.account(daily=3, monthly=4, permanent=10)
    await charge(bench, "burn", 9)
    await bench.sidecar.settle()
    assert await bench.remaining() == (0, 0, 8)
    (charged,) = [each for each in await bench.history() if each.type is EntryType.CHARGED]
    assert [(draw.kind.value, draw.amount) for draw in charged.draws] == [
        ("DAILY", credits(3)),
        ("MONTHLY", credits(4)),
        ("PERMANENT", credits(2)),
    ]


@pytest.mark.parametrize(
    ("cost", "overdraft", "available", "covered", "debt", "uncovered"),
    [
        pytest.param(0, 0, 20, 0, 0, 0, id="zero means zero"),
        pytest.param(4, 0, 16, 4, 0, 0, id="below the hold"),
        pytest.param(6, 0, 14, 6, 0, 0, id="at the hold"),
        pytest.param(15, 0, 5, 15, 0, 0, id="above the hold, within what is available"),
        pytest.param(25, 0, 0, 20, 0, 5, id="above everything: the rest is written off"),
        pytest.param(25, 3, 0, 20, 3, 2, id="above everything with an overdraft: debt, then written off"),
    ],
)
async def test_commit_settles_what_was_used(
    bench: Bench, cost: float, overdraft: float, available: float, covered: float, debt: float, uncovered: float
) -> None:
    """A hold of 6 on 20 credits, committed at this cost and settled."""
    await bench.account(permanent=20, overdraft_limit=credits(overdraft))
    hold = await held(bench, "r", 6)
    done = await commit(bench, "c", hold, cost)
    assert reservation(done).state is ReservationState.COMMITTED
    assert (await bench.summary()).available == credits(available), "a caller reads its own writes before settlement"
    await bench.sidecar.settle()
    summary = await bench.summary()
    assert (summary.available, summary.held, summary.debt) == (credits(available), 0, credits(debt))
    posted = await bench.sidecar.reader.charge(charge_id(done))
    assert not isinstance(posted, Refusal)
    assert posted.posting is not None
    assert (posted.posting.covered, posted.posting.debt, posted.posting.uncovered) == (
        credits(covered),
        credits(debt),
        credits(uncovered),
    )


async def test_a_reservation_reaches_one_end(bench: Bench) -> None:
    """After a commit, a release or an expiry, other requests are refused, each with its reason."""
    await bench.account(permanent=50)
    committed, released, expired = [await held(bench, name, 5) for name in ("a", "b", "c")]
    await commit(bench, "commit a", committed, 5)
    await release(bench, "release b", released)
    bench.clock.advance(10 * MINUTE)
    assert isinstance(await commit(bench, "again a", committed, 5), ReservationCommitted)
    assert isinstance(await release(bench, "release a", committed), ReservationCommitted)
    assert isinstance(await commit(bench, "commit b", released, 5), ReservationReleased)
    assert isinstance(await release(bench, "again b", released), ReservationReleased)
    assert isinstance(await release(bench, "release c", expired), ReservationExpired)
    assert (await bench.summary()).available == credits(45)


async def test_a_repeated_request_gets_its_first_reply(bench: Bench) -> None:
    """Also after the reservation has moved on; and an id used for something else is refused, naming the field."""
    await bench.account(permanent=50)
    first = await reserve(bench, "r", 5)
    hold = reservation(first)
    done = await commit(bench, "c", hold, 3)
    assert await reserve(bench, "r", 5) == Done(receipt(first), replayed=True)
    assert await commit(bench, "c", hold, 3) == Done(receipt(done), replayed=True)
    assert await reserve(bench, "r", 6) == RequestIdReused("amount")
    assert await commit(bench, "r", hold, 3) == RequestIdReused("rpc")
    assert (await bench.summary()).available == credits(47)


async def test_identical_requests_in_flight_have_one_effect(bench: Bench) -> None:
    """Both get the reply of the one that took effect."""
    await bench.account(permanent=50)
    outcomes = await asyncio.gather(*(reserve(bench, "same", 5) for _ in range(8)))
    assert len({reservation(each).reservation_id for each in outcomes}) == 1
    assert sorted(each.replayed for each in outcomes if isinstance(each, Done)) == [False] + [True] * 7
    assert (await bench.summary()).held == credits(5)


async def test_an_expired_hold_is_free_from_its_deadline_on(bench: Bench) -> None:
    """At the very instant: expire, then reserve. Nothing had to sweep."""
    await bench.account(permanent=10)
    hold = reservation(await reserve(bench, "first", 10, ttl=30 * SECOND))
    bench.clock.advance(30 * SECOND - 1)
    assert isinstance(await reserve(bench, "too early", 10), InsufficientCredits)
    bench.clock.advance(1)
    assert (await held(bench, "second", 10)).held == credits(10)
    ended = await bench.sidecar.reader.reservation(hold.reservation_id)
    assert not isinstance(ended, Refusal)
    assert (ended.state, ended.held) == (ReservationState.EXPIRED, 0)


async def test_a_late_commit_counts_once_and_within_its_window(bench: Bench) -> None:
    """It is charged like excess and flagged late; a day after the deadline it is refused."""
    await bench.account(permanent=20)
    in_time, too_late = await held(bench, "a", 5), await held(bench, "b", 5)
    bench.clock.advance(11 * MINUTE)
    done = await commit(bench, "late", in_time, 5, keep_open=True)
    charged = receipt(done).charge
    assert charged is not None
    assert charged.late
    assert reservation(done).state is ReservationState.COMMITTED, "keep_open is ignored"
    assert isinstance(await commit(bench, "later", in_time, 5), ReservationCommitted)
    bench.clock.advance(DAY)
    assert isinstance(await commit(bench, "too late", too_late, 5), ReservationExpired)
    await bench.sidecar.settle()
    assert (await bench.summary()).available == credits(15)


async def test_keep_open_charges_now_and_keeps_the_rest(bench: Bench) -> None:
    """Several commits of one hold, of which the last goes beyond it."""
    await bench.account(permanent=20)
    hold = await held(bench, "r", 10)
    first = reservation(await commit(bench, "c1", hold, 4, keep_open=True))
    assert (first.state, first.held, first.charged) == (ReservationState.HELD, credits(6), credits(4))
    second = reservation(await commit(bench, "c2", hold, 6, keep_open=True))
    assert (second.state, second.held) == (ReservationState.HELD, 0)
    last = reservation(await commit(bench, "c3", hold, 2))
    assert (last.state, last.charged, len(last.charge_ids)) == (ReservationState.COMMITTED, credits(12), 3)
    await bench.sidecar.settle()
    assert (await bench.summary()).available == credits(8)


async def test_extend_raises_the_total_and_pushes_the_deadline(bench: Bench) -> None:
    """Refused, the old hold stands; no hold outlives an hour."""
    await bench.account(permanent=20)
    hold = await held(bench, "r", 5)
    extend = bench.sidecar.meter.answer
    raised = reservation(await extend(Extend(RequestId("e1"), hold.reservation_id, amount=credits(12))))
    assert (raised.held, raised.expires_at) == (credits(12), hold.expires_at)
    refused = await extend(Extend(RequestId("e2"), hold.reservation_id, amount=credits(21)))
    assert isinstance(refused, InsufficientCredits)
    assert (await bench.summary()).held == credits(12)
    pushed = reservation(await extend(Extend(RequestId("e3"), hold.reservation_id, ttl=HOUR)))
    assert pushed.expires_at == hold.created_at + HOUR
    bench.clock.advance(HOUR)
    assert isinstance(await extend(Extend(RequestId("e4"), hold.reservation_id, ttl=HOUR)), ReservationExpired)


@pytest.mark.parametrize("settled", [False, True], ids=["before it is sent", "after it is settled"])
@pytest.mark.parametrize("mode", list(RefundMode))
async def test_a_charge_is_refunded_in_parts_and_not_beyond(bench: Bench, mode: RefundMode, settled: bool) -> None:
    """9 credits: 4 back, then 3, then 3 are too many, then all that is left, then nothing is left."""
    await bench.account(permanent=20)
    made = charge_id(await charge(bench, "charge", 9))
    if settled:
        await bench.sidecar.settle()
    assert isinstance(await refund(bench, "1", made, 4, mode=mode), Done)
    assert isinstance(await refund(bench, "2", made, 3, mode=mode), Done)
    assert await refund(bench, "3", made, 3, mode=mode) == RefundExceedsCharge(credits(2))
    last = receipt(await refund(bench, "4", made, mode=mode)).refund
    assert last is not None
    assert last.amount == credits(2)
    assert await refund(bench, "5", made, mode=mode) == RefundExceedsCharge(credits(0))
    repeated = await refund(bench, "4", made, mode=mode)
    assert isinstance(repeated, Done)
    assert repeated.replayed
    await bench.sidecar.settle()
    assert (await bench.summary()).available == credits(20)


async def test_a_refund_of_excess_waits_for_what_was_covered(bench: Bench) -> None:
    """Written-off cost is not refundable: of a cost of 9 on 5 credits, 5 come back."""
    await bench.account(permanent=5)
    hold = await held(bench, "r", 5)
    made = charge_id(await commit(bench, "c", hold, 9))
    assert await refund(bench, "too much", made, 6) == RefundExceedsCharge(credits(5))
    assert isinstance(await refund(bench, "all", made), Done)
    assert (await bench.summary()).available == credits(5)


async def test_free_actions_need_no_credit(bench: Bench) -> None:
    """Viewing costs 0 and is allowed at balance 0; a search costs 1 and is not."""
    await bench.account()
    view = ChargeNow(RequestId("view"), ACCOUNT, usage=Usage(action="view"))
    search = ChargeNow(RequestId("search"), ACCOUNT, usage=Usage(action="tool", tool="web_search"))
    seen = receipt(await bench.sidecar.meter.answer(view)).charge
    assert seen is not None
    assert seen.cost == 0
    assert isinstance(await bench.sidecar.meter.answer(search), InsufficientCredits)


async def test_a_cost_already_incurred_is_never_refused(bench: Bench) -> None:
    """It is a fact: what nothing covers is written off."""
    await bench.account(permanent=3)
    made = charge_id(await charge(bench, "fact", 8, already_incurred=True))
    await bench.sidecar.settle()
    found = await bench.sidecar.reader.charge(made)
    assert not isinstance(found, Refusal)
    assert found.posting is not None
    assert (found.posting.covered, found.posting.uncovered) == (credits(3), credits(5))


async def test_a_partial_reserve_takes_what_there_is(bench: Bench) -> None:
    """And says how many output tokens that pays for."""
    await bench.account(permanent=2)
    work = Work(action="text", request_model="gpt-4o", input_tokens=1_000, max_output_tokens=100_000)
    whole = Reserve(RequestId("whole"), ACCOUNT, work=work)
    part = Reserve(RequestId("part"), ACCOUNT, work=work, allow_partial=True)
    assert isinstance(await bench.sidecar.meter.answer(whole), InsufficientCredits)
    got = reservation(await bench.sidecar.meter.answer(part))
    assert got.held == credits(2)
    assert got.max_output_tokens is not None
    assert 1 <= got.max_output_tokens < 100_000


async def test_a_hold_over_midnight_belongs_to_the_day_it_was_placed(bench: Bench) -> None:
    """8 of yesterday's 20 held at 23:59 and committed at 00:03 at 10: yesterday pays 8, today pays the other 2."""
    await bench.account(daily=20)
    bench.clock.advance(12 * HOUR - MINUTE)
    hold = await held(bench, "r", 8)
    bench.clock.advance(4 * MINUTE)
    assert (await bench.summary()).available == credits(20), "yesterday's hold does not lower today's credits"
    await commit(bench, "c", hold, 10)
    await bench.sidecar.settle()
    assert await bench.remaining() == (18, 0, 0)
    lapsed = [each.amount for each in await bench.history() if each.type is EntryType.LAPSED]
    assert lapsed == [-credits(12)]


async def test_a_suspended_account_starts_nothing_and_still_commits(bench: Bench) -> None:
    """Suspension counts once the lease is renewed."""
    await bench.account(permanent=10)
    hold = await held(bench, "r", 4)
    await bench.update("suspend", AccountUpdate(state=AccountState.SUSPENDED))
    bench.clock.advance(11 * MINUTE)
    assert isinstance(await reserve(bench, "new", 1), AccountSuspended)
    assert isinstance(await commit(bench, "c", hold, 4), Done)


async def test_what_does_not_exist_is_said_to_be_missing(bench: Bench) -> None:
    """Accounts, reservations and charges; and a reservation of another sidecar is named with its sidecar."""
    unknown = await bench.sidecar.meter.answer(Reserve(RequestId("r"), AccountId("nobody"), amount=credits(1)))
    assert unknown == AccountNotFound("nobody")
    elsewhere = ReservationId("res-aaaaaaaaaaaaaaaa-s0-1")
    assert isinstance(await bench.sidecar.reader.reservation(elsewhere), ReservationElsewhere)
    assert isinstance(await bench.sidecar.reader.reservation(ReservationId("nonsense")), ReservationNotFound)
    assert isinstance(await refund(bench, "x", ChargeId("chg-aaaaaaaaaaaaaaaa-s0-1")), ChargeNotFound)


async def test_a_draining_sidecar_finishes_what_it_began(bench: Bench) -> None:
    """Reserve is refused; Commit and repeated requests are answered; then all idle credit is returned."""
    await bench.account(permanent=10)
    hold = await held(bench, "r", 4)
    bench.sidecar.drain()
    assert isinstance(await reserve(bench, "new", 1), ShuttingDown)
    assert isinstance(await reserve(bench, "r", 4), Done)
    assert isinstance(await commit(bench, "c", hold, 3), Done)
    assert await bench.sidecar.stop(grace_seconds=10)
    assert (await bench.summary()).leased == 0


async def test_charges_that_wait_to_be_posted_come_apart(bench: Bench) -> None:
    """History shows them as pending, by the same filters, until they are lines of their own."""
    await bench.account(permanent=20)
    search = ChargeNow(RequestId("s"), ACCOUNT, usage=Usage(action="tool", tool="web_search"))
    await bench.sidecar.meter.answer(search)

    async def shown(**wanted: str) -> tuple[int, int]:
        page = await bench.sidecar.reader.history(ACCOUNT, HistoryFilter(**wanted), 10)  # type: ignore[arg-type]  # words only
        assert isinstance(page, HistoryPage)
        return len(page.entries), len(page.pending)

    assert await shown() == (1, 1)
    assert await shown(tool="web_search") == (0, 1)
    assert await shown(tool="seo_search") == (0, 0)
    await bench.sidecar.settle()
    assert await shown(tool="web_search") == (1, 0)


async def test_what_is_listed_is_on_disk(bench: Bench) -> None:
    """A reservation that was decided while the listing waited for the disk is not acknowledged, and not shown."""
    await bench.account(permanent=50)
    await held(bench, "kept", 5)
    reserving = [asyncio.create_task(reserve(bench, "seen", 1))]
    await asyncio.sleep(0)
    listing = asyncio.create_task(bench.sidecar.reader.reservations(ACCOUNT, None, 10))
    await asyncio.sleep(0)
    reserving.append(asyncio.create_task(reserve(bench, "late", 1)))
    assert {each.request_id for each in await listing} == {"kept", "seen"}
    assert all(isinstance(each, Done) for each in await asyncio.gather(*reserving))


async def test_a_charge_is_posted_or_pending_never_neither(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is posted while its history is read."""
    await bench.account(permanent=50)
    paid = charge_id(await charge(bench, "c", 5))
    real = bench.central.reader.list_history

    async def before_it_is_posted(*asked: Any) -> Any:
        found = await real(*asked)
        await bench.sidecar.settle()
        return found

    async def after_it_was_posted(*asked: Any) -> Any:
        await bench.sidecar.settle()
        return await real(*asked)

    for read in (before_it_is_posted, after_it_was_posted):
        monkeypatch.setattr(bench.central.reader, "list_history", read)
        page = await bench.sidecar.reader.history(ACCOUNT, HistoryFilter(), 10)
        assert isinstance(page, HistoryPage)
        charged = [each.charge_id for each in page.entries if each.type is EntryType.CHARGED]
        assert charged + [each.charge_id for each in page.pending] == [paid]


async def test_a_stale_balance_counts_what_others_hold_once(bench: Bench, other: Bench) -> None:
    """What was held elsewhere at the last reading is not taken for given back here."""
    await bench.account(permanent=100)
    await held(other, "elsewhere", 60)
    await other.sidecar.settle()
    await charge(bench, "c", 1)
    await bench.sidecar.settle()
    live = await bench.summary()
    await held(bench, "since", 3)
    bench.wire.is_cut = True
    stale = await bench.sidecar.reader.balance(ACCOUNT)
    assert isinstance(stale, Balance)
    assert stale.stale
    assert (stale.summary.available, stale.summary.held) == (live.available - credits(3), live.held + credits(3))


@pytest.mark.parametrize("first", ["history", "grants", "balance", "forecast"])
async def test_what_is_idle_here_at_midnight_lapses_before_the_new_day_is_granted(bench: Bench, first: str) -> None:
    """Whatever is read first: the lease of the ended day is given back before."""
    await bench.account(daily=5)
    await charge(bench, "c", 1)
    await bench.sidecar.settle()
    await release(bench, "release", await held(bench, "h", 3))
    bench.clock.advance(DAY)
    reader = bench.sidecar.reader
    match first:
        case "grants":
            await reader.grants(ACCOUNT, 10)
        case "balance":
            await reader.balance(ACCOUNT)
        case "forecast":
            await reader.forecast(ACCOUNT)
    page = await reader.history(ACCOUNT, HistoryFilter(), 10)
    assert isinstance(page, HistoryPage)
    assert [(each.type.value, each.amount) for each in reversed(page.entries)] == [
        ("GRANTED", credits(5)),
        ("CHARGED", -credits(1)),
        ("LAPSED", -credits(4)),
        ("GRANTED", credits(5)),
    ]


async def test_a_stale_balance_names_no_reset_that_is_over(bench: Bench) -> None:
    """Midnight passes while the store is away: the reset that it names is the one to come."""
    await bench.account(daily=5, permanent=100)
    await charge(bench, "c", 1)
    then = (await bench.summary()).next_reset_at
    assert then is not None
    bench.wire.is_cut = True
    bench.clock.advance(DAY)
    stale = await bench.sidecar.reader.balance(ACCOUNT)
    assert isinstance(stale, Balance)
    assert (stale.stale, stale.summary.next_reset_at) == (True, then + DAY)


async def test_reading_leaves_nothing_behind(bench: Bench) -> None:
    """A balance of an account that this sidecar does not meter, or of one that does not exist, also while the store is away."""
    await bench.account(permanent=5)
    await bench.sidecar.reader.balance(ACCOUNT)
    assert isinstance(await bench.sidecar.reader.balance(AccountId("nobody")), AccountNotFound)
    bench.wire.is_cut = True
    with pytest.raises(CentralUnavailable):
        await bench.sidecar.reader.balance(AccountId("nobody"))
    with pytest.raises(CentralUnavailable):
        await bench.sidecar.meter.answer(Reserve(RequestId("r"), AccountId("nobody"), amount=credits(1)))
    assert list(bench.sidecar.books) == []


async def test_a_request_that_took_effect_is_replayed_though_it_has_no_price_any_more(bench: Bench, card: LoadedCard) -> None:
    """The sidecar was started again with a card that does not know the model."""
    await bench.account(permanent=5)
    work = Work("engagement")
    reserved = Reserve(RequestId("r"), ACCOUNT, work=work)
    first = reservation(await bench.sidecar.meter.answer(reserved))
    extended = Extend(RequestId("e"), first.reservation_id, work=replace(work, quantity=2))
    await bench.sidecar.meter.answer(extended)
    charged = ChargeNow(RequestId("c"), ACCOUNT, usage=Usage("engagement"))
    await bench.sidecar.meter.answer(charged)
    document = card.kept.document.replace("[actions.engagement]", "[actions.another]").replace("default-", "without-")
    bench.use(load(document, bundled_price_list))
    await bench.restart()
    for repeated in (
        await bench.sidecar.meter.answer(reserved),
        await bench.sidecar.meter.answer(extended),
        await bench.sidecar.meter.answer(charged),
    ):
        assert isinstance(repeated, Done)
        assert repeated.replayed
    assert isinstance(await bench.sidecar.meter.answer(replace(reserved, request_id=RequestId("new"))), UnpricedWork)
