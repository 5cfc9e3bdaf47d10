"""Tokens that are made, listed and revoked, and commands that show one."""

import json
import stat
from pathlib import Path

import pytest

from creditmeter.cli.exits import ExitCode
from creditmeter.core.access import Scope, digest_of
from tests.cli.conftest import CommandLine
from tests.cli.processes import sidecar_process
from tests.credentials import Authority


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the setting says that the access file is."""
    monkeypatch.setenv("CREDITMETER_ACCESS_FILE", str(tmp_path / "access.json"))
    return tmp_path / "access.json"


def test_a_token_is_shown_once(cli: CommandLine, file: Path) -> None:
    """On stdout alone, so that it can be kept by a script. The file has only its digest, and is for its owner and group."""
    made = cli(
        "token", "create", "worker", "--scope", "meter", "--scope", "read", "--account", "alice", "--account-prefix", "t-"
    )
    token = made.out.strip()
    assert "not shown again" in made.err
    assert token not in made.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert token not in file.read_text()
    (entry,) = json.loads(file.read_text())["credentials"]
    assert entry["token_sha256"] == digest_of(token).hex()
    (listed,) = cli.read("token", "list")["credentials"]
    assert listed["scopes"] == ["meter", "read"]
    assert (listed["accounts"], listed["account_prefixes"]) == (["alice"], ["t-"])
    assert token.split("_")[1] == listed["id"]
    shown = cli("token", "list").out
    assert "alice,t-…" in shown
    assert "a token" in shown


def test_what_is_made_is_listed_newest_first_and_revoked_by_its_id(cli: CommandLine, file: Path) -> None:
    """The other ones stay; the file keeps its mode; a link stays one."""
    (link := file.with_name("link.json")).symlink_to(file)
    first = cli.read("token", "create", "first", "--scope", "admin")
    file.chmod(0o600)
    by_name = cli.read("token", "create", "c", "--scope", "read", "--certificate", "spiffe://x/y", "--access-file", str(link))
    assert set(by_name) == {"id"}
    assert link.is_symlink()
    more = ("--expires-at", "2027-01-01", "--daily-limit", "2500.5")
    third = cli.read("token", "create", "third", "--scope", "refund", *more)
    listed = cli.read("token", "list")["credentials"]
    assert [each["id"] for each in listed] == [third["id"], by_name["id"], first["id"]]
    assert [each["expires_at"] for each in listed] == ["2027-01-01T00:00:00Z", None, None]
    assert [each["daily_limit_microcredits"] for each in listed] == [2_500_500_000, None, None]
    assert [(each["name"], each.get("daily_limit_credits")) for each in json.loads(file.read_text())["credentials"]] == [
        *(("first", None), ("c", None), ("third", 2500.5))
    ]
    assert "2,500.5" in cli("token", "list").out
    assert [each["certificate"] for each in listed] == [None, "spiffe://x/y", None]
    assert cli("token", "revoke", by_name["id"]).out == f"{by_name['id']} is revoked\n"
    assert [each["id"] for each in cli.read("token", "list")["credentials"]] == [third["id"], first["id"]]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "w"), "--scope"),
        (("create", "w", "--scope", "write"), "meter"),
        (("create", "", "--scope", "meter"), "a name has 1 to 128"),
        (("create", "a\nb", "--scope", "meter"), "a name has 1 to 128"),
        (("create", "w", "--scope", "meter", "--account", "two words"), "no account's id"),
        (("create", "w", "--scope", "meter", "--expires-at", "soon"), "is not a time"),
        (("create", "w", "--scope", "meter", "--expires-at", "2020-01-01"), "it is over"),
        (("create", "w", "--scope", "meter", "--daily-limit", "-1"), "is not a number of credits"),
        (("create", "w", "--scope", "meter", "--daily-limit", "much"), "is not a number of credits"),
        (("create", "w", "--scope", "meter", "--daily-limit", "1000000001"), "0 to 1,000,000,000"),
        (("create", "w", "--scope", "meter", "--account", ""), "no account's id"),
        (("create", "w", "--scope", "meter", "--account-prefix", ""), "no account's id"),
        (("create", "w", "--scope", "meter", "--certificate", ""), "no name that a certificate has"),
        (("create", "w", "--scope", "meter", "--certificate", "known"), "the certificate known is there twice"),
        (("create", "w", "--scope", "meter", "--certificate", "x" * 2_049), "length"),
        (("revoke", "nobody"), "there is no token with the id nobody"),
    ],
)
def test_what_cannot_be_done_changes_nothing(cli: CommandLine, file: Path, arguments: tuple[str, ...], words: str) -> None:
    """And says what to write."""
    cli.read("token", "create", "known", "--scope", "meter", "--certificate", "known")
    before = file.read_bytes()
    ended = cli("token", *arguments)
    assert ended.code in (ExitCode.USAGE, ExitCode.FAILED)
    assert words in ended.err
    assert file.read_bytes() == before


def test_a_file_that_is_none(cli: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is never overwritten; one that is missing has nobody to list."""
    assert "cannot be read" in cli("token", "list").err
    file.write_text("something else")
    for arguments in (("list",), ("create", "w", "--scope", "meter"), ("revoke", "x")):
        ended = cli("token", *arguments)
        assert (ended.code, "is no access file" in ended.err) == (ExitCode.USAGE, True)
    assert file.read_text() == "something else"
    monkeypatch.delenv("CREDITMETER_ACCESS_FILE")
    assert "--access-file" in cli("token", "list").err


