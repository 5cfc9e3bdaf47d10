"""Ids, and what some of them carry.

The id of a reservation, charge or refund carries the key of its account and the sidecar that made it. So every sidecar can name
the sidecar that has a reservation, and the central store finds a charge under its account. An account's key is a short digest
of its id: 80 bits of BLAKE2b (RFC 7693) in base 32, 16 characters.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

AccountId = NewType("AccountId", str)
AccountKey = NewType("AccountKey", str)
SidecarId = NewType("SidecarId", str)
RequestId = NewType("RequestId", str)
ReservationId = NewType("ReservationId", str)
ChargeId = NewType("ChargeId", str)
RefundId = NewType("RefundId", str)
GrantId = NewType("GrantId", str)
LeaseId = NewType("LeaseId", str)
PlanId = NewType("PlanId", str)

MAX_ID_LENGTH = 128
_PRINTABLE = re.compile(r"[!-~]{1,128}")
_MADE_HERE = re.compile(r"(res|chg|ref)-([a-z2-7]{16})-([a-z0-9]{1,32})-([0-9a-z]{1,40})")


def is_id(text: str) -> bool:
    """Whether the text is 1-128 printable ASCII characters without spaces."""
    return _PRINTABLE.fullmatch(text) is not None


@lru_cache(maxsize=65_536)
def account_key(account_id: AccountId) -> AccountKey:
    """The account's key: the 16 characters that stand for it inside other ids."""
    digest = hashlib.blake2b(account_id.encode(), digest_size=10).digest()
    return AccountKey(base64.b32encode(digest).decode().lower())


@dataclass(frozen=True, slots=True)
class Origin:
    """What an id carries: its kind (`res`, `chg` or `ref`), the key of its account, and the sidecar that made it."""

    kind: str
    account_key: AccountKey
    sidecar_id: SidecarId


@lru_cache(maxsize=1_024)
def origin_of(made_id: str) -> Origin | None:
    """The origin in the id of a reservation, charge or refund; None for any other text."""
    match = _MADE_HERE.fullmatch(made_id)
    if match is None:
        return None
    return Origin(match[1], AccountKey(match[2]), SidecarId(match[3]))


def _made(kind: str, account_id: AccountId, sidecar_id: SidecarId, tail: str) -> str:
    return f"{kind}-{account_key(account_id)}-{sidecar_id}-{tail}"


def reservation_id(account_id: AccountId, sidecar_id: SidecarId, tail: str) -> ReservationId:
    """The id of a new reservation; `tail` is unique within the sidecar."""
    return ReservationId(_made("res", account_id, sidecar_id, tail))


def charge_id(account_id: AccountId, sidecar_id: SidecarId, tail: str) -> ChargeId:
    """The id of a new charge; `tail` is unique within the sidecar."""
    return ChargeId(_made("chg", account_id, sidecar_id, tail))


def refund_id(account_id: AccountId, sidecar_id: SidecarId, tail: str) -> RefundId:
    """The id of a new refund; `tail` is unique within the sidecar."""
    return RefundId(_made("ref", account_id, sidecar_id, tail))


def grant_id(account_id: AccountId, request_id: RequestId) -> GrantId:
    """The id of the grant that a request gives. One request gives one grant."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=10).digest()
    return GrantId(f"gra-{account_key(account_id)}-{base64.b32encode(digest).decode().lower()}")


def entry_id(account_id: AccountId, number: int) -> str:
    """The id of a line of an account's history."""
    return f"his-{account_key(account_id)}-{number}"


def lease_id(account_id: AccountId, sidecar_id: SidecarId, opened_at: int) -> LeaseId:
    """The id of the lease that was opened for a sidecar on an account at a moment, in microseconds.

    It has the moment and not the day, since a sidecar may have two leases on one day: a lease that was reclaimed, or was opened
    before a grant was voided, is followed by another one.
    """
    return LeaseId(f"lea-{account_key(account_id)}-{sidecar_id}-{opened_at}")


def offline_lease_id(account_id: AccountId, sidecar_id: SidecarId, now: int, boot: int) -> LeaseId:
    """The id of the allowance of an account on a sidecar for one outage of the central store.

    `now` is the time of day and `boot` the time since boot, in microseconds. The time of day may stand still or be set back, so
    the time since boot tells two outages apart.
    """
    return LeaseId(f"off-{account_key(account_id)}-{sidecar_id}-{now}-{boot}")
