"""The stored forms of the six requests that change a sidecar's book, and of their first replies."""

from dataclasses import dataclass

import msgspec

from creditmeter.core.credit.charges import Charge, Refund, RefundMode
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, RefundCharge, Release, Request, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.forms.body import Body, Form, Kinds, form_of
from creditmeter.forms.charges import ChargeForm, RefundForm
from creditmeter.forms.reservations import ReservationForm
from creditmeter.forms.work import UsageForm, WorkForm


@form_of(Reserve)
class ReserveForm(Body):
    """Hold credit; the amount in microcredits."""

    request_id: str
    account_id: str
    work: WorkForm | None = None
    amount: int | None = None
    ttl: int | None = None
    allow_partial: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    is_metered: bool = False


@form_of(Extend)
class ExtendForm(Body):
    """Raise a hold; the amount in microcredits."""

    request_id: str
    reservation_id: str
    work: WorkForm | None = None
    amount: int | None = None
    ttl: int | None = None


@form_of(Commit)
class CommitForm(Body):
    """Charge what a reserved call used; the amount in microcredits."""

    request_id: str
    reservation_id: str
    usage: UsageForm | None = None
    amount: int | None = None
    keep_open: bool = False


@form_of(Release)
class ReleaseForm(Body):
    """Give a hold back."""

    request_id: str
    reservation_id: str
    reason: str = ""


@form_of(ChargeNow)
class ChargeNowForm(Body):
    """Reserve and commit in one step; the amount in microcredits."""

    request_id: str
    account_id: str
    usage: UsageForm | None = None
    amount: int | None = None
    already_incurred: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)


@form_of(RefundCharge)
class RefundChargeForm(Body):
    """Give a charge back; the amount in microcredits."""

    request_id: str
    charge_id: str
    amount: int | None = None
    mode: RefundMode = RefundMode.ORIGINAL
    reason: str = ""


REQUEST: Kinds[Request] = Kinds(
    {
        "Reserve": (ReserveForm, Reserve),
        "Extend": (ExtendForm, Extend),
        "Commit": (CommitForm, Commit),
        "Release": (ReleaseForm, Release),
        "ChargeNow": (ChargeNowForm, ChargeNow),
        "RefundCharge": (RefundChargeForm, RefundCharge),
    }
)


@dataclass(frozen=True, slots=True)
class FirstReply:
    """What a receipt has beside its request."""

    reservation: Reservation | None
    charge: Charge | None
    refund: Refund | None


@form_of(FirstReply)
class FirstReplyForm(Body):
    """What a receipt has beside its request."""

    reservation: ReservationForm | None
    charge: ChargeForm | None
    refund: RefundForm | None


FIRST_REPLY = Form(FirstReplyForm, FirstReply)
