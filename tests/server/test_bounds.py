"""Each bound that a comment of the contract states, from both of its sides, over the wire.

A bound of a request's field is a row of BOUNDS: values within it are taken, values beyond it are INVALID_REQUEST naming the
field. Every other bound has a test of its own, which BEYOND_REQUESTS names. Numbers that bound nothing are in NO_BOUNDS, so
that a comment which states a bound that no case names fails a test.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.administration import GrantCredits
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, grants_pb2, metering_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.bounds import BOUNDS, HEAD, MOST, Bound
from tests.server.conftest import Failure, Services, failure
from tests.server.numbers_stated import NO_BOUNDS, OF_STREAMS
from tests.server.requests import charge, grant, new_id, reserve
from tests.server.settling import settled_charge
from tests.v1.comments import numbers_stated


@pytest.fixture
async def rich(services: Services) -> Services:
    """A running program, and alice with all the credit that one grant can give."""
    await services.create("alice", permanent=MOST)
    return services


async def answer(services: Services, request: Message) -> Failure | None:
    """How a request is refused; None if it is not. It is put to the RPC whose request it is."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    stub = next(each for each in (services.metering, services.account, services.admin) if hasattr(each, name))
    try:
        await getattr(stub, name)(request)
    except grpc.aio.AioRpcError as error:
        return Failure(error)
    return None


OF_MESSAGES = {case.elements.partition(".")[0] for case in BOUNDS}


@pytest.mark.parametrize("message", sorted(OF_MESSAGES))
async def test_a_bound_is_where_it_is_stated_to_be(rich: Services, message: str) -> None:
    """Within the bound a request is valid, or refused for another reason. Beyond it this field alone is wrong."""
    for case in BOUNDS:
        if case.elements.partition(".")[0] == message:
            assert case.within, case
            assert case.beyond, case
            await _try_both_sides(rich, case)


async def _try_both_sides(services: Services, case: Bound) -> None:
    for value in case.within:
        refused = await answer(services, case.make(value))
        reason = refused.info.reason if refused else "none"
        assert reason not in ("INVALID_REQUEST", "INTERNAL"), f"{case.field} {value!r:.40}: {refused and refused.message}"
    for value in case.beyond:
        refused = await answer(services, case.make(value))
        assert refused is not None, f"{case.field} {value!r:.40} was taken"
        assert (refused.info.reason, refused.fields) == ("INVALID_REQUEST", {case.field.format("")}), f"{value!r:.40}"


async def test_a_page_has_as_many_as_asked_for(services: Services) -> None:
    """50 by default, and never more than 1,000. The price list has more than that."""
    for asked, size in ((0, 50), (1, 1), (999, 999), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)):
        page = await services.account.ListModelPrices(account_pb2.ListModelPricesRequest(page_size=asked))
        assert len(page.prices) == size
        assert page.next_page_token


async def test_a_hold_lasts_ten_minutes_unless_told_and_is_committed_late_for_a_day(rich: Services, clock: ManualClock) -> None:
    """Up to the last microsecond of the window, and not at its end."""
    held = [(await rich.metering.Reserve(reserve())).reservation for _ in range(2)]
    assert held[0].expires_at.ToMicroseconds() - held[0].created_at.ToMicroseconds() == 10 * MINUTE
    clock.advance(10 * MINUTE + DAY - 1)
    late = metering_pb2.CommitRequest(request_id="late", reservation_id=held[0].reservation_id, amount_microcredits=0)
    assert (await rich.metering.Commit(late)).charge.late
    clock.advance(1)
    late = metering_pb2.CommitRequest(request_id="too-late", reservation_id=held[1].reservation_id, amount_microcredits=0)
    assert (await failure(rich.metering.Commit(late))).info.reason == "RESERVATION_EXPIRED"


async def test_a_hold_lasts_no_longer_than_an_hour_altogether(rich: Services) -> None:
    """However long it is extended: the deadline moves as far as it may."""
    held = (await rich.metering.Reserve(reserve())).reservation
    for ttl, lasts in ((Duration(seconds=3_599), HOUR - SECOND), (Duration(seconds=315_576_000_000), HOUR)):
        asked = metering_pb2.ExtendRequest(request_id=new_id(), reservation_id=held.reservation_id, ttl=ttl)
        extended = (await rich.metering.Extend(asked)).reservation
        assert extended.expires_at.ToMicroseconds() - extended.created_at.ToMicroseconds() == lasts


