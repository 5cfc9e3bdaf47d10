"""The image: what its Dockerfile sets is what the program understands, and every command in a container finds the sidecar."""

import json
import re
from pathlib import Path

import pytest

from creditmeter.cli.connection import named_address
from creditmeter.server.access.exposure import is_of_this_machine
from creditmeter.server.config import Settings
from tests.cli.processes import run_forked

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = REPOSITORY / "Dockerfile"


def instructions(name: str) -> list[str]:
    """The arguments of each such instruction, continued lines joined."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^{name} +(.+)$", text, re.MULTILINE)


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings in the image's environment, set here too."""
    pairs = dict(part.split("=", 1) for line in instructions("ENV") for part in line.split())
    found = {name: value for name, value in pairs.items() if name.startswith("CREDITMETER_")}
    monkeypatch.delenv("CREDITMETER_ADDRESS", raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def test_a_command_in_the_container_asks_the_sidecar_that_runs_there(image: dict[str, str]) -> None:
    """Without any option: both take the data directory from the environment."""
    assert "CREDITMETER_DATA_DIR" in image
    assert named_address(None) == Settings.load().socket_address == "unix:/data/creditmeter.sock"


def test_files_are_on_the_volume_and_nobody_outside_reaches_the_sidecar(image: dict[str, str]) -> None:
    """On a network that containers share it is as safe as without any setting."""
    settings = Settings.load()
    assert [str(settings.data_dir)] == json.loads(*instructions("VOLUME"))
    assert instructions("EXPOSE") == []
    assert all(map(is_of_this_machine, settings.all_addresses))
    assert set(image) == {"CREDITMETER_DATA_DIR"}


def test_the_image_has_the_sidecar() -> None:
    """Not the client alone, at the versions that the tests run with, and no file whose hash is not listed."""
    commands = [each.strip() for run in instructions("RUN") for each in run.split("&&")]
    into_image = "tools/bin/pip --python /opt/creditmeter/bin/python install "
    assert [each for each in commands if " install " in each and "pip" in each] == [
        "tools/bin/pip install --require-hashes --requirement scripts/requirements/image.txt",
        f"{into_image}--require-hashes --requirement scripts/requirements/server.txt",
        f"{into_image}--no-deps --no-index wheels/*.whl",
    ]
    assert "tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels ." in commands


def test_the_image_says_what_it_contains() -> None:
    """In a list that is made from what was installed, after all of it; pip stays out."""
    commands = [each.strip() for run in instructions("RUN") for each in run.split("&&")]
    listing = "PYTHON=tools/bin/python scripts/generate-sbom /opt/creditmeter/bin/python >/opt/creditmeter/sbom.cdx.json"
    installing = [place for place, each in enumerate(commands) if "--python /opt/creditmeter/bin/python install" in each]
    assert commands.index(listing) > max(installing)
    assert "python -m venv --without-pip /opt/creditmeter" in commands
    assert "pip uninstall --yes pip setuptools wheel" in commands


def test_what_is_copied_into_the_image_is_there() -> None:
    """In the repository, and not left out by .dockerignore."""
    sources = [source for each in instructions("COPY") if "--from" not in each for source in each.split()[:-1]]
    sent = {line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) == sent
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []


def test_what_the_container_runs_is_understood(image: dict[str, str]) -> None:
    """The command with the options that it has, by the check of settings."""
    assert json.loads(*instructions("ENTRYPOINT")) == ["creditmeter"]
    command, *options = json.loads(*instructions("CMD"))
    assert command == "serve"
    assert run_forked("config", "check", *options, **image).code == 0
