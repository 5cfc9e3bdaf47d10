"""Reports whose fields changed on the way, sent to a sidecar: each is charged or refused as what it is, and never a fault."""

import json
from functools import partial
from itertools import product

import grpc
import pytest

from creditmeter.v1 import metering_pb2, work_pb2
from tests.core.prices.changed_reports import CHANGES, REPORTS, WRAPPERS, changed, counts
from tests.server.conftest import Services

ODD: tuple[object, ...] = (None, True, -1, 10**30, 1.5, "", "many", [], {}, [[[]]], float("1e308"))
"""What may stand where a count should."""


async def answer(services: Services, provider: str, model: str, text: str, number: int) -> grpc.StatusCode:
    """The status of a charge for what was used already."""
    usage = work_pb2.Usage(action="text", provider=provider, response_model=model, provider_usage_json=text)
    asked = metering_pb2.ChargeRequest(request_id=f"r{number}", account_id="alice", usage=usage, already_incurred=True)
    try:
        await services.metering.Charge(asked)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def documents() -> list[tuple[str, str, object]]:
    """Every report with every change of every count, wrapped in every way, and with every odd value."""
    made: list[tuple[str, str, object]] = []
    for provider, model, document in REPORTS.values():
        for path, change in product(counts(document), CHANGES):
            made.append((provider, model, changed(document, path, change)))
        for path, odd in product(counts(document), ODD):
            made.append((provider, model, changed(document, path, partial(put, odd))))
        made += [(provider, model, {wrapper: document}) for wrapper in WRAPPERS]
        made += [(provider, model, [document] * many) for many in (0, 2, 100)]
    return made


def put(odd: object, inner: dict[str, object], name: str) -> None:
    """Replace a count."""
    inner[name] = odd


@pytest.mark.long
async def test_no_report_is_a_fault(services: Services) -> None:
    """OK or INVALID_ARGUMENT, whatever stands in it."""
    await services.create("alice", permanent=10**15)
    sent = [(provider, model, json.dumps(document)) for provider, model, document in documents()]
    answers = [await answer(services, *each, number) for number, each in enumerate(sent)]
    assert set(answers) == {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    assert len(answers) > 500
