"""scripts/audit: it fails where a vulnerability is known, and never says that none is when it could not ask."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY
from tests.packages import listed

REPORTED = "typer 2.0: PYSEC-1 (CVE-1), fixed in 2.1"
KNOWN = {"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": ["CVE-1"], "description": ""}
CLEAN = {"name": "rich", "version": "15.0.0", "vulns": []}
VULNERABLE = {"name": "typer", "version": "2.0", "vulns": [KNOWN]}
SKIPPED = {"name": "uvloop", "skip_reason": "not found"}


def audit(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    variables = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", **environment}
    command = [str(REPOSITORY / "scripts" / "audit"), *arguments]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=110)
    return ended.returncode, ended.stdout


@pytest.mark.parametrize(
    ("answered", "code", "printed"),
    [
        ([CLEAN], 0, "1 packages, 0 known vulnerabilities\n"),
        ([CLEAN, VULNERABLE], 1, f"{REPORTED}\n2 packages, 1 known vulnerabilities\n"),
        ([CLEAN, SKIPPED], 3, "NOT AUDITED: 1 of 2 packages: not found, for one\n"),
        ([VULNERABLE, SKIPPED], 1, f"{REPORTED}\nNOT AUDITED: 1 of 2 packages: not found, for one\n"),
    ],
)
def test_what_is_made_of_an_answer(answered: list[dict[str, object]], code: int, printed: str, tmp_path: Path) -> None:
    """A small program stands for pip-audit. The real one ends with 0 for packages that it skipped."""
    (tmp_path / "pip_audit.py").write_text(f"print({json.dumps({'dependencies': answered})!r})")
    assert audit(PYTHONPATH=str(tmp_path)) == (code, printed)


def test_a_fault_of_pip_audit_is_not_taken_for_one_of_the_network(tmp_path: Path) -> None:
    """Nor for an audit."""
    (tmp_path / "pip_audit.py").write_text("raise ValueError")
    assert audit(PYTHONPATH=str(tmp_path)) == (2, "")


class Advisories(BaseHTTPRequestHandler):
    """A service as osv.dev has it, which knows of one vulnerability in one package."""

    def do_POST(self) -> None:
        """Answer what is known of a package."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        known = {"id": "GHSA-1", "affected": [{"package": {"name": asked, "ecosystem": "PyPI"}, "ranges": []}]}
        answer = json.dumps({"vulns": [known]} if asked == "rich" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[HTTPServer]:
    """The service, on a free port."""
    with HTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.long
def test_with_the_real_pip_audit(advisories: HTTPServer) -> None:
    """Every listed package is asked for. Where nobody answers, it says so."""
    service = f"http://127.0.0.1:{advisories.server_port}/v1/query"
    packages = sum(len(listed(name)) for name in ("build", "server", "image", "dev"))
    code, printed = audit("--vulnerability-service=osv", f"--osv-url={service}")
    assert (code, printed.splitlines()[0].startswith("rich 15.0.0: GHSA-1")) == (1, True), printed
    asked = int(printed.splitlines()[-1].split()[0])
    assert packages - 5 < asked <= packages  # without those that are for another system
    advisories.server_close()
    code, printed = audit("--vulnerability-service=osv", f"--osv-url={service}")
    assert (code, printed.startswith("NOT AUDITED: no answer")) == (3, True), printed
