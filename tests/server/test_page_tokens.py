"""Page tokens that nobody was given: whatever is in them, the call ends with INVALID_REQUEST about `page_token`."""

import asyncio
import base64
import json
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from creditmeter.server.paging import MAX_TOKEN, PageRequest
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2
from tests.server.conftest import Services, failure

NESTED = (900, 40_000)
"""Levels of nesting: as many as a parser may still follow, and more than any of them follows."""

CURSORS = (
    *(f"{'[' * depth}{']' * depth}" for depth in NESTED),
    *(f'{{"x":{"[" * depth}' for depth in NESTED),
    *(f"{'[' * depth}" for depth in NESTED),
    "{" + '"x":{' * 9_000,
    "1e400",
    "NaN",
    "9" * 5_000,
    '"\\ud800"',
    '["\\ud800"]',
    '[1,"\\ud800"]',
    '[1,"\\ud800","x"]',
    '{"created_at":1,"grant_id":"\\ud800"}',
    '{"action":"\\ud800"}',
    '[1,"a\\u0000"]',
    "true",
    f'"{"x" * MAX_TOKEN}"',
)
"""What a token may be made to carry, as JSON."""


def paged() -> list[tuple[str, Message]]:
    """Every RPC that answers by pages, with a request of it."""
    found = []
    for module in (metering_pb2, account_pb2, admin_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if "page_token" in method.input_type.fields_by_name:
                    given = {"account_id": "alice"} if "account_id" in method.input_type.fields_by_name else {}
                    found.append((method.name, GetMessageClass(method.input_type)(**given)))
    return found


def with_cursor(request: Any, cursor: str) -> str:
    """A token of a listing with the filters of this request, that goes on at this cursor."""
    filters, _ = json.loads(base64.urlsafe_b64decode(PageRequest(request, 1, None).token(0)))
    return base64.urlsafe_b64encode(f'["{filters}",{cursor}]'.encode()).decode()


@pytest.mark.parametrize(("name", "request_"), paged(), ids=lambda value: value if isinstance(value, str) else "")
async def test_what_is_in_a_token_is_never_a_fault_of_the_sidecar(services: Services, name: str, request_: Any) -> None:
    """However deep it is nested, however long it is, and whatever it has where a number or a text belongs."""
    await services.create("alice")
    stub = next(each for each in (services.metering, services.account, services.admin) if hasattr(each, name))
    for token in [*(with_cursor(request_, cursor) for cursor in CURSORS), "é", "A" * 3_000_000]:
        request_.page_token = token
        failed = await failure(asyncio.wait_for(getattr(stub, name)(request_), 10))
        assert (failed.info.reason, failed.fields) == ("INVALID_REQUEST", {"page_token"}), token[:60]
