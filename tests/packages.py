"""pip, the pinned packages, the project's wheel, and environments to install it in."""

import os
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from tests.docs.checkout import copy_files
from tests.docs.pages import REPOSITORY

LISTS = REPOSITORY / "scripts" / "requirements"
"""What scripts/pin-hashes writes."""


def listed(name: str) -> list[Requirement]:
    """The packages that one of the lists pins, each with its version and perhaps the systems that it is for."""
    text = (LISTS / f"{name}.txt").read_text(encoding="utf-8")
    return [Requirement(line) for line in re.findall(r"^([a-z0-9].*?) *\\$", text, re.MULTILINE)]


def pinned(name: str) -> Requirement:
    """A package that the sidecar needs, with its version."""
    (found,) = [each for each in listed("server") if each.name == name]
    return found


def write_constraints(folder: Path) -> Path:
    """Write the versions that the tests run with of what the sidecar needs, for an installation that pip resolves by itself."""
    written = folder / "constraints.txt"
    written.write_text("".join(f"{each}\n" for each in listed("server")))
    return written


def pip(*arguments: str | Path, python: Path | str = sys.executable) -> "subprocess.CompletedProcess[str]":
    """Run the tests' pip for the environment of an interpreter, which needs none of its own."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=kept)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a copy of the working tree in a folder, with the setuptools that is there."""
    copy_files(folder / "source")
    built = pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "built", folder / "source")
    assert built.returncode == 0, built.stderr
    (wheel,) = (folder / "built").glob("*.whl")
    return wheel


def new_environment(folder: Path, python: Path | str) -> Path:
    """Make a virtual environment with nothing in it, not even pip, and return its interpreter."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"
