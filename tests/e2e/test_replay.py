"""Replays of a short trace against real processes, one of which is killed in the middle."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, environment, run_forked, sidecar_process

CALLS = 240


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace of calls half a second apart, with token counts like those of real conversations."""
    draw = random.Random(3)  # noqa: S311 - the same trace each time
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for number in range(CALLS):
        minute, half_seconds = divmod(number, 120)
        at = f"2023-11-16 18:{minute:02d}:{half_seconds // 2:02d}.{half_seconds % 2 * 5}000000"
        lines.append(f"{at},{draw.randint(50, 9_000)},{draw.randint(1, 1_000)}")
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.long
def test_on_a_sidecar_of_its_own(trace: Path, short_path: Path) -> None:
    """Every ending is there, every acknowledged charge is found once, and nothing is left behind."""
    shares = ("--release-share", "0.1", "--refund-share", "0.1", "--kill-share", "0.02", "--hold-seconds", "2")
    replay = run_forked("replay", str(trace), "--accounts", "5", "--workers", "8", *shares, "--json", TMPDIR=str(short_path))
    assert replay.code == 0, replay.err + replay.out
    found = json.loads(replay.out)
    assert found["clean"] is True
    assert found["calls"] == CALLS
    assert found["failures"] == {}
    assert found["refusals"] == {}
    assert found["committed"] + found["released"] + found["killed_workers"] == CALLS
    assert min(found["released"], found["refunded"], found["killed_workers"]) > 0
    charges = found["acknowledged_charges"]
    assert charges == {
        "acknowledged": found["committed"],
        "found": found["committed"],
        "missing": 0,
        "doubled": 0,
        "different": [],
    }
    assert found["used_microcredits"] < found["held_microcredits"]
    assert found["still_held_microcredits"] == 0
    assert found["sidecar_exit_code"] == 0
    assert found["verify"]["clean"] is True
    assert found["verify"]["accounts"] == 5
    assert list(short_path.iterdir()) == []


@pytest.mark.long
def test_accounts_that_cannot_pay_are_refused(trace: Path) -> None:
    """A refusal is no failure, and what is charged stays within what was granted."""
    poor = ("--accounts", "2", "--daily", "20", "--monthly", "10.5")
    replay = run_forked("replay", str(trace), *poor, "--refund-share", "0", "--json")
    assert replay.code == 0, replay.err + replay.out
    found = json.loads(replay.out)
    assert found["refusals"]["Reserve: INSUFFICIENT_CREDITS"] > 0
    assert 0 < found["used_microcredits"] <= 2 * 30_500_000
    assert found["clean"] is True


@pytest.mark.long
def test_in_the_rhythm_of_the_trace(trace: Path) -> None:
    """A speed spreads the calls: 39 half seconds at 20 times the speed take 0.975 s."""
    replay = run_forked("replay", str(trace), "--limit", "40", "--speed", "20", "--kill-share", "0", "--json")
    assert replay.code == 0, replay.err + replay.out
    assert json.loads(replay.out)["elapsed_ms"] >= 975


@pytest.mark.long
def test_a_sidecar_that_is_killed_and_comes_back(trace: Path) -> None:
    """Kill -9 in the middle and a start on the same directory: every acknowledged charge is there, once."""
    with sidecar_process("--enable-admin") as sidecar:
        where = ("--address", sidecar.address, "--central", sidecar.central, "--account-prefix", "acc")
        with subprocess.Popen(
            [*COMMAND, "replay", str(trace), *where, "--accounts", "5", "--workers", "8", "--hold-seconds", "5"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as replay:
            assert replay.stderr is not None
            assert replay.stderr.readline() == f"replay: {CALLS // 10} of {CALLS} calls\n"
            sidecar.kill()
            sidecar.start()
            out, err = replay.communicate(timeout=100)
        assert replay.returncode == 0, err + out
        assert f"replay: {CALLS} of {CALLS} calls" in err
        assert "missing: 0, doubled: 0" in out
        assert out.endswith("clean\n")
        assert sidecar.stop() == 0
        verified = run_forked("verify", "--data-dir", str(sidecar.data_dir), "--json")
    assert verified.code == 0, verified.out
    assert json.loads(verified.out)["accounts"] == 5


def test_accounts_that_are_missing_where_nobody_administers(trace: Path) -> None:
    """Without AdminService the accounts have to be there."""
    with sidecar_process() as sidecar:
        replay = run_forked("replay", str(trace), "--address", sidecar.address, "--account-prefix", "acc")
    assert "there is no account acc-0001, and the sidecar does not administer" in replay.complaint
    assert replay.code == 1
