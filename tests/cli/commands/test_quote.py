"""`creditmeter quote` and `creditmeter prices`, put to real sidecars."""

from collections.abc import Iterator

import pytest

from creditmeter.cli.commands.quote import COMMON_MODELS
from creditmeter.cli.exits import ExitCode
from tests.cli.conftest import CommandLine
from tests.cli.default_card import DEFAULT
from tests.cli.processes import SidecarProcess, sidecar_process
from tests.cli.tables import rows

CREDIT = 1_000_000
CARD = """
version = "v1"
effective_from = 2000-01-01T00:00:00Z
free = ["view"]
higher_cost_models = ["gpt-4o"]
[actions.engagement]
[tools]
web_search = "1.5"
[image]
models = [{ model = "paint", credits = 10, variants = { hd = 20 } }]
[[text.models]]
model = "gpt-4o"
unit = "credits"
input = 100
output = 400
[[text.models.long_context]]
above_input_tokens = 200000
input = 200
[[text.models]]
model = "house"
unit = "credits"
input = "0.5"
output = 1000
[[text.models]]
model = "gpt-5"
unit = "credits"
input = 50
output = 400
"""


@pytest.fixture(scope="module")
def own_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """A sidecar with a rate card of the tests' own."""
    path = tmp_path_factory.mktemp("cards") / "card.toml"
    path.write_text(CARD)
    with sidecar_process("--enable-admin", "--rate-card", str(path)) as process:
        yield process


@pytest.fixture
def own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_sidecar: SidecarProcess) -> CommandLine:
    """The command line, connected to that one."""
    monkeypatch.setenv("CREDITMETER_ADDRESS", own_sidecar.address)
    return CommandLine(capsys, own_sidecar.address)


def test_well_known_models_are_compared(cli: CommandLine) -> None:
    """For the same work; the one that costs least at most comes first."""
    ended = cli("quote", "--input", "8001", "--output", "1000")
    assert ended.code == 0, ended.err
    title, head, _, *found = rows(ended.out)
    assert title == [f"Credits for text of 8,001 input and at most 1,000 output tokens, by the rate card {DEFAULT}"]
    assert head == ["model", "at least", "at most"]
    assert {row[0] for row in found} == set(COMMON_MODELS)
    assert ["gpt-4o", "2", "4"] in found
    most = [int(row[2]) for row in found]
    assert most == sorted(most)
    assert most[0] < most[-1]


def test_with_an_account_it_says_what_it_can_pay(own: CommandLine) -> None:
    """Each model by itself, and as many output tokens as its credit pays for."""
    assert own("account", "create", "ada").code == 0
    assert own("grant", "add", "ada", "6").code == 0
    arguments = ("quote", "--model", "house", "--model", "gpt-4o", "--input", "10000", "--account", "ada")
    title, head, _, *found = rows(own(*arguments, "--output", "20000").out)
    assert title == ["Credits for text of 10,000 input and at most 20,000 output tokens, by the rate card v1"]
    assert head == ["model", "at least", "at most", "affordable", "output tokens"]
    assert found == [["house", "1", "21", "no", "5,995"], ["gpt-4o", "1", "9", "no", "12,500"]]
    title, _, _, *found = rows(own(*arguments).out)
    assert "and the card's default of output tokens" in title[0]
    assert found == [["house", "1", "5", "yes", "4,096"], ["gpt-4o", "1", "3", "yes", "4,096"]]
    _, head, _, row = rows(own("quote", "--action", "tool", "--tool", "web_search", "--account", "ada").out)
    assert (head[-1], row) == ("affordable", ["-", "2", "2", "yes"])
    assert "ACCOUNT_NOT_FOUND" in own("quote", "--action", "view", "--account", "nobody").complaint


def test_as_json_each_quote_names_its_work(own: CommandLine) -> None:
    """In the order asked, with amounts in microcredits."""
    (first, second) = own.read("quote", "--model", "house", "--model", "gpt-4o", "--input", "0", "--output", "5000")["quotes"]
    assert (first["work"]["request_model"], first["work"]["input_tokens"], first["work"]["max_output_tokens"]) == (
        "house",
        0,
        5_000,
    )
    assert (first["min_microcredits"], first["max_microcredits"]) == (0, 5 * CREDIT)
    assert (second["work"]["request_model"], second["max_microcredits"]) == ("gpt-4o", 2 * CREDIT)
    assert second["rate_card_version"] == "v1"


