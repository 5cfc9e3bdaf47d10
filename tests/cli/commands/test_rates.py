"""`creditmeter rates`: against a real sidecar where one is needed, and without any where none is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.cli.commands.rates_diff import Compared
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.rate_cards import MAX_DOCUMENT_BYTES
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.server import rate_card_service
from tests.cli.conftest import CommandLine
from tests.cli.default_card import DEFAULT, LIST
from tests.cli.processes import sidecar_process
from tests.cli.tables import rows

CREDIT = 1_000_000
CARD = """
version = "v1"
effective_from = 2000-01-01T00:00:00Z
free = ["view"]
higher_cost_models = ["house"]
[actions.engagement]
[tools]
web_search = "1.5"
[image]
models = [{ model = "paint", credits = 10, variants = { hd = 20 } }]
[text]
fallback = "house"
[[text.models]]
model = "house"
unit = "credits"
input = 100
output = 400
cache_read = "12.5"
per_call = "0.25"
[[text.models.long_context]]
above_input_tokens = 200000
input = 200
"""
"""Its last line ends without a line break."""

WRONG = """version = "v1"
cap = -1
[text]
colour = "blue"
"""
PROBLEMS = [
    "line 1: effective_from is missing",
    "line 2: cap must not be negative",
    "line 4, text: colour is not a key of this table",
]


class Cards:
    """Rate cards as files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, document: str, name: str = "card.toml") -> str:
        """Write one and return its path."""
        path = self._directory / name
        path.write_bytes(document.encode())
        return str(path)


@pytest.fixture
def card(tmp_path: Path) -> Cards:
    """Writes rate cards."""
    return Cards(tmp_path)


@pytest.fixture
def own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """The command line, connected to a sidecar of the test's own: what is published is in force for all who ask it."""
    with sidecar_process("--enable-admin") as process:
        monkeypatch.setenv("CREDITMETER_ADDRESS", process.address)
        yield CommandLine(capsys, process.address)


