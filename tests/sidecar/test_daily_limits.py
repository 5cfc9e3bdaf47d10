"""Daily limits of credentials at a sidecar: through restarts, images and midnight, and with metered calls."""

import asyncio
import sqlite3

import pytest
from structlog.testing import capture_logs

from creditmeter.core.access import DailyLimit
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.administration import CreateAccount, GrantCredits
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Extend, RefundCharge, Release, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant, Span
from creditmeter.core.refusals import DailyLimitExceeded, InsufficientCredits
from creditmeter.core.work import Usage, Work
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.journal.quarantine import accept_loss
from creditmeter.sidecar.metered_calls import GRACE
from creditmeter.sidecar.metered_stream import RETRY_RAISE, GoOn, MeteredStream, StopReason
from creditmeter.sidecar.outcomes import Outcome
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.damaged import run
from tests.sidecar.requests import reservation

WORKER = "k7m2abcd"
WORK = Work("text", request_model="claude-sonnet-4-5", input_tokens=1_000, max_output_tokens=50_000)


def limit(bench: Bench, amount: float | None, credential_id: str = WORKER) -> None:
    """Give a credential a daily limit, in credits, or take it."""
    found = None if amount is None else DailyLimit("worker", credits(amount))
    bench.sidecar.books.daily_limit_of = {credential_id: found}.get


async def reserve(
    bench: Bench, request_id: str, amount: float, *, by: str = WORKER, within: float = 0, partial: bool = False
) -> Outcome:
    """Reserve credits with a credential."""
    asked = Reserve(RequestId(request_id), ACCOUNT, amount=credits(amount), allow_partial=partial)
    return await bench.sidecar.meter.answer(asked, within, credential_id=by)


async def charge(
    bench: Bench, request_id: str, amount: float, *, by: str = WORKER, incurred: bool = False, of: AccountId = ACCOUNT
) -> Outcome:
    """Charge credits with a credential."""
    asked = ChargeNow(RequestId(request_id), of, amount=credits(amount), already_incurred=incurred)
    return await bench.sidecar.meter.answer(asked, 0, credential_id=by)


async def commit(bench: Bench, request_id: str, held: Reservation, amount: float, *, keep_open: bool = False) -> Outcome:
    """Charge credits of a hold, whoever asks for it."""
    asked = Commit(RequestId(request_id), held.reservation_id, amount=credits(amount), keep_open=keep_open)
    return await bench.sidecar.meter.answer(asked)


def left(outcome: Outcome) -> float:
    """What a refusal says is left of the limit, in credits."""
    assert isinstance(outcome, DailyLimitExceeded), outcome
    return outcome.available / 1_000_000


def used(bench: Bench) -> float:
    """What the worker has spent today and holds, in credits."""
    return bench.sidecar.books.spending.used(WORKER, bench.sidecar.books.moment().now) / 1_000_000


async def write_image(bench: Bench) -> None:
    """Have the journal keep what can still change, once enough was written since it last did."""
    bench.journal.min_bytes_between_images = 0
    while not bench.journal.wants_image(bench.clock.wall()):
        await charge(bench, f"more-{bench.journal.last_record}", 0.1, by="")
    bench.sidecar.books.write_image()
    await bench.sidecar.meter.durable()


async def spend(bench: Bench) -> Reservation:
    """Spend 6 credits in several ways, and hold 3."""
    await bench.account(permanent=100)
    first, second = reservation(await reserve(bench, "r1", 4)), reservation(await reserve(bench, "r2", 4))
    await commit(bench, "c1", first, 3)
    await commit(bench, "c2", second, 1, keep_open=True)
    await charge(bench, "c3", 2)
    await reserve(bench, "others", 50, by="")
    assert used(bench) == 9
    return second


