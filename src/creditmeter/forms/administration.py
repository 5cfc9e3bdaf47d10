"""The stored forms of the requests that the central store decides, and of their first replies."""

from typing import Any, TypeVar

from creditmeter.core.credit.accounts import Account, AccountState
from creditmeter.core.credit.administration import (
    AccountUpdate,
    CreateAccount,
    GrantCredits,
    UpdateAccount,
    Voided,
    VoidGrant,
)
from creditmeter.core.credit.charges import Refund
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.credit.requests import RefundCharge
from creditmeter.forms.accounts import ACCOUNT, AccountForm, AlertForm
from creditmeter.forms.body import Body, Form, Kinds, Stored, form_of
from creditmeter.forms.charges import REFUND
from creditmeter.forms.grants import GRANT, VOIDED
from creditmeter.forms.requests import RefundChargeForm

_Reply = TypeVar("_Reply")


@form_of(CreateAccount)
class CreateAccountForm(Body):
    """Open an account."""

    request_id: str
    account: AccountForm


@form_of(AccountUpdate)
class AccountUpdateForm(Stored):
    """New values for an account; amounts in microcredits."""

    plan_id: str | None = None
    time_zone: str | None = None
    anchor_day: int | None = None
    state: AccountState | None = None
    overdraft_limit: int | None = None
    max_open_reservations: int | None = None
    max_reservation: int | None = None
    offline_allowance: int | None = None
    alerts: tuple[AlertForm, ...] | None = None


@form_of(UpdateAccount)
class UpdateAccountForm(Body):
    """Change what is agreed with an account."""

    request_id: str
    account_id: str
    update: AccountUpdateForm


@form_of(GrantCredits)
class GrantCreditsForm(Body):
    """Give credit; the amount in microcredits."""

    request_id: str
    account_id: str
    kind: GrantKind
    amount: int
    effective_at: int | None = None
    expires_at: int | None = None
    source: GrantSource = GrantSource.PROMOTION
    note: str = ""


@form_of(VoidGrant)
class VoidGrantForm(Body):
    """Take a grant back."""

    request_id: str
    account_id: str
    grant_id: str


CentralRequest = CreateAccount | UpdateAccount | GrantCredits | VoidGrant | RefundCharge

CENTRAL_REQUEST: Kinds[CentralRequest] = Kinds(
    {
        "CreateAccount": (CreateAccountForm, CreateAccount),
        "UpdateAccount": (UpdateAccountForm, UpdateAccount),
        "GrantCredits": (GrantCreditsForm, GrantCredits),
        "VoidGrant": (VoidGrantForm, VoidGrant),
        "RefundCharge": (RefundChargeForm, RefundCharge),
    }
)

_REPLIES: dict[type, Form[Any]] = {Account: ACCOUNT, Grant: GRANT, Voided: VOIDED, Refund: REFUND}


def reply_form(reply: type[_Reply]) -> Form[_Reply]:
    """The form of replies of this type."""
    return _REPLIES[reply]
