"""The protocol between a sidecar and the central store: messages about one account, and their answers.

A message reports what the sidecar holds on each of its leases, posts charges and refunds, and asks for credit. Its answer has
the results of all three. A message states totals and names all of the sidecar's open leases on the account, so it has the
same meaning however often it arrives. A lease that it does not name has nothing held on it.

The answer acknowledges each charge that was posted. A charge without an acknowledgement waits for credit that was recalled for
it, and the sidecar sends it again with the next message. `seq` orders the messages of one (sidecar, epoch, account): a message
that was applied already gets its stored answer again, and an older one has no effect.
"""

from collections.abc import Mapping

from creditmeter.core.amounts import Microcredits
from creditmeter.core.awaited import Awaited
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Charge, Posting, Refund, RefundPosting
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.ids import AccountId, ChargeId, LeaseId, RefundId, RequestId, SidecarId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.values import Value, field

REPEAT_GRACE = Span(3 * SECOND)
"""How long a need that was not met in time keeps its place, and what was answered about it is remembered, for its caller to
repeat it.
"""


class LeaseReport(Value, frozen=True):
    """A lease as its sidecar sees it, in microcredits.

    `limit` is its limit after idle credit was returned. `held` is what open reservations hold on it. `unposted` is what was
    committed on it and is posted neither before nor by the same message.
    """

    lease_id: LeaseId
    limit: Microcredits
    held: Microcredits
    unposted: Microcredits


class Need(Value, frozen=True):
    """The credit that a message asks for, in microcredits.

    `required` is what all waiting requests lack together. `smallest` is what the smallest of them lacks: less than that is of
    no use. `wanted` is what the sidecar would like to have in hand. `patience` is how long the requests wait for credit that
    other sidecars have to return. Each request was asked for before, at `since` by the central store's count at the latest:
    what other sidecars said from then on counts as an answer to all of them. None: one was not, so all are to be asked.
    """

    required: Microcredits
    wanted: Microcredits
    smallest: Microcredits
    patience: Span = Span(0)
    since: Instant | None = None


class RefusedCall(Value, frozen=True):
    """A call that was refused for lack of credit: its action, and how much it required, in microcredits."""

    request_id: RequestId
    refused_at: Instant
    action: str
    required: Microcredits


class Message(Value, frozen=True):
    """A message from a sidecar about one account.

    The sidecar authorises on its leases for `lease_ttl` from when the message was sent, and what it authorises may be held for
    `max_hold_lifetime`. `answers`: the message was composed after the sidecar was notified that others wait for credit of this
    account. `refused` are the calls that were refused for lack of credit since the last message. Without `authorises` the
    sidecar stops: it authorises nothing on any of its leases from here on, unless the answer to a later message, also one of
    its next start, renews them. `keeps_place`: beside those that the need is for, there are requests whose callers were told a
    moment ago to ask again.
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
    answers: bool = True
    refused: tuple[RefusedCall, ...] = ()
    authorises: bool = True
    keeps_place: bool = False


class LeaseTerms(Value, frozen=True):
    """A lease as the central store has it after a message was applied, in microcredits."""

    lease_id: LeaseId
    opened_at: Instant
    ends_at: Instant
    limit: Microcredits
    posted: Microcredits


class Bucket(Value, frozen=True):
    """The sums of the grants of one kind that are usable now, in microcredits.

    `next_reset_at` is when the plan next gives credit of this kind; None if it gives none.
    """

    kind: GrantKind
    granted: Microcredits
    remaining: Microcredits
    next_reset_at: Instant | None


MAX_LISTED_GRANTS = 100
"""Most grants in one balance summary."""


class BalanceSummary(Value, frozen=True):
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


class Answer(Value, frozen=True):
    """The central store's answer to one message. Amounts in microcredits.

    `granted` is what was leased for the message's need, `short` what of the required amount was not, `free` what the account
    has left to lease, and `elsewhere` what was idle on the leases of other sidecars at their last messages. `is_pending` says
    that more may come: the missing credit was recalled, and not all sidecars that have it have answered. For `pending_for` the
    sidecar is notified as soon as it should ask again; after that it has to ask by itself. The need was asked for at
    `asked_at`, by the central store's count. For requests that were asked for until `heard_since` nothing more comes: what they
    lack is not there, and every sidecar that may have it has answered since. None: it is not known of any. `awaited` are
    sidecars that have not answered, the one that may bring most first. It is empty if what is pending is only promised to
    others who came first.
    """

    seq: int
    account: Account
    balance: BalanceSummary
    leases: tuple[LeaseTerms, ...]
    postings: Mapping[ChargeId, Posting] = field(default_factory=dict)
    refund_postings: Mapping[RefundId, RefundPosting] = field(default_factory=dict)
    granted: Microcredits = Microcredits(0)
    short: Microcredits = Microcredits(0)
    free: Microcredits = Microcredits(0)
    elsewhere: Microcredits = Microcredits(0)
    is_pending: bool = False
    pending_for: Span = Span(0)
    asked_at: Instant | None = None
    heard_since: Instant | None = None
    awaited: tuple[Awaited, ...] = ()


class Registered(Value, frozen=True):
    """The epoch of the messages of a sidecar from now on, and the accounts on which it has open leases."""

    epoch: int
    accounts: tuple[AccountId, ...]


class Fenced(Value, frozen=True):
    """Another process has registered as this sidecar: its journal was copied, or it is running twice."""

    sidecar_id: SidecarId


class Outdated(Value, frozen=True):
    """The message had no effect, because a newer one was applied before. `applied_seq` is the number of that one."""

    applied_seq: int


class Preview(Value, frozen=True):
    """An account, and its balance summary if a message were applied. What the message posts does not count as unposted."""

    account: Account
    balance: BalanceSummary


Reply = Answer | AccountNotFound | Outdated
