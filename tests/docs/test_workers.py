"""Each page for workers is one program: its blocks run one after the other and print what it shows."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from creditmeter.client import SERVICE_CONFIG, ending
from creditmeter.client.stubs import Connection, call
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.sidecar.clock import SystemClock
from creditmeter.v1 import admin_pb2, grants_pb2
from tests.docs.pages import OUTPUT, REPOSITORY, page

PAGE = "docs/workers.md"
PROGRAMS = (PAGE, "docs/worker-recipes.md")
PYTHON = "python"
MARK = "--- block"


def program(name: str) -> list[str]:
    """The blocks of Python of a page, in order."""
    return [block.text for block in page(name).blocks if block.language == PYTHON]


def shown(name: str) -> list[list[str]]:
    """What stands under each block as its output."""
    blocks = [*page(name).blocks, None]
    pairs = [(each, after) for each, after in pairwise(blocks) if each is not None and each.language == PYTHON]
    return [after.text.splitlines() if after is not None and after.language == OUTPUT else [] for _, after in pairs]


@pytest.fixture
async def sidecar(short_path: Path, migrated_file: Path) -> AsyncIterator[str]:
    """The address of a sidecar with README's account `alice`."""
    shutil.copyfile(migrated_file, short_path / "central.db")
    settings = Settings.load(None, listen=("127.0.0.1:0",), data_dir=short_path, enable_admin=True, shutdown_grace=0.2)
    async with running(settings, SystemClock()):
        async with Connection(settings.socket_address) as connection:
            plan = grants_pb2.Plan(plan_id="basic", daily_microcredits=100_000_000, monthly_microcredits=3_000_000_000)
            await call(connection.admin.PutPlan, admin_pb2.PutPlanRequest(plan=plan))
            account = admin_pb2.Account(account_id="alice", plan_id="basic")
            await call(connection.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="a", account=account))
        yield settings.socket_address


@pytest.mark.parametrize("name", PROGRAMS)
async def test_it_prints_what_it_shows(sidecar: str, tmp_path: Path, name: str) -> None:
    """Block by block, in a process of its own, without a warning."""
    file = tmp_path / "program.py"
    file.write_text("".join(f"print({MARK!r})\n{each}" for each in program(name)), encoding="utf-8")
    environment = {**os.environ, "CREDITMETER_ADDRESS": sidecar}
    ended = await run([sys.executable, "-W", "error", str(file)], environment)
    assert ended.returncode == 0, ended.stderr
    assert [each.splitlines()[1:] for each in re.split(f"^(?={MARK})", ended.stdout, flags=re.MULTILINE)[1:]] == shown(name)
    assert ended.stderr == ""


@pytest.mark.long
def test_mypy_finds_nothing_in_them(tmp_path: Path) -> None:
    """With --strict, each as one program; nor in README's worker."""
    files = ["docs/examples/python/worker.py"]
    for name in PROGRAMS:
        file = tmp_path / f"{Path(name).stem.replace('-', '_')}.py"
        file.write_text("\n".join(program(name)), encoding="utf-8")
        files.append(str(file))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", *files]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert checked.returncode == 0, checked.stdout


def test_the_service_config_is_the_client_s() -> None:
    """The one that the client publishes."""
    (block,) = [each for each in page(PAGE).blocks if each.language == "json"]
    assert json.loads(block.text) == SERVICE_CONFIG


def test_the_table_of_endings_is_that_of_the_code() -> None:
    """Row by row."""
    assert ending.__doc__ is not None
    rows = [line for line in ending.__doc__.splitlines() if line.startswith("|")]
    assert len(rows) == 10
    assert "\n".join(rows) in page(PAGE).text


async def run(command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """A process that has ended, while the sidecar runs on in this one."""

    def work() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    return await asyncio.to_thread(work)
