"""An alert of low credit that fired: what is written to history, sent to the webhook and counted."""

from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits, format_credits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant


@dataclass(frozen=True, slots=True)
class Measure:
    """What an alert's threshold is compared with: the credit left, and the credit granted, in microcredits."""

    left: Microcredits
    granted: Microcredits


@dataclass(frozen=True, slots=True)
class LowBalance:
    """An alert that fired.

    `number` is that of its line in the account's history. `period` is the kind of the running period and the local date of its
    first day, such as `DAILY 2026-11-24`.
    """

    account_id: AccountId
    alert: Alert
    measure: Measure
    period: str
    fired_at: Instant
    number: int = 0

    @property
    def note(self) -> str:
        """One line for people: the credit left, and the threshold."""
        left, granted = format_credits(self.measure.left), format_credits(self.measure.granted)
        if self.alert.percent:
            return f"{left} of {granted} credits left: the alert is at {self.alert.percent}%"
        return f"{left} credits left: the alert is at {format_credits(self.alert.amount)}"