async def test_the_calendar_of_an_account_changes_once_in_thirty_days(services: Services, clock: ManualClock) -> None:
    """Time zone and anchor day together; at the end of the 30 days, and not a moment before."""
    await services.create("alice", time_zone="UTC")
    for moved, zone, reason in (
        (0, "Asia/Tokyo", None),
        (30 * DAY - 1, "UTC", "TIME_ZONE_CHANGE_TOO_SOON"),
        (1, "UTC", None),
    ):
        clock.advance(moved)
        account = admin_pb2.Account(account_id="alice", time_zone=zone)
        refused = await answer(services, admin_pb2.UpdateAccountRequest(request_id=new_id(), account=account))
        assert (refused.info.reason if refused else None) == reason


async def test_a_balance_is_never_below_nothing(services: Services) -> None:
    """What is owed is said apart."""
    await services.create("alice", permanent=5, overdraft_limit_microcredits=100)
    fact = charge(amount_microcredits=12, already_incurred=True)
    await settled_charge(services, (await services.metering.Charge(fact)).charge.charge_id)
    balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
    assert (balance.available_microcredits, balance.debt_microcredits) == (0, 7)


async def test_a_balance_shows_a_hundred_grants(services: Services) -> None:
    """The first in the order of deduction; ListGrants has all."""
    await services.create("alice")
    for count, shown_ in ((100, 100), (1, 100)):
        for _ in range(count):  # one after the other: on a busy machine, so many at once wait too long for the central store
            await services.admin.GrantCredits(grant())
        balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
        assert len(balance.grants) == shown_


async def test_the_note_of_a_goodwill_grant_is_no_longer_than_any_other(rich: Services) -> None:
    """It names its charge and the reason, which may be as long as a note by itself."""
    done = (await rich.metering.Charge(charge(amount_microcredits=5))).charge
    goodwill = charges_pb2.REFUND_MODE_GOODWILL
    asked = metering_pb2.RefundRequest(request_id="f", charge_id=done.charge_id, mode=goodwill, reason="x" * 512)
    refund = (await rich.metering.Refund(asked)).refund
    assert refund.reason == "x" * 512
    async with asyncio.timeout(20):
        while not refund.HasField("posted_at"):
            refund = (await rich.metering.GetRefund(metering_pb2.GetRefundRequest(refund_id=refund.refund_id))).refund
    grants = (await rich.account.ListGrants(account_pb2.ListGrantsRequest(account_id="alice"))).grants
    (note,) = [each.note for each in grants if each.source == grants_pb2.GRANT_SOURCE_GOODWILL]
    assert (len(note), note.startswith(f"{done.charge_id}: xxx")) == (512, True)
    history = await rich.account.ListHistory(account_pb2.ListHistoryRequest(account_id="alice"))
    assert max(len(each.note) for each in history.entries) == 512


async def test_a_page_of_history_shows_a_thousand_charges_that_wait(data_dir: Path, clock: ManualClock) -> None:
    """The newest; none of them settles meanwhile."""
    settings = Settings.load(None, listen=("127.0.0.1:0",), data_dir=data_dir, enable_admin=True, settle_interval=60)
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        services = Services.on(program, data_dir, channel)
        await services.create("alice", permanent=100_000)
        held = (await services.metering.Reserve(reserve(amount_microcredits=10_000))).reservation
        freed = metering_pb2.ReleaseRequest(request_id="free", reservation_id=held.reservation_id)
        await services.metering.Release(freed)  # so that there is credit in hand, and nobody has to be asked for more
        for count, shown_ in ((1, 1), (999, 1_000), (1, 1_000)):
            await asyncio.gather(*(services.metering.Charge(charge(amount_microcredits=1)) for _ in range(count)))
            page = await services.account.ListHistory(account_pb2.ListHistoryRequest(account_id="alice"))
            assert len(page.pending) == shown_


