"""What is used without the extra `server` stands on three packages and on Python 3.10, and a command says that more is missing.

`tests/test_light_install.py` installs it; here the interpreter is that of the tests, shown fewer packages.
"""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from creditmeter.__main__ import NEEDED
from tests.cli.processes import Ended, environment
from tests.docs.checkout import newcomers_environment
from tests.docs.pages import REPOSITORY
from tests.docs.terminal import Terminal

SOURCES = REPOSITORY / "src"
PACKAGE = SOURCES / "creditmeter"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

BROUGHT = ("google.protobuf", "google.rpc", "grpc", "typing_extensions")
"""The modules of the three packages, and of the one that grpcio brings."""

OF_CLIENTS = (*BROUGHT, "creditmeter.client", "creditmeter.v1")
STDLIB = sys.stdlib_module_names - {"tomllib"}
"""The modules of Python 3.10's standard library."""

DISPENSABLE = {"tzdata", "uvloop"}
"""What the sidecar can do without, on some machines."""

NOT_INSTALLED = "creditmeter: the sidecar is not installed: pip install 'creditmeter[server]'"


def allowed() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Each module that is used without the extra, and what it may import beside the standard library."""
    yield PACKAGE / "__init__.py", ()
    yield PACKAGE / "__main__.py", ("creditmeter.cli.exits", "creditmeter.cli.main")
    yield from ((PACKAGE / "cli" / name, ()) for name in ("__init__.py", "exits.py"))
    for folder in (PACKAGE / "client", PACKAGE / "v1"):
        yield from ((path, OF_CLIENTS) for path in sorted(folder.rglob("*.py*")) if path.suffix in {".py", ".pyi"})


@pytest.mark.parametrize(("path", "modules"), [pytest.param(*each, id=str(each[0].relative_to(SOURCES))) for each in allowed()])
def test_imports(path: Path, modules: tuple[str, ...]) -> None:
    """Only from what is brought along."""
    assert foreign_imports(path.read_text(encoding="utf-8"), modules) == []


def test_every_other_import_is_found() -> None:
    """However it is written, and wherever it stands."""
    for written, found in (
        ("import pydantic", "pydantic"),
        ("import grpc_status.rpc_status as status", "grpc_status.rpc_status"),
        ("from google.auth import default", "google.auth"),
        ("from google import auth", "google.auth"),
        ("def late():\n    import tomllib", "tomllib"),
        ("from creditmeter.core import ids", "creditmeter.core"),
        ("from creditmeter import core", "creditmeter.core"),
        ("from ..core import ids", "..core"),
    ):
        assert foreign_imports(written, OF_CLIENTS) == [found]
    fine = "import asyncio, grpc\nfrom google.protobuf import message\nfrom google import rpc\nfrom creditmeter import v1\n"
    assert foreign_imports(fine, OF_CLIENTS) == []
    with pytest.raises(SyntaxError):
        foreign_imports("try:\n    pass\nexcept* OSError:\n    pass\n", ())


def test_the_packages() -> None:
    """Three without the extra; with it, from Python 3.11 on, those that a command looks for before it starts."""
    assert {Requirement(each).name for each in PROJECT["dependencies"]} == {"googleapis-common-protos", "grpcio", "protobuf"}
    server = [Requirement(each) for each in PROJECT["optional-dependencies"]["server"]]
    for each in server:
        assert each.marker is not None
        installed_on = [version for version in ("3.10", "3.11", "3.14") if each.marker.evaluate({"python_version": version})]
        assert installed_on == ["3.11", "3.14"]
    distributions = packages_distributions()
    needed = {canonicalize_name(name) for module in NEEDED for name in distributions[module]}
    assert needed == {canonicalize_name(each.name) for each in server} - DISPENSABLE


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder that has this package and no other, and no compiled modules."""
    (tmp_path / "creditmeter").symlink_to(PACKAGE)
    described = tmp_path / "creditmeter-1.dist-info" / "METADATA"
    described.parent.mkdir()
    described.write_text("Metadata-Version: 2.1\nName: creditmeter\nVersion: 1\n")
    return tmp_path