@pytest.mark.parametrize("images", [(), ("before",), ("after",), ("before", "after")])
async def test_the_sum_survives_a_crash(bench: Bench, images: tuple[str, ...]) -> None:
    """Whether its charges are in the log, in the image, or posted and in neither; and twice over."""
    held = await spend(bench)
    if "before" in images:
        await write_image(bench)
    await bench.sidecar.settle()
    if "after" in images:
        await write_image(bench)
    for _ in range(2):
        await bench.restart()
        limit(bench, 10)
        assert used(bench) == 9
        assert left(await reserve(bench, "r3", 2)) == 1
    assert isinstance(await commit(bench, "c4", held, 3), Done)
    assert used(bench) == 9
    assert isinstance(await charge(bench, "c5", 1), Done)
    assert left(await charge(bench, "c6", 1)) == 0


async def test_what_comes_with_an_image_counts_once(bench: Bench) -> None:
    """The image counts as made before the records that are written with it, which a start reads once more."""
    await bench.account(permanent=100)
    await charge(bench, "c1", 1)
    await charge(bench, "c0", 20, by="")  # more is leased than it takes
    asked = ChargeNow(RequestId("c2"), ACCOUNT, amount=credits(2))
    bench.journal.min_bytes_between_images = 0
    assert not callable(bench.sidecar.meter.decide(asked, credential_id=WORKER))
    bench.sidecar.books.write_image()
    asked = ChargeNow(RequestId("c3"), ACCOUNT, amount=credits(4))
    assert not callable(bench.sidecar.meter.decide(asked, credential_id=WORKER))
    await bench.sidecar.meter.durable()
    assert (used(bench), bench.rows("kept_spending")) == (7, 1)
    await bench.restart()
    assert used(bench) == 7


async def test_a_damaged_sum_counts_from_the_image_on(bench: Bench) -> None:
    """And it is told of. No credit depends on it."""
    await bench.account(permanent=100)
    await charge(bench, "c1", 1)
    await write_image(bench)
    await charge(bench, "c2", 2)
    await bench.crash()
    with sqlite3.connect(bench._directory / "journal.db") as file:
        file.execute("UPDATE kept_spending SET checksum = checksum + 1")
    file.close()
    with capture_logs() as logs:
        await bench.start()
    assert used(bench) == 2
    assert any(each["event"].startswith("what tokens had spent today is damaged") for each in logs)


async def test_a_sum_of_another_image_is_damaged(bench: Bench) -> None:
    """A program that knows nothing of the sum wrote an image, and left it as it was."""
    await bench.account(permanent=100)
    await charge(bench, "c1", 1)
    await write_image(bench)
    with bench._open_journal() as file:
        before = file.execute("SELECT * FROM kept_spending").fetchone()
    await charge(bench, "c2", 2)
    await write_image(bench)
    await bench.crash()
    run(bench._directory, "REPLACE INTO kept_spending VALUES (?, ?, ?)", *before)
    with capture_logs() as logs:
        await bench.start()
    assert used(bench) == 0
    assert any(each["event"].startswith("what tokens had spent today is damaged") for each in logs)


OTHER = AccountId("other")
LAST_OF_OTHER = "(SELECT max(seq) FROM records WHERE account_id = 'other' AND seq > (SELECT image_seq FROM identity))"


async def damage_another_account(bench: Bench) -> None:
    """Spend 9 credits on one account and 3 on another one, of which 2 after an image, and damage the last of these; crash."""
    await bench.account(permanent=100)
    administration = bench.central.administration
    await administration.create_account(CreateAccount(RequestId("create-other"), Account(OTHER, Instant(0))))
    given = GrantCredits(RequestId("give-other"), OTHER, GrantKind.PERMANENT, credits(100))
    await administration.grant_credits(given)
    await charge(bench, "o1", 1, of=OTHER)
    await charge(bench, "c1", 4)
    await write_image(bench)
    await charge(bench, "c2", 5)
    await charge(bench, "o2", 1, of=OTHER)
    await charge(bench, "o3", 1, of=OTHER)
    await bench.crash()
    run(bench._directory, f"UPDATE records SET body = x'00' WHERE seq = {LAST_OF_OTHER}")


