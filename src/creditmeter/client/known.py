"""What is known so far of a call that is under way: the reports of it, laid over each other."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from creditmeter.client.counting import StreamCount
from creditmeter.client.usages import document_of, merged, merged_usage, usage_of
from creditmeter.client.values import Usage
from creditmeter.client.words import UsageSource
from creditmeter.v1 import metering_pb2


@dataclasses.dataclass(eq=False)
class Call:
    """What is known of one call of a provider. `is_asked`: a commit of it was asked for, so what is heard next is of the next
    call.
    """

    is_dispatched: bool = False
    reported: Usage | None = None
    count: StreamCount | None = None
    is_asked: bool = False

    @property
    def usage(self) -> Usage | None:
        """What it has used so far; None if nothing was reported."""
        return self.reported if self.count is None else self.count.usage


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


def estimate(request: metering_pb2.ReserveRequest, held_microcredits: int, steps: Sequence[Usage | None]) -> Usage | int:
    """What a call is charged that was dispatched and of which nothing is known. Usage is marked ESTIMATED.

    Of text its input, for the provider was sent it, and no output. Of other work all that it says. Of a fixed amount what
    is held. `steps` is the usage of each step that was charged already, None where it is not known: input that was charged is
    not charged again, and of other work the rest is charged that is still held.
    """
    is_text = request.work.action == "text"
    if not request.HasField("work") or None in steps or (steps and not is_text):
        return held_microcredits
    if not is_text:
        return Usage(source=UsageSource.ESTIMATED)
    charged = sum(each.input_tokens or 0 for each in steps if each is not None)
    input_tokens = max(0, request.work.input_tokens - charged)
    return Usage(input_tokens=input_tokens, output_tokens=0, source=UsageSource.ESTIMATED)