async def test_the_last_end_is_the_last_midnight_of_the_calendar(services: Services) -> None:
    """A day before it is an end of its own; what is later becomes it."""
    await services.create("alice", time_zone="Asia/Tokyo")
    day_before, last = datetime(9999, 12, 29, 15, tzinfo=UTC), datetime(9999, 12, 30, 15, tzinfo=UTC)
    beyond = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for wanted, ends in ((day_before, day_before), (last, last), (beyond, last)):
        given = (await services.admin.GrantCredits(grant(expires_at=wanted))).grant
        assert given.expires_at.ToDatetime(tzinfo=UTC) == ends


async def test_an_account_is_given_no_more_than_the_most_it_may_have(services: Services) -> None:
    """What it has is counted, not what it was given in its life."""
    await services.create("alice")
    much = GrantCredits(RequestId("much"), AccountId("alice"), GrantKind.PERMANENT, Microcredits(9 * 10**18 - 2))
    await services.program.sidecar.central.administration.grant_credits(much)
    refused = await answer(services, grant(amount_microcredits=3))
    assert refused is not None
    assert (refused.info.reason, refused.fields) == ("INVALID_REQUEST", {"amount_microcredits"})
    assert await answer(services, grant(amount_microcredits=2)) is None


async def test_a_price_beyond_all_amounts_is_refused_before_a_call_and_capped_after_it(services: Services) -> None:
    """What has been is never lost: it costs the largest amount, flagged, with its exact price beside it, and is settled."""
    await services.create("alice", permanent=100_000_000)
    metering = services.metering
    items = work_pb2.Work(action="image", request_model="dall-e-3", quantity=10**9)
    of_images = work_pb2.Usage(action="image", request_model="dall-e-3", quantity=10**9)
    asked = metering_pb2.ChargeRequest(request_id="n", account_id="alice", usage=of_images)
    for call, field in (
        (metering.Quote(metering_pb2.QuoteRequest(work=[items])), "work[0]"),
        (metering.Reserve(metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=items)), "work"),
        (metering.Charge(asked), "usage"),
    ):
        failed = await failure(call)
        assert (failed.info.reason, failed.fields) == ("INVALID_REQUEST", {field})
        assert "above the limit of 1,000,000,000" in failed.message
    items.quantity = 1
    held = (await metering.Reserve(reserve(work=items))).reservation
    done = await metering.Commit(
        metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id, usage=of_images)
    )
    asked.already_incurred = True
    charges = [done.charge, (await metering.Charge(asked)).charge]
    for each in charges:
        assert (each.cost_microcredits, list(each.flags)) == (10**15, [charges_pb2.CHARGE_FLAG_CAPPED])
        assert int(each.exact_credits) > 10**9
        await settled_charge(services, each.charge_id)
    summed = await services.account.SummarizeUsage(account_pb2.SummarizeUsageRequest(account_id="alice"))
    assert (summed.total.cost_microcredits, summed.total.quantity) == (2 * 10**15, 2 * 10**9)
    assert summed.total.covered_microcredits == 100_000_000


async def test_a_message_that_is_too_large_is_refused_by_grpc_itself(services: Services) -> None:
    """RESOURCE_EXHAUSTED without an ErrorInfo: no code of this program sees it. One just below the limit is read."""
    labels = {"k": "x" * (4 * 1024**2 - 100)}
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=1, labels=labels)
    assert (await failure(services.metering.Reserve(asked))).fields == {"labels['k']"}
    asked.labels["k"] += "x" * 200
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await services.metering.Reserve(asked)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(caught.value.trailing_metadata() or ())


async def test_a_status_names_a_hundred_accounts_in_quarantine(services: Services) -> None:
    """However many there are."""
    records = services.program.sidecar.records
    records.put_in_quarantine(AccountId(f"a{number:03}") for number in range(101))
    status = await services.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert status.quarantined_account_count == 101
    assert list(status.quarantined_account_ids) == [f"a{number:03}" for number in range(100)]


