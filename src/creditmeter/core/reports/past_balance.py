"""The balance of an account at a moment in the past: the sum of all lines of history that were posted then or before.

A charge that was made before and posted later is not in it. So it does not change afterwards, except by lines that are being
posted at that very moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.grants import Draw, GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.instants import DAY, Instant


def day_of(moment: Instant) -> Instant:
    """When the UTC day of a moment begins. Days of balances are in UTC whatever the account's time zone."""
    return Instant(moment - moment % DAY)


@dataclass(slots=True)
class PastBalance:
    """What was left of the grants of each kind after the line `last_entry`, in microcredits.

    `stated` is the balance that this line states; None if it was not read.
    """

    last_entry: int = 0
    by_kind: dict[GrantKind, int] = field(default_factory=lambda: dict.fromkeys(GrantKind, 0))
    stated: Microcredits | None = ZERO

    @property
    def balance(self) -> Microcredits:
        """What was left of all grants, in microcredits."""
        return Microcredits(sum(self.by_kind.values()))

    @property
    def adds_up(self) -> bool:
        """Whether the sum is what history states."""
        return self.stated is None or self.balance == self.stated

    def add(self, number: int, type_: EntryType, amount: int, kind: GrantKind | None, draws: Iterable[Draw]) -> None:
        """Add the next line of history. What it draws counts for the kinds of the draws, else its amount for its own kind."""
        self.last_entry = number
        drawn = tuple(draws)
        sign = 1 if type_ is EntryType.REFUNDED else -1
        for draw in drawn:
            self.by_kind[draw.kind] += sign * draw.amount
        if not drawn and kind is not None:
            self.by_kind[kind] += amount
