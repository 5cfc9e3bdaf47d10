"""What a person sees of each command: on terminals of 80 and 120 columns, with colours and without, against kept pictures."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main

from creditmeter.cli.all_commands import app
from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.demo.command import NOON as NOON_HOUR
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import account_pb2
from tests.cli.pictures import UPDATE, compare, kept, with_placeholders
from tests.cli.story import LONG_NAME, PRESENT, ZONE, still_sidecar
from tests.cli.terminal import Shown, on_terminal
from tests.journal.files import made_full, overwrite_cell

WIDTHS = (80, 120)
COLOURS: tuple[dict[str, str], ...] = ({}, {"NO_COLOR": "1"})

READS = {
    "account-list": "account list",
    "account-show": "account show ada",
    "balance": "balance ada",
    "balance-at": "balance ada --at 2026-11-23T12:00",
    "balance-refused": "balance nobody",
    "config-check": "config check --data-dir .",
    "config-check-wrong": "config check --lease-ttl soon --listen here",
    "config-show": "config show --data-dir . --central sqlite:////srv/central.db",
    "explain": "explain {text}",
    "explain-image": "explain {image}",
    "explain-refused": "explain nothing",
    "forecast": "forecast ada",
    "grant-list": "grant list ada",
    "grant-list-empty": f"grant list {LONG_NAME}",
    "history": "history ada --limit 12",
    "history-empty": f"history {LONG_NAME}",
    "history-no-match": "history ada --tool none",
    "history-note": "history bob",
    "leases": "leases",
    "leases-no-match": "leases --account bob",
    "plan-list": "plan list",
    "plan-estimate": "plan estimate --actions 10 --pieces 20 --searches 1",
    "plan-estimate-credits": "plan estimate --credits 3000",
    "price": "price answer.json",
    "price-list": "price answers.sse --at 2026-11-24",
    "price-wrong": "price bill.csv",
    "prices": "prices --action text --limit 6",
    "prices-images": "prices --action image --limit 6",
    "quote": "quote --input 8000 --output 1000",
    "quote-account": "quote --input 8000 --account ada",
    "quote-image": "quote --action image --model gpt-image-1 --variant high",
    "rates-check": "rates check new.toml",
    "rates-check-wrong": "rates check wrong.toml",
    "rates-diff": "rates diff old.toml new.toml",
    "rates-list-empty": "rates list",
    "reconcile": "reconcile bill.csv --model gpt-*",
    "reconcile-agrees": "reconcile bill.csv --model gpt-* --tolerance 10",
    "reconcile-all": "reconcile bill.csv --model gpt-5 --all",
    "reconcile-wrong": "reconcile wrong.csv",
    "sidecars": "sidecars",
    "sidecars-none": "sidecars --state gone",
    "status": "status",
    "token-list": "token list --access-file access.json",
    "token-list-empty": "token list --access-file nobody.json",
    "token-create-incomplete": "token create worker --access-file access.json",
    "token-revoke-unknown": "token revoke aaaaaaaa --access-file access.json",
    "usage": "usage ada",
    "usage-by-model": "usage ada --group-by model --group-by action",
    "usage-by-kind": "usage ada --group-by kind",
    "usage-csv": "usage ada --csv",
    "usage-empty": "usage bob",
    "verify": "verify --data-dir .",
    "journal-check": "journal check --data-dir damaged",
    "journal-accept-loss": "journal accept-loss ada --data-dir .",
    "version": "--version",
    "wait": "wait",
    "wrong-option": "balance --sideways",
}
"""Commands that change nothing, on a sidecar with a past."""

CHANGES = (
    ("account-create", "account create eve --plan basic --time-zone Asia/Tokyo --request-id e1"),
    ("account-update", "account update eve --max-reservation 40 --request-id e2"),
    ("plan-put", "plan put team --daily 12.5 --monthly 900"),
    ("grant-add", "grant add eve 6.5 --source bonus --note welcome --expires-at 2027-01-31 --request-id e3"),
    ("grant-void", "grant void eve {grant} --request-id e4"),
    ("reconcile-apply", "reconcile bill.csv --model gpt-5 --apply --account eve --yes"),
    ("rates-publish", "rates publish new.toml"),
    ("rates-list", "rates list"),
    ("rates-show", "rates show house-2"),
    ("central-migrate", "central migrate --central sqlite:///other.db"),
    ("central-grant-role", "central grant-role meter --sql --central postgresql://owner@db/credits"),
)
"""Commands that change something, in this order. Each is done once before its pictures are taken, which say so."""

CARD = """version = "house-1"
effective_from = 2026-01-01T00:00:00Z
[text]
[[text.models]]
model = "claude-sonnet-4-5"
input = 300
output = 1500
[actions.post]
standard = 1
"""

BILL = """start_time,start_time_iso,amount_value,amount_currency,line_item
1795219200,2026-11-21T00:00:00+00:00,0.01,usd,"gpt-4o-mini-2024-07-18, input"
1795219200,2026-11-21T00:00:00+00:00,0.25,usd,"gpt-5-2025-08-07, output"
1795305600,2026-11-22T00:00:00+00:00,0.08125,usd,"gpt-5-2025-08-07, output"
1795392000,2026-11-23T00:00:00+00:00,,,
1795305600,2026-11-22T00:00:00+00:00,0.02,usd,gpt-4.1-2025-04-14
1795305600,2026-11-22T00:00:00+00:00,0.75,usd,web search tool calls
"""

ACCESS = """{"version": 1, "credentials": [
{"id": "k4x7q2ma", "name": "operator", "scopes": ["read", "admin"], "token_sha256": "DIGEST"},
{"id": "p3v6z5nb", "name": "worker", "scopes": ["meter"], "account_prefixes": ["team-"], "token_sha256": "DIGEST",
 "expires_at": "2027-01-31T00:00:00Z", "daily_limit_credits": 2500.5},
{"id": "w7d2c4ye", "name": "fleet", "scopes": ["meter", "refund"], "accounts": ["acme", "bolt"],
 "certificate": "spiffe://example.org/worker"}]}
