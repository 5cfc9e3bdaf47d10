"""What is held here is known to the central store in time, however seldom charges are settled."""

import asyncio

import pytest

from creditmeter.core.ids import AccountId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Span
from creditmeter.sidecar.account_records import Mark
from creditmeter.sidecar.reporter import Reporter
from creditmeter.sidecar.rhythm import REPORTED_AFTER_SECONDS, Rhythm
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import commit, held, release
from tests.sidecar.wire import Fate

pytestmark = pytest.mark.both_engines

DUE = Span(int(REPORTED_AFTER_SECONDS * SECOND))


def reporter(bench: Bench, settle: float = 1.0) -> Reporter:
    """The sidecar's, but for its own pace. Charges are posted every `settle` seconds."""
    sidecar = bench.sidecar
    return Reporter(sidecar.records, sidecar._exchanger, sidecar._settler, bench.clock, REPORTED_AFTER_SECONDS, settle)


async def known(bench: Bench, other: Bench) -> float:
    """The credits that are held, as another sidecar sees it."""
    return (await other.summary()).held / credits(1)


def test_a_report_is_due_well_within_two_seconds() -> None:
    """The rest is for the message. No setting changes it."""
    assert Rhythm(settle=60).report == REPORTED_AFTER_SECONDS <= 1.5


async def test_what_is_held_is_reported_without_a_settlement(bench: Bench, other: Bench) -> None:
    """And so is what is held no more."""
    await bench.account(permanent=100)
    hold = await held(bench, "first", 5)
    reports = reporter(bench)
    bench.clock.advance(DUE - 1)
    await reports.report()
    assert await known(bench, other) == 0
    bench.clock.advance(1)
    await reports.report()
    assert await known(bench, other) == 5
    await release(bench, "free", hold)
    bench.clock.advance(DUE)
    await reports.report()
    assert await known(bench, other) == 0


async def test_nothing_is_sent_while_nothing_changes(bench: Bench) -> None:
    """Not once it was reported, nor if a settlement did."""
    await bench.account(permanent=100)
    hold = await held(bench, "first", 5)
    await commit(bench, "part", hold, 1, keep_open=True)
    await bench.sidecar.settle()
    reports = reporter(bench)
    sent = len(bench.wire.sent)
    bench.clock.advance(DUE)
    await reports.report()
    assert len(bench.wire.sent) == sent
    assert not bench.sidecar.records.any_marked(Mark.UNREPORTED)


async def test_what_was_let_go_before_its_report_needs_none(bench: Bench) -> None:
    """As much is held as the last message stated. The charge waits for the next settlement."""
    await bench.account(permanent=100)
    await held(bench, "long", 5)
    reports = reporter(bench)
    bench.clock.advance(DUE)
    await reports.report()
    sent = len(bench.wire.sent)
    await commit(bench, "done", await held(bench, "short", 7), 7)
    bench.clock.advance(DUE)
    await reports.report()
    assert len(bench.wire.sent) == sent
    assert not bench.sidecar.records.any_marked(Mark.UNREPORTED)
    assert bench.sidecar.records.is_marked(ACCOUNT, Mark.UNSETTLED)


async def test_charges_that_settle_late_are_reported(bench: Bench, other: Bench) -> None:
    """Although nothing is held any more: else others would not know for a minute that the credit is spent."""
    await bench.account(permanent=100)
    await bench.sidecar.settle()
    await commit(bench, "done", await held(bench, "short", 7), 7)
    reports = reporter(bench, settle=60)
    bench.clock.advance(DUE)
    await reports.report()
    assert await other.remaining() == (0, 0, 93)
    assert not bench.sidecar.records.any_marked(Mark.UNREPORTED)