BEYOND_REQUESTS = {
    ("GetStatusResponse.quarantined_account_ids", "Which these are, in the order of their ids, at most 100 of them."): (
        test_a_status_names_a_hundred_accounts_in_quarantine
    ),
    ("GrantCreditsRequest.amount_microcredits", "No grant leaves an account with more than 9 * 10^18 in all."): (
        test_an_account_is_given_no_more_than_the_most_it_may_have
    ),
    (
        "GrantCreditsRequest.expires_at",
        "The latest end is the beginning of 31 December 9999 in the account's time zone;",
    ): test_the_last_end_is_the_last_midnight_of_the_calendar,
    (
        "GetBalanceResponse.available_microcredits",
        "What may be reserved now, in microcredits: never below 0, net of debt, idle credit on leases included.",
    ): test_a_balance_is_never_below_nothing,
    (HEAD, "A message is at most 4 MiB: gRPC itself refuses a larger one, with RESOURCE_EXHAUSTED and no ErrorInfo."): (
        test_a_message_that_is_too_large_is_refused_by_grpc_itself
    ),
    (
        HEAD,
        "in a Commit, or a Charge with already_incurred, it costs 10^15 and is flagged CAPPED, since a fact is never lost.",
    ): (test_a_price_beyond_all_amounts_is_refused_before_a_call_and_capped_after_it),
    (
        "ChargeFlag.CHARGE_FLAG_CAPPED",
        "The rate card's cap lowered the cost, or the limit of 10^15 microcredits on any amount did.",
    ): (test_a_price_beyond_all_amounts_is_refused_before_a_call_and_capped_after_it),
    (HEAD, "page_size 0 means 50, above 1,000 means 1,000, negative is invalid."): test_a_page_has_as_many_as_asked_for,
    ("ReserveRequest.ttl", "Unset: 10 minutes."): (test_a_hold_lasts_ten_minutes_unless_told_and_is_committed_late_for_a_day),
    ("MeteringService.Commit", "After the deadline it is accepted once within late_commit_window (24 hours)."): (
        test_a_hold_lasts_ten_minutes_unless_told_and_is_committed_late_for_a_day
    ),
    ("ReservationState.RESERVATION_STATE_EXPIRED", "One late commit is accepted within 24 hours (late_commit_window)."): (
        test_a_hold_lasts_ten_minutes_unless_told_and_is_committed_late_for_a_day
    ),
    ("Reservation.expires_at", "Never later than created_at + max_hold_lifetime (1 hour by default)."): (
        test_a_hold_lasts_no_longer_than_an_hour_altogether
    ),
    ("Account.time_zone", "It and anchor_day may be changed at most once in 30 days."): (
        test_the_calendar_of_an_account_changes_once_in_thirty_days
    ),
    (
        "ErrorReason.ERROR_REASON_TIME_ZONE_CHANGE_TOO_SOON",
        "The account's time zone or anchor day was changed less than 30 days ago.",
    ): test_the_calendar_of_an_account_changes_once_in_thirty_days,
    (
        "GetBalanceResponse.grants",
        "the first 100.",
    ): test_a_balance_shows_a_hundred_grants,
    ("Grant.note", "A note for the user's history, at most 512 characters."): (
        test_the_note_of_a_goodwill_grant_is_no_longer_than_any_other
    ),
    ("Refund.reason", "The reason given, at most 512 characters."): (
        test_the_note_of_a_goodwill_grant_is_no_longer_than_any_other
    ),
    ("HistoryEntry.note", "At most 512 characters."): test_the_note_of_a_goodwill_grant_is_no_longer_than_any_other,
    (
        "ListHistoryResponse.pending",
        "Charges of this sidecar that are not posted yet and match the filters, newest first, at most 1,000.",
    ): test_a_page_of_history_shows_a_thousand_charges_that_wait,
}
"""Bounds of replies, of whole messages, and of time."""


def test_every_stated_bound_has_its_cases() -> None:
    """And no case is of a bound that is stated no more."""
    stated, others = numbers_stated(), NO_BOUNDS | OF_STREAMS.keys()
    cases = {(case.elements, case.sentence) for case in BOUNDS} | BEYOND_REQUESTS.keys()
    assert stated - cases - others == set(), "a comment states a number of which no case knows"
    assert (cases | others) - stated == set(), "a case is of what no comment states"
    assert not cases & others
    beside = "".join((Path(__file__).parent / name).read_text() for name in ("test_frames.py", "test_metered.py"))
    assert [each for each in OF_STREAMS.values() if f"async def {each}(" not in beside] == []
