"""scripts/generate-sbom: what an environment contains, as other programs read it."""

import json
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.docs.pages import REPOSITORY
from tests.packages import LISTS, new_environment

pytestmark = pytest.mark.long

INSTALLED = {"creditmeter", "grpcio", "protobuf", "rich", "sqlalchemy", "typing-extensions", "uvloop"}
"""A few packages: it takes 0.2 s for each to look at its addresses by the schema."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed of an environment that has these packages, as the tests' environment describes them."""
    python = new_environment(tmp_path_factory.mktemp("sbom") / "env", sys.executable)
    own = python.parents[1] / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    for lent in Path(sysconfig.get_path("purelib")).glob("*.dist-info"):
        if canonicalize_name(lent.name.partition("-")[0]) in INSTALLED:
            (own / lent.name).symlink_to(lent)
    command = [REPOSITORY / "scripts" / "generate-sbom", python]
    ended = subprocess.run(command, env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode()


def components(bill: str) -> dict[str, dict[str, Any]]:
    """The packages that it lists, by their names."""
    found = json.loads(bill)["components"]
    assert len({each["bom-ref"] for each in found}) == len(found)
    return {canonicalize_name(each["name"]): each for each in found}


def test_it_is_valid(written: str) -> None:
    """By the schema of CycloneDX 1.6."""
    assert json.loads(written)["specVersion"] == "1.6"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None


def test_everything_that_is_installed_is_in_it(written: str) -> None:
    """With its version. This project is what all of it is about."""
    about = json.loads(written)["metadata"]["component"]
    listed_versions = {name: each["version"] for name, each in components(written).items()}
    assert {**listed_versions, about["name"]: about["version"]} == {name: version(name) for name in INSTALLED}


def test_what_the_sidecar_needs_is_described(written: str) -> None:
    """By purl, licence and the hashes of its files. protobuf states its licence in words of its own."""
    described = components(written)
    for name in INSTALLED - {"creditmeter"}:
        component = described[name]
        assert component["purl"] == f"pkg:pypi/{name}@{version(name)}"
        hashes = [each["content"] for one in component["externalReferences"] for each in one.get("hashes", [])]
        assert hashes
        assert all(f"--hash=sha256:{each}" in (LISTS / "server.txt").read_text() for each in hashes)
        assert component.get("licenses") or name == "protobuf", name
