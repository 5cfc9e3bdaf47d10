"""The command line as it is promised: which commands there are, what they take, and what their exit codes mean."""

import re
from collections.abc import Iterator

import typer.main
from typer.core import TyperCommand, TyperGroup

from creditmeter.cli.all_commands import app
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.help_texts import command_of
from creditmeter.server import exits as server
from tests.cli.terminal import on_terminal

ASKS = {"--address", "--json", "--help"}
CHANGES = ASKS | {"--request-id"}
LISTS = ASKS | {"--limit", "--page-token", "--csv"}
TERMS = {
    "--plan",
    "--time-zone",
    "--anchor-day",
    "--overdraft-limit",
    "--max-open-reservations",
    "--max-reservation",
    "--offline-allowance",
    "--alert",
}

SETTINGS = {
    "--config",
    "--listen",
    "--insecure",
    "--tls-cert",
    "--tls-key",
    "--tls-client-ca",
    "--access-file",
    "--socket-scopes",
    "--data-dir",
    "--new-identity",
    "--socket-mode",
    "--socket-group",
    "--central",
    "--rate-card",
    "--enable-admin",
    "--admin-listen",
    "--admin-socket-mode",
    "--health-listen",
    "--reflection",
    "--channelz",
    "--auto-create-plan",
    "--durability",
    "--lease-ttl",
    "--max-hold-lifetime",
    "--late-commit-window",
    "--max-open-reservations",
    "--settle-interval",
    "--clock-step-patience",
    "--settlement-batch",
    "--recall",
    "--recall-timeout",
    "--shutdown-grace",
    "--metrics-listen",
    "--alert-webhook-url",
    "--alert-webhook-secret",
    "--alert-webhook-secret-file",
    "--alert-webhook-timeout",
    "--alert-webhook-private",
    "--log-level",
    "--help",
}

COMMANDS = {
    "serve": SETTINGS,
    "config show": SETTINGS | {"--json"},
    "config check": SETTINGS,
    "wait": {"--address", "--timeout", "--help"},
    "demo": {"--seed", "--help"},
    "replay": ASKS
    | {"TRACE.csv", "--sample", "--accounts", "--account-prefix", "--workers", "--speed", "--limit", "--max-output", "--seed"}
    | {"--release-share", "--refund-share", "--kill-share", "--hold-seconds", "--daily", "--monthly"}
    | {"--data-dir", "--central"},
    "account create": CHANGES | TERMS | {"ACCOUNT"},
    "account show": ASKS | {"ACCOUNT"},
    "account update": CHANGES | TERMS | {"ACCOUNT", "--state", "--no-alerts"},
    "account list": LISTS,
    "plan put": ASKS | {"PLAN", "--daily", "--monthly"},
    "plan list": LISTS,
    "plan estimate": ASKS | {"--actions", "--pieces", "--images", "--text-credits", "--searches", "--credits", "--rate-card"},
    "grant add": CHANGES | {"ACCOUNT", "CREDITS", "--kind", "--source", "--effective-at", "--expires-at", "--note"},
    "grant void": CHANGES | {"ACCOUNT", "GRANT"},
    "grant list": LISTS | {"ACCOUNT"},
    "rates publish": ASKS | {"FILE"},
    "rates show": ASKS | {"VERSION"},
    "rates list": LISTS,
    "rates check": {"FILE", "--help"},
    "rates diff": ASKS | {"OLD", "NEW"},
    "quote": ASKS
    | {"--csv", "--action", "--model", "--provider", "--input", "--output", "--quantity", "--variant", "--tool", "--account"}
    | {"--cache-write", "--cache-write-1h", "--audio-input", "--image-input", "--unit", "--tier"},
    "prices": LISTS | {"--action"},
    "price": {"FILE", "--rate-card", "--model", "--provider", "--action", "--variant", "--at", "--json", "--help"},
    "explain": ASKS | {"CHARGE"},
    "balance": ASKS | {"ACCOUNT", "--at", "--csv"},
    "history": LISTS
    | {"ACCOUNT", "--type", "--action", "--model", "--tool", "--kind", "--source", "--label", "--start", "--end"},
    "usage": LISTS | {"ACCOUNT", "--group-by", "--start", "--end"},
    "reconcile": ASKS
    | {"FILE.csv", "--date-column", "--model-column", "--cost-column", "--input-column", "--output-column", "--currency"}
    | {"--time-zone", "--first-day", "--last-day", "--model", "--same", "--only", "--tolerance", "--all"}
    | {"--apply", "--account", "--yes", "--csv"},
    "forecast": ASKS | {"ACCOUNT", "--csv"},
    "status": ASKS,
    "sidecars": LISTS | {"--state"},
    "leases": LISTS | {"--account", "--sidecar"},
    "verify": {"--central", "--data-dir", "--json", "--help"},
    "journal check": {"--central", "--data-dir", "--json", "--help"},
    "journal accept-loss": {"ACCOUNT", "--data-dir", "--yes", "--help"},
    "token create": {
        "NAME",
        "--scope",
        "--account",
        "--account-prefix",
        "--expires-at",
        "--daily-limit",
        "--certificate",
        "--access-file",
        "--json",
    }
    | {"--help"},
    "token list": {"--access-file", "--json", "--help"},
    "token revoke": {"ID", "--access-file", "--help"},
    "central migrate": {"--central", "--help"},
    "central grant-role": {"NAME", "--central", "--admin", "--auto-create", "--sql", "--help"},
}


