"""The contract over the wire: what callers send, what they get, and what errors say."""

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.core.amounts import Microcredits
from creditmeter.core.awaited import Awaited
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.refusals import RecallPending, Refusal
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.errors import _TABLE, problem_of
from creditmeter.server.health import METERING
from creditmeter.sidecar.clock import SystemClock
from creditmeter.v1 import account_pb2, admin_pb2, errors_pb2, metering_pb2, reservations_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.server.settling import settled_charge

CREDIT = 1_000_000


def reserve(request_id: str, amount: int = CREDIT, account_id: str = "alice") -> metering_pb2.ReserveRequest:
    """A Reserve of an amount."""
    return metering_pb2.ReserveRequest(request_id=request_id, account_id=account_id, amount_microcredits=amount)


async def test_a_call_from_reservation_to_refund(services: Services) -> None:
    """The main job: reserve, commit what was used, see where it went, refund."""
    await services.create("alice", permanent=100 * CREDIT)
    work = work_pb2.Work(action="text", provider="openai", request_model="gpt-4o", input_tokens=8_001, max_output_tokens=1_000)
    held = await services.metering.Reserve(
        metering_pb2.ReserveRequest(request_id="job/reserve", account_id="alice", work=work, labels={"job": "1"})
    )
    assert held.reservation.state == reservations_pb2.RESERVATION_STATE_HELD
    usage = work_pb2.Usage(input_tokens=8_001, output_tokens=0)
    done = await services.metering.Commit(
        metering_pb2.CommitRequest(request_id="job/commit", reservation_id=held.reservation.reservation_id, usage=usage)
    )
    assert (done.charge.cost_microcredits, done.charge.cost_usd) == (3 * CREDIT, "0.0200025")
    assert done.reservation.state == reservations_pb2.RESERVATION_STATE_COMMITTED
    assert done.charge.labels == {"job": "1"}
    await settled_charge(services, done.charge.charge_id)
    back = await services.metering.Refund(
        metering_pb2.RefundRequest(request_id="job/refund", charge_id=done.charge.charge_id, reason="no good")
    )
    assert back.refund.restored_microcredits == 3 * CREDIT
    found = await services.metering.GetRefund(metering_pb2.GetRefundRequest(refund_id=back.refund.refund_id))
    assert found.refund == back.refund
    history = await services.account.ListHistory(account_pb2.ListHistoryRequest(account_id="alice"))
    assert [account_pb2.HistoryType.Name(each.type) for each in history.entries] == [
        "HISTORY_TYPE_REFUNDED",
        "HISTORY_TYPE_CHARGED",
        "HISTORY_TYPE_GRANTED",
    ]
    balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
    assert (balance.available_microcredits, balance.held_microcredits, balance.stale) == (100 * CREDIT, 0, False)


async def test_every_wrong_field_is_named_at_once(services: Services) -> None:
    """With BadRequest beside the one ErrorInfo."""
    request = metering_pb2.ReserveRequest(
        request_id="two words",
        account_id="x" * 129,
        amount_microcredits=-1,
        ttl=Duration(seconds=7_200),
        labels={f"k{number}": "v" for number in range(17)} | {"long": "v" * 257},
    )
    failed = await failure(services.metering.Reserve(request))
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.info.reason, failed.info.domain) == ("INVALID_REQUEST", "creditmeter")
    assert failed.fields == {"request_id", "account_id", "amount_microcredits", "ttl", "labels", "labels['long']"}
    assert failed.kinds.count("google.rpc.ErrorInfo") == 1


