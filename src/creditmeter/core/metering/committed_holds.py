"""What commits took off their holds, against what they charged: how many times too large holds are."""

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.values import Value
from creditmeter.core.work import ChargeFlag


class CommittedHold(Value, frozen=True):
    """What a commit took off its hold and what it charged, in microcredits.

    `action` is that of the work that was reserved; None if the hold was of a stated amount.
    """

    action: str | None
    held: Microcredits
    charged: Microcredits

    @property
    def is_exceeded(self) -> bool:
        """Whether more was charged than held."""
        return self.charged > self.held


def committed_hold(before: Reservation, after: Reservation, charge: Charge) -> CommittedHold | None:
    """What a commit took off the hold of a reservation. What it charged or gave back counts, and what stays held does not. So
    the commits of one reservation add up to all that it held.

    None for a late commit, whose hold had ended before, and where the charge says that nobody knows what was used.
    """
    if charge.late or ChargeFlag.ESTIMATED in charge.flags:
        return None
    action = None if before.work is None else before.work.action
    return CommittedHold(action, Microcredits(before.held - after.held), charge.cost)