""".replace("DIGEST", "0" * 64)

ANSWER = """{"id": "msg_1", "model": "claude-sonnet-4-5-20250929", "usage": {"input_tokens": 3, "output_tokens": 550,
"cache_creation_input_tokens": 12304, "cache_read_input_tokens": 2000, "service_tier": "batch", "server_tool_use":
{"web_search_requests": 2}, "cache_creation": {"ephemeral_5m_input_tokens": 12300, "ephemeral_1h_input_tokens": 4}}}
"""

ANSWERS = """data: {"id": "a", "model": "gpt-5", "usage": {"input_tokens": 4000, "output_tokens": 200, "odd_tokens": 7}}

data: {"id": "b", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 250000, "output_tokens": 2}}

data: [DONE]
"""


@pytest.fixture(scope="module")
def past() -> Iterator[Path]:
    """The data directory of a sidecar with a past, in which rate cards and bills lie too."""
    with still_sidecar() as data_dir:
        _write_files(data_dir)
        yield data_dir


@pytest.fixture(scope="module")
def changing() -> Iterator[Path]:
    """Another one, to be changed."""
    with still_sidecar() as data_dir:
        _write_files(data_dir)
        yield data_dir


def _write_files(folder: Path) -> None:
    (folder / "old.toml").write_text(CARD)
    new = CARD.replace("house-1", "house-2").replace("1500", "1800").replace("standard = 1", "standard = 2")
    (folder / "new.toml").write_text(new)
    (folder / "wrong.toml").write_text(CARD.replace("input = 300", "input = -1"))
    (folder / "bill.csv").write_text(BILL)
    (folder / "answer.json").write_text(ANSWER)
    (folder / "answers.sse").write_text(ANSWERS)
    (folder / "wrong.csv").write_text(BILL.replace("0.25", "a quarter").replace("usd", "eur", 1))
    (folder / "access.json").write_text(ACCESS)
    (folder / "nobody.json").write_text('{"version": 1, "credentials": []}')
    (folder / "damaged").mkdir()
    overwrite_cell(asyncio.run(made_full(folder / "damaged" / "journal.db")), "records", "body", b"\xff no such thing")


def shown(data_dir: Path, arguments: Sequence[str], columns: int, **environment: str) -> Shown:
    """A command put to the sidecar at its own moment."""
    settings = {"TZ": ZONE, "CREDITMETER_ADDRESS": f"unix:{data_dir / 'creditmeter.sock'}"}
    return on_terminal(columns, arguments, settings | environment, PRESENT, data_dir)


def look(data_dir: Path, name: str, arguments: Sequence[str], colours: Sequence[dict[str, str]]) -> None:
    """Take a picture of a command at each width, with these colours, and compare."""
    with ThreadPoolExecutor(len(WIDTHS)) as together:
        pairs = zip(WIDTHS, colours, strict=True)
        taken = [together.submit(shown, data_dir, arguments, width, **colour) for width, colour in pairs]
    for each in taken:
        check(name, each.result())


def check(name: str, found: Shown, *, moments: bool = False) -> None:
    """Whether a picture is the kept one, and nothing but well-formed escape sequences made it."""
    assert found.stray == []
    compare(name, found.columns, with_placeholders(found.screen, moments=moments))


def charges(past: Path) -> dict[str, str]:
    """The last charge of the story for each action."""

    async def read() -> dict[str, str]:
        async with Connection(f"unix:{past / 'creditmeter.sock'}") as client:
            wanted = account_pb2.ListHistoryRequest(account_id="ada", types=[account_pb2.HISTORY_TYPE_CHARGED], page_size=1_000)
            listed = await call(client.account.ListHistory, wanted, PATIENCE)
        return {each.action: each.charge_id for each in reversed(listed.entries)}

    return asyncio.run(read())


both_ways = pytest.mark.parametrize(
    "colours", [COLOURS, pytest.param(COLOURS[::-1], marks=pytest.mark.long)], ids=["colours-80", "colours-120"]
)
"""The narrow terminal with colours and the wide one without, and the other way round."""


@both_ways
@pytest.mark.parametrize("name", READS)
def test_what_is_seen(past: Path, name: str, colours: Sequence[dict[str, str]]) -> None:
    """Of the past, of nothing at all, and of a mistake. The picture is the same with colours and without."""
    line = READS[name]
    look(past, name, (line.format(**charges(past)) if "{" in line else line).split(), colours)


@pytest.mark.long
@both_ways
def test_what_is_seen_of_changes(changing: Path, colours: Sequence[dict[str, str]]) -> None:
    """One after the other."""
    grant = ""
    for name, line in CHANGES:
        arguments = line.format(grant=grant).split()
        before = shown(changing, arguments, 200)
        assert before.code == 0, before.screen
        grant = next(iter(re.findall(r"gra-[a-z0-9-]+", before.screen)), grant)
        look(changing, name, arguments, colours)


def test_every_command_is_looked_at() -> None:
    """`serve` prints for programs; `demo` and `replay` have tests of their own."""
    looked_at = {tuple(each.split()) for each in (*READS.values(), *(line for _, line in CHANGES))}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
        for inner in getattr(command, "commands", {"": command}):
            words = tuple(f"{name} {inner}".split())
            assert words[0] in ("serve", "demo", "replay") or any(each[: len(words)] == words for each in looked_at), words


@pytest.mark.parametrize("arguments", ["history bob", "grant list bob", "grant list bob --csv", "balance bob"])
def test_users_cannot_steer_a_terminal(past: Path, arguments: str) -> None:
    """What was drawn is intact, and of what a user wrote no sequence has survived."""
    found = shown(past, arguments.split(), 200)
    assert found.code == 0
    assert found.stray == []
    assert b"\x1b[31m" not in found.written
    assert "\N{REPLACEMENT CHARACTER}[31msorry" in found.screen


def test_colour_is_used_and_can_be_forgone(past: Path) -> None:
    """Heads are bold on a terminal that can do it; one that cannot gets no escape sequences."""
    assert shown(past, ["plan", "list"], 80).sequences
    assert shown(past, ["plan", "list"], 80, TERM="dumb").sequences == []


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_without_colours_has_all_of_its_width(past: Path, kind: str) -> None:
    """What is seen on it is what is seen on any other, however wide."""
    usual = shown(past, ["history", "ada"], 120)
    assert max(map(len, usual.screen.splitlines())) > 80
    assert shown(past, ["history", "ada"], 120, TERM=kind).screen == usual.screen


def run_all(arguments: Sequence[str], **environment: str) -> list[Shown]:
    """A command with its own sidecar, at each width once and with and without colours once, at the same time: each takes some
    seconds.
    """
    with ThreadPoolExecutor(len(WIDTHS)) as together:
        taken = [
            together.submit(on_terminal, width, arguments, environment | colour)
            for width, colour in zip(WIDTHS, COLOURS, strict=True)
        ]
    return [each.result() for each in taken]


@pytest.mark.long
def test_what_is_seen_of_the_demo() -> None:
    """In the time zone that the demo chooses for its user, in which it is about noon."""
    hours = NOON_HOUR - datetime.now(UTC).hour
    for each in run_all(["demo"], TZ=f"Etc/GMT{-hours:+d}"):
        assert each.code == 0
        check("demo", each, moments=True)


@pytest.mark.long
def test_what_is_seen_of_a_replay(tmp_path: Path) -> None:
    """With its progress, of which the last picture stays."""
    trace = tmp_path / "trace.csv"
    lines = (f"2026-01-01 00:00:{second:02d},{100 * second},{10 * second}" for second in range(1, 21))
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines, ""]))
    for each in run_all(
        ["replay", str(trace), "--accounts", "3", "--workers", "1", "--kill-share", "0", "--refund-share", "0.2"]
    ):
        assert each.code == 0
        check("replay", each, moments=True)


SCREENSHOT = re.compile(r"^```text\n\$ creditmeter (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def test_the_documentation_shows_what_is_seen() -> None:
    """Each screenshot is the kept picture; `UPDATE_SNAPSHOTS=1` puts it there."""
    pictures = {line: kept(name, 80).read_text() for name, line in (READS | {"demo": "demo"}).items()}
    page = Path(__file__).parents[2] / "docs" / "terminal.md"
    if UPDATE:
        page.write_text(
            SCREENSHOT.sub(lambda shot: f"```text\n$ creditmeter {shot[1]}\n{pictures[shot[1]]}```", page.read_text())
        )
    shown = dict(SCREENSHOT.findall(page.read_text()))
    looked_at = {"balance", "demo", "forecast", "history", "leases", "quote", "reconcile", "usage"}
    assert {each.split()[0] for each in shown} == looked_at
    assert shown == {line: pictures[line] for line in shown}
