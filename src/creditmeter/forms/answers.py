"""The stored form of answers: what a sidecar gets again if it sends its last message again."""

import msgspec

from creditmeter.core.awaited import Awaited
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.messages import Answer, BalanceSummary, Bucket, LeaseTerms
from creditmeter.forms.accounts import AccountForm
from creditmeter.forms.body import Body, Form, Stored, form_of
from creditmeter.forms.charges import PostingForm, RefundPostingForm
from creditmeter.forms.grants import GrantForm


@form_of(Bucket)
class BucketForm(Stored):
    """One kind's grants, in microcredits."""

    kind: GrantKind
    granted: int
    remaining: int
    next_reset_at: int | None


@form_of(BalanceSummary)
class BalanceSummaryForm(Stored):
    """How an account's credit stands, in microcredits."""

    as_of: int
    available: int
    held: int
    unposted: int
    leased: int
    debt: int
    buckets: tuple[BucketForm, ...]
    grants: tuple[GrantForm, ...] = ()


@form_of(LeaseTerms)
class LeaseTermsForm(Stored):
    """A lease as the central store has it; amounts in microcredits."""

    lease_id: str
    opened_at: int
    ends_at: int
    limit: int
    posted: int


@form_of(Awaited)
class AwaitedForm(Stored):
    """A sidecar that has not answered a recall; the amount in microcredits."""

    sidecar_id: str
    amount: int
    until: int


@form_of(Answer)
class AnswerForm(Body):
    """The answer to one message; amounts in microcredits."""

    seq: int
    account: AccountForm
    balance: BalanceSummaryForm = msgspec.field(name="standing")
    leases: tuple[LeaseTermsForm, ...]
    postings: dict[str, PostingForm] = msgspec.field(default_factory=dict)
    refund_postings: dict[str, RefundPostingForm] = msgspec.field(default_factory=dict)
    granted: int = 0
    short: int = 0
    free: int = 0
    elsewhere: int = 0
    is_pending: bool = False
    pending_for: int = 0
    asked_at: int | None = None
    heard_since: int | None = None
    awaited: tuple[AwaitedForm, ...] = ()


ANSWER = Form(AnswerForm, Answer)
