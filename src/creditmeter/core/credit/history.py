"""The credit history: one entry for each thing that happened to an account's credit, with the balance after it.

An account's balance is what is left of all its grants that have not lapsed. The signed amounts of its entries add up to it.
"""

from collections.abc import Mapping
from enum import Enum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import Draw, GrantKind, GrantSource
from creditmeter.core.ids import ChargeId, GrantId, RefundId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value, field


class EntryType(Enum):
    """What happened. Entries of type WRITTEN_OFF, PLAN_CHANGED and LOW_BALANCE move no credit: their amount is 0."""

    GRANTED = "GRANTED"
    CHARGED = "CHARGED"
    REFUNDED = "REFUNDED"
    LAPSED = "LAPSED"
    VOIDED = "VOIDED"
    WRITTEN_OFF = "WRITTEN_OFF"
    DEBT_REPAID = "DEBT_REPAID"
    PLAN_CHANGED = "PLAN_CHANGED"
    LOW_BALANCE = "LOW_BALANCE"


class Entry(Value, frozen=True):
    """One line of history. `amount` is the change of the balance, `balance_after` the balance then, in microcredits.

    `sources` are the sources of the grants that it names.
    """

    type: EntryType
    amount: Microcredits
    balance_after: Microcredits
    occurred_at: Instant
    posted_at: Instant
    kind: GrantKind | None = None
    grant_id: GrantId | None = None
    charge_id: ChargeId | None = None
    refund_id: RefundId | None = None
    draws: tuple[Draw, ...] = ()
    action: str = ""
    model: str = ""
    tool: str = ""
    quantity: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    rate_card_version: str = ""
    note: str = ""
    number: int = 0
    sources: frozenset[GrantSource] = frozenset()

    @property
    def kinds(self) -> frozenset[GrantKind]:
        """The kinds of the grants that it names: of its own grant and of those in its draws."""
        return frozenset(kind for kind in (self.kind, *(draw.kind for draw in self.draws)) if kind is not None)

    @property
    def grant_ids(self) -> frozenset[GrantId]:
        """The grants that it names."""
        return frozenset(name for name in (self.grant_id, *(draw.grant_id for draw in self.draws)) if name is not None)


class LabelFilter(Value, frozen=True):
    """The label to look for: a key with this value; None is any value."""

    key: str
    value: str | None = None


class HistoryFilter(Value, frozen=True):
    """The lines of history to show: those that match every field that is set. `[start, end)` is compared with `occurred_at`."""

    types: tuple[EntryType, ...] = ()
    kinds: tuple[GrantKind, ...] = ()
    source: GrantSource | None = None
    label: LabelFilter | None = None
    action: str = ""
    model: str = ""
    tool: str = ""
    start: Instant | None = None
    end: Instant | None = None

    def has(self, pending: Charge) -> bool:
        """Whether it is certain that the line of a charge that waits to be posted will match.

        Nobody knows yet which grants it will draw on. So it does not match a filter by kinds or by source.
        """
        usage = pending.usage
        model = (usage.response_model or usage.request_model) if usage else ""
        tool = usage.tool if usage else ""
        words = ((self.action, pending.action), (self.model, model), (self.tool, tool))
        return (
            (not self.types or EntryType.CHARGED in self.types)
            and not self.kinds
            and self.source is None
            and (self.label is None or _carries(pending.labels, self.label))
            and (self.start is None or self.start <= pending.committed_at)
            and (self.end is None or pending.committed_at < self.end)
            and all(wanted in ("", word) for wanted, word in words)
        )


def _carries(labels: Mapping[str, str], label: LabelFilter) -> bool:
    return label.key in labels and label.value in (None, labels[label.key])