async def test_what_was_let_go_while_a_message_was_composed_is_reported(
    bench: Bench, other: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That message says that it is held, and is sent after what is looked at here."""
    await bench.account(permanent=100)
    await bench.sidecar.settle()
    hold = await held(bench, "first", 5)
    reports, books, durable = reporter(bench), bench.sidecar.books, bench.sidecar.books.durable

    async def let_go_meanwhile(since: int | None = None) -> None:
        monkeypatch.undo()
        await release(bench, "free", hold)
        bench.clock.advance(DUE)
        reporting = asyncio.create_task(reports.report())
        await asyncio.sleep(0)
        reporting.cancel()
        await durable(since)

    monkeypatch.setattr(books, "durable", let_go_meanwhile)
    await bench.sidecar._settler.settle([ACCOUNT])
    assert await known(bench, other) == 5
    await reports.report()
    assert await known(bench, other) == 0


async def test_as_much_that_is_held_on_another_lease_is_reported(bench: Bench) -> None:
    """The central store knows what is held on each: here on one of yesterday and on one of today."""
    await bench.account(permanent=100)
    bench.clock.advance(12 * HOUR - MINUTE)
    yesterdays = await held(bench, "yesterday", 5)
    bench.clock.advance(2 * MINUTE)
    await release(bench, "free", await held(bench, "today", 7))
    await bench.sidecar.settle()
    todays = await held(bench, "again", 5)
    await release(bench, "end", yesterdays)
    assert todays.parts[0].lease_id != yesterdays.parts[0].lease_id
    reports, sent = reporter(bench), len(bench.wire.sent)
    bench.clock.advance(DUE)
    await reports.report()
    (message,) = [each for messages in bench.wire.sent[sent:] for each in messages]
    assert [each.held for each in message.leases if each.lease_id == todays.parts[0].lease_id] == [credits(5)]


async def test_a_report_whose_answer_was_lost_is_not_taken_for_unsaid(bench: Bench, other: Bench) -> None:
    """The central store may know of a hold that was let go since."""
    await bench.account(permanent=100)
    await bench.sidecar.settle()
    hold = await held(bench, "first", 5)
    reports = reporter(bench)
    bench.clock.advance(DUE)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(Exception, match="reply"):
        await reports.report()
    assert await known(bench, other) == 5
    await release(bench, "free", hold)
    while bench.sidecar.records.any_marked(Mark.UNREPORTED):
        bench.clock.advance(10 * SECOND)
        await reports.report()
    assert await known(bench, other) == 0


async def test_a_report_that_was_lost_is_sent_again(bench: Bench, other: Bench) -> None:
    """At the pace of reports, not of settlements."""
    await bench.account(permanent=100)
    await held(bench, "first", 5)
    reports = reporter(bench)
    bench.clock.advance(DUE)
    bench.wire.fates = [Fate.LOST]
    with pytest.raises(Exception, match="lost on the way"):
        await reports.report()
    assert await known(bench, other) == 0
    bench.clock.advance(10 * SECOND)
    await reports.report()
    assert await known(bench, other) == 5


async def test_what_changed_while_a_message_was_under_way_is_reported_after_it(bench: Bench, other: Bench) -> None:
    """That message does not state it."""
    await bench.account(permanent=100)
    await held(bench, "first", 5)
    reports = reporter(bench)
    bench.clock.advance(DUE)
    bench.wire.is_open.clear()
    first = asyncio.create_task(reports.report())
    sent = len(bench.wire.sent)
    while len(bench.wire.sent) == sent:
        await asyncio.sleep(0)
    await held(bench, "second", 7)
    bench.clock.advance(DUE)
    waits = asyncio.create_task(reports.report())
    await asyncio.sleep(0)
    bench.wire.is_open.set()
    await first
    await waits
    await reports.report()
    assert await known(bench, other) == 12


async def test_an_account_that_is_busy_does_not_have_others_reported_early(bench: Bench) -> None:
    """A report waits for the message that is under way, however many holds change meanwhile."""
    await bench.account(permanent=100)
    await held(bench, "first", 5)
    reports = reporter(bench)
    bench.clock.advance(DUE)
    records, other = bench.sidecar.records, AccountId("other")
    records.mark(ACCOUNT, Mark.UNDER_WAY)
    records.note_unreported(other, bench.clock.boot())
    sent = len(bench.wire.sent)
    waits = asyncio.create_task(reports.report())
    await asyncio.sleep(0)
    assert not waits.done()
    waits.cancel()
    bench.clock.advance(DUE)
    await reports.report()
    assert [[each.account_id for each in messages] for messages in bench.wire.sent[sent:]] == [[other]]
    records.unmark(ACCOUNT, Mark.UNDER_WAY)
    await reports.report()
    assert [[each.account_id for each in messages] for messages in bench.wire.sent[sent + 1 :]] == [[ACCOUNT]]


async def test_an_account_that_is_busy_holds_up_no_report_of_others(bench: Bench) -> None:
    """The wait for it ends when another account comes due."""
    await bench.account(permanent=100)
    await held(bench, "first", 5)
    bench.clock.advance(DUE)
    records = bench.sidecar.records
    records.mark(ACCOUNT, Mark.UNDER_WAY)
    records.note_unreported(AccountId("other"), Span(bench.clock.boot() - DUE + 1))
    await asyncio.wait_for(reporter(bench).report(), 10)
    records.unmark(ACCOUNT, Mark.UNDER_WAY)


async def test_a_sidecar_reports_by_itself(bench: Bench, other: Bench) -> None:
    """Although nothing is settled in the background."""
    await bench.account(permanent=100)
    await bench.crash()
    await bench.start(report=0.01)
    await held(bench, "first", 5)
    bench.clock.advance(SECOND)
    while await known(bench, other) != 5:
        await asyncio.sleep(0)
    assert not bench.sidecar.records.is_marked(ACCOUNT, Mark.UNREPORTED)
