"""What is known so far of a call that is under way: the reports of it, laid over each other."""

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

from creditmeter.client.counting import StreamCount
from creditmeter.client.usages import document_of, merged, merged_usage, sent_events, usage_of
from creditmeter.client.values import Usage
from creditmeter.client.words import UsageSource
from creditmeter.v1 import metering_pb2

_EVENTS = re.compile("^(data|event|id|retry):", re.MULTILINE)
_COUNT = re.compile("token|usage|units|cost|eval_count", re.IGNORECASE)
"""What the names of counts have in common, or those of what they stand in."""

_NO_COUNT = re.compile("^max|budget|limit|logprob", re.IGNORECASE)
"""Beside these: what a request asks for, which responses repeat."""

_SIDES = {
    "input": re.compile("input|prompt|request_tokens", re.IGNORECASE),
    "output": re.compile("output|completion|candidates|response_?token|generation|^eval_count", re.IGNORECASE),
}
"""The names of providers' counts, by what stands in the names of counts of `Usage`."""


@dataclasses.dataclass(eq=False)
class Call:
    """What is known of one call of a provider. `has_counts`: what was reported says what was used. `is_asked`: a commit of it
    was asked for, so what is heard next is of the next call.
    """

    is_dispatched: bool = False
    reported: Usage | None = None
    has_counts: bool = False
    count: StreamCount | None = None
    is_asked: bool = False

    @property
    def usage(self) -> Usage | None:
        """What it has used so far; None if nothing was reported."""
        if self.count is not None:
            return self.count.usage
        return self.reported if self.has_counts else None

    def report(self, reported: object, *, is_text: bool) -> None:
        """Note a report. Of other work than text what was made may be all that is reported, such as images.

        Raises:
            TypeError: it is nothing that could be a report.
            ValueError: it is too large.
        """
        self.reported = with_report(self.reported, reported)
        self.has_counts |= not is_text or says_counts(reported)


def with_report(known: Usage | None, reported: object) -> Usage | None:
    """What is known after one more report. Counts are cumulative; what a later report does not say stays. Server-sent events
    that come one by one are one report; None: so far there was none with anything in it.

    Raises:
        TypeError: it is nothing that could be a report.
        ValueError: it is too large.
    """
    if isinstance(reported, Usage):
        return reported if known is None else merged_usage(known, reported)
    documents = _documents(reported)
    if documents is None:
        return dataclasses.replace(known or Usage(), provider_usage_json=usage_of(reported).provider_usage_json)
    if not documents:
        return known
    before = _documents(known.provider_usage_json) if known is not None else None
    together = reduce(merged, documents, before[0] if before else None)
    rest = _without_counts_of(known or Usage(), documents)
    return dataclasses.replace(rest, provider_usage_json=usage_of(together).provider_usage_json)


def says_counts(reported: object) -> bool:
    """Whether a report says what was used. The first events of a stream often do not. What cannot be read may say it."""
    documents = None if isinstance(reported, Usage) else _documents(reported)
    return documents is None or any(_counts(documents))


def _documents(reported: object) -> list[Any] | None:
    """The documents of a report: an object, JSON, or server-sent events. None: it is text of another kind."""
    if isinstance(reported, (bytes, bytearray)):
        reported = bytes(reported).decode()
    if not isinstance(reported, str):
        return [document_of(reported)]
    try:
        found = [json.loads(reported)]
    except ValueError:
        if not _EVENTS.search(reported):
            return None
        found = list(sent_events(reported))
    objects = [document_of(each) for each in found if isinstance(each, (dict, list))]
    return objects if objects or not found else None


def _without_counts_of(known: Usage, documents: list[Any]) -> Usage:
    """What is known, without the counts by name that a later report says: those of its input, of its output, or both."""
    names = set(_counts(documents))
    said = [side for side, words in _SIDES.items() if any(map(words.search, names))]
    stale: dict[str, Any] = {each.name: None for each in dataclasses.fields(known) if any(side in each.name for side in said)}
    return dataclasses.replace(known, **stale)


def _counts(value: Any, *, is_usage: bool = False) -> Iterator[str]:
    """The names of all counts in a document."""
    if isinstance(value, list):
        for each in value:
            yield from _counts(each, is_usage=is_usage)
    elif isinstance(value, dict):
        for key, each in value.items():
            is_count = (is_usage or _COUNT.search(key)) and not _NO_COUNT.search(key)
            if is_count and not isinstance(each, (dict, list, bool)) and str(each).replace(".", "", 1).isdecimal():
                yield key
            elif isinstance(each, (dict, list)) and not _NO_COUNT.search(key):
                yield from _counts(each, is_usage=bool(is_count))


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
