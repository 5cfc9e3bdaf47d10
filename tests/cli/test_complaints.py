"""What an operator reads when something is wrong: one line that says what, and an exit code that says which kind."""

import asyncio
import contextlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from creditmeter.cli import connection
from creditmeter.cli.exits import ExitCode
from tests.central.engine.spoiling import index_of, spoil_index, spoil_page
from tests.cli.conftest import CommandLine
from tests.cli.processes import COMMAND, environment, run_forked, sidecar_process
from tests.journal.files import made_full, overwrite_cell


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("balance",), "Missing argument 'ACCOUNT'"),
        (("no-such-command",), "No such command 'no-such-command'"),
        (("balanc", "x"), "Did you mean 'balance'"),
        (("account", "list", "--limit", "0"), "--limit"),
        (("plan", "put", "p", "--daily", "many"), "'many' is not a number of credits"),
        (("plan", "put", "p", "--daily", "-1"), "'-1' is not a number of credits"),
        (("grant", "add", "a", "1", "--kind", "weekly"), "'weekly' is not one of"),
        (("grant", "add", "a", "1", "--expires-at", "soon"), "'soon' is not a time"),
        (("history", "a", "--type", "spent"), "'spent' is not one of"),
        (("history", "a", "--start", "0001-01-01T00:00:00+14:00"), "a time between 1970 and 9999"),
        (("usage", "a", "--end", "0001-01-10"), "a time between 1970 and 9999"),
        (("usage", "a", "--start", "9999-12-31T23:00:00-14:00"), "a time between 1970 and 9999"),
        (("balance", "a", "--at", "0001-01-01T00:00:00+14:00"), "a time between 1970 and 9999"),
        (("usage", "a", "--group-by", "label:\udcff"), "is not UTF-8"),
        (("history", "a", "--action", "a\udcff"), "is not UTF-8"),
        (("balance", "\udcff"), "is not UTF-8"),
        (("balance", "a", "--address", "nowhere"), "'nowhere' is no address: use host:port or unix:/path"),
        (("balance", "a", "--address", "unix:/" + "x" * 300), "is longer than the 107 bytes of a socket's path"),
        (("verify", "--central", "mysql://x/y"), "central (option --central): 'mysql' is no central engine"),
        (("central", "migrate", "--central", "mysql://x/y"), "central (option --central): 'mysql' is no central engine"),
        (("verify", "--central", "sqlite:///x", "--data-dir", "."), "not both"),
        (("serve", "--listen", "everywhere"), "'everywhere' is no address"),
        (("serve", "--config", "missing.toml"), "missing.toml cannot be read"),
        (("replay", "missing.csv"), "missing.csv cannot be read"),
        (("replay", "missing.csv", "--speed", "0"), "'0' is not a speed"),
        (("replay", "missing.csv", "--kill-share", "0.9", "--refund-share", "0.9"), "add up to more than 1"),
        (("replay", "missing.csv", "--address", "localhost:1", "--data-dir", "."), "not both"),
    ],
)
def test_what_is_typed_wrong(cli: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    """A usage error names what is wrong with it."""
    ended = cli(*arguments)
    assert said in ended.complaint
    assert ended.code == ExitCode.USAGE
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("balance", "nobody"), "ACCOUNT_NOT_FOUND"),
        (("account", "show", "two words"), "INVALID_REQUEST: account_id"),
        (("account", "create", "tim", "--plan", "unknown"), "PLAN_NOT_FOUND"),
        (("account", "create", "tim", "--time-zone", "Mars/Base"), "account.time_zone"),
        (("grant", "void", "nobody", "gra-1"), "ACCOUNT_NOT_FOUND"),
        (("history", "nobody"), "ACCOUNT_NOT_FOUND"),
        (("account", "list", "--page-token", "made-up"), "page_token"),
    ],
)
def test_what_a_sidecar_refuses(cli: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    """A refusal is shown with its reason."""
    ended = cli(*arguments)
    assert said in ended.complaint
    assert ended.complaint.startswith("creditmeter: refused: ")
    assert ended.code == ExitCode.FAILED


def test_an_account_that_exists(cli: CommandLine, account: str) -> None:
    """It is not made twice."""
    ended = cli("account", "create", account)
    assert "ACCOUNT_EXISTS" in ended.complaint
    assert ended.code == ExitCode.FAILED


def test_no_sidecar_at_a_socket(cli: CommandLine, tmp_path: Path) -> None:
    """The line says how to start one."""
    ended = cli("balance", "ada", "--address", f"unix:{tmp_path}/none.sock")
    assert "start one with `creditmeter serve`" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


def test_no_sidecar_at_a_port(cli: CommandLine) -> None:
    """A change that may have happened says how to repeat it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        ended = cli("grant", "add", "ada", "1", "--address", f"127.0.0.1:{bound.getsockname()[1]}", "--request-id", "r1")
    assert "repeat it with --request-id r1" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


def test_by_default_the_sidecar_of_the_data_directory_is_asked(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where that is, is read from the server's own settings."""
    monkeypatch.delenv("CREDITMETER_ADDRESS")
    monkeypatch.setenv("CREDITMETER_DATA_DIR", str(tmp_path))
    ended = cli("balance", "ada")
    assert f"unix:{tmp_path}/creditmeter.sock" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


def test_a_sidecar_that_does_not_administer(cli: CommandLine) -> None:
    """The line names the option that is missing, and what needs no administration works."""
    with sidecar_process() as plain:
        ended = cli("account", "list", "--address", plain.address)
        assert "start it with --enable-admin" in ended.complaint
        assert ended.code == ExitCode.FAILED
        assert "ACCOUNT_NOT_FOUND" in cli("balance", "ada", "--address", plain.addresses[0]).complaint


def test_verify_does_not_make_a_store(cli: CommandLine, tmp_path: Path) -> None:
    """A mistyped path is not an empty, clean store."""
    ended = cli("verify", "--central", f"sqlite:///{tmp_path}/typo.db")
    assert "there is no central store at" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE
    assert not (tmp_path / "typo.db").exists()


def test_verify_of_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is damaged, and says so."""
    (tmp_path / "central.db").write_bytes(b"no database at all" * 1000)
    ended = run_forked("verify", "--data-dir", str(tmp_path))
    assert "not a database" in ended.complaint
    assert ended.code == ExitCode.DAMAGED


@pytest.mark.parametrize("command", ["serve", "verify"])
def test_a_store_with_a_damaged_page(migrated_file: Path, short_path: Path, command: str) -> None:
    """One line that says which file it is and what to do, and the code for damage."""
    path = short_path / "central.db"
    shutil.copyfile(migrated_file, path)
    spoil_page(path, "history")
    ended = run_forked(command, "--data-dir", str(short_path), *(("--listen", "127.0.0.1:0") if command == "serve" else ()))
    line = ended.err.splitlines()[-1]
    assert f"{path} is damaged" in line
    assert "put back a copy of the file that is whole" in line
    assert "Traceback" not in ended.err
    assert ended.code == ExitCode.DAMAGED


def test_verify_of_an_index_that_lacks_a_row(migrated_file: Path, tmp_path: Path) -> None:
    """Queries by that index would find less than there is."""
    path = tmp_path / "central.db"
    shutil.copyfile(migrated_file, path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(charges)")]
    spoil_index(path, index_of(path, "charges"), f"INSERT INTO charges VALUES ({', '.join('1' for _ in columns)})")
    ended = run_forked("verify", "--data-dir", str(tmp_path))
    assert f"{path} is damaged" in ended.complaint
    assert ended.code == ExitCode.DAMAGED


def test_an_internal_error_is_one_line(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens, an operator reads no traceback; who looks for the fault may have it."""
    monkeypatch.setattr(connection, "Connection", None)
    ended = cli("balance", "ada")
    assert "an internal error" in ended.complaint
    assert ended.code == ExitCode.FAILED
    monkeypatch.setenv("CREDITMETER_DEBUG", "1")
    with pytest.raises(TypeError, match="not callable"):
        cli("balance", "ada")


def test_a_port_in_use() -> None:
    """Serve says which address."""
    with socket.socket() as taken, tempfile.TemporaryDirectory(prefix="cm") as directory:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_forked("serve", "--listen", address, "--data-dir", directory)
    assert address in ended.complaint
    assert ended.code == ExitCode.CANNOT_START


def test_a_data_directory_that_cannot_be_written(short_path: Path) -> None:
    """A file in its place, which not even root can write into."""
    (short_path / "file").write_text("")
    ended = run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path / "file" / "data"))
    assert "cannot be written" in ended.complaint
    assert ended.code == ExitCode.CANNOT_START


