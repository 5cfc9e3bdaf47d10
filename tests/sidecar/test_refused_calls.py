"""Refusals for lack of credit reach the central store, with messages that are sent anyway."""

from creditmeter.core.credit.messages import RefusedCall
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import SECOND
from creditmeter.core.metering.book import MAX_REFUSED_CALLS, Book
from creditmeter.core.refusals import InsufficientCredits
from creditmeter.core.reports.forecasting import Forecast
from creditmeter.sidecar.looking import REFUSED_REPORTED_WITHIN
from tests.clocks import NOON
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, held, reserve


async def refused_count(bench: Bench) -> int:
    """How many refused calls the central store knows of."""
    found = await bench.sidecar.reader.forecast(ACCOUNT)
    assert isinstance(found, Forecast)
    return found.refused_count


async def test_refusals_are_reported_after_a_while_all_at_once(bench: Bench) -> None:
    """They wait for ten seconds for another message that is sent, then they get one of their own."""
    await bench.account(permanent=1)
    for number in range(3):
        assert isinstance(await charge(bench, f"c{number}", 5), InsufficientCredits)
    assert await refused_count(bench) == 0, "the store only looked at the needs of the second one and the third"
    await bench.round()
    assert await refused_count(bench) == 0
    bench.clock.advance(REFUSED_REPORTED_WITHIN)
    await bench.round()
    assert await refused_count(bench) == 3
    assert not bench.sidecar.books.open(ACCOUNT).refused


async def test_a_call_that_goes_well_in_the_end_was_not_refused(bench: Bench) -> None:
    """If it does before a message reported it."""
    await bench.account(permanent=1)
    assert isinstance(await reserve(bench, "job/reserve", 5), InsufficientCredits)
    book = bench.sidecar.books.open(ACCOUNT)
    assert [(each.request_id, each.required) for each in book.refused.values()] == [("job/reserve", credits(5))]
    bench.clock.advance(SECOND)
    book.refuse(RefusedCall(RequestId("other"), bench.clock.wall(), "", credits(1)))
    await held(bench, "other", 1)
    assert "other" not in bench.sidecar.books.open(ACCOUNT).refused


async def test_a_stop_reports_what_was_refused(bench: Bench) -> None:
    """Also of an account about which there is nothing else to say."""
    await bench.account(permanent=1)
    for number in range(3):
        assert isinstance(await charge(bench, f"c{number}", 5), InsufficientCredits)
    await bench.sidecar.stop(grace_seconds=20)
    assert not bench.sidecar.books.open(ACCOUNT).refused
    assert await refused_count(bench) == 3


def test_a_book_is_kept_until_its_refusals_are_reported() -> None:
    """Also if nothing else is known of it."""
    book = Book(ACCOUNT)
    book.refuse(RefusedCall(RequestId("r"), NOON, "", credits(1)))
    assert not book.has_nothing_but_its_account
    book.forget_reported(list(book.refused.values()))
    assert book.has_nothing_but_its_account


def test_only_so_many_are_remembered() -> None:
    """The oldest go first, and one that was refused again meanwhile is not forgotten."""
    book = Book(ACCOUNT)
    calls = [RefusedCall(RequestId(f"r{number}"), NOON, "", credits(1)) for number in range(MAX_REFUSED_CALLS + 1)]
    for call in calls:
        book.refuse(call)
    assert list(book.refused.values()) == calls[1:]
    again = RefusedCall(RequestId("r1"), NOON, "", credits(2))
    book.refuse(again)
    book.forget_reported(calls)
    assert list(book.refused.values()) == [again]
