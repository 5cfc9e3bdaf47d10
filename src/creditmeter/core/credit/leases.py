"""Leases: how much of an account's credit one sidecar may authorise on its own.

A lease is an amount for one sidecar, one account and one local day. It ends at that day's midnight, and its end never changes.
So no grant behind it ends while it runs. The central store and the sidecar each keep a view of the lease. Both count in totals,
so a message that is delivered twice changes nothing:

* `limit`: all that the sidecar was ever allowed on this lease, less what it returned;
* `spent`, in the sidecar's view: all that it ever committed on the lease;
* `posted`, in the central store's view: what of that was posted.
"""

from collections.abc import Iterable, Iterator

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.grants import NO_REST, Grant, GrantKind, Rest, draw_key
from creditmeter.core.ids import AccountId, GrantId, LeaseId, SidecarId
from creditmeter.core.instants import MINUTE, Instant, Span
from creditmeter.core.values import Value, astuple

MOST_APART = MINUTE
"""How far a sidecar's time of day may be behind the central store's."""


class Moment(Value, frozen=True):
    """One reading of both clocks. `now` is the time of day, which goes back only by a step. `boot` is the time since boot."""

    now: Instant
    boot: Span


class Lease(Value, frozen=True, eq=False):
    """The sidecar's view of a lease. Amounts in microcredits.

    `trusted_until` is on the boot-time clock: from then on the lease authorises nothing until the central store renews it. It
    is not stored, so after a restart a stored lease authorises nothing before the sidecar has registered. Leases are equal
    whatever it is. An `offline` lease is not the central store's: it is the allowance of an account for one outage, and what is
    spent on it is posted as excess.
    """

    lease_id: LeaseId
    account_id: AccountId
    opened_at: Instant
    ends_at: Instant
    limit: Microcredits
    spent: Microcredits = Microcredits(0)
    offline: bool = False
    trusted_until: Span = Span(0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lease) and astuple(self)[:-1] == astuple(other)[:-1]

    def __hash__(self) -> int:
        return hash(self.lease_id)

    def runs(self, now: Instant) -> bool:
        """Whether its day has begun and not ended. If it was opened in the future, the clock was ahead at that time."""
        return now < self.ends_at and (self.offline or self.opened_at <= now + MOST_APART)

    def authorises(self, at: Moment) -> bool:
        """Whether new work may use it at this moment."""
        return self.runs(at.now) and at.boot < self.trusted_until


class OutLease(Value, frozen=True):
    """The central store's view of a lease. Amounts in microcredits.

    `held` and `unposted` are what the sidecar reported at `renewed_at`; the rest of what is out is idle. From `trusted_until`
    on the sidecar authorises nothing on it without renewing it. If the sidecar sends nothing until the store's elapsed time
    (see `elapsed`) is `lost_after`, it is lost: about at `reclaim_at` by a clock that is right, or as much later as no sidecar
    was in touch with the store. An older program does not say when that is (None).
    """

    lease_id: LeaseId
    sidecar_id: SidecarId
    opened_at: Instant
    ends_at: Instant
    limit: Microcredits
    posted: Microcredits = Microcredits(0)
    held: Microcredits = Microcredits(0)
    unposted: Microcredits = Microcredits(0)
    renewed_at: Instant = Instant(0)
    trusted_until: Instant = Instant(0)
    reclaim_at: Instant = Instant(0)
    lost_after: Span | None = None
    closed: bool = False

    def __post_init__(self) -> None:
        assert self.posted <= self.limit, f"lease {self.lease_id} has less than nothing out"

    @property
    def out(self) -> Microcredits:
        """What the sidecar may still post on it, in microcredits."""
        return Microcredits(self.limit - self.posted)

    @property
    def idle(self) -> Microcredits:
        """What of that was neither held nor unposted at the sidecar's last report, in microcredits."""
        return Microcredits(max(0, self.out - self.held - self.unposted))


def available(grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant, rest: Rest = NO_REST) -> Microcredits:
    """What is left of the grants usable now and of the rest, less what is out on all open leases; never negative.

    What is out counts first against what is kept of voided grants: it is kept for these leases, and nothing new may use it.
    What is not kept of a voided grant counts as taken back. In microcredits.
    """
    grants, leases = tuple(grants), tuple(leases)
    usable = rest.remaining + sum(grant.remaining for grant in grants if grant.is_usable(now))
    left = {grant.grant_id: grant for grant in grants}
    left |= {grant.grant_id: grant.void(amount) for grant, amount in surplus(grants, leases, now, rest)}
    return Microcredits(min(usable, unclaimed(left.values(), leases, now, rest)))


