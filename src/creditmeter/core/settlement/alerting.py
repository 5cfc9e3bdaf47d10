"""Watching a ledger for low credit: its alerts are looked at when it was touched, and when all is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.settlement.alerts import Watch, look
from creditmeter.core.settlement.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Watched:
    """How alerts that changed stand now, and which fired."""

    changed: Mapping[Alert, Watch]
    fired: tuple[LowBalance, ...]


def watch(ledger: Ledger, before: Mapping[Alert, Watch], last_entry: int) -> Watched:
    """Look at all alerts of the account, and write those that fired to its history, which had `last_entry` lines so far.

    Touching comes first: so credit that a new period brings is seen before it is spent, and what ended meanwhile is missed.
    """
    readings = [*ledger.readings, ledger.reading]
    kind, period = ledger.alert_period
    changed: dict[Alert, Watch] = {}
    fired: list[LowBalance] = []
    for alert in dict.fromkeys(ledger.account.alerts):
        now, low = look(alert, before.get(alert), readings, period.starts_at, ledger.now)
        if now != before.get(alert):
            changed[alert] = now
        if low is not None:
            number = last_entry + len(ledger.changes.entries) + 1
            name = f"{kind.value} {period.key}"
            happened = LowBalance(ledger.account.account_id, alert, low, name, ledger.now, number)
            ledger.record(replace(ledger.entry(EntryType.LOW_BALANCE, 0, ledger.now), note=happened.note))
            fired.append(happened)
    return Watched(changed, tuple(fired))
