"""Which accounts share one transaction of the central store."""

from collections.abc import Iterator, Sequence

from creditmeter.core.ids import AccountId, account_key
from creditmeter.core.metering.composing import MAX_CHARGES_PER_MESSAGE
from creditmeter.sidecar.books import Books

MAX_CHARGES_PER_TRANSACTION = 1_000
"""Charges that one transaction of the central store posts at most. It keeps all their accounts locked while it lasts."""


def batches(books: Books, accounts: Sequence[AccountId], most: int) -> Iterator[list[AccountId]]:
    """The accounts in their order, those together that share a transaction: `most` of them at most."""
    batch: list[AccountId] = []
    charges = 0
    for account_id in accounts:
        book = books.find(account_key(account_id))
        more = min(MAX_CHARGES_PER_MESSAGE, book.unposted_charge_count) if book is not None else 0
        if batch and (len(batch) == most or charges + more > MAX_CHARGES_PER_TRANSACTION):
            yield batch
            batch, charges = [], 0
        batch.append(account_id)
        charges += more
    if batch:
        yield batch