async def test_an_account_in_quarantine_counts_as_far_as_the_image(bench: Bench) -> None:
    """At the start that finds its damage as at those that know of it."""
    await damage_another_account(bench)
    for _ in range(3):
        await bench.start()
        assert used(bench) == 10
        await bench.crash()


async def test_an_accepted_loss_forgets_nothing_of_others(bench: Bench) -> None:
    """It makes an image, which has no charge that was posted: the sum has."""
    await damage_another_account(bench)
    await bench.start()
    await bench.sidecar.settle()
    await bench.crash()
    connection = sqlite3.connect(bench._directory / "journal.db", isolation_level=None)
    assert accept_loss(connection, bench.journal.identity.sidecar_id, OTHER) is not None
    connection.close()
    for _ in range(2):
        await bench.start()
        limit(bench, 11)
        assert used(bench) == 10
        assert left(await charge(bench, "c3", 2)) == 1
        await bench.crash()


async def test_what_could_not_be_written_does_not_count(bench: Bench) -> None:
    """Once the disk is well, the sum is what is on it."""
    await bench.account(permanent=100)
    await charge(bench, "c1", 1)
    await bench.break_disk()
    with pytest.raises(StorageUnavailable):
        await charge(bench, "c2", 2)
    await bench.mend_disk()
    await bench.sidecar.look_after()
    assert used(bench) == 1


async def test_midnight_begins_anew(bench: Bench) -> None:
    """At the UTC midnight that the refusal names. A hold of yesterday counts while it is open, and with what it is charged."""
    await bench.account(permanent=100)
    limit(bench, 10)
    bench.clock.advance((DAY - bench.clock.wall() % DAY) - MINUTE)
    assert isinstance(await charge(bench, "c1", 7), Done)
    held = reservation(await reserve(bench, "r1", 3))
    refused = await charge(bench, "c2", 1)
    assert isinstance(refused, DailyLimitExceeded)
    assert refused.retry_after == MINUTE
    bench.clock.advance(refused.retry_after - 1)
    asked = Extend(RequestId("e"), held.reservation_id, ttl=Span(HOUR))
    assert isinstance(await bench.sidecar.meter.answer(asked), Done)
    assert left(await charge(bench, "c2", 1)) == 0
    bench.clock.advance(1)
    assert bench.clock.wall() == refused.resets_at
    assert used(bench) == 3
    assert isinstance(await commit(bench, "c3", held, 2), Done)
    assert used(bench) == 2
    await bench.restart()
    assert used(bench) == 2


@pytest.mark.parametrize("with_image", [False, True])
async def test_the_day_before_is_kept(bench: Bench, *, with_image: bool) -> None:
    """A clock that was ahead over midnight comes back to it, also after a restart."""
    await bench.account(permanent=100)
    await charge(bench, "c1", 5)
    before = bench.sidecar.books.moment().now
    bench.clock.advance(DAY)
    await charge(bench, "c2", 3)
    await bench.sidecar.settle()
    if with_image:
        await write_image(bench)
    for _ in range(2):
        assert used(bench) == 3
        assert bench.sidecar.books.spending.used(WORKER, before) == credits(5)
        await bench.restart()


async def test_a_repeated_request_is_answered_as_at_first(bench: Bench) -> None:
    """Also once the limit is used up, and for a caller with another credential."""
    await bench.account(permanent=100)
    limit(bench, 5)
    first = await reserve(bench, "r1", 5)
    for by in (WORKER, "another", ""):
        again = await reserve(bench, "r1", 5, by=by)
        assert isinstance(again, Done)
        assert (again.replayed, again.reply) == (True, first.reply if isinstance(first, Done) else None)
    assert used(bench) == 5


