"""What the client takes and gives: plain values that do not change.

Their fields are those of the messages of the contract, by the same names (proto/creditmeter/v1 explains each). Amounts are
whole microcredits, of which 1,000,000 are a credit; beside the main one stands its number of credits. Times are in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, NoReturn, TypeVar

from creditmeter.client.words import (
    ChargeFlag,
    GrantKind,
    GrantSource,
    HistoryType,
    RefundMode,
    ReservationState,
    UsageSource,
)

_Value = TypeVar("_Value")

_EXACT = Context(prec=40)


class FrozenDict(dict[str, _Value]):
    """A dict that does not change. It is equal to a dict of the same items, and can be copied, pickled and written as JSON."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this dict cannot be changed; make another one from it with dict()")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type["FrozenDict[_Value]"], tuple[dict[str, _Value]]]:
        return FrozenDict, (dict(self),)


def _none() -> FrozenDict[Any]:
    return FrozenDict()


def credits_of(microcredits: int) -> Decimal:
    """An amount in credits, exactly, whatever the context of decimals is."""
    return _EXACT.divide(Decimal(microcredits), Decimal(1_000_000))


@dataclass(frozen=True, slots=True)
class Work:
    """What a call is about to do, as an upper bound. None: not said."""

    action: str = "text"
    provider: str = ""
    request_model: str = ""
    input_tokens: int | None = None
    max_output_tokens: int | None = None
    quantity: int | None = None
    variant: str = ""
    tool: str = ""
    service_tier: str = ""
    cache_creation_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0
    units: Mapping[str, int] = field(default_factory=_none)
    audio_input_tokens: int = 0
    image_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call did. None: not known; an explicit 0 is 0. In a commit, what is not said comes from the work."""

    action: str = ""
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_1h_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    quantity: int | None = None
    variant: str = ""
    tool: str = ""
    response_id: str = ""
    source: UsageSource = UsageSource.PROVIDER
    provider_usage_json: str = ""
    units: Mapping[str, int] = field(default_factory=_none)
    service_tier: str = ""
    speed: str = ""
    region: str = ""
    search_type: str = ""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A hold on credits of one account, as it was when the sidecar answered."""

    reservation_id: str
    account_id: str
    state: ReservationState
    held_microcredits: int
    charged_microcredits: int
    charge_ids: tuple[str, ...]
    max_output_tokens: int
    created_at: datetime | None
    expires_at: datetime | None
    rate_card_version: str
    labels: Mapping[str, str]
    work: Work | None
    progress: Usage | None

    @property
    def credits(self) -> Decimal:
        """What is held, in credits."""
        return credits_of(self.held_microcredits)


@dataclass(frozen=True, slots=True)
class Draw:
    """Credit taken from one grant."""

    grant_id: str
    kind: GrantKind
    amount_microcredits: int

    @property
    def credits(self) -> Decimal:
        """What was taken, in credits."""
        return credits_of(self.amount_microcredits)


@dataclass(frozen=True, slots=True)
class ChargePart:
    """One response of a call that had several, and what it cost by itself."""

    response_id: str
    model: str
    service_tier: str
    usage: Usage | None
    cost_usd: Decimal
    flags: tuple[ChargeFlag, ...]


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of one call. `posted_at` is None until it is settled; then the draws and what was covered are known."""

    charge_id: str
    reservation_id: str
    account_id: str
    request_id: str
    cost_microcredits: int
    covered_microcredits: int
    uncovered_microcredits: int
    refunded_microcredits: int
    exact_credits: Decimal
    cost_usd: Decimal
    late: bool
    flags: tuple[ChargeFlag, ...]
    action: str
    usage: Usage | None
    labels: Mapping[str, str]
    rate_card_version: str
    authorized_at: datetime | None
    committed_at: datetime | None
    posted_at: datetime | None
    draws: tuple[Draw, ...]
    debt_microcredits: int
    duplicate_of_charge_id: str
    parts: tuple[ChargePart, ...]
    unread: tuple[str, ...]
    reported_cost_usd: Decimal | None

    @property
    def credits(self) -> Decimal:
        """What it costs, in credits."""
        return credits_of(self.cost_microcredits)


@dataclass(frozen=True, slots=True)
class Refund:
    """Cost given back for one charge. What was restored and what lapsed is known once it is posted."""

    refund_id: str
    charge_id: str
    amount_microcredits: int
    restored_microcredits: int
    lapsed_microcredits: int
    posted_at: datetime | None
    mode: RefundMode
    reason: str
    never_paid_microcredits: int

    @property
    def credits(self) -> Decimal:
        """What is refunded, in credits."""
        return credits_of(self.amount_microcredits)


@dataclass(frozen=True, slots=True)
class Quote:
    """What work would cost: from `min_microcredits` to `max_microcredits`, which a hold takes."""

    min_microcredits: int
    max_microcredits: int
    rate_card_version: str
    affordable: bool
    affordable_output_tokens: int

    @property
    def credits(self) -> Decimal:
        """The most that it can cost, in credits."""
        return credits_of(self.max_microcredits)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The grants of one kind that are usable now."""

    kind: GrantKind
    granted_microcredits: int
    remaining_microcredits: int
    next_reset_at: datetime | None

    @property
    def credits(self) -> Decimal:
        """What is left, in credits."""
        return credits_of(self.remaining_microcredits)


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit given to an account."""

    grant_id: str
    account_id: str
    kind: GrantKind
    amount_microcredits: int
    remaining_microcredits: int
    effective_at: datetime | None
    expires_at: datetime | None
    source: GrantSource
    note: str
    created_at: datetime | None
    voided_at: datetime | None

    @property
    def credits(self) -> Decimal:
        """What is left of it, in credits."""
        return credits_of(self.remaining_microcredits)


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account may spend now. `stale`: the central store could not be asked."""

    available_microcredits: int
    held_microcredits: int
    unposted_microcredits: int
    leased_microcredits: int
    debt_microcredits: int
    plan_id: str
    buckets: tuple[Bucket, ...]
    grants: tuple[Grant, ...]
    as_of: datetime | None
    stale: bool

    @property
    def credits(self) -> Decimal:
        """What may be spent, in credits."""
        return credits_of(self.available_microcredits)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to an account's credit, with the balance after it."""

    entry_id: str
    type: HistoryType
    amount_microcredits: int
    balance_after_microcredits: int
    kind: GrantKind
    grant_id: str
    charge_id: str
    refund_id: str
    draws: tuple[Draw, ...]
    action: str
    model: str
    tool: str
    quantity: int
    labels: Mapping[str, str]
    rate_card_version: str
    occurred_at: datetime | None
    posted_at: datetime | None
    note: str

    @property
    def credits(self) -> Decimal:
        """What it added to the balance, in credits, or took from it, below 0."""
        return credits_of(self.amount_microcredits)