def test_a_well_known_model_without_a_price_is_left_out(own: CommandLine) -> None:
    """Those with one are compared; where none has one, or one was asked for, it is said."""
    found = own.read("quote", "--input", "100000", "--output", "0")["quotes"]
    assert [(each["work"]["request_model"], each["max_microcredits"] // CREDIT) for each in found] == [
        ("gpt-5", 5),
        ("gpt-4o", 10),
    ]
    named = own("quote", "--input", "1", "--model", "gpt-4o", "--model", "o1")
    assert "refused: UNPRICED: work[1]: the rate card has no price for text by the model 'o1'" in named.complaint
    assert named.code == ExitCode.FAILED


def test_no_well_known_model_has_a_price(cli: CommandLine) -> None:
    """At a provider that has none of them."""
    ended = cli("quote", "--input", "1", "--provider", "nobody")
    assert "prices none of the well-known models: give --model" in ended.complaint
    assert ended.code == ExitCode.FAILED
    found = cli.read("quote", "--input", "1", "--provider", "anthropic")["quotes"]
    assert {each["work"]["request_model"] for each in found} == {name for name in COMMON_MODELS if "claude" in name}


SAID = {
    (): ("", ["claude-sonnet-4-5", "3", "30"]),
    ("--cache-write", "40000"): (", 40,000 written to the cache", ["claude-sonnet-4-5", "3", "33"]),
    ("--cache-write-1h", "40000"): (", 40,000 written to the cache (40,000 for an hour)", ["claude-sonnet-4-5", "3", "42"]),
    ("--cache-write", "40000", "--cache-write-1h", "10000", "--unit", "web_searches=10"): (
        ", 40,000 written to the cache (10,000 for an hour), 10 web_searches",
        ["claude-sonnet-4-5", "3", "46"],
    ),
    ("--audio-input", "1", "--image-input", "2", "--unit", "b=1", "--unit", "a=2000", "--tier", "batch"): (
        ", 1 of audio, 2 of images, 2,000 a, 1 b, at batch",
        ["claude-sonnet-4-5", "2", "15"],
    ),
}


@pytest.mark.parametrize("options", SAID)
def test_what_is_beside_plain_input(cli: CommandLine, options: tuple[str, ...]) -> None:
    """100,000 tokens at 3 dollars a million, 3.75 to the cache, 6 for an hour, a cent a search; batch is half, rounded up."""
    ended = cli("quote", "--model", "claude-sonnet-4-5", "--input", "100000", "--output", "0", *options)
    title, _, _, row = rows(ended.out)
    said, expected = SAID[options]
    assert title == [f"Credits for text of 100,000 input and at most 0 output tokens{said}, by the rate card {DEFAULT}"]
    assert row == expected


@pytest.mark.parametrize("unit", ["web_searches", "=3", "web_searches=", "web_searches=-1", "web_searches=1000000001", "a=²"])
def test_a_unit_is_a_name_and_a_count(cli: CommandLine, unit: str) -> None:
    """And nothing else, which is said before anything is asked."""
    ended = cli("quote", "--input", "1", "--unit", unit)
    assert f"--unit {unit}: must be NAME=COUNT, with a count of 0 to 1,000,000,000" in ended.complaint
    assert ended.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "title", "row"),
    [
        (("image", "--model", "paint"), "image", ["paint", "10", "10"]),
        (("image", "--model", "paint", "--variant", "hd", "--quantity", "2"), "image hd x2", ["paint", "40", "40"]),
        (("tool", "--tool", "web_search", "--quantity", "10"), "tool web_search x10", ["-", "15", "15"]),
        (("engagement",), "engagement", ["-", "1", "1"]),
        (("engagement", "--model", "gpt-4o"), "engagement", ["gpt-4o", "2", "2"]),
        (("view",), "view", ["-", "0", "0"]),
    ],
)
def test_what_has_a_fixed_price(own: CommandLine, arguments: tuple[str, ...], title: str, row: list[str]) -> None:
    """Costs just that."""
    ended = own("quote", "--action", *arguments)
    assert ended.code == 0, ended.err
    found = rows(ended.out)
    assert (found[0], found[3:]) == ([f"Credits for {title}, by the rate card v1"], [row])


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        ((), "text is priced by its tokens: give --input", ExitCode.USAGE),
        (("--action", "image"), "images are priced by model: give --model", ExitCode.USAGE),
        (("--action", "image", "--model", ""), "images are priced by model: give --model", ExitCode.USAGE),
        (("--input", "-1"), "--input", ExitCode.USAGE),
        (("--input", "many"), "--input", ExitCode.USAGE),
        (("--input", "1", "--output", "1000000001"), "--output", ExitCode.USAGE),
        (("--action", "view", *["--model", "m"] * 51), "51 models are too many", ExitCode.USAGE),
        (("--action", ""), "INVALID_REQUEST: work[0].action: is missing", ExitCode.FAILED),
        (("--action", "dance"), "UNPRICED: work[0]: the rate card has no price for the action 'dance'", ExitCode.FAILED),
        (("--action", "image", "--model", "brush"), "by the model 'brush'", ExitCode.FAILED),
        (("--action", "view", "--variant", "x" * 257), "INVALID_REQUEST: work[0].variant", ExitCode.FAILED),
        (("--action", "view", "--account", "two words"), "INVALID_REQUEST: account_id", ExitCode.FAILED),
    ],
)
def test_what_cannot_be_quoted(own: CommandLine, arguments: tuple[str, ...], said: str, code: ExitCode) -> None:
    """It is said in one line."""
    ended = own("quote", *arguments)
    assert said in ended.complaint
    assert (ended.code, ended.out) == (code, "")