async def test_what_the_central_store_cannot_keep_is_refused(services: Services) -> None:
    """PostgreSQL keeps no NUL: let in here, it would stop the account's settlement."""
    usage = work_pb2.Usage(action="text", response_model="a\0b", input_tokens=1, output_tokens=1)
    request = metering_pb2.ChargeRequest(
        request_id="r", account_id="alice", usage=usage, labels={"k": "\0", "\0": "v", "k2": "v"}
    )
    failed = await failure(services.metering.Charge(request))
    assert failed.fields == {"usage.response_model", "labels['k']", "labels['\\x00']"}


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("Reserve", reserve("r", 0), {"amount_microcredits"}),
        ("Reserve", reserve("r", 2**63 - 1), {"amount_microcredits"}),
        ("Reserve", metering_pb2.ReserveRequest(request_id="r", account_id="a"), {"bound"}),
        ("Reserve", metering_pb2.ReserveRequest(request_id="r", account_id="a", work=work_pb2.Work()), {"work.action"}),
        ("Extend", metering_pb2.ExtendRequest(request_id="r", reservation_id="x"), {"bound"}),
        ("Commit", metering_pb2.CommitRequest(request_id="r", reservation_id="x"), {"cost"}),
        ("Commit", metering_pb2.CommitRequest(), {"request_id", "reservation_id", "cost"}),
        ("Charge", metering_pb2.ChargeRequest(request_id="r", account_id="a"), {"cost"}),
        ("Refund", metering_pb2.RefundRequest(request_id="r", charge_id="c", amount_microcredits=0), {"amount_microcredits"}),
        ("Refund", metering_pb2.RefundRequest(request_id="r", charge_id="c", reason="x" * 513), {"reason"}),
        ("Release", metering_pb2.ReleaseRequest(request_id="r"), {"reservation_id"}),
        ("ListReservations", metering_pb2.ListReservationsRequest(page_size=-1, page_token="?"), {"page_size", "page_token"}),
        ("GetCharge", metering_pb2.GetChargeRequest(), {"charge_id"}),
    ],
)
async def test_bad_input_is_refused_by_field(services: Services, method: str, request_: object, fields: set[str]) -> None:
    """INVALID_ARGUMENT, and exactly the wrong fields."""
    failed = await failure(getattr(services.metering, method)(request_))
    assert (failed.code, failed.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_insufficient_credits_say_what_is_there_and_when_more_comes(services: Services) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo asks clients not to retry."""
    await services.create("alice", daily=5 * CREDIT)
    failed = await failure(services.metering.Reserve(reserve("r", 6 * CREDIT)))
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INSUFFICIENT_CREDITS")
    assert failed.info.metadata == {
        "required_microcredits": "6000000",
        "available_microcredits": "5000000",
        "next_reset_at": "2026-11-25T00:00:00Z",
    }
    assert failed.trailing["grpc-retry-pushback-ms"] == "-1"
    assert "google.rpc.QuotaFailure" in failed.kinds


@pytest.mark.parametrize(("daily", "monthly", "reset"), [(0, 0, None), (0, 5, "2026-12-24T00:00:00Z")])
async def test_a_refusal_names_no_reset_that_brings_nothing(
    services: Services, daily: int, monthly: int, reset: str | None
) -> None:
    """The end of a day or month counts only if the plan gives credit then."""
    await services.create("alice", daily=daily * CREDIT, monthly=monthly * CREDIT)
    failed = await failure(services.metering.Reserve(reserve("r", 6 * CREDIT)))
    assert failed.info.reason == "INSUFFICIENT_CREDITS"
    assert failed.info.metadata.get("next_reset_at") == reset


async def test_errors_carry_their_reason(services: Services) -> None:
    """One of each kind that a worker meets."""
    await services.create("alice", permanent=10 * CREDIT, max_open_reservations=1, max_reservation_microcredits=5 * CREDIT)
    metering = services.metering
    held = (await metering.Reserve(reserve("r"))).reservation
    unpriced = work_pb2.Work(action="text", request_model="no-such-model", input_tokens=1)
    elsewhere = metering_pb2.GetReservationRequest(reservation_id="res-aaaaaaaaaaaaaaaa-s0-1")
    expected = {
        "ACCOUNT_NOT_FOUND": metering.Reserve(reserve("r", account_id="nobody")),
        "LIMIT_EXCEEDED": metering.Reserve(reserve("r2")),
        "REQUEST_ID_REUSED": metering.Reserve(reserve("r", 2 * CREDIT)),
        "UNPRICED": metering.Reserve(metering_pb2.ReserveRequest(request_id="r3", account_id="alice", work=unpriced)),
        "RESERVATION_NOT_FOUND": metering.GetReservation(metering_pb2.GetReservationRequest(reservation_id="x")),
        "RESERVATION_ELSEWHERE": metering.GetReservation(elsewhere),
        "CHARGE_NOT_FOUND": metering.GetCharge(metering_pb2.GetChargeRequest(charge_id="chg-aaaaaaaaaaaaaaaa-s0-1")),
        "REFUND_NOT_FOUND": metering.GetRefund(metering_pb2.GetRefundRequest(refund_id="x")),
    }
    assert {reason: (await failure(call)).info.reason for reason, call in expected.items()} == {each: each for each in expected}
    await metering.Release(metering_pb2.ReleaseRequest(request_id="free", reservation_id=held.reservation_id))
    failed = await failure(metering.Reserve(reserve("big", 6 * CREDIT)))
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "AMOUNT_ABOVE_LIMIT")


def test_every_refusal_has_a_row() -> None:
    """A refusal without a status would be an internal error to its caller."""
    assert {each.__name__ for each in _TABLE} == {each.__name__ for each in Refusal.__subclasses__()}


@pytest.mark.parametrize("kind", _TABLE, ids=lambda each: each.__name__)
def test_the_reason_of_every_row_is_in_the_contract(kind: type[Any]) -> None:
    """A reason with a typing error would reach callers that wait for the right one."""
    supertypes = [getattr(each.type, "__supertype__", each.type) for each in fields(kind)]
    samples: dict[Any, Any] = {str: "some", int: 1, tuple: (("field", "is wrong"),)}
    awaited = (Awaited(SidecarId("s"), Microcredits(1), Instant(1)),)
    refusal = kind(*(awaited if Awaited in get_args(each) else samples.get(get_origin(each) or each) for each in supertypes))
    assert errors_pb2.ErrorReason.Value(f"ERROR_REASON_{problem_of(refusal).reason}")


async def test_listings_go_on_where_they_stopped(services: Services, clock: ManualClock) -> None:
    """Newest first, page by page, nothing twice; a token with other filters is invalid."""
    await services.create("alice", permanent=100 * CREDIT)
    made = []
    for number in range(5):
        clock.advance(1)
        made.append((await services.metering.Reserve(reserve(f"r{number}"))).reservation.reservation_id)
    request = metering_pb2.ListReservationsRequest(account_id="alice", page_size=2)
    seen: list[str] = []
    while True:
        page = await services.metering.ListReservations(request)
        seen += [each.reservation_id for each in page.reservations]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == made[::-1]
    request.state = reservations_pb2.RESERVATION_STATE_HELD
    assert (await failure(services.metering.ListReservations(request))).fields == {"page_token"}


async def test_accounts_plans_and_grants(services: Services) -> None:
    """What an operator does: create, show, change, list, grant, void."""
    await services.create("alice", daily=5 * CREDIT)
    await services.create("bob", daily=7 * CREDIT, time_zone="Asia/Tokyo", anchor_day=31)
    listed = await services.admin.ListAccounts(admin_pb2.ListAccountsRequest())
    assert {each.account_id for each in listed.accounts} == {"alice", "bob"}
    plans = await services.admin.ListPlans(admin_pb2.ListPlansRequest())
    assert [each.daily_microcredits for each in plans.plans] == [5 * CREDIT, 7 * CREDIT]
    update = admin_pb2.UpdateAccountRequest(
        request_id="update",
        account=admin_pb2.Account(account_id="alice", overdraft_limit_microcredits=3, state=admin_pb2.ACCOUNT_STATE_SUSPENDED),
    )
    changed = (await services.admin.UpdateAccount(update)).account
    assert (changed.overdraft_limit_microcredits, changed.state, changed.plan_id) == (3, 2, "plan-5000000-0")
    assert (await services.admin.UpdateAccount(update)).replayed
    masked = admin_pb2.UpdateAccountRequest(
        request_id="masked",
        account=admin_pb2.Account(account_id="alice", max_open_reservations=9),
        update_mask=FieldMask(paths=["overdraft_limit_microcredits", "plan_id"]),
    )
    changed = (await services.admin.UpdateAccount(masked)).account
    assert (changed.overdraft_limit_microcredits, changed.plan_id, changed.max_open_reservations) == (0, "", 0)
    grant = admin_pb2.GrantCreditsRequest(request_id="g", account_id="alice", amount_microcredits=9)
    granted = (await services.admin.GrantCredits(grant)).grant
    voided = await services.admin.VoidGrant(
        admin_pb2.VoidGrantRequest(request_id="v", account_id="alice", grant_id=granted.grant_id)
    )
    assert (voided.voided_microcredits, voided.grant.remaining_microcredits) == (9, 0)
    assert (granted.HasField("voided_at"), voided.grant.HasField("voided_at")) == (False, True)
    again = admin_pb2.VoidGrantRequest(request_id="again", account_id="alice", grant_id=granted.grant_id)
    failed = await failure(services.admin.VoidGrant(again))
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GRANT_VOIDED")
    assert "no further request is needed" in failed.message
    shown = await services.admin.GetAccount(admin_pb2.GetAccountRequest(account_id="bob"))
    assert (shown.account.time_zone, shown.account.anchor_day) == ("Asia/Tokyo", 31)


async def test_operators_are_told_what_is_wrong(services: Services) -> None:
    """Wrong accounts, unknown plans, taken ids, calendars that were changed not long ago."""
    admin = services.admin
    wrong = admin_pb2.Account(account_id="", time_zone="Mars/Olympus", anchor_day=40, overdraft_limit_microcredits=-1)
    failed = await failure(admin.CreateAccount(admin_pb2.CreateAccountRequest(request_id="r", account=wrong)))
    assert failed.fields == {
        "account.account_id",
        "account.time_zone",
        "account.anchor_day",
        "account.overdraft_limit_microcredits",
    }
    await services.create("alice")
    to_tokyo = admin_pb2.Account(account_id="alice", time_zone="Asia/Tokyo")
    moved = await admin.UpdateAccount(admin_pb2.UpdateAccountRequest(request_id="east", account=to_tokyo))
    assert moved.account.time_zone == "Asia/Tokyo"
    cases = {
        "ACCOUNT_EXISTS": admin.CreateAccount(
            admin_pb2.CreateAccountRequest(request_id="other", account=admin_pb2.Account(account_id="alice"))
        ),
        "PLAN_NOT_FOUND": admin.CreateAccount(
            admin_pb2.CreateAccountRequest(request_id="r", account=admin_pb2.Account(account_id="bob", plan_id="no"))
        ),
        "TIME_ZONE_CHANGE_TOO_SOON": admin.UpdateAccount(
            admin_pb2.UpdateAccountRequest(request_id="tz", account=admin_pb2.Account(account_id="alice", anchor_day=5))
        ),
        "GRANT_NOT_FOUND": admin.VoidGrant(admin_pb2.VoidGrantRequest(request_id="v", account_id="alice", grant_id="no")),
        "ACCOUNT_NOT_FOUND": admin.GetAccount(admin_pb2.GetAccountRequest(account_id="nobody")),
    }
    assert {reason: (await failure(call)).info.reason for reason, call in cases.items()} == {each: each for each in cases}
    unknown = admin_pb2.UpdateAccountRequest(
        request_id="m", account=admin_pb2.Account(account_id="alice"), update_mask=FieldMask(paths=["created_at"])
    )
    assert (await failure(admin.UpdateAccount(unknown))).fields == {"update_mask"}


async def test_what_is_held_may_be_committed_while_the_sidecar_stops(data_dir: Path) -> None:
    """New work is refused with its reason, the health says so; with the last hold's end the sidecar stops at once."""
    settings = Settings.load(None, listen=("127.0.0.1:0",), data_dir=data_dir, enable_admin=True, shutdown_grace=60)
    async with running(settings, SystemClock()) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        services = Services.on(program, data_dir, channel)
        await services.create("alice", permanent=10)
        asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=5)
        held = (await services.metering.Reserve(asked)).reservation
        stopping = asyncio.create_task(program.stop(60))
        health = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest(service=METERING)
        while (await health.Check(check)).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            pass
        asked.request_id = "more"
        assert (await failure(services.metering.Reserve(asked))).info.reason == "SHUTTING_DOWN"
        commit = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id, amount_microcredits=3)
        assert (await services.metering.Commit(commit)).charge.cost_microcredits == 3
        await asyncio.wait_for(stopping, 20)
        assert program.is_settled


