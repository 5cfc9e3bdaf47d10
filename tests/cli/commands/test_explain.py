"""`creditmeter explain`, put to a real sidecar."""

import asyncio

from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.exits import ExitCode
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import metering_pb2, work_pb2
from tests.cli.conftest import CommandLine
from tests.cli.default_card import DEFAULT
from tests.cli.tables import rows

CREDIT = 1_000_000


def charged(cli: CommandLine, request: metering_pb2.ChargeRequest) -> str:
    """Charge; returns the charge's id."""

    async def charge() -> str:
        async with Connection(cli.address) as client:
            return (await call(client.metering.Charge, request, PATIENCE)).charge.charge_id

    return asyncio.run(charge())


def test_a_charge_is_explained(cli: CommandLine, account: str) -> None:
    """Sonnet at 3 and 15 dollars a million: 2,000 and 100 tokens are 0.0075, which are 0.75 credits, rounded up to 1."""
    usage = work_pb2.Usage(action="text", request_model="claude-sonnet-4-5", input_tokens=2_000, output_tokens=100)
    charge_id = charged(cli, metering_pb2.ChargeRequest(request_id="c", account_id=account, usage=usage))
    assert [each for each in rows(cli("explain", charge_id).out) if not each[0].startswith("─")] == [
        ["Charged: 1 credit for text claude-sonnet-4-5"],
        ["Priced once more by its rate card, it comes to the same."],
        [f"By the rate card {DEFAULT}"],
        ["what", "count", "rate", "USD", "from"],
        ["input", "2,000", "3/1M", "0.006", "list: anthropic/claude-sonnet-4-5"],
        ["output", "100", "15/1M", "0.0015", "list: anthropic/claude-sonnet-4-5"],
        ["then", "is"],
        ["sum in USD", "0.0075"],
        ["in credits, 100 a USD", "0.75"],
        ["rounded up to a multiple of 1", "1"],
        ["cost in credits", "1"],
    ]
    found = cli.read("explain", charge_id)
    assert (found["outcome"], found["charge"]["charge_id"]) == ("EXPLANATION_OUTCOME_SAME", charge_id)
    assert found["explanation"]["exact_credits"] == "0.75"
    assert found["explanation"]["cost_microcredits"] == CREDIT


def test_what_has_no_explanation(cli: CommandLine, account: str) -> None:
    """A charge by an amount says so; what is no charge is refused in one line."""
    request = metering_pb2.ChargeRequest(request_id="c", account_id=account, amount_microcredits=2 * CREDIT)
    ended = cli("explain", charged(cli, request))
    assert ended.out == "Charged: 2 credits\nThe cost was given as an amount, so there is no price to explain.\n"
    refused = cli("explain", "nothing")
    assert (refused.code, refused.out) == (ExitCode.FAILED, "")
    assert refused.err == "creditmeter: refused: CHARGE_NOT_FOUND: there is no charge nothing\n"


def test_a_count_that_was_missing(cli: CommandLine, account: str) -> None:
    """It was priced at the reservation's bound, and that is said. 300 tokens at 15 dollars are 0.0045."""
    work = work_pb2.Work(action="text", request_model="claude-sonnet-4-5", input_tokens=100, max_output_tokens=300)

    async def commit() -> str:
        async with Connection(cli.address) as client:
            reserve = metering_pb2.ReserveRequest(request_id="r", account_id=account, work=work)
            held = (await call(client.metering.Reserve, reserve, PATIENCE)).reservation
            request = metering_pb2.CommitRequest(
                request_id="c", reservation_id=held.reservation_id, usage=work_pb2.Usage(input_tokens=0)
            )
            return (await call(client.metering.Commit, request, PATIENCE)).charge.charge_id

    shown = rows(cli("explain", asyncio.run(commit())).out)
    assert shown[0] == ["Charged: 1 credit for text claude-sonnet-4-5; estimated"]
    assert shown[1] == ["A count was missing and is the reservation's bound, or the worker estimated it."]
    assert ["output", "300", "15/1M", "0.0045", "list: anthropic/claude-sonnet-4-5"] in shown
