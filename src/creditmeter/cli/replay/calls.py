"""The calls of a replay, each with an account, a model and an ending.

The trace has the time and the tokens of each call. The rest is drawn from a seed: the same trace and seed give the same calls.
"""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from creditmeter.cli.exits import CommandFailed, ExitCode

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MODELS = {"gpt-4o-mini": 5, "claude-sonnet-4-5": 3, "gpt-4o": 2}
"""Models of the package's rate card, and how often each is called."""


class Ending(Enum):
    """How a call ends. Most are committed; in others the call fails and is released, is refunded, or its worker dies."""

    COMMIT = "commit"
    RELEASE = "release"
    REFUND = "refund"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A call of the trace. `at_seconds` is the time since the first call."""

    at_seconds: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call to replay."""

    number: int
    traced: TracedCall
    account_id: str
    model: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of the calls that do not end with a commit, from 0 to 1."""

    release: float
    refund: float
    kill: float

    def of(self, drawn: float) -> Ending:
        """The ending for a number drawn from [0, 1)."""
        for ending, share in ((Ending.RELEASE, self.release), (Ending.REFUND, self.refund), (Ending.KILL, self.kill)):
            if drawn < share:
                return ending
            drawn -= share
        return Ending.COMMIT


def plan_calls(trace: Sequence[TracedCall], accounts: Sequence[str], shares: Shares, seed: int) -> list[Call]:
    """The calls of a trace, each with an account, a model and an ending."""
    draw = random.Random(seed)  # noqa: S311 - the same seed, the same replay
    models, weights = list(MODELS), list(MODELS.values())
    return [
        Call(number, traced, draw.choice(accounts), draw.choices(models, weights)[0], shares.of(draw.random()))
        for number, traced in enumerate(trace)
    ]


def read_trace(path: Path, limit: int | None) -> list[TracedCall]:
    """The first `limit` calls of a trace.

    Raises:
        CommandFailed: it cannot be read; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(_calls(path, file, limit))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"the trace {path} cannot be read: {error}", ExitCode.USAGE) from error
    if not found:
        raise CommandFailed(f"the trace {path} has no calls", ExitCode.USAGE)
    return found


def _calls(path: Path, lines: Iterator[str], limit: int | None) -> Iterator[TracedCall]:
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise CommandFailed(f"the trace {path} has no column {', '.join(missing)}", ExitCode.USAGE)
    first: datetime | None = None
    for count, row in enumerate(rows):
        if limit is not None and count >= limit:
            return
        try:
            at = datetime.fromisoformat(row["TIMESTAMP"])
            first = first or at
            call = TracedCall((at - first).total_seconds(), int(row["ContextTokens"]), int(row["GeneratedTokens"]))
        except (TypeError, ValueError) as error:
            raise CommandFailed(f"line {rows.line_num} of the trace {path} is wrong: {error}", ExitCode.USAGE) from error
        if min(call.input_tokens, call.output_tokens) < 0:
            raise CommandFailed(f"line {rows.line_num} of the trace {path} counts below 0", ExitCode.USAGE)
        yield call
