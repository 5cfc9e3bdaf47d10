"""ForecastUsage over the wire."""

import grpc

from creditmeter.core.instants import DAY
from creditmeter.server.replies import timestamp
from creditmeter.sidecar.looking import REFUSED_REPORTED_WITHIN
from creditmeter.v1 import account_pb2, grants_pb2, metering_pb2
from tests.clocks import NOON, ManualClock
from tests.server.conftest import Services, failure

CREDIT = 1_000_000


async def test_a_forecast(services: Services, clock: ManualClock) -> None:
    """A new account with daily and permanent credit, of which nothing was used."""
    await services.create("alice", permanent=100 * CREDIT, daily=5 * CREDIT)
    found = await services.account.ForecastUsage(account_pb2.ForecastUsageRequest(account_id="alice"))
    assert [each.kind for each in found.buckets] == [
        grants_pb2.GRANT_KIND_DAILY,
        grants_pb2.GRANT_KIND_MONTHLY,
        grants_pb2.GRANT_KIND_PERMANENT,
    ]
    daily, _, permanent = found.buckets
    assert (daily.remaining_microcredits, daily.lasts.seconds) == (5 * CREDIT, 12 * 3600)
    assert (permanent.remaining_microcredits, permanent.lasts.seconds) == (100 * CREDIT, 30 * 24 * 3600)
    assert not permanent.HasField("runs_out_at")
    assert not found.HasField("runs_out_at")
    assert found.smallest_plan.daily_microcredits == 5 * CREDIT
    assert (found.start, found.end) == (timestamp(NOON), timestamp(NOON))
    clock.advance(31 * DAY)
    found = await services.account.ForecastUsage(account_pb2.ForecastUsageRequest(account_id="alice"))
    assert (found.start, found.end) == (timestamp(type(NOON)(NOON + DAY)), timestamp(clock.wall()))


async def test_a_refused_call_is_counted(services: Services, clock: ManualClock) -> None:
    """It goes along with the next message about its account, some seconds later at the latest."""
    await services.create("alice", permanent=CREDIT)
    for name in ("a", "b"):
        refused = metering_pb2.ReserveRequest(request_id=name, account_id="alice", amount_microcredits=2 * CREDIT)
        assert (await failure(services.metering.Reserve(refused))).info.reason == "INSUFFICIENT_CREDITS"
        clock.advance(REFUSED_REPORTED_WITHIN)
    found = await services.account.ForecastUsage(account_pb2.ForecastUsageRequest(account_id="alice"))
    assert found.refused_count >= 1
    assert not found.HasField("smallest_plan")


async def test_an_unknown_account(services: Services) -> None:
    """And none at all."""
    unknown = await failure(services.account.ForecastUsage(account_pb2.ForecastUsageRequest(account_id="nobody")))
    assert unknown.info.reason == "ACCOUNT_NOT_FOUND"
    missing = await failure(services.account.ForecastUsage(account_pb2.ForecastUsageRequest()))
    assert (missing.code, missing.fields) == (grpc.StatusCode.INVALID_ARGUMENT, {"account_id"})
