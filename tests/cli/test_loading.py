"""What a command loads before it does anything: each start pays for it."""

import subprocess
import sys

HEAVY = ("alembic", "creditmeter.central.store", "creditmeter.server.app", "genai_prices", "sqlalchemy", "uvloop")


def test_a_command_loads_neither_a_database_nor_a_server() -> None:
    """Only those that need one load it, when they run."""
    script = f"import sys, creditmeter.cli.main; print([each for each in {HEAVY} if each in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
