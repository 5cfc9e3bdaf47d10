"""`creditmeter central`: setting up a store, and a sidecar that starts on it with a role of its own."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest

from creditmeter.central.engine.database import Database
from creditmeter.central.schema import migrating
from creditmeter.cli.exits import ExitCode
from tests.cli.conftest import CommandLine
from tests.cli.processes import run_forked, sidecar_process

SCRIPT = Path(__file__).parents[3] / "scripts" / "create-sidecar-role"


@pytest.fixture
def central_url(new_central_url: str) -> str:
    """A store that has no schema yet."""
    return new_central_url


def query(url: str, sql: str) -> None:
    """Run a statement."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(run())


def role_of(url: str) -> str:
    """A name for a role: roles belong to the whole server, and the test to one database of it."""
    return f"sidecar_{url.rpartition('/')[2]}"


def with_role(url: str) -> str:
    """The address with that role."""
    return url.replace("postgres@", f"{role_of(url)}@")


def test_a_store_is_migrated(cli: CommandLine, central_url: str) -> None:
    """On each engine; the second time there is nothing to do."""
    first, second = cli("central", "migrate", "--central", central_url), cli("central", "migrate", "--central", central_url)
    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith("made the schema, version 0")
    assert second.out.startswith("nothing to do: the schema is of version 0")
    assert cli("verify", "--central", central_url).out == "verify: 0 accounts, 0 history entries: clean\n"


def test_an_older_store_is_migrated(cli: CommandLine, central_url: str) -> None:
    """The line says from which version to which, and that new tables are new to the roles of sidecars."""
    asyncio.run(make_first_schema(central_url))
    migrated = cli("central", "migrate", "--central", central_url)
    assert migrated.out.startswith("brought the schema from version 0001 to 0")
    assert "run `creditmeter central grant-role` again" in migrated.out


async def make_first_schema(url: str) -> None:
    """Make the tables as the first version had them."""
    database = Database(url)
    try:
        async with database.write() as connection:
            await connection.run_sync(migrating._upgrade, "0001")
    finally:
        await database.close()


def test_a_role_is_granted_what_a_sidecar_needs(cli: CommandLine, postgres_url: str) -> None:
    """A new role has no password, and the line says how to set one."""
    cli("central", "migrate", "--central", postgres_url)
    role = role_of(postgres_url)
    first = cli("central", "grant-role", role, "--central", postgres_url)
    assert (first.code, first.err) == (0, "")
    assert f"the role {role} may settle in the database {postgres_url.rpartition('/')[2]}, schema public" in first.out
    assert f"set one with \\password {role} in psql" in first.out
    assert len(first.out.splitlines()) == 1
    again = cli("central", "grant-role", role, "--central", postgres_url, "--admin", "--auto-create")
    assert again.code == 0
    assert "password" not in again.out
    query(with_role(postgres_url), "SELECT * FROM accounts FOR UPDATE")


def test_the_statements_are_printed_and_not_run(cli: CommandLine) -> None:
    """Nothing is connected to. What is asked for beside settlement is in them."""
    nowhere = "postgresql://me:secret@127.0.0.1:1/credits"
    printed = cli("central", "grant-role", "sidecar", "--central", nowhere, "--sql")
    assert printed.code == 0
    assert all(line.endswith(";") for line in printed.out.splitlines())
    assert "GRANT SELECT, INSERT ON public.history TO sidecar;" in printed.out
    assert "GRANT CONNECT ON DATABASE credits TO sidecar;" in printed.out
    assert "secret" not in printed.out
    assert "INSERT, UPDATE (account_id" not in printed.out
    more = cli("central", "grant-role", "sidecar", "--central", nowhere, "--sql", "--admin")
    assert "GRANT SELECT, INSERT, UPDATE (account_id" in more.out
    opens = cli("central", "grant-role", "sidecar", "--central", nowhere, "--sql", "--auto-create")
    assert "GRANT SELECT, INSERT, UPDATE (balance_microcredits" in opens.out


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("migrate", "--central", "mysql://x/y"), "is no central engine", ExitCode.USAGE),
        (("migrate", "--central", "sqlite:////nowhere/at/all.db"), "unable to open database file", ExitCode.UNREACHABLE),
        (("migrate", "--central", "postgresql://me@127.0.0.1:1/x"), "cannot be reached", ExitCode.UNREACHABLE),
        (("grant-role",), "Missing argument 'NAME'", ExitCode.USAGE),
        (("grant-role", "sidecar", "--central", "sqlite:///x.db"), "SQLite has no roles", ExitCode.USAGE),
        (("grant-role", "a b", "--central", "postgresql://me@h/x"), "cannot be the name of a role", ExitCode.USAGE),
        (("grant-role", "a", "--central", "postgresql://me@127.0.0.1:1/x"), "cannot be reached", ExitCode.UNREACHABLE),
    ],
)
def test_what_cannot_be_set_up(cli: CommandLine, arguments: tuple[str, ...], said: str, code: ExitCode) -> None:
    """One line, and an exit code that says which kind."""
    ended = cli("central", *arguments)
    assert said in ended.complaint
    assert ended.code == code


