"""Messages to the central store that are lost, delayed, repeated, or whose fate is unknown: by hand, one sequence each."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.schema import tables
from creditmeter.central.verification.verification import verify
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.messages import Fenced, Message, Reply
from creditmeter.core.credit.requests import Done
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from creditmeter.core.metering.composing import MAX_CHARGES_PER_MESSAGE
from creditmeter.core.refusals import InsufficientCredits, RecallPending
from creditmeter.core.settlement.answering import RECLAIM_GRACE, SKEW_MARGIN
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.account_records import Mark
from creditmeter.sidecar.contact import LONGEST_WAIT, STEADY_AFTER
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.status import Condition
from tests.central.accounts import count
from tests.clocks import ManualClock
from tests.journal.files import held_up
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, refund, release, reserve
from tests.sidecar.wire import Fate

LEASE_TTL = 10 * MINUTE
RECLAIMED_AFTER = LEASE_TTL + SKEW_MARGIN + HOUR + RECLAIM_GRACE


async def test_a_top_up_whose_reply_is_lost(bench: Bench) -> None:
    """The caller gets CENTRAL_UNAVAILABLE; the same message sent again gets the same credit, not more."""
    await bench.account(permanent=20)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "r", 20)
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "at once", 20)
    bench.clock.advance(LONGEST_WAIT)
    assert isinstance(await reserve(bench, "r", 20), Done)
    first, again = bench.wire.sent
    assert first == again
    summary = await bench.summary()
    assert (summary.leased, summary.held) == (credits(20), credits(20))


async def test_a_return_delivered_twice(bench: Bench, other: Bench) -> None:
    """The copy arrives late, when the credit was leased to another: it frees nothing more."""
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 20))
    bench.clock.advance(MINUTE)
    await bench.round()
    returned = bench.wire.sent[-1]
    await held(other, "all", 20)
    await bench.wire.deliver_again(returned)
    assert isinstance(await reserve(bench, "more", 1), InsufficientCredits)
    assert (await bench.summary()).leased == credits(20)


async def test_an_old_return_arrives_after_a_newer_message(bench: Bench) -> None:
    """It has no effect: what it gave back has been leased again since."""
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 20))
    bench.clock.advance(MINUTE)
    await bench.round()
    returned = bench.wire.sent[-1]
    await held(bench, "again", 20)
    await bench.wire.deliver_again(returned)
    assert isinstance(await reserve(bench, "more", 1), InsufficientCredits)
    assert (await bench.summary()).leased == credits(20)


async def test_a_delayed_renewal(bench: Bench) -> None:
    """A lease is good for its time from before the message was sent, however late the answer comes."""
    await bench.account(permanent=40)
    await held(bench, "r", 1)
    book = bench.sidecar.books.open(ACCOUNT)
    bench.clock.advance(LEASE_TTL - MINUTE)
    await held(bench, "in use", 1)
    await bench.sidecar.tidy()
    bench.wire.is_open.clear()
    renewal = asyncio.create_task(bench.sidecar.settle())
    while len(bench.wire.sent) < 2:
        await asyncio.sleep(0)
    bench.clock.advance(2 * MINUTE)
    assert book.idle(bench.sidecar.books.moment()) == 0, "its time is over while the renewal is under way"
    bench.wire.is_open.set()
    await renewal
    assert book.idle(bench.sidecar.books.moment()) > 0
    bench.clock.advance(LEASE_TTL - 2 * MINUTE)
    assert book.idle(bench.sidecar.books.moment()) == 0, "and the two minutes under way are not added to it"


async def test_an_acquire_whose_outcome_is_unknown_over_a_restart(bench: Bench, other: Bench) -> None:
    """The credit was leased, and the answer was lost. The next run states that it holds nothing, so it is free again."""
    await bench.account(permanent=20)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "r", 20)
    assert (await other.summary()).leased == credits(20)
    await bench.restart()
    await bench.sidecar.settle()
    assert (await other.summary()).leased == 0
    assert isinstance(await reserve(other, "all", 20), Done)


async def test_a_registration_whose_reply_is_lost(bench: Bench) -> None:
    """Asked again with the same nonce, in this run or the next one, it is recognised."""
    await bench.account(permanent=20)
    await held(bench, "r", 5)
    await bench.crash()
    await bench.start()
    epoch = bench.journal.identity.epoch
    bench.wire.fates = [Fate.UNHEARD]
    await bench.restart()
    assert bench.journal.identity.epoch == epoch + 1
    assert isinstance(await reserve(bench, "more", 5), Done)


async def test_a_journal_copied_and_both_started_while_the_store_is_down(bench: Bench, tmp_path: Path) -> None:
    """Both commit the same hold. When the store is back one of them is fenced; what it charged is posted, and charged once."""
    await bench.account(permanent=20)
    hold = await held(bench, "r", 8)
    await bench.sidecar.settle()
    twin = bench.twin(tmp_path / "twin", ManualClock())
    await bench.crash()
    await bench.start(is_cut=True)
    await twin.start(is_cut=True)
    await commit(bench, "here", hold, 8)
    await commit(twin, "there", hold, 5)
    await charge(twin, "incurred", 2, already_incurred=True)
    bench.wire.is_cut = twin.wire.is_cut = False
    await bench.settled_in_the_end()
    await twin.settled_in_the_end()
    conditions = {each.sidecar.condition for each in (bench, twin)}
    assert conditions == {Condition.SERVING, Condition.FENCED}
    for each in (bench, twin):
        assert await each.sidecar.stop(20)
    charged = [each.amount for each in await bench.history() if each.type is EntryType.CHARGED]
    assert len(charged) == 2
    assert -credits(2) in charged
    assert set(charged) < {-credits(2), -credits(8), -credits(5)}
    await twin.crash()


async def test_a_fenced_copy_posts_first(bench: Bench, tmp_path: Path) -> None:
    """A charge that both have is drawn once, whichever posts it first, and the lease behind it is freed by its owner."""
    await bench.account(permanent=20)
    await charge(bench, "both", 8)
    twin = bench.twin(tmp_path / "twin", bench.clock)
    await twin.start()
    with pytest.raises(SidecarFenced):
        await bench.sidecar.settle()
    assert await bench.sidecar.stop(20)
    await twin.sidecar.settle()
    summary = await twin.summary()
    assert (summary.available, summary.unposted) == (credits(12), 0)
    assert [each.amount for each in await twin.history() if each.type is EntryType.CHARGED] == [-credits(8)]
    bench.clock.advance(MINUTE)
    await twin.round()
    assert (await twin.summary()).leased == 0
    await twin.crash()


async def test_a_wall_clock_that_steps_back_over_an_expiry(bench: Bench) -> None:
    """What has expired stays so, and what its credit was used for is not spent again."""
    await bench.account(permanent=20)
    old = await held(bench, "old", 20)
    bench.clock.advance(10 * MINUTE)
    new = await held(bench, "new", 20)
    bench.clock.step_wall(-30 * MINUTE)
    assert isinstance(await reserve(bench, "more", 1), InsufficientCredits)
    found = await bench.sidecar.reader.reservation(old.reservation_id)
    assert getattr(found, "state", None) is ReservationState.EXPIRED
    assert isinstance(await commit(bench, "commit", new, 20), Done)
    await bench.sidecar.settle()
    assert (await bench.summary()).available == 0


async def test_a_lost_sidecars_credit_is_back_after_the_documented_time(bench: Bench, other: Bench) -> None:
    """Not a moment before, and only when the others have been in touch for long enough; what it posts later is excess."""
    await bench.account(permanent=20)
    await charge(bench, "late", 6)
    await held(bench, "r", 14)
    await bench.sidecar.settle()
    await bench.sidecar.tidy()
    await charge(bench, "never posted in time", 0.5, already_incurred=True)
    await other.sidecar.beat()
    start = bench.clock.wall()
    bench.wire.is_cut = True

    async def at(moment: int) -> bool:
        """Whether the credit is back at a moment after the last word; the other one stays in touch."""
        while bench.clock.wall() < start + moment:
            bench.clock.advance(min(20 * SECOND, start + moment - bench.clock.wall()))
            await other.sidecar.beat()
        return isinstance(await reserve(other, f"at {moment}", 14, within=0.0), Done)

    assert not await at(RECLAIMED_AFTER - 1)
    assert await at(RECLAIMED_AFTER)
    bench.wire.is_cut = False
    await bench.settled_in_the_end()
    written_off = [each for each in await bench.history() if each.type is EntryType.WRITTEN_OFF]
    assert len(written_off) == 1


async def test_after_an_outage_no_sidecar_is_given_up_at_once(bench: Bench, other: Bench) -> None:
    """The store was away for hours: the sidecar that comes back first does not take what the others have."""
    await bench.account(permanent=20)
    hold = await held(bench, "r", 20)
    await bench.sidecar.settle()
    await other.sidecar.beat()
    bench.wire.is_cut = other.wire.is_cut = True
    await commit(bench, "commit", hold, 20)
    bench.clock.advance(5 * HOUR)
    await other.sidecar.beat()
    bench.wire.is_cut = other.wire.is_cut = False
    bench.clock.advance(LONGEST_WAIT)
    await other.sidecar.beat()
    assert isinstance(await reserve(other, "mine", 5, within=0.0), InsufficientCredits)
    await bench.settled_in_the_end()
    bench.clock.advance(STEADY_AFTER)
    await other.sidecar.beat()
    assert not any(each.type is EntryType.WRITTEN_OFF for each in await bench.history())


@pytest.mark.parametrize(("allowance", "granted"), [(0, False), (3, True), (2, False)])
async def test_an_allowance_for_outages(bench: Bench, allowance: int, granted: bool) -> None:
    """Without the store an account may use what is allowed for that, once an outage; it is settled as excess."""
    await bench.account(permanent=20, offline_allowance=credits(allowance))
    await held(bench, "known", 20)
    bench.wire.is_cut = True
    if not granted:
        with pytest.raises(CentralUnavailable):
            await reserve(bench, "offline", 3)
        return
    hold = await held(bench, "offline", 3)
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "more", 1)
    await commit(bench, "commit", hold, 2)
    assert isinstance(await reserve(bench, "the rest", 1), Done)
    await bench.grant("later", 5)
    bench.wire.is_cut = False
    await bench.settled_in_the_end()
    assert (await bench.summary()).available == credits(3)


async def test_what_is_sent_again_renews_nothing(bench: Bench) -> None:
    """The store answers as it did the first time, and counts from then: so does the sidecar."""
    await bench.account(permanent=20)
    await charge(bench, "c", 1)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await bench.sidecar.settle()
    bench.clock.advance(9 * MINUTE)
    await bench.sidecar.settle()
    (lease,) = bench.sidecar.books.open(ACCOUNT).leases.values()
    async with bench.central.database.read() as connection:
        trusted_until = (await connection.execute(select(tables.leases.c.trusted_until))).scalar_one()
    assert lease.trusted_until - bench.clock.boot() <= trusted_until - bench.clock.wall()


async def test_a_message_of_before_an_outage_gives_no_sidecar_up(bench: Bench, other: Bench) -> None:
    """It is sent again after the outage, when no other sidecar has sent anything yet."""
    await bench.account(permanent=20)
    paid = await held(other, "h", 5)
    await held(bench, "r", 1)
    for _ in range(9):
        bench.clock.advance(10 * SECOND)
        await bench.sidecar.beat()
        await other.sidecar.beat()
    await commit(other, "commit", paid, 5)
    await charge(bench, "c", 1)
    bench.wire.is_cut = other.wire.is_cut = True
    for each in (bench, other):
        with contextlib.suppress(CentralUnavailable):
            await each.sidecar.settle()
    bench.clock.advance(2 * HOUR)
    bench.wire.is_cut = other.wire.is_cut = False
    await bench.sidecar.settle()
    async with bench.central.database.read() as connection:
        closed = (await connection.execute(select(tables.leases.c.closed))).scalars().all()
    assert not any(closed)


async def test_a_nonce_that_was_not_written_down_is_not_used(bench: Bench) -> None:
    """A registration under it would be taken for another process's once the journal is read again."""
    await bench.account(permanent=20)
    await bench.crash()
    await bench.start(is_cut=True)
    await bench.break_disk()
    bench.wire.is_cut = False
    for _ in range(3):
        bench.clock.advance(LONGEST_WAIT)
        with pytest.raises(StorageUnavailable):
            await bench.sidecar.settle()
    await bench.mend_disk()
    await bench.sidecar.look_after()
    bench.clock.advance(LONGEST_WAIT)
    assert isinstance(await reserve(bench, "r", 5), Done)


