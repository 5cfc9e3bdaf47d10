"""Fresh directories to follow the docs in: the project's files, with or without an environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.docs.pages import REPOSITORY

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
OWN_SETTINGS = ("CREDITMETER_", "TESTS_", "PYTHON", "VIRTUAL_ENV", "COLUMNS", "LINES", "NO_COLOR", "PYTEST_")


def copy_files(target: Path) -> None:
    """Copy what a clone of the working tree has: every file whose name .gitignore does not match, wherever it lies."""
    ignored = [line.strip("/") for line in (REPOSITORY / ".gitignore").read_text().splitlines() if line and line[0] != "#"]
    shutil.copytree(REPOSITORY, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", *ignored))


def lend_environment(target: Path) -> None:
    """Give a copy the environment that the tests run in, as if its own scripts had made it."""
    environment = target / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("installed-"):
            (environment / part.name).symlink_to(part)
    made = "source scripts/_setup.sh && fingerprint > .venv/installed-dev"
    subprocess.run(["bash", "-c", made], cwd=target, check=True)  # noqa: S607 - whichever bash there is


def newcomers_environment(tools: Iterable[Path]) -> dict[str, str]:
    """The environment variables of somebody who never saw the project. The PATH is the system's, with `tools` of their own."""
    folders = [str(tool.parent) for tool in tools if not tool.is_relative_to(sys.prefix)]
    folders += [each for each in SYSTEM_FOLDERS if not Path(each, "creditmeter").exists()]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    return {**kept, "PATH": os.pathsep.join(folders), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
