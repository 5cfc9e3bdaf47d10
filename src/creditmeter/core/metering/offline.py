"""The allowance of an account while the central store is away: credit that a sidecar may authorise without a lease of the
store.

It is a lease of the sidecar's own, one for each outage, which no message names. What is spent on it is charged as excess. It
ends when the central store answers; holds on it stay good.

A balance that is read during an outage is an older one.
"""

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.leases import Lease, Moment
from creditmeter.core.credit.messages import BalanceSummary
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import SidecarId, offline_lease_id
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.values import replace

_UNTIL_IT_IS_OVER = 2**62
"""No outage lasts this long, in microseconds."""


def allow(book: Book, sidecar_id: SidecarId, at: Moment) -> Change | None:
    """Open the account's allowance for this outage. None if it has none, or it is open already."""
    if book.account is None or not book.account.offline_allowance:
        return None
    running = next((each for each in book.leases.values() if each.offline and at.now < each.ends_at), None)
    if running is not None and at.boot < running.trusted_until:
        return None
    lease = running or Lease(
        offline_lease_id(book.account_id, sidecar_id, at.now, at.boot),
        book.account_id,
        opened_at=at.now,
        ends_at=Instant(_UNTIL_IT_IS_OVER),
        limit=book.account.offline_allowance,
        offline=True,
    )
    return Change(book.account_id, leases=(replace(lease, trusted_until=Span(_UNTIL_IT_IS_OVER)),))


def ended(book: Book, lease: Lease) -> Lease:
    """An allowance after the central store answered."""
    limit = Microcredits(lease.limit - book.idle_on(lease))
    return replace(lease, limit=limit, ends_at=lease.opened_at, trusted_until=Span(0))


def with_later_resets(shown: BalanceSummary, calendar: Calendar, now: Instant) -> BalanceSummary:
    """An older view of the account at a later moment: a reset that is past by then gives way to the next one."""
    schedule = Schedule(calendar)
    buckets = (
        each
        if each.next_reset_at is None or now < each.next_reset_at
        else replace(each, next_reset_at=schedule.period_at(each.kind, now).ends_at)
        for each in shown.buckets
    )
    return replace(shown, buckets=tuple(buckets))
