"""The requests of MeteringService, read into the core's."""

from typing import Any

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, RefundCharge, Release, Request, Reserve
from creditmeter.core.ids import AccountId, ChargeId, RequestId, ReservationId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.prices.reported.calls import with_provider_usage
from creditmeter.core.prices.reported.values import UnknownUsageError
from creditmeter.core.prices.requirements import missing_in_usage, missing_in_work
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Served, Usage, UsageSource, Work
from creditmeter.server.fields import LONGEST, MAX_NAME, MAX_TEXT, Fields
from creditmeter.v1 import charges_pb2, metering_pb2, work_pb2

Asked = tuple[Request, Span | None]
"""A request that changes something, and how long it may wait for recalled credit."""

MAX_QUOTED = 50
MAX_PROVIDER_USAGE_BYTES = 64 * 1024

_WORK_COUNTS = ("input_tokens", "max_output_tokens", "quantity")
_WORK_PARTS = ("cache_creation_input_tokens", "cache_creation_1h_input_tokens", "audio_input_tokens", "image_input_tokens")
_USAGE_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_1h_input_tokens",
    "reasoning_output_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "quantity",
)
_USAGE_NAMES = ("action", "provider", "request_model", "response_model", "variant", "tool", "response_id")
_SERVED_NAMES = ("service_tier", "speed", "region", "search_type")
_WORK_NAMES = ("action", "provider", "request_model", "variant", "tool", "service_tier")


def reserve_of(message: metering_pb2.ReserveRequest, max_hold_lifetime: Span) -> tuple[Reserve, Span | None] | InvalidRequest:
    """Read a Reserve, and how long it may wait."""
    fields = Fields(message)
    wait = fields.wait()
    work, amount = _bound(fields, message, required=True)
    request = Reserve(
        request_id=fields.id("request_id", RequestId),
        account_id=fields.id("account_id", AccountId),
        work=work,
        amount=amount,
        ttl=fields.span_if_set("ttl", SECOND, max_hold_lifetime),
        allow_partial=message.allow_partial,
        labels=fields.labels(),
    )
    return fields.refusal or (request, wait)


def quote_of(message: metering_pb2.QuoteRequest) -> tuple[list[Work], AccountId | None] | InvalidRequest:
    """Read a Quote."""
    fields = Fields(message)
    if not 1 <= len(message.work) <= MAX_QUOTED:
        fields.wrong("work", f"must be 1 to {MAX_QUOTED}")
    works = [_work(fields.within(f"work[{number}]", each)) for number, each in enumerate(message.work)]
    account_id = fields.id_if_set("account_id", AccountId)
    return fields.refusal or (works, account_id)


def extend_of(message: metering_pb2.ExtendRequest) -> Asked | InvalidRequest:
    """Read an Extend, and how long it may wait. Its ttl may be as long as a Duration can be: the deadline moves as far as it
    may.
    """
    fields = Fields(message)
    wait = fields.wait()
    work, amount = _bound(fields, message, required=False)
    request = Extend(
        request_id=fields.id("request_id", RequestId),
        reservation_id=fields.id("reservation_id", ReservationId),
        work=work,
        amount=amount,
        ttl=fields.span_if_set("ttl", SECOND, LONGEST),
    )
    if work is None and amount is None and request.ttl is None:
        fields.wrong("bound", "is missing: give work or amount_microcredits, or a ttl")
    return fields.refusal or (request, wait)


def commit_of(message: metering_pb2.CommitRequest) -> Asked | InvalidRequest:
    """Read a Commit. A cost of 0 is valid.

    What its usage leaves out is taken from the reservation, so it is not checked here. If the request is refused anyway, the
    provider's report is checked too, so that the refusal names it as well.
    """
    fields = Fields(message)
    usage, amount = _cost(fields, message, least=0)
    request = Commit(
        request_id=fields.id("request_id", RequestId),
        reservation_id=fields.id("reservation_id", ReservationId),
        usage=usage,
        amount=amount,
        keep_open=message.keep_open,
    )
    if usage is not None and fields.refusal is not None:  # else its reservation says what else is wrong
        _reported(fields, usage)
    return fields.refusal or (request, None)


def release_of(message: metering_pb2.ReleaseRequest) -> Asked | InvalidRequest:
    """Read a Release."""
    fields = Fields(message)
    request = Release(
        request_id=fields.id("request_id", RequestId),
        reservation_id=fields.id("reservation_id", ReservationId),
        reason=fields.text("reason", MAX_TEXT),
    )
    return fields.refusal or (request, None)


