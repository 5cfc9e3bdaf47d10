"""From a forecast to the message that callers get."""

from google.protobuf.duration_pb2 import Duration

from creditmeter.core.instants import SECOND, Span
from creditmeter.core.reports.findings import Finding
from creditmeter.core.reports.forecasting import BucketForecast, Forecast
from creditmeter.server.replies import int64, timestamp
from creditmeter.v1 import account_pb2, grants_pb2

_NANOSECONDS = 1_000


def forecast_message(found: Forecast) -> account_pb2.ForecastUsageResponse:
    """A forecast."""
    plan = found.smallest_plan
    smallest = None
    if plan is not None:
        smallest = grants_pb2.Plan(plan_id=plan.plan_id, daily_microcredits=plan.daily, monthly_microcredits=plan.monthly)
    return account_pb2.ForecastUsageResponse(
        buckets=[_bucket(each) for each in found.buckets],
        runs_out_at=timestamp(found.runs_out_at),
        smallest_plan=smallest,
        refused_count=found.refused_count,
        findings=[_finding(each) for each in found.findings],
        start=timestamp(found.start),
        end=timestamp(found.end),
    )


def _bucket(bucket: BucketForecast) -> account_pb2.BucketForecast:
    return account_pb2.BucketForecast(
        kind=grants_pb2.GrantKind.Value(f"GRANT_KIND_{bucket.kind.value}"),
        remaining_microcredits=bucket.remaining,
        spent_per_day_microcredits=int64(bucket.spent_per_day),
        lasts=_duration(bucket.lasts),
        runs_out_at=timestamp(bucket.runs_out_at),
        lapsed_microcredits=int64(bucket.lapsed),
        exhausted_days=bucket.exhausted_days,
    )


def _duration(span: Span) -> Duration:
    seconds, microseconds = divmod(span, SECOND)
    return Duration(seconds=seconds, nanos=microseconds * _NANOSECONDS)


def _finding(finding: Finding) -> account_pb2.ForecastFinding:
    return account_pb2.ForecastFinding(
        reason=account_pb2.ForecastReason.Value(f"FORECAST_REASON_{finding.reason.value}"),
        observed=finding.observed,
        threshold=finding.threshold,
    )
