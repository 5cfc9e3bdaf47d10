"""The client is light: what an installation without extras brings, and what can be done with it where there is nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import environment, run_forked, sidecar_process
from tests.docs.checkout import newcomers_environment
from tests.docs.pages import REPOSITORY
from tests.docs.terminal import Terminal
from tests.packages import build_wheel, new_environment, pip, write_constraints

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PACKAGES = {"creditmeter", "googleapis-common-protos", "grpcio", "protobuf", "typing_extensions"}
"""All that is installed; six are allowed. grpcio brings the last one."""

NOT_INSTALLED = "creditmeter: the sidecar is not installed: pip install 'creditmeter[server]'"
TOO_OLD = "creditmeter: the sidecar needs Python 3.11 or newer; this is Python 3.10."


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is published."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The socket of a sidecar in the tests' environment, where `ada` and `bob` have 10 credits each."""
    with sidecar_process("--enable-admin") as process:
        for account in ("ada", "bob"):
            for change in (("account", "create", account), ("grant", "add", account, "10")):
                assert run_forked(*change, CREDITMETER_ADDRESS=process.address).code == 0
        yield process.address


def test_on_the_python_of_the_tests(package_index: None, wheel: Path, address: str, tmp_path: Path) -> None:
    """A call is made and paid for; the commands say what they need."""
    python = new_environment(tmp_path / "env", sys.executable)
    install(python, str(wheel))
    assert installed(python) == PACKAGES
    assert_works(python, address, "ada", sys.version_info[:2])
    assert piped(python, "--help") == (4, "", f"{NOT_INSTALLED}\n")
    assert piped(python, "serve") == (4, "", f"{NOT_INSTALLED}\n")
    assert on_80_columns(python, "--help") == (4, [NOT_INSTALLED])


def test_on_python_3_10(package_index: None, python_3_10: Path, wheel: Path, address: str, tmp_path: Path) -> None:
    """The same; the extra brings nothing, since the sidecar needs a newer one, and the commands say that."""
    python = new_environment(tmp_path / "env", python_3_10)
    install(python, str(wheel))
    assert installed(python) == PACKAGES
    assert_works(python, address, "bob", (3, 10))
    install(python, f"{wheel}[server]")
    assert installed(python) == PACKAGES
    code, out, err = piped(python, "--help")
    assert (code, out, err.count("\n"), err.startswith(TOO_OLD)) == (4, "", 1, True), err
    code, (line,) = on_80_columns(python, "serve")
    assert (code, line.startswith(TOO_OLD)) == (4, True), line


def test_with_the_extra(package_index: None, wheel: Path, tmp_path: Path) -> None:
    """The commands run, and nothing that they need is missing."""
    python = new_environment(tmp_path / "env", sys.executable)
    install(python, f"{wheel}[server]")
    assert pip("check", python=python).returncode == 0
    code, out, err = piped(python, "demo", "--seed", "1")
    assert (code, err) == (0, ""), err
    assert "clean" in out


def install(python: Path, requirement: str) -> None:
    """Install into an environment, at the versions that the tests run with."""
    constraints = write_constraints(python.parent)
    done = pip("install", "--quiet", "--constraint", constraints, requirement, python=python)
    assert done.returncode == 0, done.stderr


def installed(python: Path) -> set[str]:
    """The names of all packages of an environment."""
    return {each["name"] for each in json.loads(pip("list", "--format=json", python=python).stdout)}


def assert_works(python: Path, address: str, account: str, version: tuple[int, ...]) -> None:
    """The client talks to a sidecar, with the modules that were installed for it and none of the sidecar's."""
    worker = [str(python), "-I", str(REPOSITORY / "tests" / "light_worker.py"), address, account]
    ended = subprocess.run(worker, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert (ended.returncode, ended.stderr) == (0, "")
    answer = json.loads(ended.stdout)
    assert (answer["cost"], answer["refused"]) == (1_000_000, "INSUFFICIENT_CREDITS")
    assert tuple(answer["python"]) == version
    of_debian = {"sitecustomize"}  # its Python loads one, with nothing in it that counts
    assert set(answer["loaded"]) - of_debian <= {"creditmeter", "google", "grpc", "typing_extensions"}


def piped(python: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code of the command, and what it wrote to stdout and stderr."""
    command = [str(python.with_name("creditmeter")), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=environment())
    return ended.returncode, ended.stdout, ended.stderr


def on_80_columns(python: Path, argument: str) -> tuple[int, list[str]]:
    """The exit code of the command on a terminal, and the lines that are seen there."""
    found = newcomers_environment(())
    found["PATH"] = f"{python.parent}{os.pathsep}{found['PATH']}"
    with Terminal(python.parent, found) as terminal:
        printed = terminal.paste(f"creditmeter {argument}", 60)
    return max(printed.codes), [line for line in printed.lines if line]
