"""One record an account: it is kept while there is anything to remember, and the accounts with a mark are known at once."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.messages import Message
from creditmeter.core.credit.requests import ChargeNow, Done, Reserve
from creditmeter.core.ids import AccountId, RequestId, SidecarId, account_key
from creditmeter.core.instants import HOUR, MINUTE, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.burn import Burn
from creditmeter.core.refusals import AccountNotFound
from creditmeter.sidecar.account_records import AccountRecords, Mark, UnansweredMessage
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.sidecar.exchange_plan import ExchangePlan, WaitingRequest
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.sidecar.patience import Patience
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, refund, release, reserve
from tests.sidecar.wire import NOBODY, Fate

ACCOUNTS = [AccountId(name) for name in ("acme", "bolt", "coil")]


def unanswered(account_id: AccountId) -> UnansweredMessage:
    """A message that asks for nothing."""
    plan = ExchangePlan(None, gives_back=False, keep=Microcredits(0), answers_recall=False, waiting=())
    return UnansweredMessage(Message(SidecarId("s1"), 1, account_id, 1), plan, Span(0))


# Marks, as sets would have them.


@dataclass
class Expected:
    """What the records remember, in a set or a dictionary for each kind of thing."""

    marked: dict[Mark, list[AccountId]] = field(default_factory=lambda: {mark: [] for mark in Mark})
    waiting: dict[AccountId, list[WaitingRequest]] = field(default_factory=lambda: {each: [] for each in ACCOUNTS})
    books: set[AccountId] = field(default_factory=set)
    burns: set[AccountId] = field(default_factory=set)

    def mark(self, account_id: AccountId, mark: Mark) -> None:
        """Add to a set that remembers its order."""
        if account_id not in self.marked[mark]:
            self.marked[mark].append(account_id)

    def unmark(self, account_id: AccountId, mark: Mark) -> None:
        """Take from such a set."""
        if account_id in self.marked[mark]:
            self.marked[mark].remove(account_id)

    @property
    def remembered(self) -> set[AccountId]:
        """The accounts of which anything is."""
        return self.books | self.burns | {each for marked in self.marked.values() for each in marked}


_FREE_MARKS = (Mark.RECALLED, Mark.RETRACTED, Mark.RETURNING, Mark.UNSETTLED, Mark.UNDER_WAY)
"""The other two come and go with waiting requests and unanswered messages."""

Step = Callable[[AccountRecords, Expected, AccountId, Mark], None]


def _marks(records: AccountRecords, expected: Expected, account_id: AccountId, mark: Mark) -> None:
    records.mark(account_id, mark)
    expected.mark(account_id, mark)


def _unmarks(records: AccountRecords, expected: Expected, account_id: AccountId, mark: Mark) -> None:
    records.unmark(account_id, mark)
    expected.unmark(account_id, mark)


def _takes(records: AccountRecords, expected: Expected, _account_id: AccountId, mark: Mark) -> None:
    assert records.take(mark) == expected.marked[mark]
    expected.marked[mark] = []


def _opens_book(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    records.open(account_id).book = Book(account_id)
    expected.books.add(account_id)


def _drops_book(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    record = records.open(account_id)
    record.drop_book()
    records.drop_unneeded(record)
    expected.books.discard(account_id)


def _burns(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    records.open(account_id).burn = Burn()
    expected.burns.add(account_id)


def _burns_no_more(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    record = records.open(account_id)
    record.burn = None
    records.drop_unneeded(record)
    expected.burns.discard(account_id)


def _waits(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    request = WaitingRequest(until=0, patience=Patience(None, set()))
    records.add_waiting(account_id, request)
    expected.waiting[account_id].append(request)
    expected.mark(account_id, Mark.WAITED_FOR)


def _waits_no_more(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    if expected.waiting[account_id]:
        records.remove_waiting(account_id, expected.waiting[account_id].pop(0))
    if not expected.waiting[account_id]:
        expected.unmark(account_id, Mark.WAITED_FOR)


def _sends(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    records.put_unanswered(unanswered(account_id))
    expected.mark(account_id, Mark.UNANSWERED)


def _is_answered(records: AccountRecords, expected: Expected, account_id: AccountId, _mark: Mark) -> None:
    records.drop_unanswered(account_id)
    expected.unmark(account_id, Mark.UNANSWERED)


STEPS: list[Step] = [
    *(_marks, _unmarks, _takes, _opens_book, _drops_book, _burns, _burns_no_more),
    *(_waits, _waits_no_more, _sends, _is_answered),
]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(ACCOUNTS), st.sampled_from(_FREE_MARKS)), max_size=40))
def test_records_answer_as_sets_would(steps: list[tuple[Step, AccountId, Mark]]) -> None:
    """Whatever happens to the accounts, and nothing is kept of one of which nothing is to be remembered."""
    records, expected = AccountRecords(), Expected()
    for step, account_id, mark in steps:
        step(records, expected, account_id, mark)
        for each in Mark:
            assert [record.account_id for record in records.marked(each)] == expected.marked[each]
            assert records.any_marked(each) is bool(expected.marked[each])
        assert {record.account_id for record in records} == expected.remembered
        for each_id in ACCOUNTS:
            _is_as_expected(records, expected, each_id)


def _is_as_expected(records: AccountRecords, expected: Expected, account_id: AccountId) -> None:
    record = records.find(account_id)
    assert record is records.with_key(account_key(account_id))
    assert (record is not None) is (account_id in expected.remembered)
    if record is not None:
        assert record.marks == {mark for mark in Mark if account_id in expected.marked[mark]}
        assert all(records.is_marked(account_id, mark) for mark in record.marks)
        assert record.waiting == expected.waiting[account_id]
        assert (record.book is not None) is (account_id in expected.books)
        assert (record.unanswered is not None) is (account_id in expected.marked[Mark.UNANSWERED])


def test_a_record_that_was_dropped_drops_no_newer_one() -> None:
    """A caller that kept one too long does no harm."""
    records = AccountRecords()
    old = records.open(NOBODY)
    records.drop_unneeded(old)
    new = records.open(NOBODY)
    records.drop_unneeded(old)
    assert records.find(NOBODY) is new


# The life of a record in a sidecar.


async def test_an_account_that_does_not_exist_leaves_nothing(bench: Bench) -> None:
    """Whether it was asked about, charged or reserved on."""
    meter, reader = bench.sidecar.meter, bench.sidecar.reader
    assert isinstance(await meter.answer(Reserve(RequestId("r"), NOBODY, amount=credits(1))), AccountNotFound)
    assert isinstance(await meter.answer(ChargeNow(RequestId("c"), NOBODY, amount=credits(1))), AccountNotFound)
    assert isinstance(await reader.balance(NOBODY), AccountNotFound)
    assert await reader.reservations(NOBODY, None, 10) == []
    assert list(bench.sidecar.records) == []


async def test_a_request_that_waits_keeps_the_record_of_a_book_that_was_dropped(bench: Bench) -> None:
    """Reading finds the book empty and drops it. The request still gets its answer."""
    await bench.account(permanent=10)
    waiting = await _sent(bench, reserve(bench, "r", 5))
    assert await bench.sidecar.reader.reservations(ACCOUNT, None, 10) == []
    (record,) = bench.sidecar.records
    assert (record.book, len(record.waiting)) == (None, 1)
    assert record.marks >= {Mark.WAITED_FOR, Mark.UNDER_WAY, Mark.UNANSWERED}
    bench.wire.is_open.set()
    assert isinstance(await waiting, Done)
    assert record.marks.isdisjoint({Mark.WAITED_FOR, Mark.UNDER_WAY, Mark.UNANSWERED})
    assert record.book is not None


async def test_a_message_under_way_keeps_the_record(bench: Bench) -> None:
    """The request gave up; the answer brings its credit all the same."""
    await bench.account(permanent=10)
    waiting = await _sent(bench, reserve(bench, "r", 5))
    waiting.cancel()
    await asyncio.wait([waiting])
    (record,) = bench.sidecar.records
    assert (record.book, record.waiting) == (None, [])
    bench.wire.is_open.set()
    await bench.sidecar._exchanger.one_finished()
    assert record.book is not None
    assert record.book.idle(bench.sidecar.books.moment()) >= credits(5)


async def test_a_reload_leaves_waiting_requests_and_messages_under_way_as_they_are(bench: Bench) -> None:
    """The books are others afterwards, and the answer is written into the new one."""
    await bench.account(permanent=50)
    await held(bench, "first", 5)
    waiting = await _sent(bench, reserve(bench, "second", 45))
    (record,) = bench.sidecar.records
    before = record.book
    await bench.sidecar.books.reload()
    assert list(bench.sidecar.records) == [record]
    assert record.book is not before
    assert len(record.waiting) == 1
    assert record.marks >= {Mark.WAITED_FOR, Mark.UNDER_WAY, Mark.UNANSWERED, Mark.UNSETTLED}
    bench.wire.is_open.set()
    assert isinstance(await waiting, Done)


async def test_a_reload_drops_the_records_of_which_the_journal_knows_nothing(bench: Bench) -> None:
    """What a failed write left in memory only."""
    bench.sidecar.books.open(NOBODY)
    bench.sidecar.records.mark(NOBODY, Mark.UNSETTLED)
    await bench.sidecar.books.reload()
    assert list(bench.sidecar.records) == []


async def test_a_message_that_is_not_answered_keeps_the_record_until_it_is(bench: Bench) -> None:
    """No book and no request is left; the message is sent again, as it was."""
    await bench.account(permanent=10)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "r", 5)
    (record,) = bench.sidecar.records
    assert record.book is None
    assert record.marks == {Mark.UNANSWERED, Mark.UNSETTLED}
    bench.clock.advance(LONGEST_WAIT)
    await bench.sidecar.settle()
    first, second = bench.wire.sent
    assert first[0].seq == second[0].seq
    assert record.unanswered is None


async def test_a_message_that_is_not_answered_is_sent_again_after_a_reload(bench: Bench) -> None:
    """Its account has no book any more, so nothing else has it settled."""
    await bench.account(permanent=10)
    bench.wire.fates = [Fate.UNHEARD]
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "r", 5)
    await bench.sidecar.books.reload()
    bench.clock.advance(LONGEST_WAIT)
    await bench.sidecar.settle()
    first, second = bench.wire.sent
    assert first[0].seq == second[0].seq
    assert not bench.sidecar.records.any_marked(Mark.UNANSWERED)


async def test_nothing_is_left_of_an_account_that_is_not_used_any_more(bench: Bench) -> None:
    """Book, burn, moments and marks, after its holds, charges and refunds are old enough."""
    await bench.account(permanent=50)
    paid = charge_id(await charge(bench, "c", 2))
    assert isinstance(await refund(bench, "f", paid, 1), Done)
    await commit(bench, "paid", await held(bench, "r", 5), 5)
    await release(bench, "gone", await held(bench, "s", 5))
    await bench.round()
    (record,) = bench.sidecar.records
    assert record.burn is not None
    assert 0 < record.used_at <= record.reported_at
    for _ in range(3):
        bench.clock.advance(40 * HOUR)
        await bench.round()
    assert list(bench.sidecar.records) == []
    assert list(bench.sidecar.books) == []


async def test_a_burn_is_kept_for_a_minute_after_its_last_use(bench: Bench) -> None:
    """It goes by itself; the book stays for as long as it holds anything."""
    await bench.account(permanent=50)
    await held(bench, "r", 5)
    await bench.round()
    assert [each.burn is not None for each in bench.sidecar.records] == [True]
    bench.clock.advance(MINUTE)
    await bench.sidecar.tidy()
    assert [each.burn is not None for each in bench.sidecar.records] == [False]


async def _sent(bench: Bench, request: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
    """A request that waits. Its message was sent, and is held up until the test opens the wire."""
    bench.wire.is_open.clear()
    before = len(bench.wire.sent)
    task = asyncio.create_task(request)
    while len(bench.wire.sent) == before:
        await asyncio.sleep(0)
    return task
