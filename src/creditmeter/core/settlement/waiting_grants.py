"""A plan's grants that wait for their period, when the account's calendar changes.

They were given by a clock that was ahead. Each goes with the period of its key: it begins and ends with it as the calendar is
now. If no period has the key any more, as after a change of the anchor day, another period lasts for longer, and the credit
would come beside what is given for that. So it is taken back. A grant that a lease has credit of out begins when it did, so
that what is charged on the lease finds it.
"""

from creditmeter.core.credit.grants import Grant
from creditmeter.core.credit.planned_grants import GIVEN_AHEAD
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.values import replace


def fit(ledger: Ledger) -> None:
    """Have the plan's grants that have not begun fit the calendar. All of them are loaded."""
    for grant in list(ledger.grants.values()):
        if grant.period_key is not None and grant.effective_at > ledger.now and not _is_leased(ledger, grant):
            _fit(ledger, grant, grant.period_key)


def _fit(ledger: Ledger, grant: Grant, key: str) -> None:
    period = ledger.schedule.period_named(grant.kind, key, grant.effective_at, ledger.now)
    if period is None:
        ledger.take_back(grant, grant.remaining, GIVEN_AHEAD)
    else:
        ledger.put_grant(replace(grant, effective_at=period.starts_at, expires_at=period.ends_at))


def _is_leased(ledger: Ledger, grant: Grant) -> bool:
    return any(each.out and grant.is_running(each.opened_at) for each in ledger.leases.values())
