"""Showing and checking settings, and serving with them: each may be typed."""

import json
import re
from pathlib import Path

import pytest

from creditmeter.cli.exits import ExitCode
from creditmeter.server.config import Settings
from creditmeter.server.settings_reference import described
from tests.central.addresses import ODD_ADDRESSES, PARTS
from tests.cli.conftest import CommandLine
from tests.cli.processes import run_forked
from tests.cli.terminal import on_terminal

OTHER = {
    "listen": "127.0.0.1:0,unix:/run/other.sock",
    "insecure": "true",
    "tls_cert": "cert.pem",
    "tls_key": "key.pem",
    "tls_client_ca": "ca.pem",
    "access_file": "access.json",
    "socket_scopes": "meter,read",
    "admin_listen": "127.0.0.1:0",
    "admin_socket_mode": "0660",
    "health_listen": "127.0.0.1:0",
    "reflection": "off",
    "channelz": "true",
    "data_dir": "other",
    "new_identity": "true",
    "socket_mode": "0600",
    "socket_group": "0",
    "central": "sqlite:///other.db",
    "rate_card": "other.toml",
    "enable_admin": "true",
    "alert_webhook_private": "true",
    "auto_create_plan": "other",
    "durability": "process",
    "max_open_reservations": "5",
    "settlement_batch": "5",
    "recall": "poll",
    "metrics_listen": "127.0.0.1:0",
    "alert_webhook_url": "https://example.com/x",
    "alert_webhook_secret": "whsec_" + "QUJD" * 11,
    "alert_webhook_secret_file": "other.txt",
    "log_level": "error",
} | {name: "5s" for name, field in Settings.known().items() if isinstance(field.default, float)}
"""A value for each setting that is not its default."""


def test_every_setting_may_be_typed(cli: CommandLine) -> None:
    """And is known to come from there."""
    typed = [(each.option, OTHER[each.name]) if each.metavar else (each.option,) for each in described()]
    found = cli.read("config", "show", *(part for each in typed for part in each))["settings"]
    assert [each["setting"] for each in found] == list(Settings.known())
    defaults = {each["setting"]: each["value"] for each in cli.read("config", "show")["settings"]}
    for each, described_so in zip(found, described(), strict=True):
        assert each["from"] == f"option {described_so.option}"
        assert each["value"] != defaults[each["setting"]]