def test_as_many_models_as_one_quote_takes(own: CommandLine) -> None:
    """Fifty."""
    assert len(own.read("quote", "--action", "view", *["--model", "m"] * 50)["quotes"]) == 50


def test_all_prices(own: CommandLine) -> None:
    """Models, tools and actions with what is typical, and text by the million tokens."""
    ended = own("prices")
    assert ended.code == 0, ended.err
    title, head, _, *found = rows(ended.out)
    assert title == ["Prices in credits by the rate card v1"]
    assert head == ["action", "provider", "model", "variant/tool", "tier", "typical", "1M input", "1M output"]
    assert found == [
        ["engagement", "standard", "1"],
        ["engagement", "gpt-4o", "higher cost", "2"],
        ["image", "paint", "standard", "10"],
        ["image", "paint", "hd", "standard", "20"],
        ["text", "gpt-4o", "higher cost", "1", "100", "400"],
        ["text", "gpt-5", "standard", "1", "50", "400"],
        ["text", "house", "standard", "1", "0.5", "1,000"],
        ["tool", "*", "standard", "1"],
        ["tool", "web_search", "standard", "2"],
        ["view", "standard", "0"],
    ]


def test_some_prices(own: CommandLine) -> None:
    """Of one action, in pages, as JSON."""
    first = own.read("prices", "--action", "text", "--limit", "2")
    rest = own.read("prices", "--action", "text", "--page-token", first["next_page_token"])
    assert [each["model"] for each in first["prices"] + rest["prices"]] == ["gpt-4o", "gpt-5", "house"]
    assert (rest["next_page_token"], rest["rate_card_version"]) == ("", "v1")
    assert first["prices"][0]["unit_prices"][2] == {
        "unit": "PRICE_UNIT_INPUT_TOKENS",
        "unit_count": 1_000_000,
        "above_input_tokens": 200_000,
        "amount_microcredits": 200 * CREDIT,
    }
    assert "--page-token" in own("prices", "--limit", "1").out
    assert own.read("prices", "--action", "dance")["prices"] == []
    refused = own("prices", "--action", "image", "--page-token", first["next_page_token"])
    assert "page_token" in refused.complaint
    assert refused.code == ExitCode.FAILED
    assert own("prices", "--limit", "0").code == ExitCode.USAGE


def test_more_prices_than_a_page_has(cli: CommandLine) -> None:
    """They are asked for page by page."""
    found = cli.read("prices", "--action", "text", "--limit", "1500")
    assert len({(each["provider"], each["model"]) for each in found["prices"]}) == 1_500
    assert found["rate_card_version"] == DEFAULT
