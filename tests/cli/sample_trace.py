"""The trace that `creditmeter replay --sample` replays: drawn from a seed, with no real call in it.

Calls of an assistant in some seven minutes: they come in bursts, most inputs are short and a few are long. To write it anew:

    .venv/bin/python -m tests.cli.sample_trace > src/creditmeter/cli/replay/sample_trace.csv
"""

import random
import sys
from datetime import UTC, datetime, timedelta

ROWS = 200
SEED = 2026
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
MEAN_GAP_SECONDS = 3.0
BURST_SHARE = 0.3  # of the calls follow the one before within a tenth of the usual time


def sample_trace() -> str:
    """The text of the file."""
    draw = random.Random(SEED)  # noqa: S311 - the same seed, the same trace
    lines, at = ["TIMESTAMP,ContextTokens,GeneratedTokens"], START
    for _ in range(ROWS):
        context = _between(40, 16_000, draw.lognormvariate(7.2, 1.1))
        generated = _between(1, 1_000, draw.lognormvariate(4.9, 0.8))
        lines.append(f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d},{context},{generated}")
        gap = draw.expovariate(1 / MEAN_GAP_SECONDS)
        at += timedelta(seconds=gap / 10 if draw.random() < BURST_SHARE else gap)
    return "\n".join(lines) + "\n"


def _between(least: int, most: int, drawn: float) -> int:
    return max(least, min(most, round(drawn)))


if __name__ == "__main__":
    sys.stdout.write(sample_trace())