def test_commands_show_a_token_and_speak_tls(cli: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, by file or by the environment, before the command."""
    authority = Authority(file.parent)
    cert, key = authority.certify("server")
    admin = cli.read("token", "create", "operator", "--scope", "admin")["token"]
    reads = cli.read("token", "create", "reader", "--scope", "read")["token"]
    (kept := file.with_name("token")).write_text(f"{admin}\n")
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--access-file", str(file), "--enable-admin")
    with sidecar_process(*options, "--listen", "127.0.0.1:0") as process:
        address = next(each for each in process.addresses if not each.startswith("unix:"))
        monkeypatch.setenv("CREDITMETER_ADDRESS", address)
        ca = ("--tls-server-ca", str(authority.file))
        refused = cli(*ca, "account", "create", "alice")
        assert "refused: UNAUTHENTICATED: no token was given" in refused.err
        assert "needs the scope admin" in cli(*ca, "--token", reads, "account", "create", "alice").err
        assert cli(*ca, "--token-file", str(kept), "account", "create", "alice").code == 0
        monkeypatch.setenv("CREDITMETER_TLS_SERVER_CA", str(authority.file))
        assert cli("wait").code == 0
        monkeypatch.setenv("CREDITMETER_TOKEN", reads)
        assert cli("balance", "alice").code == 0
        monkeypatch.delenv("CREDITMETER_TOKEN")
        monkeypatch.setenv("CREDITMETER_TOKEN_FILE", str(kept))
        assert cli("account", "show", "alice").code == 0
    assert admin not in str(process.log)
    assert reads not in str(process.log)
    for arguments, words in (
        (("--token-file", str(file.with_name("none"))), f"the file {file.with_name('none')} cannot be read"),
        (("--tls-server-ca", str(file.with_name("none"))), f"the file {file.with_name('none')} cannot be read"),
        (("--token", "a", "--token-file", "b"), "give either token or token_file"),
    ):
        ended = cli(*arguments, "balance", "alice")
        assert (ended.code, words in ended.err) == (ExitCode.USAGE, True)


def test_every_scope_may_be_given(cli: CommandLine, file: Path) -> None:
    """By its name."""
    for each in Scope:
        assert cli("token", "create", each.value, "--scope", each.value).code == 0
    assert {tuple(each["scopes"]) for each in cli.read("token", "list")["credentials"]} == {(each.value,) for each in Scope}
