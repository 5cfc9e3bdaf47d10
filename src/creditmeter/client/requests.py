"""The requests that change something, and what they are made from."""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from creditmeter.client.messages import duration, encoded_usage, encoded_work
from creditmeter.client.usages import usage_of
from creditmeter.client.values import Usage, Work
from creditmeter.v1 import metering_pb2

Span: TypeAlias = timedelta | float
"""A span of time; a number is seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """What is said beside the work or the usage. An amount, in microcredits, takes their place."""

    amount_microcredits: int | None = None
    ttl: Span | None = None
    wait: Span | None = None
    allow_partial: bool = False
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


def with_said(value: Work | None, **said: object) -> Work:
    """Work with what else is said of it. What is None or empty is not said."""
    return dataclasses.replace(value or Work(), **_said(said))


def with_counts(reported: object, **said: object) -> Usage:
    """Usage as it was reported, with what else is said of it, which wins.

    Raises:
        TypeError: it is nothing that could be a report.
        ValueError: it is too large.
    """
    usage = Usage() if reported is None else usage_of(reported)
    return dataclasses.replace(usage, **_said(said))


def _said(said: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None and value != ""}


def reserve(account_id: str, work: Work, terms: Terms) -> metering_pb2.ReserveRequest:
    """A hold. Its request_id is yet to be set."""
    request = metering_pb2.ReserveRequest(
        account_id=account_id,
        ttl=duration(terms.ttl),
        allow_partial=terms.allow_partial,
        labels=terms.labels,
        wait=duration(terms.wait),
    )
    if terms.amount_microcredits is None:
        request.work.CopyFrom(encoded_work(work))
    else:
        request.amount_microcredits = terms.amount_microcredits
    return request


def extend(reservation_id: str, work: Work | None, terms: Terms) -> metering_pb2.ExtendRequest:
    """More of a hold. Its request_id is yet to be set."""
    request = metering_pb2.ExtendRequest(reservation_id=reservation_id, ttl=duration(terms.ttl), wait=duration(terms.wait))
    if terms.amount_microcredits is not None:
        request.amount_microcredits = terms.amount_microcredits
    elif work is not None:
        request.work.CopyFrom(encoded_work(work))
    return request


def commit(request_id: str, reservation_id: str, cost: Usage | int, *, keep_open: bool = False) -> metering_pb2.CommitRequest:
    """A charge of usage, or of an amount in microcredits."""
    request = metering_pb2.CommitRequest(request_id=request_id, reservation_id=reservation_id, keep_open=keep_open)
    if isinstance(cost, int):
        request.amount_microcredits = cost
    else:
        request.usage.CopyFrom(encoded_usage(cost))
    return request


def release(request_id: str, reservation_id: str, reason: str) -> metering_pb2.ReleaseRequest:
    """The end of a hold that was not used."""
    return metering_pb2.ReleaseRequest(request_id=request_id, reservation_id=reservation_id, reason=reason)


def charge(account_id: str, usage: Usage, terms: Terms) -> metering_pb2.ChargeRequest:
    """A charge without a hold. Its request_id is yet to be set."""
    request = metering_pb2.ChargeRequest(account_id=account_id, labels=terms.labels, wait=duration(terms.wait))
    if terms.amount_microcredits is None:
        request.usage.CopyFrom(encoded_usage(usage))
    else:
        request.amount_microcredits = terms.amount_microcredits
    return request
