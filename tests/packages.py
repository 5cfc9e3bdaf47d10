"""pip, the project's wheel, and environments to install it in."""

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.checkout import copy_files
from tests.docs.pages import REPOSITORY

CONSTRAINTS = REPOSITORY / "constraints.txt"


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
