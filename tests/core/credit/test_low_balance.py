"""An alert that fired, in words."""

import pytest

from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.low_balance import LowBalance, Measure
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from tests.core.builders import mc


@pytest.mark.parametrize(
    ("alert", "note"),
    [
        (Alert(amount=mc(50_000_000)), "9.5 credits left: the alert is at 50"),
        (Alert(percent=10), "9.5 of 100 credits left: the alert is at 10%"),
    ],
)
def test_the_note_says_the_threshold_and_what_is_left(alert: Alert, note: str) -> None:
    """In credits, for people."""
    measure = Measure(mc(9_500_000), mc(100_000_000))
    low = LowBalance(AccountId("acme"), alert, measure, "DAILY 2026-03-10", Instant(0))
    assert low.note == note