def test_every_setting_may_be_in_the_environment_and_in_a_file(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same text means the same."""
    (file := tmp_path / "c.toml").write_text("".join(f"{name} = {json.dumps(text)}\n" for name, text in OTHER.items()))
    in_file = cli.read("config", "show", "--config", str(file))["settings"]
    assert {each["from"] for each in in_file} == {f"file {file}"}
    for each in described():
        monkeypatch.setenv(each.environment, OTHER[each.name])
    in_environment = cli.read("config", "show")["settings"]
    assert [each["from"] for each in in_environment] == [f"environment {each.environment}" for each in described()]
    assert [each["value"] for each in in_environment] == [each["value"] for each in in_file]


def test_flags_may_be_taken_back(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line, whatever the environment says."""
    monkeypatch.setenv("CREDITMETER_ENABLE_ADMIN", "1")
    found = {each["setting"]: each["value"] for each in cli.read("config", "show", "--no-enable-admin")["settings"]}
    assert found["enable_admin"] is False


@pytest.mark.parametrize("command", [("serve",), ("config", "show"), ("config", "check")])
def test_help_names_every_setting(command: tuple[str, ...]) -> None:
    """With its default and its variable, on a terminal of the usual width: nothing is cut, and no name broken."""
    shown = on_terminal(80, [*command, "--help"], {})
    assert shown.code == 0
    words = shown.screen.split()
    text = " ".join(words)
    for each in described():
        assert {each.option, each.environment} <= set(words)
        assert f"{each.meaning} Default: {each.default}. Environment: {each.environment}" in text


def test_settings_for_people(cli: CommandLine) -> None:
    """Each with its value and its source."""
    shown = cli("config", "show", "--lease-ttl", "90m", "--central", "postgresql://me:hunter2@db/x")
    assert shown.code == 0
    assert re.search(r"lease_ttl +1h30m +option --lease-ttl", shown.out)
    assert re.search(r"settle_interval +1s +default", shown.out)
    assert "hunter2" not in shown.out


def test_settings_that_can_be_used(cli: CommandLine, tmp_path: Path) -> None:
    """One line, and nothing is made."""
    ended = cli("config", "check", "--data-dir", str(tmp_path / "new"))
    assert (ended.code, ended.out, ended.err) == (0, "the settings can be used\n", "")
    assert not (tmp_path / "new").exists()


def test_settings_that_cannot_be_read(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems, one a line."""
    monkeypatch.setenv("CREDITMETER_LISTN", "x")
    ended = cli("config", "check", "--lease-ttl", "soon", "--recall", "shout")
    assert ended.code == ExitCode.USAGE
    assert [line.split()[1] for line in ended.err.splitlines()] == ["CREDITMETER_LISTN", "lease_ttl", "recall"]
    assert ended.out == ""


def test_settings_that_cannot_be_used(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a start would find out, each with where it came from."""
    monkeypatch.setenv("CREDITMETER_CENTRAL", "mysql://me:hunter2@db/x")
    (card := tmp_path / "card.toml").write_text('version = ""\ncredits_per_usd = -1\n')
    ended = cli("config", "check", "--alert-webhook-url", "https://example.com/x", "--rate-card", str(card))
    assert ended.code == ExitCode.USAGE
    lines = ended.err.splitlines()
    assert lines[0].startswith("creditmeter: central (environment CREDITMETER_CENTRAL): ")
    assert lines[1].startswith("creditmeter: alert_webhook_url (option --alert-webhook-url): it needs a secret")
    assert len(lines) > 3
    assert all(each.startswith("creditmeter: rate_card (option --rate-card): ") for each in lines[2:])
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("command", [("config", "check"), ("serve",), ("verify",), ("central", "migrate")])
@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_a_wrong_address_of_the_central_store(tmp_path: Path, command: tuple[str, ...], address: str) -> None:
    """Its setting and source are named; nothing of it is shown, for it may have its password anywhere."""
    ended = run_forked(*command, "--central", address, CREDITMETER_DATA_DIR=str(tmp_path / "data"))
    assert ended.complaint.startswith("creditmeter: central (option --central): this is not the address of a central store")
    assert not [part for part in PARTS if part in ended.complaint]
    assert ended.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (("--lease-ttl", "soon"), {}, "lease_ttl (option --lease-ttl): 'soon' is no length of time"),
        (("--central", "mysql://x/y"), {}, "central (option --central): 'mysql' is no central engine"),
        ((), {"CREDITMETER_LISTEN": '{"a"'}, "listen (environment CREDITMETER_LISTEN): '{\"a\"' is no address"),
        (("--central", "postgresql:///x?port=abc"), {}, "central (option --central): this is not the address of a central"),
        (("--listen", "unix:/tmp/a\nb"), {}, "listen (option --listen): write ADDR as text"),
        (("--listen", f"unix:/{'x' * 107}"), {}, "is longer than the 107 bytes of a socket's path: choose a shorter one"),
        (("--data-dir", "x" * 100), {}, "data_dir (option --data-dir): the socket's path /"),
        (("--socket-group", str(2**32 - 1)), {}, "socket_group (option --socket-group): '4294967295' is no group"),
        ((), {"CREDITMETER_LSTEN": "x"}, "did you mean CREDITMETER_LISTEN?"),
        ((), {"CREDITMETER_CONFIG": "none.toml"}, "the configuration file none.toml cannot be read: No such file"),
    ],
)
def test_serving_with_a_wrong_setting(
    short_path: Path, arguments: tuple[str, ...], environment: dict[str, str], complaint: str
) -> None:
    """One line, exit code 2, and nothing is made. The check says the same."""
    for command in (("serve",), ("config", "check")):
        ended = run_forked(*command, "--data-dir", str(short_path / "new"), *arguments, **environment)
        assert complaint in ended.complaint
        assert ended.code == ExitCode.USAGE
        assert ended.out == ""
    assert list(short_path.iterdir()) == []
