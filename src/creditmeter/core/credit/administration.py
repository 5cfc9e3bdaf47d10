"""The requests of operators and of the product's back end to the central store: changes of accounts and grants."""

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, AccountState, Alert
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.ids import AccountId, GrantId, PlanId, RequestId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value


class CreateAccount(Value, frozen=True):
    """Create an account. An `anchor_day` of 0 is the day of its creation. The central store sets `created_at`."""

    request_id: RequestId
    account: Account


class AccountUpdate(Value, frozen=True):
    """New values for an account, amounts in microcredits. None keeps the old value; an empty plan id removes the plan."""

    plan_id: PlanId | None = None
    time_zone: str | None = None
    anchor_day: int | None = None
    state: AccountState | None = None
    overdraft_limit: Microcredits | None = None
    max_open_reservations: int | None = None
    max_reservation: Microcredits | None = None
    offline_allowance: Microcredits | None = None
    alerts: tuple[Alert, ...] | None = None


class UpdateAccount(Value, frozen=True):
    """Change the terms of an account."""

    request_id: RequestId
    account_id: AccountId
    update: AccountUpdate


class GrantCredits(Value, frozen=True):
    """Give credit, `amount` in microcredits.

    An `effective_at` of None is now. An `expires_at` of None is never for PERMANENT credit, and else the running period's end.
    """

    request_id: RequestId
    account_id: AccountId
    kind: GrantKind
    amount: Microcredits
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    source: GrantSource = GrantSource.PROMOTION
    note: str = ""


class VoidGrant(Value, frozen=True):
    """Take a grant back: at once what is neither spent nor out on a lease, and what is out when it returns."""

    request_id: RequestId
    account_id: AccountId
    grant_id: GrantId


class Voided(Value, frozen=True):
    """A grant after it was voided, and how much of it was taken back at once, in microcredits."""

    grant: Grant
    amount: Microcredits
