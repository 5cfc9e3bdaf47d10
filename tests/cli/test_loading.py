"""What a process loads before it does anything: each start pays for it, and a sidecar keeps it for as long as it runs."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, environment

HEAVY = ("alembic", "creditmeter.central.store", "creditmeter.server.app", "genai_prices", "sqlalchemy", "uvloop")

USELESS = (
    "alembic",  # the schema is up to date
    "creditmeter.central.verification",
    "creditmeter.cli.all_commands",
    "creditmeter.cli.drawing",
    "genai_prices",  # the list of the installed release is shipped compiled
    "httpx2",  # there is no webhook
    "prometheus_client",  # there is no page of metrics
    "pydantic",  # genai_prices alone needs it
    "pygments",
    "rich.console",  # structlog takes it if it is there
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
)
"""What a sidecar never uses once its store has a schema."""

OF_OTHER_STORES = {
    "sqlite": ("asyncpg", "sqlalchemy.dialects.postgresql"),
    "postgresql": ("sqlalchemy.dialects.sqlite",),
}
"""What a sidecar on such a store never uses."""

_LOADED = re.compile(r"^import time: .*\| +(\S+)$", re.MULTILINE)


def test_a_command_loads_neither_a_database_nor_a_server() -> None:
    """Only those that need one load it, when they run."""
    script = f"import sys, creditmeter.cli.all_commands; print([each for each in {HEAVY} if each in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


@pytest.mark.both_engines
def test_a_sidecar_loads_only_what_it_uses(tmp_path: Path, central_url: str) -> None:
    """Seen by its interpreter, from its start to its end."""
    loaded = loaded_by_a_sidecar(tmp_path, central_url)
    assert "creditmeter.server.app" in loaded, "what is loaded is seen"
    assert loaded.intersection((*USELESS, *OF_OTHER_STORES[central_url.partition(":")[0]])) == set()


def test_a_sidecar_looks_for_garbage_once_it_is_ready(tmp_path: Path) -> None:
    """Not while it starts; and never for what its start has made."""
    script = (
        "import atexit, gc, sys; from creditmeter.cli.main import main;"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 100_000));"
        "gc.callbacks.append(lambda phase, _: phase == 'start' and 'creditmeter.server.app' in sys.modules"
        " and not gc.get_freeze_count() and print('collected too early'));"
        f"sys.argv[1:] = ['serve', '--data-dir', {str(tmp_path)!r}, '--listen', '127.0.0.1:0']; main()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()) as process:
        assert process.stdout is not None
        assert '"ready"' in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "True True\n"
        assert process.wait(60) == 0


def loaded_by_a_sidecar(data_dir: Path, central_url: str) -> set[str]:
    """The modules that a sidecar has loaded between its start and its end."""
    (config := data_dir / "creditmeter.toml").write_text('lease_ttl = "5m"\n')
    options = (
        "serve",
        "--data-dir",
        str(data_dir),
        "--central",
        central_url,
        "--listen",
        "127.0.0.1:0",
        "--config",
        str(config),
    )
    command = [COMMAND[0], "-X", "importtime", *COMMAND[1:], *options]
    with (data_dir / "loaded.txt").open("w") as loaded:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=loaded, text=True, env=environment())
    assert process.stdout is not None
    with process.stdout as out:
        assert '"ready"' in out.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    return set(_LOADED.findall((data_dir / "loaded.txt").read_text()))
