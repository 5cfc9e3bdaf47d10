"""Fenced posting: what a fenced sidecar still posts before it exits, under a new id.

Another process holds its leases now, so no lease stands behind these charges: they are posted as excess. Charges that the
other process has as well, because the journal was copied with them, are known to the central store by their ids.

`central/decisions/registration.py` decides which process is fenced.
"""

import asyncio
import itertools

import structlog

from creditmeter.central.store import CentralStore
from creditmeter.core.credit.messages import Answer, Fenced
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.composing import Envelope, accept, fenced_message
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.naming import new_nonce, new_sidecar_id

_RETRY_SECONDS = 0.05
"""Between attempts to post a charge that waits for recalled credit."""

_log = structlog.get_logger()


async def post_when_fenced(books: Books, central: CentralStore) -> None:
    """Post all charges and refunds, an account at a time.

    Raises:
        CentralUnavailable: the store did not answer.
        StorageUnavailable: the journal cannot be written.
    """
    waiting = [book for book in books if book.has_unposted]
    if not waiting:
        return
    sidecar_id = new_sidecar_id()
    registered = await central.registration.register(sidecar_id, 0, new_nonce())
    assert not isinstance(registered, Fenced), "no other process has an id that was just made"
    _log.warning("posting what is left under a new id", sidecar_id=sidecar_id, accounts=len(waiting))
    seq = itertools.count(1)
    for book in waiting:
        while book.has_unposted:
            await _post(books, central, book, Envelope(sidecar_id, registered.epoch, next(seq)))
            if book.has_unposted:
                await asyncio.sleep(_RETRY_SECONDS)


async def _post(books: Books, central: CentralStore, book: Book, envelope: Envelope) -> None:
    message = fenced_message(book, envelope)
    books.record(Change(book.account_id, charges=message.charges))
    await books.durable()
    replies = await central.exchanges.exchange([message])
    assert not isinstance(replies, Fenced), "no other process has an id that was just made"
    answer = replies[0]
    assert isinstance(answer, Answer), "an account with charges is known"
    change = accept(book, message, answer, trusted_until=books.moment().boot)
    books.record(change)
    await books.durable()
