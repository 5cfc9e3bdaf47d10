"""What a sidecar has to say that its workers spent on a day: no less than it acknowledged, and no more than it ever charged.

Between the two lies what a crash came upon: whether it was written is not known here.
"""

from dataclasses import dataclass, field

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.requests import Receipt
from creditmeter.core.ids import ChargeId
from creditmeter.core.instants import DAY, Instant
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.spending import DAYS_KEPT, Spending
from tests.simulation.record import WORKER


@dataclass(slots=True)
class SpentByWorkers:
    """The charges of one machine, over all runs of its sidecar."""

    _made: dict[ChargeId, Charge] = field(default_factory=dict)
    _acknowledged: set[ChargeId] = field(default_factory=set)
    _days: dict[int, set[int]] = field(default_factory=dict)
    """The days that were charged, and which others were since the first charge of each."""

    def note(self, change: Change) -> None:
        """Note the charges that a sidecar is about to write."""
        for each in change.charges:
            if each.credential_id == WORKER and each.charge_id not in self._made:
                self._made[each.charge_id] = each
                day = each.committed_at // DAY
                self._days.setdefault(day, set())
                for other, since in self._days.items():
                    since.update({day} - {other})

    def acknowledge(self, receipt: Receipt) -> None:
        """Note that a charge is on disk."""
        if receipt.charge is not None and receipt.charge.charge_id in self._made:
            self._acknowledged.add(receipt.charge.charge_id)

    def problem(self, spending: Spending, held: int) -> str | None:
        """What a sidecar counts wrong, whose workers hold so much."""
        if spending.used(WORKER, Instant(-DAY)) != held:
            return f"{spending.used(WORKER, Instant(-DAY))} held by a credential, whose reservations hold {held}"
        for day in self._days.keys() | spending.spent.days.keys():
            counted = spending.used(WORKER, Instant(day * DAY)) - held
            made = {name: each.cost for name, each in self._made.items() if each.committed_at // DAY == day}
            least = sum(cost for name, cost in made.items() if name in self._acknowledged)
            is_kept = len(self._days.get(day, ())) < DAYS_KEPT
            if not (least if is_kept else 0) <= counted <= sum(made.values()):
                return f"{counted} spent with a credential on day {day}: {least} was acknowledged, {sum(made.values())} charged"
        return None
