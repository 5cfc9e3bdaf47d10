"""Accounts, and the plans that give them credit each day and each month."""

from enum import Enum
from typing import NamedTuple

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.ids import AccountId, PlanId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value

DEFAULT_TIME_ZONE = "UTC"
"""The time zone of an account that was created without one."""


class AccountState(Enum):
    """Whether an account may start new work. Open reservations commit in every state."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


class Alert(Value, frozen=True):
    """A threshold of low credit: an amount in microcredits, or a percentage of what was granted. The other one is 0."""

    amount: Microcredits = Microcredits(0)
    percent: int = 0


class Account(Value, frozen=True):
    """An account and its terms, amounts in microcredits. A 0 in `max_…` is the sidecar's default, any other 0 is 0."""

    account_id: AccountId
    created_at: Instant
    plan_id: PlanId | None = None
    time_zone: str = DEFAULT_TIME_ZONE
    anchor_day: int = 1
    state: AccountState = AccountState.ACTIVE
    overdraft_limit: Microcredits = Microcredits(0)
    max_open_reservations: int = 0
    max_reservation: Microcredits = Microcredits(0)
    offline_allowance: Microcredits = Microcredits(0)
    alerts: tuple[Alert, ...] = ()

    @property
    def calendar(self) -> Calendar:
        """The calendar that says when the account's days and months begin."""
        return Calendar(self.time_zone, self.anchor_day)


class Plan(Value, frozen=True):
    """The credit that an account is granted each day and each month, in microcredits."""

    plan_id: PlanId
    daily: Microcredits
    monthly: Microcredits


class AccountCursor(NamedTuple):
    """Where a page of accounts ended. Accounts are listed newest first."""

    created_at: Instant
    id: str
