"""A process that is killed in the middle of writing: every id that it acknowledged is there."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

from tests.journal.files import journal_at, loaded

ROOT = Path(__file__).parents[2]
ROUNDS = 4


def acknowledged_before_a_kill(path: Path, name: str, lines: int) -> list[str]:
    """Run a worker, kill it once it has printed some lines, and return all that it printed."""
    command = [sys.executable, "-m", "tests.journal.worker", str(path), name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        printed = list(islice(worker.stdout, lines))
        worker.kill()
        printed += worker.stdout.readlines()
    whole = [line.strip() for line in printed if line.endswith("\n")]
    assert len(whole) >= lines, "the worker ended by itself"
    return whole


async def test_every_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    """Over and over on one journal: with its receipt, once, and the file is sound."""
    path = tmp_path / "journal.db"
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        acknowledged.update(acknowledged_before_a_kill(path, f"w{number}", 50 + 70 * number))
        async with journal_at(path) as journal:
            changes = await loaded(journal)
        reservations = {each.reservation_id for change in changes for each in change.reservations}
        receipts = {each.request.request_id for change in changes for each in change.receipts}
        assert acknowledged <= reservations
        assert receipts == {f"{each}/reserve" for each in reservations}, "a change is written whole or not at all"
