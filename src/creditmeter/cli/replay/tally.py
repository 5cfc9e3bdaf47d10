"""The counts of a replay, and the acknowledged charges and refunds that must be found again afterwards."""

from collections import Counter
from dataclasses import dataclass, field

from creditmeter.v1 import charges_pb2

PERCENTILES = (50, 90, 99)


@dataclass(slots=True)
class Tally:
    """Counts of one replay; amounts in microcredits, latencies in seconds with repetitions included.

    `charges` and `refunds` are what the sidecar acknowledged: by account, then id, what it costs or gives back. `refusals`
    are expected ends; `failures` are answers that must not be.
    """

    calls: int = 0
    committed: int = 0
    released: int = 0
    refunded: int = 0
    killed: int = 0
    late: int = 0
    replayed: int = 0
    held: int = 0
    used: int = 0
    seconds: float = 0
    refusals: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"Reserve": [], "Commit": []})
    charges: dict[str, dict[str, int]] = field(default_factory=dict)
    refunds: dict[str, dict[str, int]] = field(default_factory=dict)

    def charge(self, charge: charges_pb2.Charge, held_microcredits: int) -> None:
        """Note an acknowledged charge, and what was held for it."""
        of_account = self.charges.setdefault(charge.account_id, {})
        if charge.charge_id in of_account:
            self.failures["Commit: two calls got one charge"] += 1
        of_account[charge.charge_id] = charge.cost_microcredits
        self.committed += 1
        self.late += charge.late
        self.held += held_microcredits
        self.used += charge.cost_microcredits

    def refund(self, account_id: str, refund: charges_pb2.Refund) -> None:
        """Note an acknowledged refund."""
        self.refunds.setdefault(account_id, {})[refund.refund_id] = refund.amount_microcredits
        self.refunded += 1

    @property
    def given_back(self) -> int:
        """The sum of the acknowledged refunds, in microcredits."""
        return sum(sum(each.values()) for each in self.refunds.values())

    @property
    def acknowledged(self) -> int:
        """The number of acknowledged charges."""
        return sum(map(len, self.charges.values()))


def percentile(values: list[float], percent: int) -> float:
    """The value that `percent` of the values do not exceed (nearest rank); 0 if there are none."""
    if not values:
        return 0.0
    rank = -(-percent * len(values) // 100)
    return sorted(values)[max(rank, 1) - 1]