async def test_what_was_not_written_down_is_never_sent(bench: Bench, other: Bench) -> None:
    """The disk failed under a commit that a message was to post: after the books were read again, it was never there."""
    await bench.account(permanent=20)
    hold = await held(bench, "h", 10)
    await bench.break_disk()
    for work in (commit(bench, "c", hold, 3), bench.sidecar.settle()):
        with pytest.raises(StorageUnavailable):
            await work
    await bench.mend_disk()
    await bench.sidecar.look_after()
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await bench.sidecar.settle()
    assert (await other.summary()).held == credits(10)
    assert not any(each.type is EntryType.CHARGED for each in await other.history())
    assert isinstance(await reserve(other, "too much", 11), InsufficientCredits)
    assert isinstance(await release(bench, "gone", hold), Done)


async def test_a_journal_set_back_authorises_nothing_that_is_spent(bench: Bench) -> None:
    """As from a snapshot of the machine: what was posted since is spent, whatever is in the old copy."""
    await bench.account(permanent=20)
    await charge(bench, "c", 1)
    await bench.sidecar.settle()
    copy = bench.copy_of_journal("before")
    for number in range(19):
        await charge(bench, f"c{number}", 1)
    await bench.sidecar.settle()
    await bench.crash()
    bench.put_back(copy)
    await bench.start()
    assert isinstance(await reserve(bench, "r", 1), InsufficientCredits)
    await bench.sidecar.settle()
    assert (await bench.summary()).available == 0


