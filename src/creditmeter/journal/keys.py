"""The keys under which the index of the log has a record, and their hashes."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from creditmeter.core.credit.requests import Reserve
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, RequestId, account_key
from creditmeter.core.metering.book import Change


def request_key(account_id: AccountId, request_id: RequestId) -> str:
    """The key of a request of an account."""
    return f"{account_key(account_id)}/{request_id}"


def account_record_key(account_id: AccountId) -> str:
    """The key of what was last known of an account."""
    return f"account/{account_id}"


def made_key(account_id: AccountId) -> str:
    """The key of all reservations that were made for an account."""
    return f"made/{account_key(account_id)}"


def request_keys_of(change: Change) -> Iterator[str]:
    """The keys of the requests that a change is the answer to."""
    return (request_key(change.account_id, each.request.request_id) for each in change.receipts)


def other_keys_of(change: Change) -> Iterator[str]:
    """The other keys under which a change is asked for once it is on disk: not those of what can still change, which is in
    memory.
    """
    yield from (made_key(change.account_id) for each in change.receipts if isinstance(each.request, Reserve))
    yield from (each.reservation_id for each in change.reservations if each.state is not ReservationState.HELD)
    yield from (each.refund_id for each in change.refunds if each.posting is not None)
    if change.account is not None:
        yield account_record_key(change.account_id)


def hash_of(key: str) -> int:
    """64 bits of a key, as SQLite's integers: BLAKE2b (RFC 7693)."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), signed=True)


class Hashes(NamedTuple):
    """The hashes of the keys of a record: of the requests that it is the answer to, and of all others."""

    requests: Sequence[int]
    others: Sequence[int]


def hashes_of(change: Change) -> Hashes:
    """Under which hashes a record is entered."""
    return Hashes([hash_of(key) for key in request_keys_of(change)], [hash_of(key) for key in other_keys_of(change)])
