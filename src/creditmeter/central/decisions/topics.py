"""Topics: what a decision about an account may read of it, beside the account itself."""

from dataclasses import dataclass

from sqlalchemy import RowMapping

from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.schedule import CalendarChange
from creditmeter.core.ids import AccountId, ChargeId, GrantId, RequestId, ReservationId


@dataclass(frozen=True, slots=True)
class Topic:
    """What a decision is about, beside the account itself.

    `posts` are the charges that it posts; the sets name what else it may read. `listed` is how many grants, the first in the
    order of deduction, are to be shown.
    """

    posts: tuple[Charge, ...] = ()
    listed: int = 0
    charges: frozenset[ChargeId] = frozenset()
    requests: frozenset[RequestId] = frozenset()
    reservations: frozenset[ReservationId] = frozenset()
    refunded_charges: frozenset[ChargeId] = frozenset()
    refund_requests: frozenset[RequestId] = frozenset()
    grants: frozenset[GrantId] = frozenset()


NOTHING_ELSE = Topic()


@dataclass(frozen=True, slots=True)
class Asked:
    """An account that a decision about a topic is to be taken about, and its row."""

    row: RowMapping
    account: Account
    calendar_change: CalendarChange | None
    topic: Topic

    @property
    def account_id(self) -> AccountId:
        """The account's id."""
        return self.account.account_id
