"""Charges and refunds: the cost of calls, and cost that was given back.

A charge is a record of fact. The sidecar writes it when a call ends. When it is posted, the central store adds what it decides:
which grants the charge drew on, what became debt, and what was written off.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.cost_lines import CostLine
from creditmeter.core.credit.grants import Draw
from creditmeter.core.ids import AccountId, ChargeId, LeaseId, RefundId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value, astuple, field
from creditmeter.core.work import ChargeFlag, Usage


class StandIn(Value, frozen=True):
    """The model that a call was reserved for, and its variant, where they may have stood in for a model without a price."""

    provider: str
    model: str
    variant: str


class PricedPart(Value, frozen=True):
    """One response of a call, and what it cost by itself: in dollars, exactly, without the card's markup.

    `model` is the one that it was to be priced by; a flag says if another stood in. `counts` are its counts of tokens, by the
    names of the fields of `Usage`. `service_tier`, `speed`, `region` and `search_type` are what served it. `reported_cost_usd`
    is what its provider or gateway says that it cost, in dollars; None if it does not.
    """

    response_id: str
    model: str
    service_tier: str
    counts: Mapping[str, int]
    units: Mapping[str, int]
    cost_usd: Decimal
    flags: tuple[ChargeFlag, ...] = ()
    speed: str = ""
    region: str = ""
    search_type: str = ""
    reported_cost_usd: Decimal | None = None


class Cost(Value, frozen=True, eq=False):
    """What a call cost, and what the price followed from: the version of the rate card, and the usage (None if the amount was
    stated).

    `amount`, in microcredits, is what is charged. `exact_credits` is the price before rounding, minimum and cap. `usd` is the
    same in dollars, without the card's markup: exact for what is priced in dollars, else 28 digits of a quotient.

    `priced_parts` are the responses of a call that had several, or fees. `unread` are the paths in the provider's report of
    numbers that look like counts of tokens and were not read. `reported_cost_usd` is what the provider or gateway itself says
    that the call cost, in dollars; None if it does not. `priced_at` is the moment whose prices count, None if it was not said.
    `stand_in` is what the call was reserved for, if a model without a price made that count.

    `make_lines` makes the lines that add up to `exact_credits`, from the steps by which it was computed. Making them takes
    longer than pricing, and few are asked for. Costs are equal whatever it is.
    """

    amount: Microcredits
    exact_credits: Decimal
    usd: Decimal
    rate_card_version: str
    usage: Usage | None = None
    flags: tuple[ChargeFlag, ...] = ()
    priced_parts: tuple[PricedPart, ...] = ()
    unread: tuple[str, ...] = ()
    reported_cost_usd: Decimal | None = None
    priced_at: Instant | None = None
    stand_in: StandIn | None = None
    make_lines: Callable[[], tuple[CostLine, ...]] = tuple

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cost) and astuple(self)[:-1] == astuple(other)[:-1]

    def __hash__(self) -> int:
        return hash(self.exact_credits)

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """The lines that add up to `exact_credits`. They are not stored, and a stated amount has none."""
        return self.make_lines()


class Part(Value, frozen=True):
    """Credit of one lease, in microcredits, and the moment at which the sidecar authorised its use."""

    lease_id: LeaseId
    amount: Microcredits
    authorized_at: Instant


class Posting(Value, frozen=True):
    """What the central store decided about a charge. Amounts in microcredits.

    ``cost = covered + debt + uncovered + the debt that refunds cancelled``. All amounts of a duplicate are 0.
    """

    posted_at: Instant
    covered: Microcredits
    debt: Microcredits
    uncovered: Microcredits
    refunded: Microcredits
    draws: tuple[Draw, ...]
    duplicate_of: ChargeId | None = None


class Charge(Value, frozen=True):
    """The cost of one call, in microcredits.

    `parts` are the cost that leases cover, `excess` is the cost beyond them. `commit_number` counts the commits of one
    reservation from 1. `sent` becomes true before the charge is first sent to the central store. `priced_parts`, `unread`,
    `reported_cost_usd`, `priced_at` and `stand_in` are as in `Cost`; an older charge has no `priced_at`.
    `credential_id` is the token or certificate that opened its reservation, or made the charge; empty if none was shown.
    """

    charge_id: ChargeId
    account_id: AccountId
    request_id: RequestId
    reservation_id: ReservationId | None
    commit_number: int
    cost: Microcredits
    parts: tuple[Part, ...]
    excess: Microcredits
    exact_credits: Decimal
    cost_usd: Decimal
    usage: Usage | None
    rate_card_version: str
    authorized_at: Instant
    committed_at: Instant
    late: bool = False
    flags: tuple[ChargeFlag, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    sent: bool = False
    posting: Posting | None = None
    priced_parts: tuple[PricedPart, ...] = ()
    unread: tuple[str, ...] = ()
    reported_cost_usd: Decimal | None = None
    priced_at: Instant | None = None
    stand_in: StandIn | None = None
    credential_id: str = ""

    def __post_init__(self) -> None:
        assert self.cost == self.excess + sum(part.amount for part in self.parts), "a charge's parts make up its cost"

    @property
    def action(self) -> str:
        """The action of its usage, for history; empty if only an amount was given."""
        return self.usage.action if self.usage else ""


class RefundMode(Enum):
    """Where refunded credit goes. ORIGINAL: back to the grants it came from. GOODWILL: into a new permanent grant."""

    ORIGINAL = "ORIGINAL"
    GOODWILL = "GOODWILL"


class RefundPosting(Value, frozen=True):
    """What the central store did with a refund. Amounts in microcredits.

    `restored` is credit that the account has again, `lapsed` credit whose grant had ended or was voided. `never_paid` is the
    part of the refund that its charge had not cost the account after all. What remains of the refund cancelled debt.
    """

    posted_at: Instant
    restored: Microcredits
    lapsed: Microcredits
    never_paid: Microcredits = Microcredits(0)


class Refund(Value, frozen=True):
    """Cost given back, in microcredits."""

    refund_id: RefundId
    charge_id: ChargeId
    account_id: AccountId
    request_id: RequestId
    amount: Microcredits
    mode: RefundMode
    reason: str
    refunded_at: Instant
    posting: RefundPosting | None = None
