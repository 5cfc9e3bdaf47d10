"""What is spent with each credential on a UTC day, and what its daily limit leaves.

A reservation or charge belongs to the credential that opened it. What that spent on a day is the cost of the charges that were
committed on it, whatever was refunded of them later; what its open reservations hold is added to that, whenever they were
opened. Only what asks for more is refused: a cost that was incurred counts, also beyond the limit.
"""

from collections.abc import Mapping

from creditmeter.core.access import DailyLimit
from creditmeter.core.amounts import MAX_BALANCE, ZERO, Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.instants import DAY, Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.refusals import DailyLimitExceeded
from creditmeter.core.values import Value, field


class Spender(Value, frozen=True):
    """Who work is charged to: the id of a credential (empty: none was shown), its daily limit if it has one, and what it has
    spent today and holds, in microcredits.
    """

    credential_id: str = ""
    limit: DailyLimit | None = None
    used: Microcredits = ZERO

    @property
    def left(self) -> Microcredits | None:
        """What the limit leaves, in microcredits; None without a limit. Nothing is left where incurred costs went beyond it."""
        return None if self.limit is None else Microcredits(max(0, self.limit.amount - self.used))

    def refusal_of(self, amount: int, now: Instant) -> DailyLimitExceeded | None:
        """Why no more work of this amount, in microcredits, may begin now; None if it may. What costs nothing may always."""
        left = self.left
        if self.limit is None or left is None or amount <= left:
            return None
        required, resets_at = Microcredits(amount), Instant((now // DAY + 1) * DAY)
        return DailyLimitExceeded(self.limit.name, self.limit.amount, required, left, resets_at, Span(resets_at - now))


NOBODY = Spender()
"""A caller without a credential, who has no limit."""


class Spent(Value, frozen=True):
    """What the charges of a few UTC days cost, in microcredits, by the day and the id of the credential that opened them. A day
    is the number of days since 1970-01-01. The one that was charged last comes last.
    """

    days: Mapping[int, Mapping[str, int]] = field(default_factory=dict)


NOTHING_SPENT = Spent()

DAYS_KEPT = 2
"""Of so many days sums are kept. A clock that is ahead over midnight and comes back goes on with the day that it left."""


class Spending:
    """The sums of all credentials on the UTC days that were charged last, and of what they hold. There are as many sums a day
    as credentials in use.
    """

    def __init__(self, spent: Spent = NOTHING_SPENT) -> None:
        self._spent = {day: dict(amounts) for day, amounts in spent.days.items()}
        self._held: dict[str, int] = {}

    def note(self, book: Book, change: Change) -> None:
        """Take in a change that is about to be applied to a book."""
        for each in change.reservations:
            if each.credential_id:
                before = book.reservations.get(each.reservation_id)
                self._hold(each.credential_id, each.held - (before.held if before is not None else 0))
        for charge in change.charges:
            if charge.credential_id and charge.charge_id not in book.charges:
                self.charge(charge)

    def note_holds(self, book: Book) -> None:
        """Take in what the open reservations of a book hold that was read from disk."""
        for each in book.reservations.values():
            if each.credential_id:
                self._hold(each.credential_id, each.held)

    def _hold(self, credential_id: str, more: int) -> None:
        held = self._held.pop(credential_id, 0) + more
        assert held >= 0, "held is the sum of open reservations"
        if held:
            self._held[credential_id] = held

    def charge(self, charge: Charge) -> None:
        """Note a charge that is new, for the day on which it was committed. Costs that were incurred have no bound: a sum ends
        at the largest that is stored.
        """
        if charge.credential_id:
            day = charge.committed_at // DAY
            amounts = self._spent[day] = self._spent.pop(day, {})  # it is the last one now
            amounts[charge.credential_id] = min(MAX_BALANCE, amounts.get(charge.credential_id, 0) + charge.cost)
            if len(self._spent) > DAYS_KEPT:
                del self._spent[next(iter(self._spent))]

    def used(self, credential_id: str, now: Instant) -> Microcredits:
        """What a credential has spent on the UTC day and holds, in microcredits."""
        spent = self._spent.get(now // DAY, {}).get(credential_id, 0)
        return Microcredits(spent + self._held.get(credential_id, 0))

    @property
    def spent(self) -> Spent:
        """What was spent on the days that were charged last."""
        return Spent({day: dict(amounts) for day, amounts in self._spent.items()})
