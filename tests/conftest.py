"""What all tests share: the outside programs they run against, and how loudly a missing one is told.

A test that needs PostgreSQL or a gRPC client from outside asks for a fixture of this file. Where the program cannot be
had the test is skipped, and the run's summary says so in capitals. TESTS_REQUIRE_POSTGRES=1, TESTS_REQUIRE_CLIENTS=1,
TESTS_REQUIRE_INDEX=1 (for packages) and TESTS_REQUIRE_PYTHON_3_10=1 turn such a skip into a failure.
"""

import asyncio
import gc
import inspect
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from creditmeter.server import app
from tests import packing, statements  # noqa: F401 - sidecars share what they compress, and engines what they compile
from tests.fixtures import (  # noqa: F401 - fixtures for all tests
    ENGINES,
    bench,
    card,
    central_url,
    clock,
    migrated_database,
    migrated_file,
    new_central_url,
    other,
    short_path,
)
from tests.limits import SHARE, within
from tests.packages import pinned, pip
from tests.postgres import PostgresServer, PostgresUnavailableError
from tests.shares import Share, leave

gc.disable()  # until tests run: of what is made before, next to nothing is garbage

for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:  # in the background, or by nohup: what tests start would ignore it as well
        signal.signal(_number, lambda _number, _frame: None)

TURNS = ("sqlite", "sqlite", "postgresql")
"""The engines of a short run: a test on PostgreSQL takes almost twice as long."""

# A time limit per example fails on a busy machine and says nothing about the code; pytest's timeout bounds each test.
EXAMPLES = int(os.environ.get("TESTS_EXAMPLES", "100"))
"""How many examples a property is tried on that does not say how many."""

SHARE_OF_TESTS = Share.of(os.environ.get("TESTS_SHARE", "1/1"))
"""Which of the tests are run."""

settings.register_profile("local", deadline=None, max_examples=EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=EXAMPLES, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")

MISSING = "MISSING ON THIS MACHINE: "


@pytest.fixture(autouse=True)
def log_of_all_tests() -> Iterator[None]:
    """A program that sets up the log runs in a process of its own: the tests after it would not see what is logged."""
    yield
    assert not structlog.get_config()["cache_logger_on_first_use"], "this test set up the log of all tests: use run_forked"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL server, shared by the tests of one process; a test that stops it may leave it so."""
    try:
        with PostgresServer() as server:
            yield server
    except PostgresUnavailableError as error:
        raise _missing(f"PostgreSQL: {error}", "TESTS_REQUIRE_POSTGRES") from None


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database, the test's own."""
    postgres_server.start()
    url = postgres_server.create_database()
    yield url
    postgres_server.start()
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    """The path of grpcurl."""
    return _client("grpcurl")


@pytest.fixture(scope="session")
def grpc_health_probe() -> Path:
    """The path of grpc-health-probe."""
    return _client("grpc-health-probe")


@pytest.fixture(scope="session")
def go() -> Path:
    """The path of Go."""
    return _client("go")


@pytest.fixture(scope="session")
def node() -> Path:
    """The path of Node, which npm is beside."""
    return _client("node")


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An index that pip can install from, as it is configured."""
    asked = ("download", "--no-deps", "--retries=1", "--timeout=15", str(pinned("protobuf")))
    if pip(*asked, "--dest", tmp_path_factory.mktemp("index")).returncode != 0:
        raise _missing("an index of packages (`pip download protobuf` fails)", "TESTS_REQUIRE_INDEX")


@pytest.fixture(scope="session")
def python_3_10() -> Path:
    """The path of Python 3.10, the oldest one for the client."""
    versions = (Path.home() / ".pyenv" / "versions").glob("3.10.*")
    for found in (shutil.which("python3.10"), *(version / "bin" / "python" for version in versions)):
        if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return Path(found)
    raise _missing("Python 3.10, so the client was not run on it", "TESTS_REQUIRE_PYTHON_3_10")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop that the program runs on."""
    return {"the program's": app._event_loop}


def pytest_collection_finish() -> None:
    """Collect garbage rarely from here on, and leave out what stays to the end: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, *gc.get_threshold()[1:])


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Garbage is collected while tests run."""
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each asynchronous test has a limit of time. A test of a central store is long on one of both engines: by turns, so that a
    short run has some of them on each. The SQL is the same; what the engines do differently is marked `both_engines`.
    """
    config.hook.pytest_deselected(items=leave(SHARE_OF_TESTS, items))
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = within(SHARE * _limit(item) or None, item.obj)
        engine = _engine(item)
        if engine and engine != _engine_in_turn(item.nodeid) and not item.get_closest_marker("both_engines"):
            item.add_marker(pytest.mark.long)


def _limit(item: pytest.Item) -> float:
    """The limit of a test, in seconds: its own, or that of all; 0 is none."""
    own, typed = item.get_closest_marker("timeout"), item.config.getoption("timeout")
    return float(own.args[0] if own else item.config.getini("timeout") if typed is None else typed)


def _engine(item: pytest.Item) -> str | None:
    """The engine of the central store that a test runs on, if it runs on each."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    engine = parameters.get("central_url", parameters.get("new_central_url"))
    return engine if isinstance(engine, str) else None


def _engine_in_turn(name: str) -> str:
    """The same for both forms of a test, whichever process asks."""
    for engine in ENGINES:
        name = name.replace(engine, "")
    return TURNS[zlib.crc32(name.encode()) % len(TURNS)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in capitals which outside programs were missing, and how many tests did not run for it."""
    reasons = (_reason(report) for report in terminalreporter.getreports("skipped"))
    missing = Counter(reason.partition(MISSING)[2] for reason in reasons if MISSING in reason)
    if not missing:
        return
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    for reason, tests in missing.items():
        terminalreporter.line(f"{MISSING}{reason.upper()} ({tests} SKIPPED)", red=True)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped: a skip is reported as file, line and reason."""
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _client(name: str) -> Path:
    """Find a program where scripts/install-clients puts it, on the PATH, or where Go installs programs."""
    places = [f"{sys.prefix}/bin", os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), str(Path.home() / "go/bin")]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        raise _missing(f"{name} (scripts/install-clients installs it)", "TESTS_REQUIRE_CLIENTS")
    return Path(found)


def _missing(what: str, requirement: str) -> BaseException:
    """What to raise where a program cannot be had: the end of the test, as a failure if the program is required."""
    if os.environ.get(requirement) == "1":
        return pytest.fail.Exception(f"{MISSING}{what}; {requirement}=1 asks for it", pytrace=False)
    return pytest.skip.Exception(f"{MISSING}{what}")
