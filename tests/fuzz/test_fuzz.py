"""A share of the campaign, and that it would notice what may not be."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from creditmeter.v1 import metering_pb2
from tests.credentials import AccessFile
from tests.fuzz.calling import Answer
from tests.fuzz.calls import Call, Caller, Calls, callers
from tests.fuzz.campaign import ROUND, Campaign, fuzz
from tests.fuzz.contract import REASONS, RPCS, stated_codes
from tests.fuzz.findings import Finding, Record
from tests.fuzz.judging import is_refusal, wrong_with
from tests.fuzz.known import PLACES, Known
from tests.fuzz.process import Sidecar
from tests.fuzz.snapshots import Of, Snapshot
from tests.fuzz.valid import LASTING

SEED = 16
NOW = 1_800_000_000


def refused(code: grpc.StatusCode, *reasons: str, domain: str = "creditmeter") -> Answer:
    """The end of a call that was refused."""
    details = [AnyMessage() for _ in reasons]
    for detail, reason in zip(details, reasons, strict=True):
        detail.Pack(ErrorInfo(reason=reason, domain=domain))
    return Answer(code, "no", [Status(details=details).SerializeToString()], (), 0.1)


def answered(*replies: bytes, **more: Any) -> Answer:
    """The end of a call that was answered."""
    return replace(Answer(grpc.StatusCode.OK, "", (), replies, 0.1), **more)


def call(name: str = "MeteringService/Reserve", caller: str = "socket", **more: Any) -> Call:
    """A call."""
    return Call(0, RPCS[name], [b""], BY_NAME[caller], **more)


@pytest.fixture(autouse=True, scope="module")
def _callers(tmp_path_factory: pytest.TempPathFactory) -> None:
    BY_NAME.update(callers(AccessFile(tmp_path_factory.mktemp("access") / "access.json")))


BY_NAME: dict[str, Caller] = {}
"""The callers."""


def said(record: Record) -> str:
    """The summary of a campaign."""
    return "\n".join(record.summary())


def test_a_few_calls() -> None:
    """Nothing is found, calls get through, and what is refused is made again between snapshots."""
    record = fuzz(SEED, range(300), None, lambda _line: None)
    assert not record.findings, said(record)
    assert record.calls == 300
    assert sum(each["OK"] for each in record.statuses.values()) > 50, "calls get deep"
    assert record.comparisons == 1
    assert record.repeated > 50


@pytest.mark.long
@pytest.mark.timeout(600)
def test_more_calls_on_postgresql(postgres_url: str) -> None:
    """The same for ten times as many, on the other store. Each RPC is answered at least once."""
    record = fuzz(SEED + 1, range(3_000), postgres_url, lambda _line: None)
    assert not record.findings, said(record)
    assert {name for name, each in record.statuses.items() if each["OK"] + each["CANCELLED"] == 0} <= UNANSWERED


UNANSWERED = {"Health/List", *(f"Channelz/{name}" for name in ("GetChannel", "GetSubchannel", "GetServer", "GetServerSockets"))}
"""RPCs of gRPC's tools that have nothing to answer with here, or are asked for ids that are guessed."""


@pytest.mark.long
def test_a_sidecar_that_is_gone() -> None:
    """Calls that it does not answer any more are findings, and that it ended is one; the campaign comes to its end."""
    with tempfile.TemporaryDirectory(prefix="cm") as name:
        access = AccessFile(Path(name) / "access.json")
        sidecar = Sidecar(Path(name), f"sqlite:///{name}/central.db", access.path)
        campaign = Campaign(SEED, sidecar, access, lambda line: sidecar.kill() if "calls" in line else None)
        try:
            asyncio.run(campaign.run(range(ROUND + 10)))
        finally:
            sidecar.kill()
    text = said(campaign.record)
    assert "the sidecar ended with exit code -9, and after 260 calls" in text
    assert "UNAVAILABLE with 0 ErrorInfos" in text


def test_a_call_is_made_again_by_its_number() -> None:
    """The same bytes, from the same caller; and another one has another number."""
    made = [Calls(SEED, Known(), BY_NAME, NOW) for _ in range(2)]
    assert [made[0].call(number) for number in range(50)] == [made[1].call(number) for number in range(50)]
    assert made[0].call(1).messages != made[0].call(2).messages


def test_what_is_learnt_changes_ids_and_nothing_else() -> None:
    """So a call that is made alone is like the one that was found in the middle of others."""
    charged = metering_pb2.ChargeResponse()
    few, many = Known(), Known()
    for known, count in ((few, 1), (many, 3 * PLACES)):
        for number in range(count):
            charged.charge.charge_id = f"chg-{number}"
            known.learn(RPCS["MeteringService/Charge"], metering_pb2.ChargeRequest(), charged)
    for number in range(200):
        one, other = (Calls(SEED, known, BY_NAME, NOW).call(number) for known in (few, many))
        assert replace(one, messages=()) == replace(other, messages=())


