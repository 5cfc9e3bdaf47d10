"""Why an account may need more than its plan gives: what is unusual about how it is used."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

EARLY_DAYS = 3
"""Monthly credits that run out so many days before the month ends run out early."""

LONG_SESSION_TOKENS = 20_000
"""Text calls with so many input tokens on average are parts of long sessions."""

IMAGE_HEAVY_PERCENT = 40
"""From this share of the cost on, images are what the credits go to."""

SEARCH_HEAVY_PERCENT = 30
"""From this share of the cost on, searches and other tools are."""

PARALLEL_RESERVATIONS = 8
"""With so many reservations open at one moment, workflows run side by side and hold credit against each other."""


class Reason(Enum):
    """Why more may be needed."""

    MONTHLY_RUNS_OUT_EARLY = "MONTHLY_RUNS_OUT_EARLY"
    LONG_SESSIONS = "LONG_SESSIONS"
    IMAGE_HEAVY = "IMAGE_HEAVY"
    SEARCH_HEAVY = "SEARCH_HEAVY"
    PARALLEL_WORKFLOWS = "PARALLEL_WORKFLOWS"


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason that applies: what was observed is at or above the threshold, both in the reason's unit."""

    reason: Reason
    observed: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Habits:
    """How an account is used: text calls that say their input and its tokens, cost in microcredits, open reservations."""

    text_calls: int = 0
    input_tokens: int = 0
    cost: int = 0
    image_cost: int = 0
    tool_cost: int = 0
    most_open: int = 0


def findings(habits: Habits, days_without_monthly: int) -> tuple[Finding, ...]:
    """The reasons that apply, in the order in which they are listed. Averages and shares are rounded down."""
    observed = (
        (Reason.MONTHLY_RUNS_OUT_EARLY, days_without_monthly, EARLY_DAYS),
        (Reason.LONG_SESSIONS, habits.input_tokens // max(1, habits.text_calls), LONG_SESSION_TOKENS),
        (Reason.IMAGE_HEAVY, 100 * habits.image_cost // max(1, habits.cost), IMAGE_HEAVY_PERCENT),
        (Reason.SEARCH_HEAVY, 100 * habits.tool_cost // max(1, habits.cost), SEARCH_HEAVY_PERCENT),
        (Reason.PARALLEL_WORKFLOWS, habits.most_open, PARALLEL_RESERVATIONS),
    )
    return tuple(Finding(*each) for each in observed if each[1] >= each[2])


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """How many of some spans of time there were at one moment, at most; where one ends as another begins they do not meet."""
    steps = [step for start, end in spans for step in ((start, 1), (max(end, start + 1), -1))]
    most = there = 0
    for _, step in sorted(steps):
        there += step
        most = max(most, there)
    return most
