"""What a sidecar and the central store say to each other about one account.

One message does everything: it states what the sidecar holds on each of its leases, posts charges and refunds, and asks for
credit; one answer brings it all back. A message states totals and names all of the sidecar's unclosed leases on the account,
so it means the same however often it arrives, and what it does not name is not held. A charge that the answer does not
mention waits for credit that was recalled for it, and is sent again with the next message. `seq` orders the messages of one
(sidecar, epoch, account): one already applied gets its stored answer again, an older one has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Charge, Posting, Refund, RefundPosting
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.ids import AccountId, ChargeId, LeaseId, RefundId, RequestId, SidecarId
from creditmeter.core.instants import HOUR, MINUTE, Instant, Span
from creditmeter.core.refusals import AccountNotFound


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """A lease as the sidecar sees it: its limit once idle credit went back, what is held on it, and what is committed on it
    that neither was posted before nor goes along with the same message.
    """

    lease_id: LeaseId
    limit: Microcredits
    held: Microcredits
    unposted: Microcredits


@dataclass(frozen=True, slots=True)
class Need:
    """Credit asked for, in microcredits.

    `required` is what all waiting requests lack now, `smallest` what the most modest of them lacks: less than that is of no
    use. `wanted` is what would be good to have. `patience` is how long they will wait for what has to come from others.
    """

    required: Microcredits
    wanted: Microcredits
    smallest: Microcredits
    patience: Span = Span(0)


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call that was refused for lack of credit: what it was for, and how much it required, in microcredits."""

    request_id: RequestId
    refused_at: Instant
    action: str
    required: Microcredits


@dataclass(frozen=True, slots=True)
class Message:
    """From a sidecar, about one account.

    From the moment it was sent the sidecar authorises for `lease_ttl` on its leases, and what it authorises may be held for
    `max_hold_lifetime`. `is_steady` says that it has been in touch with the central store long enough for all others to have
    been heard too: only then may those who were not be given up for lost. `answers` says that it was composed after its sidecar
    was told that others wait for credit of this account. `refused` are calls that were refused for lack of credit since.
    """

    sidecar_id: SidecarId
    epoch: int
    account_id: AccountId
    seq: int
    leases: tuple[LeaseReport, ...] = ()
    charges: tuple[Charge, ...] = ()
    refunds: tuple[Refund, ...] = ()
    need: Need | None = None
    lease_ttl: Span = Span(10 * MINUTE)
    max_hold_lifetime: Span = HOUR
    is_steady: bool = False
    answers: bool = True
    refused: tuple[RefusedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """A lease as the central store has it after a message was applied."""

    lease_id: LeaseId
    opened_at: Instant
    ends_at: Instant
    limit: Microcredits
    posted: Microcredits


@dataclass(frozen=True, slots=True)
class Bucket:
    """One kind's grants that are usable now, in microcredits, and when the plan next gives credit of this kind (None: it gives
    none of it).
    """

    kind: GrantKind
    granted: Microcredits
    remaining: Microcredits
    next_reset_at: Instant | None


MAX_LISTED_GRANTS = 100
"""Most grants in one balance summary."""


@dataclass(frozen=True, slots=True)
class BalanceSummary:
    """The amounts of an account at `as_of`, in microcredits.

    `available` is net of debt. Idle credit on the leases of any sidecar counts as available.
    """

    as_of: Instant
    available: Microcredits
    held: Microcredits
    unposted: Microcredits
    leased: Microcredits
    debt: Microcredits
    buckets: tuple[Bucket, ...]
    grants: tuple[Grant, ...] = ()

    @property
    def next_reset_at(self) -> Instant | None:
        """When the plan next gives credit of any kind; None if it gives none."""
        return min((each.next_reset_at for each in self.buckets if each.next_reset_at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """From the central store, to one message.

    `short` is how much of what was required it did not give; `free` what it has left to give, `elsewhere` how much idle credit
    other sidecars had when they last spoke. If it is short, `is_pending` says that more may come: it was recalled, and not all
    who have it have answered. For `pending_for` whoever asked will be told of news, then it has to ask again.
    """

    seq: int
    account: Account
    standing: BalanceSummary
    leases: tuple[LeaseTerms, ...]
    postings: Mapping[ChargeId, Posting] = field(default_factory=dict)
    refund_postings: Mapping[RefundId, RefundPosting] = field(default_factory=dict)
    granted: Microcredits = Microcredits(0)
    short: Microcredits = Microcredits(0)
    free: Microcredits = Microcredits(0)
    elsewhere: Microcredits = Microcredits(0)
    is_pending: bool = False
    pending_for: Span = Span(0)


@dataclass(frozen=True, slots=True)
class Registered:
    """The epoch in which a sidecar may speak from now on, and the accounts on which it has unclosed leases."""

    epoch: int
    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another process speaks for this sidecar: its journal was copied, or it is running twice."""

    sidecar_id: SidecarId


@dataclass(frozen=True, slots=True)
class Outdated:
    """The message is older than one that was applied already. It had no effect."""

    applied_seq: int


@dataclass(frozen=True, slots=True)
class Preview:
    """An account, and how it would stand. What the message posts is not among the unposted."""

    account: Account
    standing: BalanceSummary


Reply = Answer | AccountNotFound | Outdated
