"""The alerts of a ledger: each is checked against the credit after the ledger was touched, and after all was decided."""

from collections.abc import Mapping
from dataclasses import dataclass

from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.instants import Span
from creditmeter.core.settlement.alert_thresholds import Watch, look
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.values import replace


@dataclass(frozen=True, slots=True)
class Watched:
    """The new states of the alerts whose state changed, and the alerts that fired."""

    changed: Mapping[Alert, Watch]
    fired: tuple[LowBalance, ...]


def watch(ledger: Ledger, before: Mapping[Alert, Watch], last_entry: int, elapsed: Span) -> Watched:
    """Check all alerts of the account, and write those that fired to its history, which had `last_entry` lines before.
    `elapsed` is the store's elapsed time.

    The level after the touch comes first: it has the credit of a new period before any is spent, and is without what ended.
    """
    levels = [*ledger.credit_levels, ledger.credit_level]
    kind, period = ledger.alert_period
    changed: dict[Alert, Watch] = {}
    fired: list[LowBalance] = []
    for alert in dict.fromkeys(ledger.account.alerts):
        now, low = look(alert, before.get(alert), levels, period.starts_at, ledger.now, elapsed)
        if now != before.get(alert):
            changed[alert] = now
        if low is not None:
            number = last_entry + len(ledger.changes.entries) + 1
            name = f"{kind.value} {period.key}"
            happened = LowBalance(ledger.account.account_id, alert, low, name, ledger.now, number)
            ledger.record(replace(ledger.entry(EntryType.LOW_BALANCE, 0, ledger.now), note=happened.note))
            fired.append(happened)
    return Watched(changed, tuple(fired))