async def test_requests_at_once_never_pass_the_limit(bench: Bench) -> None:
    """Also those that have to wait for credit: each is decided anew when it comes."""
    await bench.account(permanent=100)
    limit(bench, 10)
    outcomes = await asyncio.gather(*(reserve(bench, f"r{number}", 3, within=5) for number in range(8)))
    assert [isinstance(each, Done) for each in outcomes].count(True) == 3
    assert {type(each) for each in outcomes} == {Done, DailyLimitExceeded}
    assert used(bench) == 9


async def test_a_limit_counts_from_when_it_is_set_until_it_is_removed(bench: Bench) -> None:
    """With what was spent before on that day."""
    await bench.account(permanent=100)
    await charge(bench, "c1", 5)
    limit(bench, 6)
    assert left(await charge(bench, "c2", 2)) == 1
    limit(bench, 8)
    assert isinstance(await charge(bench, "c2", 2), Done)
    limit(bench, None)
    assert isinstance(await charge(bench, "c3", 50), Done)


@pytest.mark.parametrize(("most", "credit", "gets"), [(3, 100, 3), (50, 4, 4), (3, 4, 3), (4, 3, 3)])
async def test_a_part_is_what_the_limit_and_the_credit_allow(bench: Bench, most: int, credit: int, gets: int) -> None:
    """Of a Reserve that takes a part."""
    await bench.account(permanent=credit)
    limit(bench, most)
    assert reservation(await reserve(bench, "r1", 10, partial=True)).held == credits(gets)
    refused = await reserve(bench, "r2", 10, partial=True)
    assert isinstance(refused, DailyLimitExceeded if most <= gets else InsufficientCredits)


async def test_a_part_says_how_much_output_it_pays_for(bench: Bench) -> None:
    """As one that the credit allows."""
    await bench.account(permanent=1_000)
    limit(bench, 5)
    asked = Reserve(RequestId("r1"), ACCOUNT, WORK, allow_partial=True)
    held = reservation(await bench.sidecar.meter.answer(asked, 0, credential_id=WORKER))
    assert held.held == credits(5)
    assert held.max_output_tokens == 3_133, "0.3 credits are for its input, and 1.5 are for 1,000 tokens"


async def test_an_incurred_cost_is_never_refused(bench: Bench) -> None:
    """Nor a commit beyond its hold; both count."""
    await bench.account(permanent=100)
    limit(bench, 5)
    held = reservation(await reserve(bench, "r1", 5))
    assert isinstance(await commit(bench, "c1", held, 9), Done)
    assert isinstance(await charge(bench, "c2", 9, incurred=True), Done)
    assert used(bench) == 18
    assert left(await charge(bench, "c3", 1)) == 0


async def test_a_release_gives_back_and_a_refund_does_not(bench: Bench) -> None:
    """A refund is another day's matter for whoever sets limits: what was spent was spent."""
    await bench.account(permanent=100)
    limit(bench, 5)
    held = reservation(await reserve(bench, "r1", 5))
    await bench.sidecar.meter.answer(Release(RequestId("x"), held.reservation_id))
    done = await charge(bench, "c1", 5)
    assert isinstance(done, Done)
    assert done.reply.charge is not None
    await bench.sidecar.meter.answer(RefundCharge(RequestId("f"), done.reply.charge.charge_id))
    assert left(await charge(bench, "c2", 1)) == 0


async def opened(bench: Bench) -> tuple[MeteredStream, Reservation]:
    """A metered call of the worker's."""
    asked = Reserve(RequestId("open"), ACCOUNT, WORK, is_metered=True)
    found = await bench.sidecar.metered_calls.open(asked, None, None, lambda: None, WORKER)
    assert isinstance(found, tuple), found
    stream, done = found
    return stream, done.reply


async def report(stream: MeteredStream, output_tokens: int) -> object:
    """Report so many output tokens."""
    return await stream.report(Usage(output_tokens=output_tokens))