async def test_get_charge_waits_until_the_charge_is_posted(services: Services) -> None:
    """Not for the next settlement; its posting is in the reply."""
    await services.create("alice", permanent=10 * CREDIT)
    asked = metering_pb2.ChargeRequest(request_id="c", account_id="alice", amount_microcredits=CREDIT)
    made = (await services.metering.Charge(asked)).charge
    wait = Duration(seconds=30)
    found = (await services.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id=made.charge_id, wait=wait))).charge
    assert found.HasField("posted_at")


async def test_a_wait_is_no_part_of_a_request(services: Services) -> None:
    """A repeated request that waits for another time gets the first reply; one that waits for too long is told what to do."""
    await services.create("alice", permanent=10 * CREDIT)
    first = reserve("r")
    first.wait.FromSeconds(3)
    assert not (await services.metering.Reserve(first)).replayed
    first.wait.FromSeconds(0)
    assert (await services.metering.Reserve(first)).replayed
    first.wait.FromSeconds(61)
    refused = await failure(services.metering.Reserve(first))
    assert (refused.info.reason, refused.fields) == ("INVALID_REQUEST", {"wait"})
    assert refused.bad_request.field_violations[0].description == "must be 0 to 60 seconds; to wait longer, repeat the request"


def test_a_pending_recall_says_what_is_awaited() -> None:
    """Three lists in the same order."""
    awaited = (
        Awaited(SidecarId("s1"), Microcredits(7), Instant(1_000_000)),
        Awaited(SidecarId("s2"), Microcredits(3), Instant(2_500_000)),
    )
    assert problem_of(RecallPending(Span(1), awaited)).metadata == {
        "awaited_sidecars": "s1,s2",
        "awaited_microcredits": "7,3",
        "awaited_until": "1970-01-01T00:00:01Z,1970-01-01T00:00:02.500000Z",
    }
