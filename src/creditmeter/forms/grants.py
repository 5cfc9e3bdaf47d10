"""The stored forms of grants and draws."""

from creditmeter.core.credit.administration import Voided
from creditmeter.core.credit.grants import Draw, Grant, GrantKind, GrantSource
from creditmeter.forms.body import Body, Form, Stored, form_of


@form_of(Draw)
class DrawForm(Stored):
    """Credit that a charge took from one grant, in microcredits."""

    grant_id: str
    kind: GrantKind
    amount: int
    returned: int = 0


@form_of(Grant)
class GrantForm(Body):
    """Credits given to an account, and what became of them, in microcredits."""

    grant_id: str
    kind: GrantKind
    amount: int
    remaining: int
    effective_at: int
    expires_at: int | None
    source: GrantSource
    created_at: int
    note: str = ""
    period_key: str | None = None
    charge_id: str | None = None
    drawn: int = 0
    refunded: int = 0
    lapsed: int = 0
    voided: int = 0
    voided_at: int | None = None


@form_of(Voided)
class VoidedForm(Body):
    """A grant after a part of it was taken back, and how much that was, in microcredits."""

    grant: GrantForm
    amount: int


GRANT = Form(GrantForm, Grant)
VOIDED = Form(VoidedForm, Voided)
DRAWS = Form(tuple[DrawForm, ...], tuple[Draw, ...])