@pytest.fixture
def offline(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command line where no sidecar is."""
    address = f"unix:{tmp_path}/none.sock"
    monkeypatch.setenv("CREDITMETER_ADDRESS", address)
    return CommandLine(capsys, address)


def test_a_card_is_published_and_shown(own: CommandLine, card: Cards) -> None:
    """To the byte, so that what was shown may be published again; before it the sidecar's own card is in force."""
    assert own("rates", "list").out.splitlines()[-1] == f"In force: {DEFAULT}, which came with the sidecar"
    assert own.read("rates", "list") == {"rate_cards": [], "next_page_token": "", "version_in_force": DEFAULT}
    document = CARD.replace("\n", "\r\n").rstrip()
    first = own("rates", "publish", card(document))
    assert first.code == 0, first.err
    assert first.out.splitlines() == [
        "published: v1",
        "effective from: 2000-01-01 00:00",
        "It is in force.",
        "Times are local: UTC.",
    ]
    assert own("rates", "show").out == own("rates", "show", "v1").out == document
    again = own("rates", "publish", card(own("rates", "show").out))
    assert again.out.splitlines()[0] == "published: v1 (done before; nothing changed now)"
    reply = own.read("rates", "publish", card(document))
    assert (reply["replayed"], reply["version_in_force"]) == (True, "v1")
    assert reply["rate_card"] == own.read("rates", "show")["rate_card"]
    assert reply["rate_card"]["effective_from"] == "2000-01-01T00:00:00Z"
    changed = own("rates", "publish", card(document + "# changed"))
    assert changed.complaint.startswith("creditmeter: refused: RATE_CARD_EXISTS")
    assert changed.code == ExitCode.FAILED


def test_which_card_is_in_force(own: CommandLine, card: Cards) -> None:
    """Of those in effect the last one to take effect; a listing marks it, or names it below."""
    for number, begin in enumerate(("2010-01-01", "2000-01-01", "2990-01-01", "1990-01-01"), 1):
        document = CARD.replace("v1", f"v{number}").replace("2000-01-01", begin)
        said = own("rates", "publish", card(document)).out.splitlines()[2]
        assert (number, said) == (
            number,
            {
                1: "It is in force.",
                2: "v1 stays in force: it took effect at 2010-01-01 00:00.",
                3: "It is not in force yet; v1 is.",
                4: "v1 stays in force: it took effect at 2010-01-01 00:00.",
            }[number],
        )
    listed = rows(own("rates", "list").out)
    assert [(row[0], row[1], row[3:]) for row in listed[2:-1]] == [
        ("v3", "2990-01-01 00:00", []),
        ("v1", "2010-01-01 00:00", ["yes"]),
        ("v2", "2000-01-01 00:00", []),
        ("v4", "1990-01-01 00:00", []),
    ]
    page = own.read("rates", "list", "--limit", "1")
    assert page["version_in_force"] == "v1"
    rest = own.read("rates", "list", "--page-token", page["next_page_token"])
    assert [each["version"] for each in page["rate_cards"] + rest["rate_cards"]] == ["v3", "v1", "v2", "v4"]
    said = own("rates", "list", "--limit", "1").out
    assert "\nIn force: v1\n" in said
    assert "--page-token" in said


def test_what_a_sidecar_refuses(cli: CommandLine, card: Cards) -> None:
    """Of a wrong card every problem with its line; then nothing is published."""
    refused = cli("rates", "publish", card(WRONG))
    assert refused.code == ExitCode.FAILED
    said = refused.complaint.removeprefix("creditmeter: refused: INVALID_REQUEST: ")
    assert said.split("; ") == [f"document: {problem}" for problem in PROBLEMS]
    assert "document: is missing" in cli("rates", "publish", card("")).complaint
    assert "RATE_CARD_NOT_FOUND: there is no rate card v7" in cli("rates", "show", "v7").complaint
    assert "page_token" in cli("rates", "list", "--page-token", "made-up").complaint
    assert cli.read("rates", "list")["rate_cards"] == []


def test_without_a_sidecar(offline: CommandLine, card: Cards) -> None:
    """Nothing is published, and what to do is said."""
    for arguments in (("publish", card(CARD)), ("show",), ("list",), ("diff", card(CARD), "v1")):
        ended = offline("rates", *arguments)
        assert "start one with `creditmeter serve`" in ended.complaint
        assert ended.code == ExitCode.UNREACHABLE


def test_a_card_is_checked_offline(offline: CommandLine, card: Cards) -> None:
    """And what is on it is counted."""
    path = card(CARD)
    found = offline("rates", "check", path)
    assert found.code == 0, found.err
    assert found.out.startswith(f"{path}: no problems\n")
    assert rows(found.out)[1:2] + rows(found.out)[3:] == [
        ["version", "v1"],
        ["effective from", "2000-01-01 00:00"],
        ["text models, prices of its own", "1"],
        ["text models, prices of a list", "0"],
        ["image models", "1"],
        ["tools", "1, and any other"],
        ["actions", "1"],
        ["free actions", "1"],
        ["cap", "-"],
        ["fallback", "house"],
        ["Times are local: UTC."],
    ]


def test_a_card_with_the_list_prices_is_checked(offline: CommandLine, card: Cards) -> None:
    """A rule that names the list counts as the list's, one of the card's own does not; its version carries the list's."""
    rules = '[[text.models]]\nmodel = "claude-sonnet-4-5"\nprovider = "anthropic"\nsource = "genai-prices"\nmarkup = 2\n'
    own = '[[text.models]]\nmodel = "house"\ninput = 1\noutput = 1\n'
    head = 'version = "v2"\ncap = "2.5"\neffective_from = 2000-01-01T00:00:00Z\n[text]\nsource = "genai-prices"\n'
    found = dict(row[:2] for row in rows(offline("rates", "check", card(head + rules + own)).out) if len(row) > 1)
    known = sum(1 for _ in bundled_price_list().models())
    assert found[f"text models, prices of {LIST}"] == f"{known:,}"
    assert (found["version"], found["text models, prices of its own"], found["cap"]) == (f"v2+{LIST}", "1", "2.5")
    assert (found["tools"], found["image models"], found["actions"], found["fallback"]) == ("-", "0", "0", "-")


def test_models_charged_by_reported_cost_are_counted(offline: CommandLine, card: Cards) -> None:
    """Those of the list with those that a rule names; not those of a rule for list prices."""
    head = 'version = "v2"\neffective_from = 2000-01-01T00:00:00Z\n[text]\nsource = "genai-prices"\ncost = "higher"\n'
    rules = (
        '[[text.models]]\nmodel = "house"\ninput = 1\noutput = 1\ncost = "reported"\n'
        '[[text.models]]\nmodel = "mansion"\ninput = 1\noutput = 1\n'
    )
    found = dict(row[:2] for row in rows(offline("rates", "check", card(head + rules)).out) if len(row) > 1)
    known = sum(1 for _ in bundled_price_list().models())
    assert (found['text models, cost = "reported"'], found['text models, cost = "higher"']) == ("1", f"{known:,}")


def test_prices_say_what_is_charged_by_reported_cost(own: CommandLine, card: Cards) -> None:
    """In a column that is there only where it tells models apart from others."""
    assert own("rates", "publish", card(CARD)).code == 0
    assert "charged" not in own("prices").out
    models = CARD.replace("v1", "v2") + '[[text.models]]\nmodel = "mansion"\ninput = 1\noutput = 1\ncost = "higher"\n'
    assert own("rates", "publish", card(models)).code == 0
    found = rows(own("prices", "--action", "text").out)
    assert found[-2:] == [
        ["text", "house", "higher cost", "list", "1", "100", "400"],
        ["text", "mansion", "standard", "higher", "1", "100", "100"],
    ]


def test_a_wrong_card_is_checked(offline: CommandLine, card: Cards) -> None:
    """Every problem is a line, also one that would break a line."""
    found = offline("rates", "check", card(WRONG))
    assert found.err.splitlines() == [f"creditmeter: {problem}" for problem in PROBLEMS]
    assert (found.code, found.out) == (ExitCode.FAILED, "")
    broken = f'{CARD}[[text.models]]\nmodel = "two\\nlines"\ninput = -1\noutput = 1\n'
    assert 'text.models "two lines": input must not be negative' in offline("rates", "check", card(broken)).complaint
    assert "line 1: not TOML" in offline("rates", "check", card("version = ")).complaint


@pytest.mark.parametrize("command", ["publish", "check", "diff"])
def test_a_file_that_cannot_be_read(offline: CommandLine, card: Cards, command: str) -> None:
    """Nothing is asked of a sidecar then."""
    twice = 2 if command == "diff" else 1
    for content, said in (
        ("\N{SNOWMAN}".encode("utf-16"), "cannot be read"),
        (b"#" * (1024 * 1024 + 1), "more than 1,048,576"),
    ):
        path = card("")
        Path(path).write_bytes(content)
        ended = offline("rates", command, *[path] * twice)
        assert said in ended.complaint
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")


def test_a_file_that_is_not_there(offline: CommandLine, tmp_path: Path) -> None:
    """Nor a directory in its place."""
    for path in (str(tmp_path / "none.toml"), str(tmp_path)):
        for command in ("publish", "check"):
            ended = offline("rates", command, path)
            assert f"the rate card {path} cannot be read" in ended.complaint
            assert ended.code == ExitCode.USAGE


def test_as_much_is_read_as_a_sidecar_takes() -> None:
    """The limit is the sidecar's."""
    assert MAX_DOCUMENT_BYTES == rate_card_service.MAX_DOCUMENT_BYTES


CHANGED = (
    CARD.replace("v1", "v2")
    .replace('free = ["view"]', 'credits_per_usd = "120.50"\nincrement = 2\ncap = "2.5"\nfree = ["edit"]')
    .replace('["house"]', '["house", "mansion"]')
    .replace("[tools]", "[tools]\ntweet_search = 3")
    .replace("hd = 20", "hd = 20, sd = 5")
    .replace('fallback = "house"', "minimum = 0\ndefault_max_output_tokens = 10000")
    .replace('cache_read = "12.5"\nper_call = "0.25"\n', 'cache_write = 125\nreasoning = 500\nalso = ["home"]\n')
    .replace("input = 200", "input = 250")
    + '[[text.models]]\nmodel = "mansion"\nprovider = "openrouter"\ninput = 1\noutput = 1\ncost = "reported"\nmarkup = "1.20"\n'
    + '[tiers]\nflex = "0.50"\n[fees.openai]\nweb_searches = 10\n[fees.openai.m]\nweb_searches = 8\n'
)


def test_what_differs_between_two_files(offline: CommandLine, card: Cards) -> None:
    """Without a sidecar: values of the card and, in credits, each price; also one that only one of them names."""
    ended = offline("rates", "diff", card(CARD, "old.toml"), card(CHANGED, "new.toml"))
    assert ended.code == 0, ended.err
    found = rows(ended.out)
    assert found[:2] == [["old: v1, effective from 2000-01-01 00:00"], ["new: v2, effective from 2000-01-01 00:00"]]
    at = found.index(["Prices in credits"])
    assert found[2:at][3:] == [
        ["credits_per_usd", "100", "120.5"],
        ["increment", "1", "2"],
        ["minimum", "1", "0"],
        ["cap", "-", "2.5"],
        ["default_max_output_tokens", "4,096", "10,000"],
        ["fallback", "house", "-"],
        ["free", "-", "edit"],
        ["free", "view", "-"],
        ["higher_cost_models", "-", "mansion"],
        ["tiers", "-", "service_tier flex = 0.5"],
        ["cost", "-", "openrouter mansion = reported * 1.2"],
        ["fees", "-", "openai m web_searches = 8"],
        ["fees", "-", "openai web_searches = 10"],
    ]
    assert found[at + 3 : -1] == [
        ["edit", "each", "-", "0"],
        ["engagement", "mansion", "each", "1", "2"],
        ["image", "paint", "sd", "each", "-", "5"],
        ["text", "house", "1M cache read input tokens", "12.5", "100"],
        ["text", "house", "1M cache creation input tokens", "100", "125"],
        ["text", "house", "1M reasoning output tokens", "400", "500"],
        ["text", "house", "each", "0.25", "0"],
        ["text", "house", "1M input tokens", "200,000", "200", "250"],
        ["text", "house", "1M cache read input tokens", "200,000", "12.5", "250"],
        ["text", "house", "1M cache creation input tokens", "200,000", "200", "125"],
        ["text", "house", "1M reasoning output tokens", "200,000", "400", "500"],
        ["text", "openrouter", "mansion", "1M input tokens", "-", "120.5"],
        ["text", "openrouter", "mansion", "1M output tokens", "-", "120.5"],
        ["tool", "tweet_search", "each", "1", "3"],
        ["view", "each", "0", "-"],
    ]


def test_what_differs_as_json(offline: CommandLine, card: Cards) -> None:
    """Amounts in microcredits, units by the contract's names; null is no price."""
    found = offline.read("rates", "diff", card(CARD, "old.toml"), card(CHANGED, "new.toml"))
    version = {"published_version": "", "effective_from": "2000-01-01T00:00:00Z"}
    assert (found["old"], found["new"]) == ({"version": "v1"} | version, {"version": "v2"} | version)
    values = {each["name"]: (each["old"], each["new"]) for each in found["values"]}
    assert values["cap_microcredits"] == (None, 2_500_000)
    assert values["free"] == (["view"], ["edit"])
    assert {"action": "image", "provider": "", "model": "paint", "variant": "sd", "tool": "", "unit": "PRICE_UNIT_QUANTITY"} | {
        "unit_count": 1,
        "above_input_tokens": 0,
        "old_microcredits": None,
        "new_microcredits": 5 * CREDIT,
    } in found["prices"]
    long = next(each for each in found["prices"] if each["above_input_tokens"] == 200_000)
    assert (long["unit"], long["unit_count"], long["new_microcredits"]) == ("PRICE_UNIT_INPUT_TOKENS", 1_000_000, 250 * CREDIT)
    gone = found["prices"][-1]
    assert (gone["action"], gone["old_microcredits"], gone["new_microcredits"]) == ("view", 0, None)


def test_what_does_not_differ(offline: CommandLine, card: Cards) -> None:
    """A comment, or another name for the same card."""
    path = card(CARD)
    said = offline("rates", "diff", path, card(f"{CARD}# changed", "new.toml")).out.splitlines()
    assert said[2:] == ["", "No price differs.", "Times are local: UTC."]
    found = offline.read("rates", "diff", path, path)
    assert (found["values"], found["prices"]) == ([], [])


def test_a_rule_instead_of_the_list(offline: CommandLine, card: Cards) -> None:
    """Each model that it prices now is there with the price that the list gave it, also under a name that only one card has."""
    head = 'version = "v1"\neffective_from = 2000-01-01T00:00:00Z\n[text]\nsource = "genai-prices"\n'
    rule = '[[text.models]]\nmodel = "claude-sonnet-4-5"\ninput = 6\noutput = 15\n'
    ended = offline("rates", "diff", card(head, "old.toml"), card(head + rule, "new.toml"))
    found = [row for row in rows(ended.out) if "1M input tokens" in row]
    assert found[0] == ["text", "claude-sonnet-4-5", "1M input tokens", "300", "600"]
    assert ["text", "anthropic", "claude-sonnet-4-5", "1M input tokens", "300", "600"] in found
    assert not any("-" in row for row in found)


@pytest.mark.long
def test_a_file_against_the_card_in_force(cli: CommandLine, card: Cards, tmp_path: Path) -> None:
    """An empty name means that one; any other which is no file's is a version."""
    path = card(cli("rates", "show").out.replace("increment = 1", "increment = 2"))
    for name in ("", DEFAULT, "default-2026-12"):
        found = cli.read("rates", "diff", name, path)
        assert found["old"]["published_version"] == found["new"]["version"] == DEFAULT
        assert [each["name"] for each in found["values"]] == ["increment_microcredits"]
    for name in ("card.toml", "x" * 5_000, str(tmp_path)):
        ended = cli("rates", "diff", "", name)
        assert f"there is neither a file nor a published rate card {name}" in ended.complaint
        assert ended.code == ExitCode.FAILED


def test_a_wrong_card_is_not_compared(offline: CommandLine, card: Cards) -> None:
    """The complaint names every problem."""
    path = card(WRONG, "wrong.toml")
    ended = offline("rates", "diff", card(CARD), path)
    assert ended.complaint == f"creditmeter: the rate card {path} is wrong: {'; '.join(PROBLEMS)}"
    assert ended.code == ExitCode.FAILED


def test_prices_of_another_release_are_told() -> None:
    """A published card is compared by the prices that are installed here."""
    here = RateCard(version="v1+genai-prices.2", data_version="genai-prices.2", effective_from=Instant(0))
    since = "effective from 1970-01-01 00:00"
    assert Compared(here, here.version).description == f"v1+genai-prices.2, {since}"
    dated = "its list prices are shown as of genai-prices.2, which is installed here"
    assert Compared(here, "v1+genai-prices.1").description == f"v1+genai-prices.1, {since}; {dated}"
