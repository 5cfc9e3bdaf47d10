"""`creditmeter price`: what a provider returned, priced without a sidecar and explained."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from creditmeter.cli.commands.price import MAX_BYTES
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.main import run
from tests.cli.default_card import DEFAULT, LIST
from tests.cli.processes import Ended
from tests.cli.tables import rows

CARD = """
version = "house-1"
effective_from = 2026-01-01T00:00:00Z
credits_per_usd = 100
increment = "0.25"
cap = 3
[text]
minimum = 2
[[text.models]]
model = "house"
input = 10
output = 20
[tiers]
flex = "0.5"
[fees]
web_searches = 10
[image]
models = [{ model = "paint", credits = "1.1", variants = { hd = 2 } }]
"""

MESSAGE = {
    "id": "msg_1",
    "model": "claude-sonnet-4-5-20250929",
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 2_000, "output_tokens": 550, "service_tier": "batch"},
}


class Prices:
    """Prices reports that lie in files."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys
        self.card = folder / "card.toml"
        self.card.write_text(CARD)

    def __call__(self, report: Any, *arguments: str) -> Ended:
        """What the command prints of a report: a text as it is, anything else as JSON."""
        file = self._folder / "report.json"
        file.write_text(report if isinstance(report, str) else json.dumps(report))
        return self.run(str(file), *arguments)

    def run(self, *arguments: str) -> Ended:
        """What the command prints."""
        code = run(["price", *arguments])
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)

    def read(self, report: Any, *arguments: str) -> Any:
        """The JSON of what has a price."""
        ended = self(report, *arguments, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    def house(self, report: Any, *arguments: str) -> Any:
        """The JSON by the card of the tests."""
        return self.read(report, "--rate-card", str(self.card), *arguments)


@pytest.fixture
def prices(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Prices:
    """The command. No sidecar answers it."""
    monkeypatch.setenv("CREDITMETER_ADDRESS", f"unix:{tmp_path}/none.sock")
    return Prices(tmp_path, capsys)


def house(input_tokens: int, output_tokens: int = 0, **beside: Any) -> dict[str, Any]:
    """A response of the model that the tests' card has."""
    return {"model": "house", "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens} | beside}


def test_by_the_card_that_comes_with_the_program(prices: Prices) -> None:
    """Sonnet in a batch: half of 3, 0.30 and 15 dollars. 3 x 1.5 + 2,000 x 0.15 + 550 x 7.5 millionths are 0.0044295."""
    found = prices.read(MESSAGE, "--at", "2026-11-24")
    assert (found["rate_card_version"], found["price_list_version"]) == (DEFAULT, LIST)
    lines = [(each["what"], each["count"], each["rate"], each["amount"], each["served"]) for each in found["lines"]]
    assert lines == [
        ("input_tokens", 3, "1.5", "0.0000045", ["batch"]),
        ("cache_read_input_tokens", 2_000, "0.15", "0.0003", ["batch"]),
        ("output_tokens", 550, "7.5", "0.004125", ["batch"]),
    ]
    assert (found["cost_usd"], found["exact_credits"]) == ("0.0044295", "0.44295")
    assert (found["rounded_microcredits"], found["cost_microcredits"]) == (1_000_000, 1_000_000)
    assert (found["unread"], found["reported_cost_usd"]) == ([], "")


def test_a_price_is_that_of_a_moment(prices: Prices) -> None:
    """o3 fell from 10 dollars to 2 on 2025-06-10."""
    report = {"model": "o3", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}}
    assert prices.read(report, "--at", "2025-06-09")["cost_usd"] == "10"
    assert prices.read(report, "--at", "2025-06-11")["cost_usd"] == "2"


@pytest.mark.parametrize(
    ("report", "steps"),
    [
        # 1,000 tokens are 0.01 dollars, which is 1 credit.
        pytest.param(house(2_100), ["0.021", "2.1", "2.25", "2.25"], id="rounded up"),
        pytest.param(house(100), ["0.001", "0.1", "0.25", "2", "2"], id="not below the minimum"),
        pytest.param(house(9_000), ["0.09", "9", "9", "3", "3"], id="not above the cap"),
        pytest.param(house(0, web_searches=0), ["0", "0", "0"], id="nothing"),
    ],
)
def test_the_steps_to_the_cost_are_printed(prices: Prices, report: Any, steps: list[str]) -> None:
    """Dollars, credits, rounded up, and each bound that changed something."""
    ended = prices(report, "--rate-card", str(prices.card))
    assert ended.code == 0
    printed = rows(ended.out)
    begin = next(number for number, row in enumerate(printed) if row == ["then", "is"]) + 2
    values = [row[-1] for row in printed[begin:] if len(row) == 2]
    assert values == steps


def test_lines_are_printed(prices: Prices) -> None:
    """With a factor, and fees that are in dollars too."""
    report = house(1_000, 500, server_tool_use={"web_search_requests": 3}, service_tier="flex")
    ended = prices(report, "--rate-card", str(prices.card))
    assert ended.err == ""
    printed = rows(ended.out)
    assert printed[0] == ["text house, by the rate card house-1"]
    assert printed[1] == ["what", "count", "rate", "USD", "served", "from"]
    assert printed[3:6] == [
        ["input", "1,000", "10/1M", "0.005", "flex x0.5", "card: house"],
        ["output", "500", "20/1M", "0.005", "flex x0.5", "card: house"],
        ["web searches", "3", "10/1k", "0.03", "card: fees"],
    ]


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(
            [{"id": "a"} | house(1_000), {"id": "b"} | house(500)],
            id="a list",
        ),
        pytest.param("\n".join(json.dumps({"id": name} | house(750)) for name in "ab"), id="JSON lines"),
        pytest.param(
            "\n\n".join(f"data: {json.dumps({'id': name} | house(750))}" for name in "ab") + "\n\ndata: [DONE]\n",
            id="server-sent events",
        ),
    ],
)
def test_responses(prices: Prices, report: Any) -> None:
    """1,500 tokens in two responses, however they are written."""
    found = prices.house(report)
    assert [each["response"] for each in found["lines"]] == [1, 2]
    assert (found["exact_credits"], found["cost_microcredits"]) == ("1.5", 2_000_000)
    assert found["flags"] == ["CHARGE_FLAG_MINIMUM"]


