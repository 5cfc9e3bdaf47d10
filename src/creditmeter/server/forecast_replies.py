"""From a forecast to the message that callers get."""

from creditmeter.core.reports.findings import Finding
from creditmeter.core.reports.forecasting import BucketForecast, Forecast
from creditmeter.server.enums import number_of
from creditmeter.server.replies import duration, int64, plan_message, timestamp
from creditmeter.v1 import account_pb2, grants_pb2


def forecast_message(found: Forecast) -> account_pb2.ForecastUsageResponse:
    """A forecast."""
    return account_pb2.ForecastUsageResponse(
        buckets=[_bucket(each) for each in found.buckets],
        runs_out_at=timestamp(found.runs_out_at),
        smallest_plan=plan_message(found.smallest_plan) if found.smallest_plan else None,
        refused_count=found.refused_count,
        findings=[_finding(each) for each in found.findings],
        start=timestamp(found.start),
        end=timestamp(found.end),
    )


def _bucket(bucket: BucketForecast) -> account_pb2.BucketForecast:
    return account_pb2.BucketForecast(
        kind=number_of(grants_pb2.GrantKind, bucket.kind),
        remaining_microcredits=bucket.remaining,
        spent_per_day_microcredits=int64(bucket.spent_per_day),
        lasts=duration(bucket.lasts),
        runs_out_at=timestamp(bucket.runs_out_at),
        lapsed_microcredits=int64(bucket.lapsed),
        exhausted_days=bucket.exhausted_days,
    )


def _finding(finding: Finding) -> account_pb2.ForecastFinding:
    return account_pb2.ForecastFinding(
        reason=number_of(account_pb2.ForecastReason, finding.reason),
        observed=finding.observed,
        threshold=finding.threshold,
    )
