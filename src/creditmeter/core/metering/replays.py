"""Requests that come again: each gets its first reply, from the receipt in the book. Nothing is decided or changed."""

from creditmeter.core.credit.requests import Receipt, Request, difference
from creditmeter.core.metering.book import Book
from creditmeter.core.refusals import RequestIdReused


def replay(book: Book, request: Request) -> Receipt | RequestIdReused | None:
    """The receipt that an earlier copy of this request left; a refusal if the id was another request's; None if it is new."""
    receipt = book.receipts.get(request.request_id)
    if receipt is None:
        return None
    field = difference(receipt.request, request)
    return receipt if field is None else RequestIdReused(field)
