"""Findings: why an account may need more than its plan gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

EARLY_DAYS = 3
"""Monthly credit runs out early if it runs out at least so many days before the month ends."""

LONG_SESSION_TOKENS = 20_000
"""Average input tokens of a text call from which on sessions are long."""

IMAGE_HEAVY_PERCENT = 40
"""Percentage of the cost from which on use is heavy on images."""

SEARCH_HEAVY_PERCENT = 30
"""Percentage of the cost from which on use is heavy on searches and other tools."""

PARALLEL_RESERVATIONS = 8
"""Reservations open at one moment from which on workflows run in parallel, and hold credit at the same time."""


class Reason(Enum):
    """Why an account may need more credit than its plan gives."""

    MONTHLY_RUNS_OUT_EARLY = "MONTHLY_RUNS_OUT_EARLY"
    LONG_SESSIONS = "LONG_SESSIONS"
    IMAGE_HEAVY = "IMAGE_HEAVY"
    SEARCH_HEAVY = "SEARCH_HEAVY"
    PARALLEL_WORKFLOWS = "PARALLEL_WORKFLOWS"


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason that applies: the observed value is at or above the threshold. Both are in the reason's unit."""

    reason: Reason
    observed: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Habits:
    """How an account is used: text calls with a known number of input tokens, these tokens, costs in microcredits, and the most
    reservations open at one moment.
    """

    text_calls: int = 0
    input_tokens: int = 0
    cost: int = 0
    image_cost: int = 0
    tool_cost: int = 0
    most_open: int = 0


def findings(habits: Habits, days_without_monthly: int) -> tuple[Finding, ...]:
    """The findings that apply, in the order of `Reason`. Averages and percentages are rounded down."""
    observed = (
        (Reason.MONTHLY_RUNS_OUT_EARLY, days_without_monthly, EARLY_DAYS),
        (Reason.LONG_SESSIONS, habits.input_tokens // max(1, habits.text_calls), LONG_SESSION_TOKENS),
        (Reason.IMAGE_HEAVY, 100 * habits.image_cost // max(1, habits.cost), IMAGE_HEAVY_PERCENT),
        (Reason.SEARCH_HEAVY, 100 * habits.tool_cost // max(1, habits.cost), SEARCH_HEAVY_PERCENT),
        (Reason.PARALLEL_WORKFLOWS, habits.most_open, PARALLEL_RESERVATIONS),
    )
    return tuple(Finding(*each) for each in observed if each[1] >= each[2])


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """The largest number of spans of time that contain the same moment. A span that ends as another begins does not meet it."""
    steps = [step for start, end in spans for step in ((start, 1), (max(end, start + 1), -1))]
    most = there = 0
    for _, step in sorted(steps):
        there += step
        most = max(most, there)
    return most
