"""`creditmeter forecast` and `creditmeter plan estimate`."""

import csv
import json

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.commands.forecast import conclusions, forecast_table
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.main import run
from creditmeter.cli.screen import print_table
from creditmeter.v1 import account_pb2, grants_pb2
from tests.cli.conftest import CommandLine
from tests.cli.tables import rows

CREDIT = 1_000_000


def test_a_forecast_is_a_table_and_what_follows(capsys: pytest.CaptureFixture[str]) -> None:
    """In credits, with how long each bucket lasts, and why more may be needed."""
    at = Timestamp(seconds=1_795_780_800)
    reply = account_pb2.ForecastUsageResponse(
        buckets=[
            account_pb2.BucketForecast(
                kind=grants_pb2.GRANT_KIND_MONTHLY,
                remaining_microcredits=30 * CREDIT,
                spent_per_day_microcredits=10 * CREDIT,
                lasts=Duration(seconds=3 * 86_400 + 7_200),
                runs_out_at=at,
                lapsed_microcredits=2 * CREDIT,
                exhausted_days=4,
            )
        ],
        runs_out_at=at,
        smallest_plan=grants_pb2.Plan(plan_id="pro", daily_microcredits=CREDIT),
        refused_count=3,
        findings=[
            account_pb2.ForecastFinding(reason=account_pb2.FORECAST_REASON_IMAGE_HEAVY, observed=55, threshold=40),
        ],
    )
    print_table(forecast_table(reply))
    head, _, row, _ = rows(capsys.readouterr().out)
    assert head == ["bucket", "left", "a day", "lasts", "runs out", "lapsed", "days used up"]
    assert row == ["monthly", "30", "10", "3 d 2 h", "2026-11-27 12:00", "2", "4"]
    assert conclusions(reply) == [
        "At this rate all credit is used up at 2026-11-27 12:00.",
        "3 calls were refused for lack of credit.",
        "The smallest plan that would have been enough: pro (1 a day, 0 a month).",
        "Why more may be needed: image heavy: 55 % of the cost is for images (reported from 40 on).",
    ]


def test_a_forecast_of_a_real_account(cli: CommandLine, account: str) -> None:
    """For people and for programs."""
    shown = cli("forecast", account)
    assert shown.code == 0, shown.err
    assert "At this rate the credit lasts to the end of the running month." in shown.out
    assert [each["remaining_microcredits"] for each in cli.read("forecast", account)["buckets"]] == [
        3 * CREDIT,
        4 * CREDIT,
        10 * CREDIT,
    ]
    lines = list(csv.DictReader(cli("forecast", account, "--csv").out.splitlines()))
    assert [(each["kind"], each["remaining_microcredits"]) for each in lines] == [
        ("GRANT_KIND_DAILY", f"{3 * CREDIT}"),
        ("GRANT_KIND_MONTHLY", f"{4 * CREDIT}"),
        ("GRANT_KIND_PERMANENT", f"{10 * CREDIT}"),
    ]
    assert "ACCOUNT_NOT_FOUND" in cli("forecast", "nobody").err


def test_plans_that_cover_a_month(cli: CommandLine, account: str) -> None:
    """Those of the sidecar's store."""
    found = cli.read("plan", "estimate", "--actions", "3", "--address", cli.address)
    small = next(each for each in found["plans"] if each["plan_id"] == "small")
    assert account
    assert small["covers"] == {"low": True, "typical": True, "high": False}
    assert found["total"]["typical_microcredits"] == 90 * CREDIT
    assert "small" in cli("plan", "estimate", "--actions", "3").out


def test_what_3000_credits_support(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sidecar."""
    monkeypatch.delenv("CREDITMETER_ADDRESS", raising=False)
    assert run(["plan", "estimate", "--credits", "3000"]) == 0
    said = capsys.readouterr().out
    assert "about 100 actions a day for 30 days" in said
    assert "75-100 pieces of 30-40 credits with two images each" in said
    assert run(["plan", "estimate", "--pieces", "10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pieces"] == {
        "low_microcredits": 300 * CREDIT,
        "typical_microcredits": 400 * CREDIT,
        "high_microcredits": 500 * CREDIT,
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "describe the month"),
        (["--credits", "5", "--actions", "1"], "leave out"),
        (["--credits", "5", "--rate-card", "/nowhere"], "cannot be read"),
        (["--credits", "0"], "0 credits are none"),
    ],
)
def test_what_cannot_be_estimated(capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str) -> None:
    """One line says why."""
    assert run(["plan", "estimate", *arguments]) == ExitCode.USAGE
    assert complaint in capsys.readouterr().err