def charge_of(message: metering_pb2.ChargeRequest) -> Asked | InvalidRequest:
    """Read a Charge, and how long it may wait. It has no reservation from which to take what its usage leaves out, so a missing
    count is wrong.
    """
    fields = Fields(message)
    wait = fields.wait()
    usage, amount = _cost(fields, message, least=1)
    if usage is not None:
        for name, why in missing_in_usage(replace(_reported(fields, usage), provider_usage_json="")):
            fields.wrong(f"usage.{name}", why)
    request = ChargeNow(
        request_id=fields.id("request_id", RequestId),
        account_id=fields.id("account_id", AccountId),
        usage=usage,
        amount=amount,
        already_incurred=message.already_incurred,
        labels=fields.labels(),
    )
    return fields.refusal or (request, wait)


def refund_of(message: metering_pb2.RefundRequest) -> Asked | InvalidRequest:
    """Read a Refund. No amount means all that is left; an explicit 0 is invalid."""
    fields = Fields(message)
    request = RefundCharge(
        request_id=fields.id("request_id", RequestId),
        charge_id=fields.id("charge_id", ChargeId),
        amount=fields.amount("amount_microcredits", 1) if message.HasField("amount_microcredits") else None,
        mode=fields.enum("mode", charges_pb2.RefundMode, RefundMode) or RefundMode.ORIGINAL,
        reason=fields.text("reason", MAX_TEXT),
    )
    return fields.refusal or (request, None)


def progress_of(message: work_pb2.Usage) -> Usage | InvalidRequest:
    """Read what a metered call used so far. What it leaves out is as it was reported before."""
    fields = Fields(message, "progress.")
    usage = _usage(fields, message)
    return fields.refusal or usage


def finish_of(message: metering_pb2.MeterFinish) -> tuple[RequestId, Usage | None] | InvalidRequest:
    """Read the end of a metered call. No usage means what was reported last."""
    fields = Fields(message, "finish.")
    request_id = fields.id("request_id", RequestId)
    usage = _usage(fields.within("usage", message.usage), message.usage) if message.HasField("usage") else None
    return fields.refusal or (request_id, usage)


def _bound(
    fields: Fields, message: metering_pb2.ReserveRequest | metering_pb2.ExtendRequest, *, required: bool
) -> tuple[Work | None, Microcredits | None]:
    match message.WhichOneof("bound"):
        case "work":
            return _work(fields.within("work", message.work)), None
        case "amount_microcredits":
            return None, fields.amount("amount_microcredits", 1)
        case _:
            if required:
                fields.wrong("bound", "is missing: give work or amount_microcredits")
            return None, None


def _cost(
    fields: Fields, message: metering_pb2.CommitRequest | metering_pb2.ChargeRequest, least: int
) -> tuple[Usage | None, Microcredits | None]:
    match message.WhichOneof("cost"):
        case "usage":
            return _usage(fields.within("usage", message.usage), message.usage), None
        case "amount_microcredits":
            return None, fields.amount("amount_microcredits", least)
        case _:
            fields.wrong("cost", "is missing: give usage or amount_microcredits")
            return None, None


def _work(fields: Fields) -> Work:
    values: dict[str, Any] = fields.texts(_WORK_NAMES, MAX_NAME) | fields.counts(_WORK_COUNTS)
    values |= {name: fields.count(name) for name in _WORK_PARTS}
    work = Work(**values, units=fields.units())
    for name, why in missing_in_work(work):
        fields.wrong(name, why)
    return work


def _usage(fields: Fields, message: work_pb2.Usage) -> Usage:
    values: dict[str, Any] = fields.texts(_USAGE_NAMES, MAX_NAME) | fields.counts(_USAGE_COUNTS)
    source = fields.enum("source", work_pb2.UsageSource, UsageSource)
    if _is_report_too_long(message.provider_usage_json):
        fields.wrong("provider_usage_json", f"must be at most {MAX_PROVIDER_USAGE_BYTES} bytes")
    return Usage(
        **values,
        source=source or UsageSource.PROVIDER,
        provider_usage_json=message.provider_usage_json,
        units=fields.units(),
        served=Served(**fields.texts(_SERVED_NAMES, MAX_NAME)),
    )


def _reported(fields: Fields, usage: Usage) -> Usage:
    """The usage with what its provider reported. A report that cannot be read is noted; one that is too long is not read."""
    if _is_report_too_long(usage.provider_usage_json):
        return usage
    try:
        return with_provider_usage(usage)
    except UnknownUsageError as error:
        fields.wrong("usage.provider_usage_json", str(error))
        return usage


def _is_report_too_long(report: str) -> bool:
    return len(report.encode()) > MAX_PROVIDER_USAGE_BYTES
