"""The lists of packages that everything is installed from: they hold what pyproject.toml asks for, and pip keeps to them."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.pages import REPOSITORY
from tests.packages import LISTS, listed, new_environment

NAMES = ("build", "server", "image", "dev")
GROUPS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
MACHINES = [
    {"python_version": minor, "python_full_version": f"{minor}.1", "sys_platform": system}
    for minor in ("3.11", "3.12", "3.13", "3.14")
    for system in ("linux", "darwin")
]


def test_there_is_no_other_list() -> None:
    """Of those that are tested here. A version stands in one of them."""
    assert {path.name for path in LISTS.iterdir()} == {f"{name}.txt" for name in NAMES}
    packages = [(each.name, str(each.marker)) for name in NAMES for each in listed(name)]
    assert len(packages) == len({name for name, _ in packages})


@pytest.mark.parametrize("name", NAMES)
def test_a_list_pins_versions_and_files(name: str) -> None:
    """Each package has one exact version and the SHA-256 of a file at least. No package is built where it is installed."""
    options, *entries = (LISTS / f"{name}.txt").read_text().replace("\\\n", "").split("--only-binary :all:\n")
    assert [line for line in options.splitlines() if line[0] != "#" and not line.startswith("-r ")] == []
    lines = [line for line in entries[0].splitlines() if line and line.lstrip()[0] != "#"]
    assert len(lines) == len(listed(name)) > 0
    for line, package in zip(lines, listed(name), strict=True):
        (only,) = package.specifier
        assert (only.operator, "*" in only.version, " --hash=sha256:" in line) == ("==", False, True), line


@pytest.mark.parametrize("machine", MACHINES, ids=lambda each: f"{each['python_version']}-{each['sys_platform']}")
def test_the_lists_are_what_is_asked_for(machine: dict[str, str]) -> None:
    """No package is missing, and none is there for nothing."""
    build, server, image, dev = (names(each, machine) for each in NAMES)
    assert build == needed(machine, *GROUPS["build"])
    assert server == needed(machine, "creditmeter[server]")
    assert image == needed(machine, *GROUPS["image"]) - build - server
    assert dev == needed(machine, "creditmeter[dev]") - build - server - image


def test_the_tests_run_with_these_versions() -> None:
    """Whatever is newer."""
    pins = [each for name in NAMES for each in listed(name) if each.marker is None or each.marker.evaluate()]
    assert {each.name: f"=={version(each.name)}" for each in pins} == {each.name: str(each.specifier) for each in pins}


def names(name: str, machine: dict[str, str]) -> set[str]:
    """The packages of a list that are for this machine."""
    return {each.name for each in listed(name) if each.marker is None or each.marker.evaluate(dict(machine))}


def needed(machine: dict[str, str], *roots: str) -> set[str]:
    """What these packages need, by what is installed here, and they themselves; without creditmeter."""
    waiting, seen = [Requirement(each) for each in roots], set[str]()
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        for extra in {"", *each.extras}:
            if f"{name}[{extra}]" not in seen:
                seen.add(f"{name}[{extra}]")
                waiting += dependencies(name, {**machine, "extra": extra})
    return {each.partition("[")[0] for each in seen} - {"creditmeter"}


def dependencies(name: str, machine: dict[str, str]) -> Iterator[Requirement]:
    """What a package needs on such a machine. One that is not for this machine is not installed here: it needs nothing more."""
    try:
        stated = requires(name) or []
    except PackageNotFoundError:
        return
    yield from (each for each in map(Requirement, stated) if each.marker is None or each.marker.evaluate(dict(machine)))


# ---------------------------------------------------------------------------------------------------------------------
# The set-up of scripts/, with a small project and an index of its own: a folder.

PROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "small"
version = "1"
"""
SET_UP = 'source scripts/_setup.sh && ensure_environment server && echo "set up"'


def write_package(folder: Path, name: str, *needs: str) -> str:
    """Put a package with one module into the folder and return what a list says of it."""
    wheel, described = folder / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    stated = "".join(f"Requires-Dist: {each}\n" for each in needs)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{described}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{stated}")
        archive.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{described}/RECORD", "")
    return f"{name}==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of a small project with our scripts and an environment that has pip and setuptools, and no more."""
    folder = tmp_path / "checkout"
    (folder / "scripts" / "requirements").mkdir(parents=True)
    (folder / "index").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "_setup.sh", folder / "scripts")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "scripts" / "requirements" / "build.txt").write_text("")
    python = new_environment(folder / ".venv", sys.executable)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    for lent in Path(sysconfig.get_path("purelib")).iterdir():
        if lent.name in {"pip", "_distutils_hack"} or lent.name.startswith("setuptools"):
            (own / lent.name).symlink_to(lent)
    return folder


def set_up(checkout: Path, requirements: str) -> "subprocess.CompletedProcess[str]":
    """Make the environment ready for the sidecar, with this list."""
    (checkout / "scripts" / "requirements" / "server.txt").write_text(requirements)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "index"), "PIP_CONFIG_FILE": os.devnull}
    command = ["/usr/bin/env", "bash", "-c", SET_UP]
    return subprocess.run(command, cwd=checkout, env={**kept, **index}, capture_output=True, text=True, check=False)


def is_there(checkout: Path, module: str) -> bool:
    """Whether a module was installed."""
    return any((checkout / ".venv").rglob(f"{module}.py"))


def test_a_replaced_file_is_refused(checkout: Path) -> None:
    """A file that the index has under a listed name and version, and whose SHA-256 is another."""
    known = write_package(checkout / "index", "thing")
    (checkout / "index" / "thing-1-py3-none-any.whl").unlink()
    write_package(checkout / "index", "thing", "something-else; python_version < '3'")
    ended = set_up(checkout, known)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "DO NOT MATCH THE HASHES" in ended.stderr
    assert not is_there(checkout, "thing")


@pytest.mark.long
def test_a_package_that_is_not_listed_is_refused(checkout: Path) -> None:
    """Though a listed one needs it, and the index has it."""
    write_package(checkout / "index", "other")
    ended = set_up(checkout, write_package(checkout / "index", "thing", "other==1"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Hashes are required" in ended.stderr
    assert not is_there(checkout, "thing")


@pytest.mark.long
def test_what_is_listed_is_installed(checkout: Path) -> None:
    """And the checkout with it; a second set-up has nothing to do, until a list changes."""
    known = write_package(checkout / "index", "thing", "other==1") + write_package(checkout / "index", "other")
    first, second = set_up(checkout, known), set_up(checkout, known)
    assert (first.returncode, first.stdout, "installing" in first.stderr) == (0, "set up\n", True), first.stderr
    assert is_there(checkout, "thing")
    assert is_there(checkout, "other")
    assert (second.stdout, second.stderr) == ("set up\n", "")
    assert "installing" in set_up(checkout, f"{known}# changed\n").stderr