@pytest.mark.parametrize("arguments", [(), ("--help",), ("serve", "--enable-admin"), ("nonsense",)])
def test_no_command_runs_without_the_packages(bare: Path, arguments: tuple[str, ...]) -> None:
    """Each says the same, in one line."""
    ended = command(bare, *arguments)
    assert (ended.code, ended.out, ended.complaint) == (4, "", NOT_INSTALLED)


def test_on_a_terminal(bare: Path) -> None:
    """The line fits 80 columns, and it can be copied."""
    typed = f"PYTHONPATH={bare} {sys.executable} -S -m creditmeter --help"
    with Terminal(bare, newcomers_environment(())) as terminal:
        printed = terminal.paste(typed, 60)
    assert ([line for line in printed.lines if line], max(printed.codes)) == ([NOT_INSTALLED], 4)
    assert len(NOT_INSTALLED) <= 80


def test_some_packages_are_there(bare: Path) -> None:
    """For another program: all but one are not enough."""
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("creditmeter", "aiosqlite")):
            (bare / path.name).symlink_to(path)
    ended = command(bare, "--version")
    assert (ended.code, ended.complaint) == (4, NOT_INSTALLED)
    (bare / "aiosqlite").symlink_to(Path(sysconfig.get_path("purelib"), "aiosqlite"))
    ended = command(bare, "--version")
    assert (ended.code, ended.out, ended.err) == (0, "creditmeter 1\n", "")


def test_a_module_that_is_missing_for_another_reason(bare: Path) -> None:
    """Is not taken for a package that was left out: it is a fault of the program."""
    (bare / "creditmeter").unlink()
    left_out = shutil.ignore_patterns("__pycache__", "proto", "root.py")
    shutil.copytree(PACKAGE, bare / "creditmeter", symlinks=True, ignore=left_out)
    folder = f"{bare}{os.pathsep}{sysconfig.get_path('purelib')}"
    ended = command(folder, "--help")
    said = "ModuleNotFoundError: No module named 'creditmeter.cli.root'"
    assert (ended.code, ended.out) == (1, "")
    assert ended.complaint == f"creditmeter: an internal error (CREDITMETER_DEBUG=1 shows where): {said}"
    ended = command(folder, "--help", CREDITMETER_DEBUG="1")
    assert (ended.code, ended.err.splitlines()[0]) == (1, "Traceback (most recent call last):")


def test_nobody_hears_it(bare: Path) -> None:
    """Where stderr is closed, or cannot be written, the exit code is the same."""
    for redirected in ("2>&-", "2>/dev/full"):
        shell = ["sh", "-c", f'exec "$0" -S -m creditmeter balance ada {redirected}', sys.executable]
        ended = subprocess.run(shell, capture_output=True, check=False, env=environment(PYTHONPATH=str(bare)), timeout=60)
        assert (ended.returncode, ended.stdout) == (4, b""), redirected


def command(folder: Path | str, *arguments: str, **more: str) -> Ended:
    """Run a command with the packages that are in these folders, and no others."""
    ended = subprocess.run(
        [sys.executable, "-S", "-m", "creditmeter", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONPATH=str(folder), **more),
        timeout=60,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def foreign_imports(source: str, modules: tuple[str, ...]) -> list[str]:
    """What a source imports that is neither the standard library's nor in these modules. It must be of Python 3.10's syntax."""
    return [name for name in imported(ast.parse(source, feature_version=(3, 10))) if not is_within(name, (*STDLIB, *modules))]


def imported(tree: ast.Module) -> Iterator[str]:
    """The names of the modules that are imported; of a package whose parts differ (`google`, this one) the part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            yield from (f"{name}.{each.name}" for each in node.names) if name in {"google", "creditmeter"} else (name,)


def is_within(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or below one."""
    return any(name == each or name.startswith(f"{each}.") for each in modules)
