"""The changes that operators and the product's back end ask the central store for: of accounts and of grants."""

from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, AccountState, Alert
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.ids import AccountId, GrantId, PlanId, RequestId
from creditmeter.core.instants import Instant


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Open an account. `anchor_day` 0 is the day of its creation; `created_at` is the central store's to set."""

    request_id: RequestId
    account: Account


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """New values for an account; None leaves a value as it is. An empty plan id takes the plan away."""

    plan_id: PlanId | None = None
    time_zone: str | None = None
    anchor_day: int | None = None
    state: AccountState | None = None
    overdraft_limit: Microcredits | None = None
    max_open_reservations: int | None = None
    max_reservation: Microcredits | None = None
    offline_allowance: Microcredits | None = None
    alerts: tuple[Alert, ...] | None = None


@dataclass(frozen=True, slots=True)
class UpdateAccount:
    """Change what is agreed with an account."""

    request_id: RequestId
    account_id: AccountId
    update: AccountUpdate


@dataclass(frozen=True, slots=True)
class GrantCredits:
    """Give credit. `effective_at` None is now; `expires_at` None is never (PERMANENT) or the running period's end."""

    request_id: RequestId
    account_id: AccountId
    kind: GrantKind
    amount: Microcredits
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    source: GrantSource = GrantSource.PROMOTION
    note: str = ""


@dataclass(frozen=True, slots=True)
class VoidGrant:
    """Take a grant back: what is neither spent nor out on a lease at once, what is out when it returns."""

    request_id: RequestId
    account_id: AccountId
    grant_id: GrantId


@dataclass(frozen=True, slots=True)
class Voided:
    """A grant after a part of it was taken back, and how much that was, in microcredits."""

    grant: Grant
    amount: Microcredits