def test_every_reason_has_a_code() -> None:
    """The contract states it, and the fuzzer reads it there."""
    assert set(stated_codes()) == REASONS
    assert stated_codes()["LIMIT_EXCEEDED"] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("made", "answer", "wrong"),
    [
        pytest.param(call, answered(code=grpc.StatusCode.INTERNAL, message="x"), "INTERNAL: x", id="internal"),
        pytest.param(call, answered(code=grpc.StatusCode.UNKNOWN, message="x"), "UNKNOWN: x", id="unknown"),
        pytest.param(call, answered(code=grpc.StatusCode.CANCELLED), "it was cancelled", id="cancelled by nobody"),
        pytest.param(call, answered(code=grpc.StatusCode.DEADLINE_EXCEEDED), "did not end in time", id="hangs"),
        pytest.param(call, answered(seconds=11.0), "more than 10 s", id="slow"),
        pytest.param(call, answered(b"\xff"), "no message of its type", id="no reply"),
        pytest.param(call, refused(grpc.StatusCode.NOT_FOUND), "0 ErrorInfos", id="no reason"),
        pytest.param(call, refused(grpc.StatusCode.NOT_FOUND, *["ACCOUNT_NOT_FOUND"] * 2), "2 ErrorInfos", id="two"),
        pytest.param(call, refused(grpc.StatusCode.NOT_FOUND, "NO_IDEA"), "does not have", id="unknown reason"),
        pytest.param(call, refused(grpc.StatusCode.NOT_FOUND, "FENCED"), "with the code", id="another code"),
        pytest.param(lambda: call(caller="read"), answered(), "may not make it", id="scope"),
        pytest.param(lambda: call(caller="nobody 0"), answered(), "may not make it", id="nobody"),
        pytest.param(lambda: call("Channelz/GetServers", "bound"), answered(), "may not make it", id="channelz"),
    ],
)
def test_what_is_wrong(made: Callable[[], Call], answer: Answer, wrong: str) -> None:
    """Each thing that may not be is noticed."""
    assert [each for each in wrong_with(made(), answer) if wrong in each], list(wrong_with(made(), answer))


def test_what_is_wrong_in_a_result() -> None:
    """The mutations of a frame are looked at one by one."""
    result = metering_pb2.MutationResult()
    result.error.code = grpc.StatusCode.INTERNAL.value[0]
    found = list(
        wrong_with(call("MeteringService/Batch"), answered(metering_pb2.BatchResponse(results=[result]).SerializeToString()))
    )
    assert len(found) == 2
    assert found[0].startswith("a result that is INTERNAL")


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        pytest.param(call, answered(), id="answered"),
        pytest.param(call, refused(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"), id="refused"),
        pytest.param(lambda: call(deadline=0.0), answered(code=grpc.StatusCode.DEADLINE_EXCEEDED), id="no time"),
        pytest.param(call, answered(code=grpc.StatusCode.CANCELLED, left=True), id="left"),
        pytest.param(
            call,
            answered(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="SERVER: Received message larger than max (5 vs. 4)"),
            id="too large for gRPC",
        ),
        pytest.param(lambda: call("Health/Check", "nobody 0"), answered(), id="health is for all"),
        pytest.param(lambda: call(caller="read"), refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"), id="scope"),
    ],
)
def test_what_is_right(made: Callable[[], Call], answer: Answer) -> None:
    """What the contract allows is no finding."""
    assert list(wrong_with(made(), answer)) == []


def test_which_calls_changed_nothing() -> None:
    """Those that were refused; a frame of which every mutation was; none that was answered, or whose caller left."""
    failed, done = metering_pb2.MutationResult(), metering_pb2.MutationResult()
    failed.error.code = 5
    done.release.SetInParent()
    batch = call("MeteringService/Batch")
    replies = [metering_pb2.BatchResponse(results=each).SerializeToString() for each in ([failed] * 2, [failed, done], [])]
    assert [is_refusal(batch, answered(each)) for each in replies] == [True, False, False]
    no = refused(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    assert [is_refusal(call(), each) for each in (no, replace(no, left=True), answered(b""))] == [True, False, False]


def test_what_changed() -> None:
    """A balance that is another one is told; of an account whose hold ended by itself nothing is."""
    before = Snapshot(0.0, {LASTING[0]: Of(1, [], [], {"res-1": 5.0})}, "x")
    after = replace(before, at=4.0, accounts={LASTING[0]: Of(2, [], [], {"res-1": 5.0})})
    assert list(before.differences(before)) == []
    assert list(before.differences(after)) == [f"balance of {LASTING[0]}: 1 became 2"]
    assert list(before.differences(replace(after, at=6.0))) == []
    assert len(list(before.differences(replace(before, whole="y")))) == 1


def test_what_is_said_of_a_finding() -> None:
    """How it is repeated, and the bytes; findings of one cause are told together."""
    record = Record(SEED)
    record.calls, record.memory = 10, [(1, 0), (2, 2**20), (10, 5 * 2**20)]
    for number in (1, 2):
        record.found(Finding(f"INTERNAL: of call s-{number}", replace(call(), number=number, messages=[b"\x0a\xff"])))
    assert record.growth == 4.0
    text = said(record)
    assert "FOUND 2 times" in text
    assert f"scripts/fuzz --seed {SEED} --only 2" in text
    assert "0aff" in text
    assert "1 kinds of findings" in text
