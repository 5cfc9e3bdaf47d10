"""How an account stands at the central store."""

from collections.abc import Sequence
from dataclasses import replace

from creditmeter.core.amounts import Microcredits
from creditmeter.core.calendar import Calendar
from creditmeter.core.exchange import Bucket, Standing
from creditmeter.core.grants import NO_REST, Grant, GrantKind, draw_key
from creditmeter.core.instants import Instant
from creditmeter.core.ledger import Ledger
from creditmeter.core.recalling import without_idle
from creditmeter.core.schedule import Schedule

MAX_LISTED_GRANTS = 100
"""As many grants as one reading of an account shows."""


def standing(ledger: Ledger, max_grants: int = 0) -> Standing:
    """How the account stands, counting idle credit on leases as available. Lists up to `max_grants` running grants that have
    credit left; that of voided ones is out on leases.
    """
    leases = ledger.leases.values()
    busy = tuple(without_idle(each) for each in leases)
    grants = sorted((each for each in ledger.grants.values() if each.is_running(ledger.now)), key=draw_key)
    return Standing(
        as_of=ledger.now,
        available=Microcredits(max(0, ledger.available_if(busy) - ledger.debt)),
        held=Microcredits(sum(each.held for each in leases)),
        unposted=Microcredits(sum(each.unposted for each in leases)),
        leased=Microcredits(sum(each.out for each in leases)),
        debt=ledger.debt,
        buckets=_buckets(ledger, grants),
        grants=tuple(each for each in grants if each.remaining)[: min(max_grants, MAX_LISTED_GRANTS)],
    )


def with_later_resets(shown: Standing, calendar: Calendar, now: Instant) -> Standing:
    """An older standing at a later moment: a reset that is over by then is followed by those of the calendar."""
    schedule = Schedule(calendar)
    buckets = (
        each
        if each.next_reset_at is None or now < each.next_reset_at
        else replace(each, next_reset_at=schedule.period_at(each.kind, now).ends_at)
        for each in shown.buckets
    )
    return replace(shown, buckets=tuple(buckets))


def _buckets(ledger: Ledger, grants: Sequence[Grant]) -> tuple[Bucket, ...]:
    """What each kind's grants gave and have left. One that was used up counts only if the plan gave it for the running period:
    of the others there may be many.
    """
    rest = {GrantKind.PERMANENT: ledger.rest}
    counted = [each for each in grants if each.remaining or each.period_key is not None]
    of_kind = {kind: [each for each in counted if each.kind is kind] for kind in GrantKind}
    return tuple(
        Bucket(
            kind=kind,
            granted=Microcredits(rest.get(kind, NO_REST).given + sum(each.given for each in found)),
            remaining=Microcredits(rest.get(kind, NO_REST).remaining + sum(each.remaining for each in found)),
            next_reset_at=ledger.next_reset(kind),
        )
        for kind, found in of_kind.items()
    )
