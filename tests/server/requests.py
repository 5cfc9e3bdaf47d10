"""Requests in order, each with some fields as a test says."""

import itertools
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, work_pb2

_ids = itertools.count()


def new_id() -> str:
    """A request id that was not used before."""
    return f"q{next(_ids)}"


def reserve(**fields: Any) -> metering_pb2.ReserveRequest:
    """A Reserve, of 1 microcredit unless the fields say of what."""
    bound = {} if "work" in fields or "amount_microcredits" in fields else {"amount_microcredits": 1}
    return metering_pb2.ReserveRequest(**{"request_id": new_id(), "account_id": "alice"} | bound | fields)


def charge(**fields: Any) -> metering_pb2.ChargeRequest:
    """A Charge."""
    return metering_pb2.ChargeRequest(**{"request_id": new_id(), "account_id": "alice"} | fields)


def commit(**fields: Any) -> metering_pb2.CommitRequest:
    """A Commit of an unknown reservation. A valid one is refused with RESERVATION_NOT_FOUND."""
    return metering_pb2.CommitRequest(request_id=new_id(), reservation_id="none", **fields)


def extend(**fields: Any) -> metering_pb2.ExtendRequest:
    """An Extend of an unknown reservation."""
    return metering_pb2.ExtendRequest(request_id=new_id(), reservation_id="none", **fields)


def create(**fields: Any) -> admin_pb2.CreateAccountRequest:
    """A new account."""
    return admin_pb2.CreateAccountRequest(request_id=new_id(), account=admin_pb2.Account(account_id=new_id(), **fields))


def grant(**fields: Any) -> admin_pb2.GrantCreditsRequest:
    """A grant of 1 microcredit, unless the fields say of how much."""
    return admin_pb2.GrantCreditsRequest(
        **{"request_id": new_id(), "account_id": "alice", "amount_microcredits": 1} | fields  # type: ignore[arg-type]  # as the test says
    )


def text(**fields: Any) -> work_pb2.Work:
    """Work for a language model."""
    known = {"action": "text", "request_model": "gpt-4o", "input_tokens": 1, "max_output_tokens": 1}
    return work_pb2.Work(**known | fields)  # type: ignore[arg-type]  # as the test says


def used(**fields: Any) -> work_pb2.Usage:
    """Usage of a language model."""
    known = {"action": "text", "request_model": "gpt-4o", "input_tokens": 1, "output_tokens": 1}
    return work_pb2.Usage(**known | fields)  # type: ignore[arg-type]  # as the test says


def tool(**fields: Any) -> work_pb2.Work:
    """Work for a tool."""
    return work_pb2.Work(action="tool", tool="web_search", **fields)


def document(size: int) -> str:
    """A rate card of so many bytes."""
    head = f'version = "{new_id()}"\neffective_from = 2030-01-01T00:00:00Z\nfree = ["view"]\n#'
    return head + "x" * (size - len(head))


def usage_json(size: int) -> str:
    """A provider's usage of so many bytes."""
    return '{"prompt_tokens": 1, "completion_tokens": 1}'.ljust(size)


def of_work(name: str) -> Callable[[Any], Message]:
    """Makes a Reserve of text with a value in this field of its work."""
    return lambda value: reserve(work=text(**{name: value}))


def of_parts(name: str) -> Callable[[Any], Message]:
    """Makes a Reserve of as much input as there may be, with a value in this field of its work: a part of the input."""
    return lambda value: reserve(work=text(**{"input_tokens": 10**9, name: value}))


def of_units(units: dict[str, int]) -> metering_pb2.ReserveRequest:
    """A Reserve of text with these units in its work."""
    return reserve(work=text(units=units))


def of_charge(name: str) -> Callable[[Any], Message]:
    """Makes a Charge of text that is a fact, with a value in this field of its usage."""
    return lambda value: charge(usage=used(**{name: value}), already_incurred=True)


def of_commit(name: str) -> Callable[[Any], Message]:
    """Makes a Commit with a value in this field of its usage."""
    return lambda value: commit(usage=used(**{name: value}))


def of_listing(kind: str) -> Callable[[Any], Message]:
    """Makes a request of this type for a page of so many."""
    return lambda page_size: listing(kind, page_size)


def listing(kind: str, page_size: int) -> Message:
    """A request of this type for a page of so many."""
    module = next(each for each in (metering_pb2, account_pb2, admin_pb2) if hasattr(each, kind))
    request = getattr(module, kind)(page_size=page_size)
    if "account_id" in request.DESCRIPTOR.fields_by_name:
        request.account_id = "alice"
    return request  # type: ignore[no-any-return]  # made by its name