def test_from_stdin(prices: Prices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is piped in."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(house(2_500)).encode())))
    ended = prices.run("-", "--rate-card", str(prices.card), "--json")
    assert json.loads(ended.out)["exact_credits"] == "2.5"


def test_what_the_report_does_not_say(prices: Prices) -> None:
    """The model of a usage that stands alone; and images, which a report counts."""
    usage = {"input_tokens": 2_000, "output_tokens": 100}
    assert prices.house(usage, "--model", "house")["exact_credits"] == "2.2"
    images = {"created": 1, "data": [{"b64_json": "aGk="}, {"b64_json": "aGk="}]}
    found = prices.house(images, "--action", "image", "--model", "paint")
    assert [(each["what"], each["count"], each["rate"], each["rule"]) for each in found["lines"]] == [
        ("image", 2, "1.1", "paint")
    ]
    assert prices.house(images, "--action", "image", "--model", "paint", "--variant", "hd")["exact_credits"] == "4"


def test_what_was_not_read_is_said(prices: Prices) -> None:
    """And what the provider itself says that it cost."""
    report = house(2_000, odd_tokens=7, cost=0.5)
    found = prices.house(report)
    assert (found["unread"], found["flags"]) == (["odd_tokens"], ["CHARGE_FLAG_UNREAD_USAGE"])
    assert found["reported_cost_usd"] == "0.5"
    shown = prices(report, "--rate-card", str(prices.card)).out
    assert "Flags: unread usage.\nNot read, and not charged: odd_tokens.\n" in shown
    assert "By the provider itself it cost 0.5 USD.\n" in shown


@pytest.mark.parametrize(
    ("report", "arguments", "complaint", "code"),
    [
        ("{}}", [], "has no price: it is not JSON", ExitCode.FAILED),
        (" \n", [], "is empty", ExitCode.USAGE),
        ("\x00" * (MAX_BYTES + 1), [], "has more than 16,777,216 bytes", ExitCode.USAGE),
        ({"usage": {"input_tokens": 1, "output_tokens": 1}}, [], "has no price: --model is needed", ExitCode.FAILED),
        ({"usage": {"input_tokens": 1}}, ["--model", "gpt-4o"], "has no price: output_tokens is needed", ExitCode.FAILED),
        (house(1), [], "has no price: the rate card has no price for text by the model 'house'", ExitCode.FAILED),
        (house(1), ["--rate-card", "/nowhere.toml"], "the rate card /nowhere.toml cannot be read", ExitCode.USAGE),
        (house(1), ["--at", "soon"], "'soon' is not a time", ExitCode.USAGE),
    ],
)
def test_complaints_are_one_line(prices: Prices, report: Any, arguments: list[str], complaint: str, code: ExitCode) -> None:
    """With what to do, and nothing on stdout."""
    ended = prices(report, *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.count("\n") == 1
    assert complaint in ended.err


def test_a_file_that_cannot_be_read(prices: Prices, tmp_path: Path) -> None:
    """It is not there, is a directory, is no name of a file, or is not UTF-8."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe{}")
    for name in (str(tmp_path / "none.json"), str(tmp_path), "\0", str(binary)):
        ended = prices.run(name)
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")
        assert "cannot be read: " in ended.err
        assert ended.err.count("\n") == 1
