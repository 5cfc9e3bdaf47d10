"""An account whose last decision lies in the future: the central store's clock was ahead for a while, and was put right.

Decisions go on at the real time. What was decided at the wrong time stays in history, and what it did that the real time does
not bear out is undone:

* Credit that lapsed before its end is there again, with a line of history.
* What a plan gave for a period to come waits for that period, and is not given again then. If the plan or the calendar changes
  before, it is as much as the plan gives then, in the period as it is then (see `planned_grants` and `waiting_grants`).
* A grant that began when it was given begins now, and one that was voided is voided now.
* A lease is trusted for as long as it would be if it had been renewed now. For how long it is kept for a silent sidecar goes by
  no clock (see `elapsed`).
* A need that waits does so for what it had left at the last decision, and is answered anew.
* An alert that fired is silent for the rest of the period that the account comes back to (see `alert_thresholds`).

What is out on a lease that was opened at the wrong time is drawn on the grants that were usable then, also those that wait: it
was authorised on them. Nothing more is leased on it.
"""

from creditmeter.core.credit.grants import Grant
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.instants import SECOND, Instant, Span, after
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalls import Recall
from creditmeter.core.values import replace

MOST_AHEAD = Span(30 * SECOND)
"""How far an account's last decision may lie in the future without being wrong. A transaction reads the clock before it waits
for the account's lock. So one that has waited finds decisions that are later than its own reading.
"""

NOTE = "the clock was wrong when this lapsed"
"""The note of the line of history by which credit is there again."""


def decided_now(now: Instant, decided_at: Instant) -> Instant:
    """The moment of a decision about an account whose last one was at `decided_at`, where the clock says `now`."""
    return now if is_set_back(now, decided_at) else max(now, decided_at)


def is_set_back(now: Instant, decided_at: Instant) -> bool:
    """Whether the last decision lies so far in the future that the clock was wrong."""
    return decided_at - now > MOST_AHEAD


def set_back(ledger: Ledger, decided_at: Instant) -> None:
    """Undo what follows from the clock having been ahead at the last decision. All grants are loaded that this may change.

    Any of them may have waited for its period: the clock that was ahead may have passed that.
    """
    ledger.waited = frozenset(ledger.grants)
    for grant in list(ledger.grants.values()):
        _set_grant_back(ledger, grant)
    for lease in list(ledger.leases.values()):
        if lease.renewed_at > ledger.now:
            ledger.put_lease(_as_if_renewed_at(lease, ledger.now))
    for recall in list(ledger.recalls.values()):
        ledger.put_recall(_with_what_is_left(recall, decided_at, ledger.now))


def _set_grant_back(ledger: Ledger, grant: Grant) -> None:
    now = ledger.now
    if grant.period_key is None and grant.effective_at == grant.created_at > now:
        grant = replace(grant, effective_at=now, created_at=now)
        ledger.put_grant(grant)
    if grant.voided_at is not None:
        if grant.voided_at > now:
            ledger.put_grant(replace(grant, voided_at=now))
    elif grant.lapsed and not grant.has_ended(now):
        ledger.put_grant(grant.lapse(-grant.lapsed))
        ledger.record(replace(ledger.entry(EntryType.LAPSED, grant.lapsed, now, grant), note=NOTE))


def _as_if_renewed_at(lease: OutLease, now: Instant) -> OutLease:
    """The lease with the times that it would have if it had been renewed now. It was renewed before, so none is too short."""
    trusted_for, kept_for = lease.trusted_until - lease.renewed_at, lease.reclaim_at - lease.renewed_at
    return replace(lease, renewed_at=now, trusted_until=after(now, Span(trusted_for)), reclaim_at=after(now, Span(kept_for)))


def _with_what_is_left(recall: Recall, decided_at: Instant, now: Instant) -> Recall:
    """The recall with the time that it had left at the last decision. Its count of answers goes on where it is."""
    left = Instant(now + max(0, recall.deadline - decided_at))
    return replace(recall, deadline=min(recall.deadline, left), answered=())
