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


FORGED = 'x\n{"event": "forged"}\r\x1b[2J\x00\x7f\x85\u2028\u2029\u202e\ud800\U0001f600'
"""What somebody may choose to be called who wants a line of the log, or a terminal, for himself."""

FORGING = f"""
import asyncio, logging, warnings, structlog
from creditmeter.server.logs import configure_logging
configure_logging("debug")
forged = {FORGED!a}
log = structlog.get_logger()
log.info("event", account_id=forged, labels={{forged: forged}}, path=[forged], **{{forged: 1}})
log.warning(forged)
try:
    raise ValueError(forged)
except ValueError:
    log.exception("failed", odd=ValueError(forged), raw=forged.encode("utf-8", "surrogatepass"))
    logging.getLogger(forged).exception("of a library %s", forged)
logging.getLogger("odd").error("%d", forged)
warnings.warn(forged)
asyncio.run(asyncio.sleep(0))
"""


def test_no_line_is_forged() -> None:
    """Each event is one line of printable ASCII that is JSON, whatever is in it, and wherever."""
    ended = subprocess.run([sys.executable, "-W", "always", "-c", FORGING], check=True, capture_output=True)
    assert not ended.stdout
    lines = ended.stderr.decode("ascii").split("\n")
    assert lines.pop() == ""
    assert len(lines) == 6
    assert all(" " <= each <= "~" for line in lines for each in line)
    events = [json.loads(line) for line in lines]
    assert not any(each["event"] == "forged" for each in events)
    assert events[0]["account_id"] == events[1]["event"] == FORGED
    assert FORGED in events[2]["exception"]
    assert events[3]["event"] == f"of a library {FORGED}"