async def test_a_metered_call_stops_at_the_limit(bench: Bench) -> None:
    """Once its hold, raised as far as the limit allows, is used up; it is told which limit that is. A limit that was raised
    counts with a report a while later, and so does credit that is used up.
    """
    await bench.account(permanent=8)
    limit(bench, 4)
    stream, _ = await opened(bench)
    for tokens in (600, 1_200, 1_800):
        assert isinstance(await report(stream, tokens), GoOn)
    assert used(bench) == 4
    assert await report(stream, 2_400) is StopReason.DAILY_LIMIT_EXCEEDED
    limit(bench, 50)
    assert await report(stream, 2_400) is StopReason.DAILY_LIMIT_EXCEEDED
    bench.clock.advance(RETRY_RAISE)
    assert isinstance(await report(stream, 2_401), GoOn)
    for tokens in (3_000, 4_000):
        bench.clock.advance(RETRY_RAISE)
        await report(stream, tokens)
    bench.clock.advance(RETRY_RAISE)
    assert await report(stream, 5_000) is StopReason.HOLD_USED_UP
    assert isinstance(await stream.finish(RequestId("f"), None), Done)
    assert used(bench) == 8


SEVERAL_BOUNDS = [(0, 8, 6), (8, 6, 100), (9, 8, 6)]
"""The most of a reservation (0: any), the limit and the account's credit; 6 credits pay for 3,800 tokens."""


@pytest.mark.parametrize(("most", "daily", "credit"), SEVERAL_BOUNDS)
async def test_a_metered_call_is_raised_to_the_least_of_its_bounds(bench: Bench, most: int, daily: int, credit: int) -> None:
    """Each refusal names one of them, and the others may be less."""
    await bench.account(permanent=credit, max_reservation=credits(most))
    limit(bench, daily)
    stream, held = await opened(bench)
    assert await report(stream, 900) == GoOn(2_900)
    found = bench.sidecar.books.reservation(held.reservation_id)
    assert found is not None
    assert found.held == credits(6)
    bench.clock.advance(RETRY_RAISE)
    reason = StopReason.HOLD_USED_UP if credit == 6 else StopReason.DAILY_LIMIT_EXCEEDED
    assert await report(stream, 3_800) is reason


async def test_a_limit_that_was_raised_is_no_reason_any_more(bench: Bench) -> None:
    """To stop a call that its sidecar can get no credit for."""
    await bench.account(permanent=100)
    limit(bench, 2)
    stream, _ = await opened(bench)
    assert await report(stream, 900) is StopReason.DAILY_LIMIT_EXCEEDED
    limit(bench, None)
    bench.clock.advance(RETRY_RAISE)
    assert isinstance(await report(stream, 1_000), GoOn)
    bench.wire.is_cut = True
    bench.clock.advance(RETRY_RAISE)
    assert await report(stream, 20_000) is StopReason.HOLD_USED_UP


async def test_a_metered_call_begins_with_what_is_left(bench: Bench) -> None:
    """If that pays for its input and some output; else it does not begin."""
    await bench.account(permanent=100)
    limit(bench, 3)
    await charge(bench, "c1", 2)
    _, held = await opened(bench)
    assert held.held == credits(1)
    asked = Reserve(RequestId("second"), ACCOUNT, WORK, is_metered=True)
    refused = await bench.sidecar.metered_calls.open(asked, None, None, lambda: None, WORKER)
    assert isinstance(refused, DailyLimitExceeded)


async def test_a_metered_call_whose_stream_broke_counts(bench: Bench) -> None:
    """It is charged for what it reported last, by the sidecar itself."""
    await bench.account(permanent=100)
    stream, _ = await opened(bench)
    await report(stream, 900)
    await bench.restart()
    limit(bench, 2)
    bench.clock.advance(GRACE)
    await bench.sidecar.look_after()
    assert used(bench) == 2
    assert left(await charge(bench, "c1", 1)) == 0
