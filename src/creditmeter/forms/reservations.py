"""The stored form of reservations."""

import msgspec

from creditmeter.core.credit.reservations import MeteredCall, Reservation, ReservationState
from creditmeter.forms.body import Body, Form, form_of
from creditmeter.forms.charges import PartForm
from creditmeter.forms.work import UsageForm, WorkForm


@form_of(MeteredCall)
class MeteredCallForm(Body):
    """What a stream reported last."""

    progress: UsageForm | None = None


@form_of(Reservation)
class ReservationForm(Body):
    """A hold; amounts in microcredits."""

    reservation_id: str
    account_id: str
    request_id: str
    state: ReservationState
    parts: tuple[PartForm, ...]
    created_at: int
    expires_at: int
    rate_card_version: str
    work: WorkForm | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    charged: int = 0
    charge_ids: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    ended_at: int | None = None
    release_reason: str = ""
    metered: MeteredCallForm | None = None
    credential_id: str = ""


RESERVATION = Form(ReservationForm, Reservation)
