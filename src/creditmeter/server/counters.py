"""What a sidecar counts, for whoever counts it."""

from collections.abc import Callable

import grpc

from creditmeter.core.clocks import ClockStep
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.instants import Span
from creditmeter.core.metering.committed_holds import CommittedHold
from creditmeter.sidecar.alerts.standard_webhooks import DeliveryOutcome


class Counters:
    """What is told of each event. These count nothing: without a page nobody could see it, and the library of `Metrics` takes
    2 MB.

    All methods may be called from any thread.
    """

    def count_calls(self, rpc: str) -> Callable[[float, grpc.StatusCode, str], None]:  # noqa: ARG002 - for those that count
        """What counts the calls of an RPC: by the seconds that a call took, its status code, and the reason of an error."""
        return lambda _seconds, _code, _reason: None

    def low_balance(self, fired: LowBalance) -> None:
        """Count an alert that fired."""

    def delivery(self, outcome: DeliveryOutcome, count: int) -> None:
        """Count `count` delivery attempts that had this outcome."""

    def quarantined(self, accounts: int) -> None:
        """Set how many accounts are in quarantine."""

    def clock(self, offset: Span, drift: float) -> None:
        """Set how far the time of day is ahead of this machine's wall clock, in microseconds, and how much faster the central
        store's clock runs than this machine's, in parts of one.
        """

    def clock_step(self, step: ClockStep) -> None:
        """Count a step of the time of day."""

    def pruned(self, table: str, count: int) -> None:
        """Count rows of a table of the central store that this sidecar pruned."""

    def commit(self, hold: CommittedHold) -> None:
        """Count what a commit took off its hold, and what it charged."""