def test_a_role_that_may_not_set_anything_up(cli: CommandLine, postgres_url: str) -> None:
    """Nor grant itself more."""
    query(postgres_url, f"CREATE ROLE {role_of(postgres_url)} LOGIN")
    url = with_role(postgres_url)
    refused = cli("central", "migrate", "--central", url)
    assert "with the owner's role" in refused.complaint
    assert refused.code == ExitCode.FAILED
    cli("central", "migrate", "--central", postgres_url)
    refused = cli("central", "grant-role", "another", "--central", url)
    assert f"run `creditmeter central grant-role {role_of(postgres_url)} --central postgresql://OWNER@" in refused.complaint
    cli("central", "grant-role", role_of(postgres_url), "--central", postgres_url)
    refused = cli("central", "grant-role", role_of(postgres_url), "--central", url, "--admin")
    assert "cannot be granted by the role that connected" in refused.complaint
    assert refused.code == ExitCode.FAILED


def test_a_sidecar_with_a_role_of_its_own(cli: CommandLine, postgres_url: str, short_path: Path) -> None:
    """It does not start before the owner has set up what it needs, and says what that is; then it does."""
    role, url = role_of(postgres_url), with_role(postgres_url)
    query(postgres_url, f"CREATE ROLE {role} LOGIN")
    serve = ("serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path), "--central", url)
    migrate = f"run `creditmeter central migrate --central {postgres_url.replace('postgres@', 'OWNER@')}` with the owner's role"
    refused = run_forked(*serve)
    assert migrate in refused.complaint
    assert refused.code == ExitCode.CANNOT_START
    cli("central", "migrate", "--central", postgres_url)
    refused = run_forked(*serve)
    assert f"run `creditmeter central grant-role {role} --central postgresql://OWNER@" in refused.complaint
    assert refused.code == ExitCode.CANNOT_START
    cli("central", "grant-role", role, "--central", postgres_url, "--admin")
    with sidecar_process("--enable-admin", "--central", url) as sidecar:
        at = ("--address", sidecar.address)
        cli.read("account", "create", "ada", *at)
        cli("central", "grant-role", role, "--central", postgres_url)
        refused = cli("account", "create", "bob", *at)
        assert "PERMISSION_DENIED" in refused.complaint
        assert "`creditmeter central grant-role --admin` lets it" in refused.complaint
        cli.read("grant", "add", "ada", "5", *at)
        assert cli.read("balance", "ada", *at)["available_microcredits"] == 5_000_000
        (listed,) = cli.read("sidecars", *at)["sidecars"]
        assert listed["state"] == "SIDECAR_STATE_ACTIVE"
        assert sidecar.stop() == ExitCode.OK
    assert "clean" in cli("verify", "--central", url).out


@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts need bash")
def test_the_script_calls_the_command(tmp_path: Path) -> None:
    """With all its arguments, in the environment that the scripts share; here its commands only print."""
    (tmp_path / "_setup.sh").write_text('VENV="$(dirname "${BASH_SOURCE[0]}")"\nensure_environment() { echo "extra: $1"; }\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "creditmeter").symlink_to(shutil.which("echo") or "echo")
    script = shutil.copy(SCRIPT, tmp_path)
    ended = subprocess.run([script, "sidecar", "--admin"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "extra: server\ncentral grant-role sidecar --admin\n"), ended.stderr
