"""What is known so far of a call that is under way: the reports of it, laid over each other."""

import dataclasses
import json
from typing import Any

from creditmeter.client.usages import document_of, merged, merged_usage, usage_of
from creditmeter.client.values import Usage
from creditmeter.client.words import UsageSource
from creditmeter.v1 import metering_pb2


def with_report(known: Usage | None, reported: object) -> Usage:
    """What is known after one more report. Counts are cumulative; what a later report does not say stays.

    Raises:
        TypeError: it is nothing that could be a report.
        ValueError: it is too large.
    """
    if isinstance(reported, Usage):
        return reported if known is None else merged_usage(known, reported)
    later = usage_of(reported)
    before = _document(known.provider_usage_json) if known is not None else None
    document = _document(later.provider_usage_json)
    if before is not None and document is not None:
        later = usage_of(document_of(merged(before, document)))
    return later if known is None else dataclasses.replace(known, provider_usage_json=later.provider_usage_json)


def _document(text: str) -> Any:
    """The JSON object in a text; None for anything else, such as the events of a stream."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def as_partial(known: Usage) -> Usage:
    """What is known of a call that broke off, marked as such. An estimate stays one."""
    if known.source is UsageSource.ESTIMATED:
        return known
    return dataclasses.replace(known, source=UsageSource.PARTIAL_STREAM)


def estimate(request: metering_pb2.ReserveRequest, held_microcredits: int) -> Usage | int:
    """What a call is charged that was dispatched and of which nothing is known, marked ESTIMATED.

    Of text its input, for the provider was sent it, and no output. Of other work all that it says. Of a fixed amount what
    is held.
    """
    if not request.HasField("work"):
        return held_microcredits
    if request.work.action != "text":
        return Usage(source=UsageSource.ESTIMATED)
    return Usage(input_tokens=request.work.input_tokens, output_tokens=0, source=UsageSource.ESTIMATED)
