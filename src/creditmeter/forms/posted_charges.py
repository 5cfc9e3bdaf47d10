"""Of a posted charge's body no more than a query needs, which is quick to read. The names are those of the whole form."""

from decimal import Decimal

import msgspec

from creditmeter.core.credit.grants import Draw, GrantKind
from creditmeter.core.instants import Instant
from creditmeter.core.reports.usage_summary import Paid, PaidBy, Spent, SpentPart, UsedCharge
from creditmeter.forms.body import Body, Form, Stored, decoded, form_of
from creditmeter.forms.grants import DrawForm


@form_of(PaidBy)
class PaidByForm(Stored):
    """Of a draw, what a summary needs."""

    kind: GrantKind
    amount: int
    returned: int = 0


@form_of(Paid)
class PaidForm(Stored):
    """Of a posting, what a summary needs."""

    covered: int
    debt: int
    uncovered: int
    refunded: int
    draws: tuple[PaidByForm, ...]


@form_of(Spent)
class SpentForm(Stored):
    """Of a usage, what a summary needs."""

    action: str = ""
    request_model: str = ""
    response_model: str = ""
    tool: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    quantity: int | None = None


@form_of(SpentPart)
class SpentPartForm(Stored):
    """Of a response, what a summary needs."""

    model: str
    counts: dict[str, int]
    cost_usd: Decimal


@form_of(UsedCharge)
class UsedChargeForm(Body):
    """Of a charge, what a summary needs."""

    cost: int
    cost_usd: Decimal
    committed_at: int
    posting: PaidForm
    usage: SpentForm | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    priced_parts: tuple[SpentPartForm, ...] = ()


USED_CHARGE = Form(UsedChargeForm, UsedCharge)


class ForecastPosting(Stored):
    """Of a posting, what a forecast needs."""

    draws: tuple[DrawForm, ...]


class ForecastUsage(Stored):
    """Of a usage, what a forecast needs."""

    action: str = ""
    input_tokens: int | None = None


class ForecastCharge(Body):
    """Of a charge, what a forecast needs; amounts in microcredits."""

    cost: int
    authorized_at: Instant
    committed_at: Instant
    posting: ForecastPosting
    reservation_id: str | None = None
    usage: ForecastUsage | None = None


_decode_forecast_charge = msgspec.json.Decoder(ForecastCharge).decode


def forecast_charge(body: str) -> ForecastCharge:
    """What a forecast needs of the charge with this body.

    Raises:
        BodyUnreadable: the body is damaged, or of a newer form.
    """
    return decoded(body, lambda: _decode_forecast_charge(body))


class _Drawn(Body):
    """Of a charge, its draws."""

    posting: ForecastPosting


_decode_drawn = msgspec.json.Decoder(_Drawn).decode


def draws_of(body: str) -> tuple[Draw, ...]:
    """The draws of a charge with this body.

    Raises:
        BodyUnreadable: the body is damaged, or of a newer form.
    """
    return decoded(body, lambda: msgspec.convert(_decode_drawn(body).posting.draws, tuple[Draw, ...], from_attributes=True))
