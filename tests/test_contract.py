"""What workers in other languages build on: the .proto files in the wheel, and the programs that README shows."""

import re
import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, page
from tests.packages import build_wheel, pinned

CONTRACT = sorted(path.relative_to(REPOSITORY / "proto") for path in (REPOSITORY / "proto").rglob("*.proto"))

_SHOWN = re.compile(r"^(?://|#) region README\n(.*?)\n+(?://|#) endregion$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("program", "language"),
    [
        ("docs/examples/go/main.go", "go"),
        ("docs/examples/node/worker.mjs", "javascript"),
        ("docs/examples/python/worker.py", "python"),
    ],
)
def test_readme_shows_the_programs_that_run(program: str, language: str) -> None:
    """The region that is marked, to the letter; the test of README runs the whole."""
    shown = [block.text for block in page("README.md").blocks if block.language == language]
    assert shown == [f"{each}\n" for each in _SHOWN.findall((REPOSITORY / program).read_text())]


def test_the_wheel_ships_the_contract(tmp_path: Path) -> None:
    """Every .proto file, as it is in proto/; and with what the package depends on they compile."""
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        archive.extractall(tmp_path / "installed")
    shipped = tmp_path / "installed" / "creditmeter" / "proto"
    assert sorted(path.relative_to(shipped) for path in shipped.rglob("*.proto")) == CONTRACT
    assert all((shipped / path).read_bytes() == (REPOSITORY / "proto" / path).read_bytes() for path in CONTRACT)
    site_packages = Path(str(files("google.rpc").joinpath("status.proto"))).parents[2]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{shipped}", f"-I{site_packages}", f"-o{tmp_path / 'set'}"]
    subprocess.run([*protoc, *map(str, CONTRACT)], check=True)


def test_the_contract_is_found_by_the_package() -> None:
    """Where it is installed, and in a checkout."""
    for path in CONTRACT:
        assert files("creditmeter").joinpath("proto", *path.parts).is_file()


@pytest.mark.parametrize("name", ["status.proto", "error_details.proto"])
def test_third_party_protos_are_those_that_google_publishes(name: str) -> None:
    """As the package googleapis-common-protos has them, at the version that is pinned."""
    assert str(pinned("googleapis-common-protos")) == f"googleapis-common-protos=={version('googleapis-common-protos')}"
    published = files("google.rpc").joinpath(name).read_bytes()
    assert (REPOSITORY / "third_party/proto/google/rpc" / name).read_bytes() == published


def test_what_go_and_node_load_is_pinned() -> None:
    """Exact versions with their hashes, and no address that they came from."""
    lock = (REPOSITORY / "docs/examples/node/package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')
    assert (REPOSITORY / "docs/examples/go/go.sum").read_text().count(" h1:") > 0
