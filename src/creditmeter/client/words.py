"""The enums of the contract, as words: each is a `str`, so that it prints, compares and is stored as its name.

A number that only a newer sidecar knows becomes UNKNOWN.
"""

import re
from collections.abc import Mapping
from enum import Enum, unique
from functools import cache
from typing import TYPE_CHECKING, Any

from creditmeter.v1 import account_pb2, charges_pb2, grants_pb2, metering_pb2, reservations_pb2, work_pb2

if TYPE_CHECKING:
    from typing_extensions import Self

_CONTRACTS: Mapping[str, Any] = {
    "ChargeFlag": charges_pb2.ChargeFlag,
    "GrantKind": grants_pb2.GrantKind,
    "GrantSource": grants_pb2.GrantSource,
    "HistoryType": account_pb2.HistoryType,
    "MeterStopReason": metering_pb2.MeterStopReason,
    "RefundMode": charges_pb2.RefundMode,
    "ReservationState": reservations_pb2.ReservationState,
    "UsageSource": work_pb2.UsageSource,
}


class Word(str, Enum):
    """A value of an enum of the contract, by its name without the prefix."""

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def of(cls, number: int) -> "Self":
        """The word for a number of the contract. UNSPECIFIED and numbers of a newer sidecar are UNKNOWN."""
        return next((each for each in cls if each.number == number), cls("UNKNOWN"))

    @property
    def number(self) -> Any:
        """The number in the contract; 0 for UNKNOWN. The stubs have a type of their own for each enum's numbers."""
        return _numbers(type(self).__name__).get(self.value, 0)


@cache
def _numbers(name: str) -> Mapping[str, int]:
    """The numbers of an enum of the contract, by their names without the prefix."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    return {key.removeprefix(prefix): number for key, number in _CONTRACTS[name].items()}


@unique
class ChargeFlag(Word):
    """What a reader of a charge should know about how its cost came to be."""

    UNKNOWN = "UNKNOWN"
    FALLBACK_PRICE = "FALLBACK_PRICE"
    CONTRADICTORY_USAGE = "CONTRADICTORY_USAGE"
    MINIMUM = "MINIMUM"
    CAPPED = "CAPPED"
    ESTIMATED = "ESTIMATED"
    DUPLICATE = "DUPLICATE"
    UNKNOWN_TIER = "UNKNOWN_TIER"
    UNREAD_USAGE = "UNREAD_USAGE"
    LIST_PRICE = "LIST_PRICE"


@unique
class GrantKind(Word):
    """What decides first which grant is drawn on. UNKNOWN also where an entry is about several kinds or none."""

    UNKNOWN = "UNKNOWN"
    DAILY = "DAILY"
    MONTHLY = "MONTHLY"
    PERMANENT = "PERMANENT"


@unique
class GrantSource(Word):
    """Why a grant was given."""

    UNKNOWN = "UNKNOWN"
    PLAN = "PLAN"
    REFERRAL = "REFERRAL"
    PROMOTION = "PROMOTION"
    BONUS = "BONUS"
    PURCHASE = "PURCHASE"
    GOODWILL = "GOODWILL"


@unique
class HistoryType(Word):
    """What happened, in an entry of the history."""

    UNKNOWN = "UNKNOWN"
    GRANTED = "GRANTED"
    CHARGED = "CHARGED"
    REFUNDED = "REFUNDED"
    LAPSED = "LAPSED"
    VOIDED = "VOIDED"
    WRITTEN_OFF = "WRITTEN_OFF"
    DEBT_REPAID = "DEBT_REPAID"
    PLAN_CHANGED = "PLAN_CHANGED"
    LOW_BALANCE = "LOW_BALANCE"


@unique
class MeterStopReason(Word):
    """Why a streamed call should stop: its credit is used up, or its hold has ended. It is charged for what it used."""

    UNKNOWN = "UNKNOWN"
    HOLD_USED_UP = "HOLD_USED_UP"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    RESERVATION_ENDED = "RESERVATION_ENDED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    DAILY_LIMIT_EXCEEDED = "DAILY_LIMIT_EXCEEDED"


@unique
class RefundMode(Word):
    """Where refunded credit goes: back to the grants drawn on, or into a new permanent grant."""

    UNKNOWN = "UNKNOWN"
    ORIGINAL = "ORIGINAL"
    GOODWILL = "GOODWILL"


@unique
class ReservationState(Word):
    """HELD ends as COMMITTED, RELEASED or EXPIRED; a late commit turns EXPIRED into COMMITTED."""

    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


@unique
class UsageSource(Word):
    """Where the counts of a usage come from. UNKNOWN in a request means PROVIDER."""

    UNKNOWN = "UNKNOWN"
    PROVIDER = "PROVIDER"
    PARTIAL_STREAM = "PARTIAL_STREAM"
    ESTIMATED = "ESTIMATED"
