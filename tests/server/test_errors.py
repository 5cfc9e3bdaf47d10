"""What errors say: every wrong field at once, amounts as metadata, the contract's names, and what was nearly right."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass

from creditmeter.v1 import metering_pb2, work_pb2
from tests.server.conftest import Failure, Services, failure
from tests.v1.contract import SERVICES

CREDIT = 1_000_000
METHODS = [(method, f"/{service.full_name}/{method.name}") for service in SERVICES.values() for method in service.methods]


def work(action: str = "text", **fields: Any) -> work_pb2.Work:
    """Work, as a caller may describe it."""
    return work_pb2.Work(action=action, **fields)


def usage(action: str = "text", **fields: Any) -> work_pb2.Usage:
    """Usage, as a caller may report it."""
    return work_pb2.Usage(action=action, **fields)


async def reserved(services: Services, request_id: str, **bound: Any) -> str:
    """The id of a new reservation."""
    asked = metering_pb2.ReserveRequest(request_id=request_id, account_id="alice", **bound)
    return str((await services.metering.Reserve(asked)).reservation.reservation_id)


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        pytest.param("Quote", metering_pb2.QuoteRequest(work=[work()]), {"work[0].request_model", "work[0].input_tokens"}),
        pytest.param(
            "Quote",
            metering_pb2.QuoteRequest(account_id="two words", work=[work("image"), work("tool"), work("")]),
            {"account_id", "work[0].request_model", "work[1].tool", "work[2].action"},
        ),
        pytest.param(
            "Reserve",
            metering_pb2.ReserveRequest(work=work(quantity=-1), ttl=Duration(seconds=1, nanos=-1)),
            {"request_id", "account_id", "ttl", "work.request_model", "work.input_tokens", "work.quantity"},
        ),
        pytest.param("Reserve", metering_pb2.ReserveRequest(request_id="r", account_id="a", work=work("tool")), {"work.tool"}),
        pytest.param(
            "Extend",
            metering_pb2.ExtendRequest(request_id="r", work=work(), ttl=Duration()),
            {"reservation_id", "ttl", "work.request_model", "work.input_tokens"},
        ),
        pytest.param(
            "Charge",
            metering_pb2.ChargeRequest(account_id="a", usage=usage(output_tokens=-1)),
            {"request_id", "usage.request_model", "usage.input_tokens", "usage.output_tokens"},
        ),
        pytest.param("Charge", metering_pb2.ChargeRequest(request_id="r", account_id="a", usage=usage("")), {"usage.action"}),
        pytest.param(
            "Charge", metering_pb2.ChargeRequest(request_id="r", account_id="a", usage=usage("image")), {"usage.request_model"}
        ),
        pytest.param("Charge", metering_pb2.ChargeRequest(request_id="r", account_id="a", usage=usage("tool")), {"usage.tool"}),
        pytest.param(
            "Charge",
            metering_pb2.ChargeRequest(request_id="two words", account_id="a", usage=usage(provider_usage_json="{")),
            {
                *("request_id", "usage.provider_usage_json"),
                *("usage.request_model", "usage.input_tokens", "usage.output_tokens"),
            },
        ),
        pytest.param(
            "Charge",
            metering_pb2.ChargeRequest(request_id="r", account_id="a", usage=usage(provider_usage_json="x" * 65_537)),
            {"usage.provider_usage_json", "usage.request_model", "usage.input_tokens", "usage.output_tokens"},
        ),
        pytest.param(
            "Commit",
            metering_pb2.CommitRequest(request_id="r", usage=usage(provider_usage_json='{"prompt_tokens": -1}')),
            {"reservation_id", "usage.provider_usage_json"},
        ),
    ],
)
async def test_what_an_action_needs_is_named_with_all_else_that_is_wrong(
    services: Services, method: str, request_: object, fields: set[str]
) -> None:
    """Each wrong field once, in one answer."""
    failed = await failure(getattr(services.metering, method)(request_))
    assert (failed.code, failed.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)
    assert len(failed.bad_request.field_violations) == len(fields)


async def test_a_commit_names_everything_that_neither_it_nor_its_work_has(services: Services) -> None:
    """What is unset comes from the reservation: only what is missing there too is wrong."""
    await services.create("alice", permanent=100 * CREDIT)
    by_amount = await reserved(services, "a", amount_microcredits=CREDIT)
    asked = metering_pb2.CommitRequest(request_id="c", reservation_id=by_amount, usage=usage())
    failed = await failure(services.metering.Commit(asked))
    assert failed.fields == {"usage.request_model", "usage.input_tokens", "usage.output_tokens"}
    asked.usage.CopyFrom(usage("tool"))
    assert (await failure(services.metering.Commit(asked))).fields == {"usage.tool"}
    asked.usage.CopyFrom(usage(provider_usage_json="{}"))
    failed = await failure(services.metering.Commit(asked))
    assert failed.fields == {"usage.request_model", "usage.input_tokens", "usage.output_tokens"}
    by_work = await reserved(services, "w", work=work(request_model="gpt-4o", input_tokens=10, max_output_tokens=10))
    asked = metering_pb2.CommitRequest(request_id="d", reservation_id=by_work, usage=usage("", provider_usage_json="{"))
    assert (await failure(services.metering.Commit(asked))).fields == {"usage.provider_usage_json"}
    asked.usage.CopyFrom(work_pb2.Usage(output_tokens=5))
    assert (await services.metering.Commit(asked)).charge.usage.input_tokens == 10


@pytest.mark.parametrize(
    ("method", "request_", "said"),
    [
        ("Reserve", metering_pb2.ReserveRequest(ttl=Duration()), "must be 1 to 3,600 seconds"),
        ("Extend", metering_pb2.ExtendRequest(ttl=Duration()), "must be 1 to 315,576,000,000 seconds"),
    ],
)
async def test_lengths_of_time_are_written_out(services: Services, method: str, request_: object, said: str) -> None:
    """To the second, so that the caller knows what to send."""
    failed = await failure(getattr(services.metering, method)(request_))
    assert said in {each.description for each in failed.bad_request.field_violations if each.field == "ttl"}


async def test_amounts_stand_in_the_metadata(services: Services) -> None:
    """For programs, beside the message for people."""
    await services.create("alice", permanent=100 * CREDIT, max_reservation_microcredits=5 * CREDIT)
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=6 * CREDIT)
    failed = await failure(services.metering.Reserve(asked))
    assert failed.info.reason == "AMOUNT_ABOVE_LIMIT"
    assert failed.info.metadata == {"required_microcredits": "6000000", "limit_microcredits": "5000000"}
    charge = metering_pb2.ChargeRequest(request_id="c", account_id="alice", amount_microcredits=2 * CREDIT)
    charge_id = (await services.metering.Charge(charge)).charge.charge_id
    refund = metering_pb2.RefundRequest(request_id="f", charge_id=charge_id, amount_microcredits=3 * CREDIT)
    failed = await failure(services.metering.Refund(refund))
    assert failed.info.reason == "REFUND_EXCEEDS_CHARGE"
    assert failed.info.metadata == {"refundable_microcredits": "2000000"}


async def test_what_is_unpriced_is_answered_with_what_was_nearly_meant(services: Services) -> None:
    """In the message, before a call and after it."""
    await services.create("alice", permanent=100 * CREDIT)
    mistyped = work(request_model="gpt-4o-mimi", input_tokens=1)
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=mistyped)
    failed = await failure(services.metering.Reserve(asked))
    assert failed.info.reason == "UNPRICED"
    assert "did you mean 'gpt-4o-mini'" in failed.message
    failed = await failure(services.metering.Quote(metering_pb2.QuoteRequest(work=[work("engagement"), work("engagment")])))
    assert failed.message.startswith("work[1]: ")
    assert failed.message.endswith("; did you mean 'engagement'?")
    held = await reserved(services, "h", amount_microcredits=CREDIT)
    used = usage(response_model="claude-sonet-4-5", input_tokens=1, output_tokens=1)
    failed = await failure(
        services.metering.Commit(metering_pb2.CommitRequest(request_id="c", reservation_id=held, usage=used))
    )
    assert "'claude-sonnet-4-5'" in failed.message
    asked.work.request_model = "no-such-model"
    assert "did you mean" not in (await failure(services.metering.Reserve(asked))).message


@pytest.mark.parametrize("quantity", [10**6 + 1, 10**9])
async def test_a_billion_items_are_reserved_charged_and_committed(services: Services, quantity: int) -> None:
    """As many as the contract allows; what they cost is known to the microcredit."""
    await services.create("alice", permanent=10**15)
    items = work("tool", tool="web_search", quantity=quantity)
    quoted = await services.metering.Quote(metering_pb2.QuoteRequest(account_id="alice", work=[items]))
    assert quoted.quotes[0].max_microcredits == quantity * CREDIT
    held = await reserved(services, "r", work=items)
    done = await services.metering.Commit(metering_pb2.CommitRequest(request_id="c", reservation_id=held, usage=usage("")))
    assert (done.charge.cost_microcredits, done.charge.usage.quantity) == (quantity * CREDIT, quantity)
    again = usage("tool", tool="web_search", quantity=quantity)
    fact = metering_pb2.ChargeRequest(request_id="f", account_id="alice", usage=again, already_incurred=True)
    assert (await services.metering.Charge(fact)).charge.cost_microcredits == quantity * CREDIT


async def test_bytes_that_are_no_message_are_an_invalid_request(services: Services) -> None:
    """With its reason, whichever RPC is called."""
    for method, path in METHODS:
        failed = await failure(services.send(path, b"\xff\xff\xff", streams=method.client_streaming))
        assert (failed.code, failed.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"), method.name
        assert failed.kinds == ["google.rpc.ErrorInfo"]


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(b"\x0a\x02\xff\xfe", id="an id"),
        pytest.param(b"\x1a\x04\x0a\x02\xff\xfe", id="within the work"),
        pytest.param(b"\x3a\x07\x0a\x01k\x12\x02\xff\xfe", id="a label"),
        pytest.param(b"\x0a\x7fshort", id="cut off"),
    ],
)
async def test_text_that_is_not_utf_8_is_an_invalid_request(services: Services, received: bytes) -> None:
    """Protobuf's strings are UTF-8, wherever they stand."""
    failed = await failure(services.send("/creditmeter.v1.MeteringService/Reserve", received))
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_every_rpc_of_the_contract_is_implemented(services: Services) -> None:
    """It answers, if only that an empty request is none."""
    answers = {method.name: await _answer(services, method, path) for method, path in METHODS}
    assert set(answers.values()) == {"OK", "INVALID_ARGUMENT INVALID_REQUEST"}


async def _answer(services: Services, method: MethodDescriptor, path: str) -> str:
    """The code, and the reason if there is one, with which an empty request is answered."""
    empty = GetMessageClass(method.input_type)().SerializeToString()
    try:
        await services.send(path, empty, streams=method.client_streaming)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {Failure(error).info.reason}"
    return "OK"
