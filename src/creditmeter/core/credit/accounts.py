"""Accounts and plans: who may be charged, and what they are given by themselves."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.ids import AccountId, PlanId
from creditmeter.core.instants import Instant

DEFAULT_TIME_ZONE = "UTC"
"""Where the days of an account begin unless it says otherwise."""


class AccountState(Enum):
    """Whether an account may start new work. Open holds commit in every state."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold of low credit: an amount in microcredits, or a share of what was granted in percent; the other is 0."""

    amount: Microcredits = Microcredits(0)
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """What is agreed with one account. Amounts in microcredits; a limit of 0 means the server's default."""

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
        """Where this account's days and months begin."""
        return Calendar(self.time_zone, self.anchor_day)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an account is granted by itself, in microcredits, each day and each month."""

    plan_id: PlanId
    daily: Microcredits
    monthly: Microcredits


class AccountCursor(NamedTuple):
    """Where a page of accounts ended: they come newest first."""

    created_at: Instant
    id: str
