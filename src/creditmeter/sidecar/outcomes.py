"""What becomes of a request, and of a decision about it."""

from creditmeter.core.credit.requests import Done, Receipt
from creditmeter.core.metering.book import Change
from creditmeter.core.refusals import Refusal

Outcome = Done[Receipt] | Refusal
"""The receipt of a request that took effect, now or when it first came (`replayed`); or why it is refused."""


def outcome_of(decided: Change | Receipt | Refusal) -> Outcome:
    """What becomes of a request about which this was decided; a receipt is that of the same request when it first came."""
    match decided:
        case Change():
            return Done(decided.receipts[0])
        case Receipt():
            return Done(decided, replayed=True)
        case _:
            return decided
