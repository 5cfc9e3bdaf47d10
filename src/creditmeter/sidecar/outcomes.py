"""What becomes of a request, and of a decision about it."""

from collections.abc import Callable

from creditmeter.core.credit.requests import Done, Receipt
from creditmeter.core.metering.book import Change
from creditmeter.core.refusals import Refusal

Outcome = Done[Receipt] | Refusal
"""The receipt of a request that took effect, now or when it first came (`replayed`); or why it is refused."""

Meanwhile = Callable[[Done[Receipt]], None]
"""What a caller does with a receipt while all that it rests on goes to disk: it may write its reply, but not send it."""


def nothing(_done: Done[Receipt]) -> None:
    """For a caller that does nothing meanwhile."""


def outcome_of(decided: Change | Receipt | Refusal) -> Outcome:
    """What becomes of a request about which this was decided; a receipt is that of the same request when it first came."""
    match decided:
        case Change():
            return Done(decided.receipts[0])
        case Receipt():
            return Done(decided, replayed=True)
        case _:
            return decided
