"""Pages of reservations: those in the books, and those that have ended, which are on disk alone.

A page of open reservations costs what its own length costs, however many there are. What has ended is looked for on disk, from
the page's beginning backwards, with breaks: the fewer there are in the state that is asked for, the further.
"""

import asyncio
import heapq
from collections.abc import Sequence

from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.metering.listing import ReservationQuery, made_at, newest
from creditmeter.journal.archive import Archive
from creditmeter.sidecar.books import Books

_RECORDS_AT_ONCE = 50
"""After this many records of the journal requests get a turn."""

_BOOKS_AT_ONCE = 100
"""After this many books requests get a turn."""


async def newest_reservations(wanted: ReservationQuery, books: Books, archive: Archive) -> list[Reservation]:
    """The newest of those that are asked for, as they are now: past its deadline one has expired. The newest comes first.

    Raises:
        AccountDamaged: one may be in what is damaged.
        StorageUnavailable: the journal cannot be written or read.
    """
    await _end_due(wanted, books)
    found = _in_memory(wanted, books)
    if wanted.account_id is not None:
        books.drop_if_empty(wanted.account_id)
    await books.durable()
    if wanted.state is not ReservationState.HELD:
        found += await _on_disk(wanted, archive, found)
    return newest(found, wanted.limit)


async def _end_due(wanted: ReservationQuery, books: Books) -> None:
    """End what is due of an account. Of all accounts only if those are asked for that have expired: else `_in_memory` does."""
    now = books.moment().now
    if wanted.account_id is not None:
        books.expire(books.open(wanted.account_id), now)
    elif wanted.state is ReservationState.EXPIRED:
        for number, book in enumerate(list(books), 1):
            books.expire(book, now)
            if number % _BOOKS_AT_ONCE == 0:
                await asyncio.sleep(0)


def _in_memory(wanted: ReservationQuery, books: Books) -> list[Reservation]:
    """The newest of those in the books. What is due of the accounts that are found is ended first."""
    now = books.moment().now
    while True:
        found = books.listing.newest(wanted)
        due = {each.account_id for each in found if each.is_due(now)}
        if not due:
            return found
        for account_id in due:
            books.expire(books.open(account_id), now)


async def _on_disk(wanted: ReservationQuery, archive: Archive, in_memory: Sequence[Reservation]) -> list[Reservation]:
    """Those on disk alone that are among the newest, together with those that were found in memory."""
    known = {each.reservation_id for each in in_memory}
    places = sorted(made_at(each) for each in in_memory)
    found = []
    moment = None if wanted.before is None else wanted.before[0]
    for number, made in enumerate(archive.made_before(wanted.account_id, moment), 1):
        if number % _RECORDS_AT_ONCE == 0:
            await asyncio.sleep(0)
        if made is None or made.reservation_id in known:
            continue
        if len(places) == wanted.limit and made.created_at < places[0][0]:
            break
        last = archive.reservation(made.reservation_id)
        if last is not None and wanted.has(last):
            found.append(last)
            heapq.heappush(places, made_at(last))
            if len(places) > wanted.limit:
                heapq.heappop(places)
    return found