def test_a_rate_card_that_is_wrong(short_path: Path) -> None:
    """Every problem is in the line."""
    (short_path / "card.toml").write_text('version = ""\ncredits_per_usd = -1\n')
    options = ("--listen", "127.0.0.1:0", "--data-dir", str(short_path))
    ended = run_forked("serve", *options, "--rate-card", str(short_path / "card.toml"))
    assert "the rate card" in ended.complaint
    assert "credits_per_usd" in ended.complaint
    assert ended.code == ExitCode.CANNOT_START


def test_a_central_store_that_cannot_be_reached(short_path: Path) -> None:
    """Nobody listens at its address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody@127.0.0.1:{bound.getsockname()[1]}/none"
        ended = run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path), "--central", url)
    assert "the central store cannot be reached" in ended.complaint
    assert ended.code == ExitCode.CANNOT_START


@pytest.mark.parametrize("file", ["journal.db", "central.db"])
def test_a_damaged_database(short_path: Path, file: str) -> None:
    """It is not replaced by a fresh one."""
    (short_path / file).write_bytes(b"not a database" * 500)
    ended = run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path))
    assert file in ended.complaint
    assert ended.code == ExitCode.DAMAGED
    assert (short_path / file).read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("table", ["records", "image", "rate_cards", "identity"])
def test_a_damaged_row(short_path: Path, table: str) -> None:
    """In whichever table of the journal it is: one line, the code for damage, and a file that stays as it was."""
    path = asyncio.run(made_full(short_path / "journal.db"))
    column = {"rate_cards": "body", "identity": "epoch"}.get(table, "account_id")
    overwrite_cell(path, table, column, b"\xff no such thing")
    before = path.read_bytes()
    ended = run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path))
    assert f"the journal {path} is damaged: the row " in ended.complaint
    assert "Restore it from a copy" in ended.complaint
    assert ended.code == ExitCode.DAMAGED
    assert path.read_bytes() == before


def test_verify_finds_what_was_changed_behind_the_back(cli: CommandLine) -> None:
    """Exit code 6, and each problem is a line."""
    with sidecar_process("--enable-admin") as own:
        at = ("--address", own.address)
        cli.read("account", "create", "ada", *at)
        cli.read("grant", "add", "ada", "5", *at)
        assert own.stop() == ExitCode.OK
        clean = cli("verify", "--data-dir", str(own.data_dir))
        assert clean.out == "verify: 1 account, 1 history entry: clean\n"
        with sqlite3.connect(own.data_dir / "central.db") as database:
            database.execute("UPDATE grants SET remaining_microcredits = remaining_microcredits + 1")
        database.close()
        found = cli("verify", "--central", own.central)
        assert found.code == ExitCode.NOT_CLEAN
        assert "account ada: grant" in found.out
        document = cli("verify", "--central", own.central, "--json")
        assert '"clean": false' in document.out
        assert document.code == ExitCode.NOT_CLEAN


def test_a_reader_who_has_seen_enough(cli: CommandLine, account: str) -> None:
    """`creditmeter … | head` says nothing on stderr."""
    with subprocess.Popen(
        [*COMMAND, "history", account, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(CREDITMETER_ADDRESS=cli.address),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_without_arguments_the_commands_are_listed(cli: CommandLine) -> None:
    """And nothing is done."""
    ended = cli()
    assert ended.code == ExitCode.USAGE
    assert "replay" in ended.out
    assert cli("--version").out.startswith("creditmeter 0.")
    assert cli("--help").code == ExitCode.OK


@pytest.mark.parametrize(
    ("central", "code"),
    [
        ("sqlite:////nowhere/at/all.db", ExitCode.CANNOT_START),
        ("mysql://x/y", ExitCode.USAGE),
    ],
)
def test_a_central_store_that_is_not_there(short_path: Path, central: str, code: ExitCode) -> None:
    """It is not damaged for that."""
    ended = run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path), "--central", central)
    assert ended.complaint
    assert ended.code == code


def test_a_level_of_logging_that_is_none(short_path: Path) -> None:
    """As any other setting."""
    ended = run_forked("serve", "--data-dir", str(short_path), CREDITMETER_LOG_LEVEL="loud")
    assert "log_level" in ended.complaint
    assert ended.code == ExitCode.USAGE


def test_no_credits_are_not_given(cli: CommandLine) -> None:
    """Said in credits, as they are typed."""
    ended = cli("grant", "add", "ada", "0")
    assert "0 credits are none" in ended.complaint
    assert ended.code == ExitCode.USAGE
