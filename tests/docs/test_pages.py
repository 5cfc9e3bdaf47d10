"""README and docs are followed as written: every block of shell, pasted in order on a terminal, in a fresh directory.

TESTS_FRESH_CLONE=1 follows README without any environment made before, as somebody does who has just cloned; else it has
the one that the tests run in, and what takes long is cut short.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.docs.checkout import copy_files, lend_environment, newcomers_environment
from tests.docs.pages import SHELL, Pasted, page, pages
from tests.docs.terminal import NeverEndedError, Terminal
from tests.postgres import free_port

FRESH_CLONE = os.environ.get("TESTS_FRESH_CLONE") == "1"
BLOCK_SECONDS = 600
"""Where nothing is cached, the stubs' plugins and the worker in Go are compiled first."""

DEFAULT_PORT = "50151"

CUT_SHORT: Mapping[str, str] = (
    {"scripts/test ": "scripts/test tests/core/test_amounts.py "}  # all of them are what is running now
    if FRESH_CLONE
    else {"scripts/test ": "scripts/test --version ", "scripts/demo ": "scripts/demo --help "}
)
"""What is replaced in README: commands whose whole takes long and is tested by itself."""

NEED_A_SIDECAR = {"docs/prices.md"}
"""Pages that say that README's sidecar runs."""

NEED_A_DATABASE = {"docs/operation.md"}
NEED_A_PROBE = {"docs/operation.md"}

NOT_RUN = {
    "README.md": ["campaigns take as long as one likes; .ci/run runs a share of each"],
    "CONTRIBUTING.md": [
        "these are the steps of .ci/run, which runs each of them",
        "campaigns take as long as one likes; .ci/run runs a share of each",
        "whoever wants the hooks installs pre-commit, and the tests install nothing",
    ],
}


@pytest.fixture
def clone() -> Iterator[Path]:
    """A copy of the project's files, on a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cm", ignore_cleanup_errors=True) as folder:
        copy_files(Path(folder))
        yield Path(folder)


@pytest.fixture
def lent(clone: Path) -> Path:
    """A copy with the tests' environment."""
    lend_environment(clone)
    return clone


@pytest.fixture
def port() -> int:
    """A port that nobody listens on, for pages that are followed at the same time."""
    return free_port()


@pytest.mark.long
@pytest.mark.timeout(3600 if FRESH_CLONE else 1200)
def test_readme(request: pytest.FixtureRequest, grpcurl: Path, go: Path, node: Path) -> None:
    """From top to bottom: what it says to run works, prints what it says, and leaves nothing running."""
    folder: Path = request.getfixturevalue("clone" if FRESH_CLONE else "lent")
    replaced, environment = dict(CUT_SHORT), newcomers_environment((go, node))
    if not FRESH_CLONE:
        port = request.getfixturevalue("port")
        replaced[DEFAULT_PORT] = str(port)
        environment["CREDITMETER_LISTEN"] = f"127.0.0.1:{port}"
    follow(folder, environment, page("README.md").pasted, replaced)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [each.name for each in pages() if each.pasted and each.name != "README.md"])
def test_docs(request: pytest.FixtureRequest, lent: Path, port: int, name: str) -> None:
    """Page by page, each on its own. What stands in capitals is filled in."""
    replaced = {DEFAULT_PORT: str(port)}
    if name in NEED_A_DATABASE:
        owner, host, database = re.split("[@/]", request.getfixturevalue("postgres_url").removeprefix("postgresql://"))
        replaced |= {"OWNER": owner, "HOST": host, "DATABASE": database}
    if name in NEED_A_PROBE:
        request.getfixturevalue("grpc_health_probe")
    environment = newcomers_environment(()) | {"CREDITMETER_LISTEN": f"127.0.0.1:{port}"}
    environment["PATH"] = f"{lent / '.venv/bin'}{os.pathsep}{environment['PATH']}"  # as README leaves it
    readme = page("README.md").pasted
    starts, stops = ([each] if name in NEED_A_SIDECAR else [] for each in (_starting(readme), _stopping(readme)))
    follow(lent, environment, [*starts, *page(name).pasted, *stops], replaced)


def follow(folder: Path, environment: Mapping[str, str], blocks: Iterable[Pasted], replaced: Mapping[str, str]) -> None:
    """Paste blocks one after the other: every command ends well, output is as shown, and no job is left."""
    with Terminal(folder, environment) as terminal:
        for block in blocks:
            text = _replace(block.text, replaced)
            printed = terminal.paste(text, BLOCK_SECONDS)
            print(f"{text}\n{printed.text}")  # noqa: T201 - shown if it fails, or by pytest -s
            assert not any(printed.codes), f"a command failed with {max(printed.codes)} of\n{text}\n{printed.text}"
            _assert_shown([_replace(line, replaced).strip() for line in block.output], printed.lines)
        assert not [line for line in terminal.paste("jobs -p", BLOCK_SECONDS).lines if line], "a job was left running"


def test_what_is_not_run() -> None:
    """Few blocks, each for a reason that stands before it."""
    found = {each.name: each.not_run for each in pages() if each.not_run}
    print(f"blocks of shell that are not run: {found}")  # noqa: T201 - shown by pytest -s
    assert found == NOT_RUN


def test_shell_is_marked_as_such() -> None:
    """Under another name of the language a block would not be run."""
    languages = {block.language for each in pages() for block in each.blocks}
    assert languages <= {SHELL, "", "go", "http", "javascript", "json", "python", "text", "toml", "yaml"}


def test_a_block_that_fails_is_found(clone: Path) -> None:
    """A command that fails, one that prints something else, a job that is left, and a command that waits for input."""
    environment = newcomers_environment(())
    follow(clone, environment, [Pasted("echo a\necho b\n", "", ["a", "b"])], {})
    with pytest.raises(AssertionError, match="failed with 1"):
        follow(clone, environment, [Pasted("true\nfalse\ntrue\n", "", [])], {})
    with pytest.raises(AssertionError, match="'b' is not printed"):
        follow(clone, environment, [Pasted("echo a\n", "", ["a", "b"])], {})
    with pytest.raises(AssertionError, match="left running"):
        follow(clone, environment, [Pasted("sleep 60 &\n", "", [])], {})
    with Terminal(clone, environment) as terminal, pytest.raises(NeverEndedError):
        terminal.paste("cat", 0.5)


def _replace(text: str, replaced: Mapping[str, str]) -> str:
    for found, instead in replaced.items():
        text = text.replace(found, instead)
    return text


def _assert_shown(expected: Iterable[str], lines: Iterable[str]) -> None:
    """Every line that is shown is printed, in this order; there may be more between them."""
    printed = iter(lines)
    for line in expected:
        assert line in printed, f"{line!r} is not printed there"


def _starting(readme: Iterable[Pasted]) -> Pasted:
    return next(each for each in readme if "creditmeter serve" in each.text)


def _stopping(readme: Iterable[Pasted]) -> Pasted:
    return next(each for each in readme if each.text.startswith("kill %1"))