async def test_a_message_whose_reply_is_lost_is_sent_again_without_traffic(bench: Bench, other: Bench) -> None:
    """Its caller went away, and no other request asks: what it got is returned all the same."""
    await bench.account(permanent=20)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "r", 10)
    for _ in range(3):
        bench.clock.advance(MINUTE)
        await bench.round()
    assert (await other.summary()).leased == 0


async def test_a_recall_that_could_not_be_answered_is_answered_later(bench: Bench, other: Bench) -> None:
    """It came in a moment in which the store was taken to be away; it comes once, and is not forgotten."""
    await bench.account(permanent=20)
    await release(bench, "gone", await held(bench, "r", 20))
    bench.wire.fates = [Fate.LOST]
    waiting = asyncio.create_task(reserve(other, "all", 20))
    while bench.wire.fates:
        await asyncio.sleep(0.01)
    while not waiting.done():
        bench.clock.advance(SECOND // 5)
        with contextlib.suppress(CentralUnavailable):
            await bench.sidecar.settle()
        await asyncio.sleep(0.01)
    assert isinstance(await waiting, Done | RecallPending)
    assert isinstance(await reserve(other, "all", 20), Done)


async def test_a_message_whose_sender_gave_up_before_it_was_written_is_never_sent(bench: Bench) -> None:
    """A caller's deadline ends a refund that is composing a message, and the group with what that changes is not written."""
    await bench.account(permanent=50)
    paid = charge_id(await charge(bench, "paid", 10))
    dear = charge_id(await charge(bench, "dear", 60, already_incurred=True))
    await bench.break_disk()
    async with held_up(bench.journal):
        decided_here = asyncio.create_task(refund(bench, "f", paid, 4))
        settles_first = asyncio.create_task(refund(bench, "g", dear, 1))
        for _ in range(3):
            await asyncio.sleep(0)
        settles_first.cancel()
    with pytest.raises(StorageUnavailable):
        await decided_here
    with pytest.raises(asyncio.CancelledError):
        await settles_first
    await bench.mend_disk()
    await bench.sidecar.look_after()
    await bench.settled_in_the_end()
    assert isinstance(await refund(bench, "f", paid, 4), Done)
    await bench.settled_in_the_end()
    assert [each.amount for each in await bench.history() if each.type is EntryType.REFUNDED] == [credits(4)]


async def test_a_refund_waits_for_its_charge_only(bench: Bench) -> None:
    """Its charge was sent before, and others of the account keep coming."""
    await bench.account(permanent=50)
    paid = charge_id(await charge(bench, "paid", 10))
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await bench.sidecar.settle()
    bench.clock.advance(LONGEST_WAIT)
    real = bench.wire._real.exchange

    async def while_another_comes(messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        await charge(bench, f"another-{len(bench.wire.sent)}", 0.001)
        return await real(messages)

    bench.wire._real.exchange = while_another_comes  # type: ignore[method-assign]
    assert isinstance(await refund(bench, "f", paid, 4), Done)
    assert bench.sidecar.books.open(ACCOUNT).has_unposted


async def test_what_is_under_way_when_the_sidecar_stops_is_waited_for(bench: Bench, other: Bench) -> None:
    """Credit that others recalled is no longer idle here, and not yet returned."""
    await bench.account(permanent=50)
    await release(bench, "gone", await held(bench, "r", 5))
    await bench.sidecar.settle()
    bench.wire.is_open.clear()
    asked = len(bench.wire.sent)
    bench.sidecar._planner.recall(ACCOUNT)
    while len(bench.wire.sent) == asked:
        await asyncio.sleep(0)
    bench.sidecar.drain()
    stopping = asyncio.create_task(bench.sidecar.stop(20))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not stopping.done()
    bench.wire.is_open.set()
    assert await stopping
    assert (await other.summary()).leased == 0


async def test_an_allowance_is_for_outages_only(bench: Bench) -> None:
    """The store is there; it was not even asked, since others of this process use all connections."""
    await bench.account(permanent=5, offline_allowance=credits(20))
    await held(bench, "r", 5)
    real = bench.wire._real.exchange
    failures = [CentralUnavailable("all connections are in use", is_crowded=True)]

    async def crowded(messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        if failures:
            raise failures.pop()
        return await real(messages)

    bench.wire._real.exchange = crowded  # type: ignore[method-assign]
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "x", 20)
    assert isinstance(await reserve(bench, "y", 20), InsufficientCredits)


async def test_a_reply_that_comes_after_the_fence_renews_nothing(bench: Bench, tmp_path: Path) -> None:
    """The store applied the message before the copy registered; by now the leases are the copy's."""
    await bench.account(permanent=50)
    await release(bench, "gone", await held(bench, "r", 5))
    applied, go_on = asyncio.Event(), asyncio.Event()
    real = bench.wire._real.exchange

    async def slow(messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        replies = await real(messages)
        applied.set()
        await go_on.wait()
        return replies

    bench.wire._real.exchange = slow  # type: ignore[method-assign]
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    settling = asyncio.create_task(bench.sidecar.settle())
    await applied.wait()
    twin = bench.twin(tmp_path / "twin", bench.clock)
    await twin.start()
    with pytest.raises(SidecarFenced):
        await bench.sidecar.beat()
    go_on.set()
    with pytest.raises(SidecarFenced):
        await settling
    conditions: list[Condition] = []
    bench.sidecar.add_condition_listener(conditions.append)
    assert conditions == [Condition.FENCED], "a new listener is notified of the condition at once"
    assert bench.sidecar.books.open(ACCOUNT).idle(bench.sidecar.books.moment()) == 0
    await twin.crash()


async def test_an_account_with_many_charges_is_settled_in_one_go(bench: Bench) -> None:
    """More than a message holds: the rest goes with the next message, at once."""
    await bench.account(permanent=50)
    count = 2 * MAX_CHARGES_PER_MESSAGE + 1
    await asyncio.gather(*(charge(bench, f"c{number}", 0.001) for number in range(count)))
    await bench.sidecar.settle()
    assert not bench.sidecar.books.open(ACCOUNT).has_unposted
    assert (await bench.summary()).available == credits(50) - count * credits(0.001)


async def test_what_a_journal_that_was_set_back_holds_is_covered_or_not_there(bench: Bench, other: Bench) -> None:
    """The hold is older than the copy; a charge that is younger was posted. The hold is still good, and its credit is no
    other's.
    """
    await bench.account(permanent=100)
    hold = await held(bench, "r", 40)
    await bench.sidecar.settle()
    copy = bench.copy_of_journal("before")
    await charge(bench, "c", 30)
    await bench.sidecar.settle()
    await bench.crash()
    bench.put_back(copy)
    await bench.start()
    await bench.sidecar.settle()
    assert (await verify(bench._central_url)).problems == ()
    assert isinstance(await reserve(other, "too much", 31), InsufficientCredits)
    assert isinstance(await reserve(other, "the rest", 30), Done)
    done = await commit(bench, "commit", hold, 40)
    await bench.sidecar.settle()
    found = await bench.sidecar.reader.charge(charge_id(done))
    assert getattr(found, "posting", None)
    assert found.posting.uncovered == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("ends", ["released", "expired"])
async def test_what_was_spent_since_a_journal_was_set_back_is_not_idle(bench: Bench, ends: str) -> None:
    """The copy holds what was committed and posted after it: that is gone, however the copy's hold ends."""
    await bench.account(permanent=10)
    hold = await held(bench, "r", 10)
    await bench.sidecar.settle()
    copy = bench.copy_of_journal("before")
    await commit(bench, "c", hold, 10)
    await bench.sidecar.settle()
    await bench.crash()
    bench.put_back(copy)
    await bench.start()
    await bench.sidecar.settle()
    assert (await verify(bench._central_url)).problems == ()
    if ends == "released":
        await release(bench, "gone", hold)
    else:
        bench.clock.advance(11 * MINUTE)
    assert isinstance(await reserve(bench, "again", 10), InsufficientCredits)


async def test_a_steady_sidecar_prunes_with_its_heartbeat(bench: Bench, other: Bench) -> None:
    """What an ended day and a sidecar that is gone left behind; the account goes on as before."""
    await bench.account(permanent=20)
    await charge(bench, "c", 6)
    await bench.sidecar.settle()
    bench.clock.advance(DAY)
    await bench.sidecar.tidy()
    await bench.sidecar.settle()
    await bench.crash()
    bench.clock.advance(91 * DAY)
    await other.counts(95 * MINUTE)
    assert [each.sidecar_id for each in await other.sidecar.central.listing.sidecars(9)] == [other.sidecar.sidecar_id]
    assert await count(other.sidecar.central, "leases") == 0
    assert await count(other.sidecar.central, "exchanges") == 0
    await charge(other, "d", 14)
    await other.sidecar.settle()
    assert (await other.summary()).available == 0
