"""Messages that change nothing: what a need is answered that is refused as it was before, without anything to store.

The central store first decides about such a message from a snapshot that it reads. A decision that changes nothing is as right
as one under the account's lock: it is what that would have been at the moment of the snapshot.
"""

from collections.abc import Mapping

from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.messages import Answer, Message
from creditmeter.core.ids import LeaseId
from creditmeter.core.instants import Span
from creditmeter.core.settlement.answering import answer
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalling import mark_ready
from creditmeter.core.values import replace


def answer_if_unchanged(ledger: Ledger, message: Message, elapsed: Span) -> Answer | None:
    """The answer to a message that changes nothing but how long the sender's leases are trusted; None if it changes more, also
    what other sidecars are asked for. What it says of the time is not taken over: no lease is renewed.
    """
    before = dict(ledger.leases)
    answered = answer(ledger, message, elapsed)
    ledger.lapse()
    mark_ready(ledger)
    changes = ledger.changes
    others = changes.grants or changes.charges or changes.refunds or changes.recalls or changes.entries or changes.notified
    return None if others or _changed(before, changes.leases) else answered


def _changed(before: Mapping[LeaseId, OutLease], leases: Mapping[LeaseId, OutLease]) -> bool:
    """Whether any of these leases differs from what it was before by more than its renewal."""
    return any(each.lease_id not in before or _renewed_as(each, before[each.lease_id]) != each for each in leases.values())


def _renewed_as(new: OutLease, old: OutLease) -> OutLease:
    return replace(
        old,
        renewed_at=new.renewed_at,
        trusted_until=new.trusted_until,
        reclaim_at=new.reclaim_at,
        lost_after=new.lost_after,
    )
