"""The log is written where it can be, and lost where it cannot: that stops nothing."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from creditmeter.server.logs import LogOutput

LOGS = """
import structlog
from creditmeter.server.logs import configure_logging
configure_logging("info")
for number in range(3):
    structlog.get_logger().info("event", number=number)
"""


def logged(stderr: int) -> int:
    """The exit code of a process that logs three lines there, and ends as processes do."""
    try:
        return subprocess.run([sys.executable, "-c", LOGS], check=False, stderr=stderr).returncode
    finally:
        os.close(stderr)


def test_a_line_for_each_event(tmp_path: Path) -> None:
    """Of JSON, at once."""
    path = tmp_path / "log"
    assert logged(os.open(path, os.O_CREAT | os.O_WRONLY)) == 0
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [0, 1, 2]


@pytest.fixture
def unread() -> int:
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_nobody_reads_it(unread: int) -> None:
    """It ends well all the same."""
    assert logged(unread) == 0


def test_a_full_disk() -> None:
    """What cannot be written is lost."""
    assert logged(os.open("/dev/full", os.O_WRONLY)) == 0


def test_an_output_that_was_closed() -> None:
    """What is logged after that is lost, and who logged it does not notice."""
    out = StringIO()
    log = LogOutput(out)
    assert log.write("seen") == len("seen")
    out.close()
    assert log.write("lost") == len("lost")
