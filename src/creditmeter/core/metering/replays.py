"""Requests that come again: each gets its first reply, from the receipt that it left. Nothing is decided or changed."""

from creditmeter.core.credit.requests import Receipt, Request, difference
from creditmeter.core.refusals import RequestIdReused


def replay(receipt: Receipt | None, request: Request) -> Receipt | RequestIdReused | None:
    """The receipt that was left under the request's id, if it is this request's; a refusal if it is another request's; None if
    there is none.
    """
    if receipt is None:
        return None
    field = difference(receipt.request, request)
    return receipt if field is None else RequestIdReused(field)
