"""The Python client for workers: hold credit before a call, and charge what the call used.

    meter = Client()

    async with meter.hold("acme", model="claude-sonnet-4-5", input_tokens=9_400, max_output_tokens=4_000) as hold:
        reply = await anthropic.messages.create(…)
        charge = await hold.commit(reply.usage)

`Client` is for asynchronous programs, `SyncClient` for those that block; docs/workers.md explains both. Every error is a
`CreditmeterError`. Programs that want the whole contract use `creditmeter.client.stubs`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from creditmeter.client.access import Tls
    from creditmeter.client.channel import SERVICE_CONFIG
    from creditmeter.client.client import Client
    from creditmeter.client.errors import (
        AccountClosed,
        AccountNotFound,
        AccountSuspended,
        AdministrationRefused,
        AlreadyExists,
        AmountAboveLimit,
        CentralUnavailable,
        ChargeNotFound,
        CreditContended,
        CreditmeterError,
        DailyLimitExceeded,
        DeadlineExceeded,
        FieldViolation,
        InsufficientCredits,
        InvalidRequest,
        LimitExceeded,
        NotAllowed,
        NotFound,
        NotImplementedBySidecar,
        NotSettled,
        Overloaded,
        RefundExceedsCharge,
        RefundNotFound,
        RequestIdReused,
        ReservationCommitted,
        ReservationElsewhere,
        ReservationEnded,
        ReservationExpired,
        ReservationNotFound,
        ReservationReleased,
        ShuttingDown,
        SidecarFault,
        SidecarFenced,
        StorageDamaged,
        StorageUnavailable,
        StreamResumed,
        Unavailable,
        Unpriced,
        Unreachable,
    )
    from creditmeter.client.hold import Hold
    from creditmeter.client.retrying import Retry
    from creditmeter.client.sync import SyncClient, SyncHold
    from creditmeter.client.values import (
        Balance,
        Bucket,
        Charge,
        ChargePart,
        Draw,
        Grant,
        HistoryEntry,
        Quote,
        Refund,
        Reservation,
        Usage,
        Work,
    )
    from creditmeter.client.words import (
        ChargeFlag,
        GrantKind,
        GrantSource,
        HistoryType,
        MeterStopReason,
        RefundMode,
        ReservationState,
        UsageSource,
    )

__all__ = [
    "SERVICE_CONFIG",
    "AccountClosed",
    "AccountNotFound",
    "AccountSuspended",
    "AdministrationRefused",
    "AlreadyExists",
    "AmountAboveLimit",
    "Balance",
    "Bucket",
    "CentralUnavailable",
    "Charge",
    "ChargeFlag",
    "ChargeNotFound",
    "ChargePart",
    "Client",
    "CreditContended",
    "CreditmeterError",
    "DailyLimitExceeded",
    "DeadlineExceeded",
    "Draw",
    "FieldViolation",
    "Grant",
    "GrantKind",
    "GrantSource",
    "HistoryEntry",
    "HistoryType",
    "Hold",
    "InsufficientCredits",
    "InvalidRequest",
    "LimitExceeded",
    "MeterStopReason",
    "NotAllowed",
    "NotFound",
    "NotImplementedBySidecar",
    "NotSettled",
    "Overloaded",
    "Quote",
    "Refund",
    "RefundExceedsCharge",
    "RefundMode",
    "RefundNotFound",
    "RequestIdReused",
    "Reservation",
    "ReservationCommitted",
    "ReservationElsewhere",
    "ReservationEnded",
    "ReservationExpired",
    "ReservationNotFound",
    "ReservationReleased",
    "ReservationState",
    "Retry",
    "ShuttingDown",
    "SidecarFault",
    "SidecarFenced",
    "StorageDamaged",
    "StorageUnavailable",
    "StreamResumed",
    "SyncClient",
    "SyncHold",
    "Tls",
    "Unavailable",
    "Unpriced",
    "Unreachable",
    "Usage",
    "UsageSource",
    "Work",
]

_HOMES = {
    "access": "Tls",
    "channel": "SERVICE_CONFIG",
    "client": "Client",
    "errors": (
        "AccountClosed AccountNotFound AccountSuspended AdministrationRefused AlreadyExists AmountAboveLimit "
        "CentralUnavailable ChargeNotFound CreditContended CreditmeterError DailyLimitExceeded DeadlineExceeded FieldViolation "
        "InsufficientCredits InvalidRequest LimitExceeded NotAllowed NotFound NotImplementedBySidecar NotSettled "
        "Overloaded RefundExceedsCharge RefundNotFound RequestIdReused ReservationCommitted ReservationElsewhere "
        "ReservationEnded ReservationExpired ReservationNotFound ReservationReleased ShuttingDown SidecarFault "
        "SidecarFenced StorageDamaged StorageUnavailable StreamResumed Unavailable Unpriced Unreachable"
    ),
    "hold": "Hold",
    "retrying": "Retry",
    "sync": "SyncClient SyncHold",
    "values": "Balance Bucket Charge ChargePart Draw Grant HistoryEntry Quote Refund Reservation Usage Work",
    "words": "ChargeFlag GrantKind GrantSource HistoryType MeterStopReason RefundMode ReservationState UsageSource",
}
"""The modules that have these names. Each is imported when one of its names is first used: a sidecar needs the stubs alone, and
has no memory to spare for the rest.
"""


def __getattr__(name: str) -> object:
    """A name of this package that was not used before."""
    for module, names in _HOMES.items():
        if name in names.split():
            found: object = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """All names of this package."""
    return sorted(__all__)
