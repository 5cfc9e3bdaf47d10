"""The stored forms of charges and refunds."""

from decimal import Decimal

import msgspec

from creditmeter.core.credit.charges import Charge, Part, Posting, PricedPart, Refund, RefundMode, RefundPosting, StandIn
from creditmeter.core.work import ChargeFlag
from creditmeter.forms.body import Body, Form, Stored, form_of
from creditmeter.forms.grants import DrawForm
from creditmeter.forms.work import UsageForm


@form_of(Part)
class PartForm(Stored):
    """Credit of one lease, in microcredits."""

    lease_id: str
    amount: int
    authorized_at: int


@form_of(Posting)
class PostingForm(Stored):
    """What the central store decided about a charge, in microcredits."""

    posted_at: int
    covered: int
    debt: int
    uncovered: int
    refunded: int
    draws: tuple[DrawForm, ...]
    duplicate_of: str | None = None


@form_of(StandIn)
class StandInForm(Stored):
    """The model that a call was reserved for, and its variant."""

    provider: str
    model: str
    variant: str


@form_of(PricedPart)
class PricedPartForm(Stored, omit_defaults=True):
    """One response of a call, and what it cost by itself, in dollars."""

    response_id: str
    model: str
    service_tier: str
    counts: dict[str, int]
    units: dict[str, int]
    cost_usd: Decimal
    flags: tuple[ChargeFlag, ...] = ()
    speed: str = ""
    region: str = ""
    search_type: str = ""
    reported_cost_usd: Decimal | None = None


@form_of(Charge)
class ChargeForm(Body):
    """The cost of one call, in microcredits."""

    charge_id: str
    account_id: str
    request_id: str
    reservation_id: str | None
    commit_number: int
    cost: int
    parts: tuple[PartForm, ...]
    excess: int
    exact_credits: Decimal
    cost_usd: Decimal
    usage: UsageForm | None
    rate_card_version: str
    authorized_at: int
    committed_at: int
    late: bool = False
    flags: tuple[ChargeFlag, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    sent: bool = False
    posting: PostingForm | None = None
    priced_parts: tuple[PricedPartForm, ...] = ()
    unread: tuple[str, ...] = ()
    reported_cost_usd: Decimal | None = None
    priced_at: int | None = None
    stand_in: StandInForm | None = None
    credential_id: str = ""


@form_of(RefundPosting)
class RefundPostingForm(Stored):
    """What the central store did with a refund, in microcredits."""

    posted_at: int
    restored: int
    lapsed: int
    never_paid: int = 0


@form_of(Refund)
class RefundForm(Body):
    """Cost given back, in microcredits."""

    refund_id: str
    charge_id: str
    account_id: str
    request_id: str
    amount: int
    mode: RefundMode
    reason: str
    refunded_at: int
    posting: RefundPostingForm | None = None


CHARGE = Form(ChargeForm, Charge)
REFUND = Form(RefundForm, Refund)