def surplus(
    grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant, rest: Rest = NO_REST
) -> tuple[tuple[Grant, Microcredits], ...]:
    """The voided grants that have not ended, with what is to be taken back of each; more than 0 microcredits.

    What leases opened before the void have out is kept for them, and the rest is taken back. Credit that newer leases depend on
    is kept until other credit can take its place. A lease opened in the microsecond of the void counts as newer: nothing was
    authorised on it before. One that was opened in the future, or on a day that has ended, counts as older: other credit that is
    there now was not there in its day, so it takes nothing's place.
    """
    left, leases = {grant.grant_id: grant for grant in grants}, tuple(leases)
    running = (grant for grant in left.values() if grant.remaining and grant.is_running(now))
    voided = [(grant.voided_at, grant) for grant in running if grant.voided_at is not None]
    found = list(_surplus_to_come(left.values(), leases, now))
    kept = 0
    for voided_at, grant in sorted(voided, key=lambda each: (each[0], draw_key(each[1]))):
        out = sum(lease.out for lease in leases if not voided_at <= lease.opened_at <= now < lease.ends_at)
        keep = min(int(grant.remaining), max(0, out - kept))
        kept += keep
        free = unclaimed(left.values(), leases, now, rest)
        amount = Microcredits(min(grant.remaining - keep, free))
        if amount:
            found.append((grant, amount))
            left[grant.grant_id] = grant.void(amount)
    return tuple(found)


def _surplus_to_come(grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant) -> Iterator[tuple[Grant, Microcredits]]:
    """The voided grants that have not begun, with what no lease has out that a clock opened that was ahead."""
    leases = tuple(leases)
    for grant in grants:
        if grant.remaining and grant.voided_at is not None and grant.effective_at > now:
            out = sum(lease.out for lease in leases if grant.is_running(lease.opened_at))
            amount = Microcredits(max(0, grant.remaining - out))
            if amount:
                yield grant, amount


def unclaimed(grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant, rest: Rest = NO_REST) -> Microcredits:
    """What is left of the running grants, voided or not, and of the rest, less what is out on all open leases.

    Never negative; in microcredits.

    What is out on a lease of another day counts first against the plan's grants of that day that were usable when the lease was
    opened: it will be drawn there. So yesterday's open holds do not lower today's credit.
    """
    grants = tuple(grants)
    backing = rest.remaining + sum(grant.remaining for grant in grants if grant.is_running(now))
    buckets = sorted((grant for grant in grants if grant.kind is not GrantKind.PERMANENT), key=draw_key)
    left = {grant.grant_id: int(grant.remaining) for grant in buckets}
    claimed = sum(
        lease.out if lease.opened_at <= now < lease.ends_at else _claim_of_another_day(lease, buckets, left, now)
        for lease in sorted(leases, key=lambda lease: (lease.opened_at, lease.lease_id))
    )
    return Microcredits(max(0, backing - claimed))


def _claim_of_another_day(lease: OutLease, buckets: list[Grant], left: dict[GrantId, int], now: Instant) -> int:
    """What a lease of another day claims of today's credit, in microcredits, after it took what it can from `left`. The day has
    ended, or the clock that said that it had begun was wrong.

    It takes in the order of deduction. Of the grants that do not run only the plan's count, because every charge of that day
    may draw on them: the same amount is drawn there, whichever charge is posted first. Others do not count: a grant that was
    given within the day may not be open to the last charge, and a voided grant is the last that a later charge draws on. A
    running grant that comes before one of that day in the order (daily credit given for several days, at the end of a month) is
    claimed first.
    """
    need = int(lease.out)
    claimed = 0
    for grant in buckets:
        runs = grant.is_running(now) and grant.effective_at < lease.ends_at and not grant.has_ended(lease.opened_at)
        if runs or _backs_on_another_day(grant, lease, now):
            part = min(need, left[grant.grant_id])
            left[grant.grant_id] -= part
            need -= part
            claimed += part if runs else 0
    return claimed + need


def _backs_on_another_day(grant: Grant, lease: OutLease, now: Instant) -> bool:
    """Whether it is a plan's grant that does not run now, and on which every charge on the lease may draw. A grant that has not
    begun was voided after the lease was opened, if it was.
    """
    if grant.period_key is None or grant.is_running(now):
        return False
    return (
        grant.is_running(lease.opened_at)
        if grant.effective_at > now
        else grant.voided_at is None and grant.is_usable(lease.opened_at)
    )
