"""Refusals name each field of a request as the contract does, also where the core has another name."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest
from google.protobuf.descriptor import Descriptor

from creditmeter.core.credit.administration import CreateAccount, GrantCredits, UpdateAccount, VoidGrant
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, RefundCharge, Release, Reserve
from creditmeter.core.values import Value
from creditmeter.server.contract_names import CONTRACT_NAMES, contract_path
from creditmeter.v1 import admin_pb2, metering_pb2

REQUESTS: dict[Any, Any] = {
    Reserve: metering_pb2.ReserveRequest,
    Extend: metering_pb2.ExtendRequest,
    Commit: metering_pb2.CommitRequest,
    Release: metering_pb2.ReleaseRequest,
    ChargeNow: metering_pb2.ChargeRequest,
    RefundCharge: metering_pb2.RefundRequest,
    CreateAccount: admin_pb2.CreateAccountRequest,
    UpdateAccount: admin_pb2.UpdateAccountRequest,
    GrantCredits: admin_pb2.GrantCreditsRequest,
    VoidGrant: admin_pb2.VoidGrantRequest,
}

NEVER_DIFFERS = {(UpdateAccount, "account_id"), (Reserve, "is_metered")}
"""Ids of requests are an account's own: two with one id are of one account. And a hold is the same however it was asked for."""


def paths(kind: Any, prefix: str = "") -> Iterator[str]:
    """The path of each field of a request of the core, down to those that have no fields."""
    hints = get_type_hints(kind)
    for name in kind.__struct_fields__:
        hint = hints[name]
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        nested = next((option for option in options if isinstance(option, type) and issubclass(option, Value)), None)
        if nested is None:
            yield prefix + name
        else:
            yield from paths(nested, f"{prefix}{name}.")


def has(message: Descriptor, path: str) -> bool:
    """Whether a message has a field of this path."""
    name, _, rest = path.partition(".")
    field = message.fields_by_name.get(name)
    return field is not None and (not rest or (field.message_type is not None and has(field.message_type, rest)))


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_every_field_has_its_name_in_the_contract(kind: Any) -> None:
    """Nested ones too."""
    named = {path: contract_path(path) for path in paths(kind) if (kind, path) not in NEVER_DIFFERS}
    missing = {path for path, name in named.items() if not has(REQUESTS[kind].DESCRIPTOR, name)}
    assert missing == set()


def test_no_name_is_translated_in_vain() -> None:
    """Every one of them stands in some request."""
    used = {name for kind in REQUESTS for path in paths(kind) for name in path.split(".")}
    assert CONTRACT_NAMES.keys() <= used