def test_the_commands_and_what_they_take() -> None:
    """A change here is a line in the changelog."""
    found = {}
    with typer.Context(typer.main.get_command(app)) as root:
        for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
            for inner, leaf in getattr(command, "commands", {"": command}).items():
                parameters = leaf.get_params(root)
                found[f"{name} {inner}".strip()] = {
                    each.metavar if each.param_type_name == "argument" else each.opts[0] for each in parameters
                }
    assert found == COMMANDS


TYPES = re.compile(r"<\w+>|\b(INTEGER|FLOAT|BOOLEAN|FILENAME|DIRECTORY|UUID|DATETIME|RANGE|\[.*\|.*\])\b")
"""What is said where nobody said what to type."""


def every_command() -> Iterator[tuple[tuple[str, ...], TyperCommand | TyperGroup]]:
    """All commands and groups of them, with what is typed for each."""
    found: list[tuple[tuple[str, ...], TyperCommand | TyperGroup]] = [((), command_of(app))]
    for name, command in found:
        found += [((*name, inner), each) for inner, each in getattr(command, "commands", {}).items()]
        yield name, command


def test_help_is_whole_and_says_what_to_type() -> None:
    """Of every command, on a terminal of the usual width: what is said of it and of each parameter is there to its last word.
    An amount is CREDITS, a flag nothing; never `<int>` or `BOOLEAN`.
    """
    count = 0
    for count, (name, command) in enumerate(every_command(), 1):  # noqa: B007 - it is looked at below
        shown = on_terminal(80, [*name, "--help"], {})
        text = " ".join(shown.screen.split())
        with typer.Context(command) as context:
            parameters = command.get_params(context)
        said = [command.help or "", *(getattr(each, "help", None) or "" for each in parameters)]
        said += [each.short_help or "" for each in getattr(command, "commands", {}).values()]
        assert [each for each in said if " ".join(each.split()) not in text] == []
        assert TYPES.search(text) is None
    assert count > len(COMMANDS)


def test_exit_codes() -> None:
    """They are the server's where it has the same."""
    assert {each.name: int(each) for each in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "UNSETTLED": 3,
        "CANNOT_START": 4,
        "DAMAGED": 5,
        "NOT_CLEAN": 6,
        "UNREACHABLE": 7,
        "FENCED": 8,
    }
    assert (server.OK, server.UNSETTLED, server.CANNOT_START) == (0, ExitCode.UNSETTLED, ExitCode.CANNOT_START)
    assert (server.DAMAGED, server.FENCED) == (ExitCode.DAMAGED, ExitCode.FENCED)


def test_an_update_has_no_defaults() -> None:
    """What is not named stays as it is, and no help says otherwise."""
    commands = command_of(app).commands["account"].commands  # type: ignore[attr-defined]  # they are groups
    helps = {name: {each.name: each.help or "" for each in commands[name].params} for name in ("create", "update")}
    assert "Default: UTC" in helps["create"]["time_zone"]
    assert [name for name, text in helps["update"].items() if "Default" in text] == ["address"]
