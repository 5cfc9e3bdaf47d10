"""What reaches an operator's terminal: nothing that users wrote to steer it, in whatever encoding it has."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from creditmeter.cli.commands.account import _print_accounts
from creditmeter.cli.commands.leases import _print_leases
from creditmeter.cli.commands.plan import _print_plans
from creditmeter.cli.commands.sidecars import _print_sidecars
from creditmeter.cli.connection import _say_waiting
from creditmeter.cli.main import run
from creditmeter.cli.screen import print_lines, print_table, table, visible
from tests.cases import more
from tests.cli.conftest import CommandLine
from tests.cli.processes import COMMAND, environment, run_process

STEERING = ("\x1b]0;owned\x07\x1b[31mred", "a\rb", "a\nb", "a\x9b31m", "a\u202eb", "a\u2066b", "a\u200fb", "a\u2028b", "a\x7fb")


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_a_terminal_is_not_shown(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """In cells, headers, titles and lines there is a mark in its place, and rows stay rows."""
    shown = table(text, "note")
    shown.add_row(text, "x")
    print_table(shown, f"About {visible(text)}")
    print_lines(text)
    found = capsys.readouterr().out
    assert not [each for each in found if not each.isprintable() and each != "\n"]
    title, head, _, row, *rest = found.split("\n")
    assert "\N{REPLACEMENT CHARACTER}" in title
    assert head.endswith("note")
    assert row.endswith("x")
    assert rest[0] == ""


def test_a_pipe_has_all_of_a_table_unless_it_is_told_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment's COLUMNS, if that is a width."""
    shown = table("account", "note", ids=("account",))
    shown.add_row("a" * 100, "n " * 50)
    for columns, widest in (("", 202), ("0", 202), ("wide", 202), ("60", 60), ("9" * 5_000, 202)):
        monkeypatch.setenv("COLUMNS", columns)
        print_table(shown)
        assert max(map(len, capsys.readouterr().out.splitlines())) == widest


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """In words, and without a head."""
    _print_accounts([])
    _print_leases([])
    _print_plans([])
    _print_sidecars([], datetime.now(UTC))
    assert capsys.readouterr().out.splitlines() == [
        "No accounts yet: `creditmeter account create` makes one.",
        "No leases are open.",
        "No plans yet: `creditmeter plan put` makes one.",
        "No sidecar has registered yet.",
    ]


def test_what_people_write_is_shown() -> None:
    """In any script."""
    for text in ("caf\u00e9", "\u65e5\u672c", "\u0627\u0628", "\U0001f600", "a b"):
        assert visible(text) == text


def test_a_note_from_a_user(cli: CommandLine, account: str) -> None:
    """Through the store and back; in JSON it is what it was."""
    cli.read("grant", "add", account, "1", "--note", "\x1b[2Jgone")
    assert "\x1b" not in cli("history", account).out
    assert "\N{REPLACEMENT CHARACTER}[2Jgone" in cli("history", account).out
    assert "\x1b[2Jgone" in [each["note"] for each in cli.read("history", account)["entries"]]


def test_a_complaint_shows_what_was_typed_without_steering(capsys: pytest.CaptureFixture[str]) -> None:
    """Text that another user made the operator type."""
    assert run(["balance", "a", "--at", "x", "--address", "\x1b[2J"]) != 0
    assert run(["\x1b[2J"]) != 0
    _say_waiting("unix:/\x1b[2J")
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", *more("latin-1")])
@pytest.mark.parametrize("form", [(), ("--csv",)])
def test_an_output_that_is_not_utf_8(cli: CommandLine, account: str, encoding: str, form: tuple[str, ...]) -> None:
    """What it cannot show is written as an escape, and the rest is there."""
    cli.read("grant", "add", account, "1", "--note", "\u65e5")
    ended = run_process("history", account, *form, CREDITMETER_ADDRESS=cli.address, PYTHONIOENCODING=encoding)
    assert ended.code == 0, ended.err
    assert "\\u65e5" in ended.out


def test_an_output_that_is_full() -> None:
    """One line says so, and so does the exit code: nobody takes what is missing for all there is."""
    plain = environment(PYTHONUNBUFFERED="")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, env=plain, check=False)
    assert (ended.returncode, ended.stderr) == (1, "creditmeter: the output cannot be written: No space left on device\n")
