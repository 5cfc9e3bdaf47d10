"""Leases: how much of an account's credit one sidecar may authorise on its own.

A lease is a scalar amount for (sidecar, account, local day). It ends at that day's midnight and its end never changes, so no
grant behind it can end while it runs. The central store and the sidecar each keep a view of it; both count in totals, so that
a message delivered twice changes nothing:

* `limit`: all that the sidecar was ever allowed on this lease, less what it gave back;
* the sidecar's `spent`: all that it ever committed on it; the store's `posted`: what of that has arrived.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from creditmeter.core.amounts import Microcredits
from creditmeter.core.grants import NO_REST, Grant, GrantKind, Rest, draw_key
from creditmeter.core.ids import AccountId, GrantId, LeaseId, SidecarId
from creditmeter.core.instants import Instant, Span


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks: `now` never goes back; `boot` is the time since boot, which no clock step moves."""

    now: Instant
    boot: Span


@dataclass(frozen=True, slots=True)
class Lease:
    """The sidecar's view of a lease, amounts in microcredits.

    `trusted_until` is on the boot-time clock: past it nothing is authorised until the central store renews the lease. It is
    not stored, so after a restart nothing old authorises before the sidecar has registered. An `offline` lease is none of the
    central store's: it is the allowance of an account for one outage, and what is spent on it is charged as excess.
    """

    lease_id: LeaseId
    account_id: AccountId
    opened_at: Instant
    ends_at: Instant
    limit: Microcredits
    spent: Microcredits = Microcredits(0)
    trusted_until: Span = field(default=Span(0), compare=False)
    offline: bool = False

    def authorises(self, at: Moment) -> bool:
        """Whether new work may use it at this moment."""
        return at.now < self.ends_at and at.boot < self.trusted_until


@dataclass(frozen=True, slots=True)
class OutLease:
    """The central store's view of an unclosed lease, amounts in microcredits.

    `held` and `unposted` are what the sidecar last said of it, at `renewed_at`: the rest of what is out is idle. The sidecar
    authorises nothing on it from `trusted_until` on unless it renews it; if it stays silent until `reclaim_at`, it is lost.
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
    closed: bool = False

    def __post_init__(self) -> None:
        assert self.posted <= self.limit, f"lease {self.lease_id} has less than nothing out"

    @property
    def out(self) -> Microcredits:
        """What the sidecar may still post on it."""
        return Microcredits(self.limit - self.posted)

    @property
    def idle(self) -> Microcredits:
        """What of that was neither held nor waiting to be posted when the sidecar last spoke."""
        return Microcredits(max(0, self.out - self.held - self.unposted))


def available(grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant, rest: Rest = NO_REST) -> Microcredits:
    """What is left of the grants usable now and of the rest, less what is out on all unclosed leases; never negative.

    What is out counts first against what is kept of voided grants: that is for leases, and nothing new may use it. What is not
    kept is taken back before it counts for anything.
    """
    grants, leases = tuple(grants), tuple(leases)
    usable = rest.remaining + sum(grant.remaining for grant in grants if grant.is_usable(now))
    left = {grant.grant_id: grant for grant in grants}
    left |= {grant.grant_id: grant.void(amount) for grant, amount in surplus(grants, leases, now, rest)}
    return Microcredits(min(usable, unclaimed(left.values(), leases, now, rest)))


def surplus(
    grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant, rest: Rest = NO_REST
) -> tuple[tuple[Grant, Microcredits], ...]:
    """What is to be taken back of voided grants that have not ended, more than nothing each: all but what the leases that were
    opened before have out. What later leases have come to rest on meanwhile stays until something else stands behind them.

    A lease that was opened in the microsecond of the void is a later one: nothing was authorised on it before.
    """
    left, leases = {grant.grant_id: grant for grant in grants}, tuple(leases)
    running = (grant for grant in left.values() if grant.remaining and grant.is_running(now))
    voided = [(grant.voided_at, grant) for grant in running if grant.voided_at is not None]
    found: list[tuple[Grant, Microcredits]] = []
    kept = 0
    for voided_at, grant in sorted(voided, key=lambda each: (each[0], draw_key(each[1]))):
        out = sum(lease.out for lease in leases if lease.opened_at < voided_at)
        keep = min(int(grant.remaining), max(0, out - kept))
        kept += keep
        free = unclaimed(left.values(), leases, now, rest)
        amount = Microcredits(min(grant.remaining - keep, free))
        if amount:
            found.append((grant, amount))
            left[grant.grant_id] = grant.void(amount)
    return tuple(found)


def unclaimed(grants: Iterable[Grant], leases: Iterable[OutLease], now: Instant, rest: Rest = NO_REST) -> Microcredits:
    """What is left of the running grants, voided ones too, and of the rest, less what is out on all unclosed leases; never
    negative.

    What is out on leases of ended days counts first against what the ended plan grants that were usable when the lease was
    opened have left, since that is where it will be drawn: yesterday's open holds do not eat today's credits.
    """
    grants = tuple(grants)
    backing = rest.remaining + sum(grant.remaining for grant in grants if grant.is_running(now))
    buckets = sorted((grant for grant in grants if grant.kind is not GrantKind.PERMANENT), key=draw_key)
    left = {grant.grant_id: int(grant.remaining) for grant in buckets}
    claimed = sum(
        lease.out if lease.ends_at > now else _claim_of_an_ended_day(lease, buckets, left, now)
        for lease in sorted(leases, key=lambda lease: (lease.opened_at, lease.lease_id))
    )
    return Microcredits(max(0, backing - claimed))


def _claim_of_an_ended_day(lease: OutLease, buckets: list[Grant], left: dict[GrantId, int], now: Instant) -> int:
    """What an ended day's lease claims of today's credit, after it took what it can from `left`, in the order of deduction.

    Of the ended grants only the plan's count: every charge of that day may draw on them, so whichever is posted first, as
    much is drawn there. Credit given within the day may not be open to the charge that is left for last, and a voided grant is
    the last that a later charge draws on. A grant that still runs and is drawn on before an ended one (daily credit given for
    several days, at the end of a month) is claimed first.
    """
    need = int(lease.out)
    claimed = 0
    for grant in buckets:
        runs = not grant.has_ended(now) and grant.effective_at < lease.ends_at
        if runs or (_is_ended_plan_grant(grant, now) and grant.is_usable(lease.opened_at)):
            part = min(need, left[grant.grant_id])
            left[grant.grant_id] -= part
            need -= part
            claimed += part if runs else 0
    return claimed + need


def _is_ended_plan_grant(grant: Grant, now: Instant) -> bool:
    return grant.has_ended(now) and grant.period_key is not None and grant.voided_at is None
