"""The reservations of all books in the order in which they were made, so that a page of them takes no look at the others.

A place in the order never changes: it is the moment at which a reservation was made, and its id. Open ones are kept in that
order, among those of all accounts and among those of their own. So what a reservation costs that is made or ends is the
logarithm of how many there are, and what a page costs is that and its own length. Those that have ended are few, since they
leave their book once they are on disk: they are looked through.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from sortedcontainers import SortedList

from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, ReservationId
from creditmeter.core.instants import Instant

MadeAt = tuple[Instant, ReservationId]
"""The place of a reservation in the order: when it was made, and its id."""

_ALL = AccountId("")
"""Stands for all accounts: no account has this id."""

_END: MadeAt = (Instant(2**63), ReservationId(""))
"""Comes after every place."""


@dataclass(frozen=True, slots=True)
class ReservationQuery:
    """A page of a listing: at most `limit` reservations, of one account and in one state, or of any (None), those made before
    `before`.
    """

    account_id: AccountId | None
    state: ReservationState | None
    limit: int
    before: MadeAt | None = None

    def has(self, reservation: Reservation) -> bool:
        """Whether a reservation is one of those that are asked for."""
        is_in_scope = self.account_id in (None, reservation.account_id) and self.state in (None, reservation.state)
        return is_in_scope and (self.before is None or made_at(reservation) < self.before)


class Listing:
    """The reservations that some books have now."""

    def __init__(self) -> None:
        self._open: dict[ReservationId, Reservation] = {}
        self._ended: dict[ReservationId, Reservation] = {}
        self._places: SortedList[tuple[AccountId, Instant, ReservationId]] = SortedList()

    def put(self, new: Reservation) -> None:
        """Take over the newest version of a reservation."""
        name = new.reservation_id
        was_open = name in self._open
        if new.state is ReservationState.HELD:
            self._open[name] = new
            self._ended.pop(name, None)
            if not was_open:
                self._places.add((_ALL, *made_at(new)))
                self._places.add((new.account_id, *made_at(new)))
        else:
            self._ended[name] = new
            if was_open:
                self._close(name)

    def drop(self, reservation_id: ReservationId) -> None:
        """Forget a reservation."""
        if self._ended.pop(reservation_id, None) is None:
            self._close(reservation_id)

    def clear(self) -> None:
        """Forget all."""
        self._open.clear()
        self._ended.clear()
        self._places.clear()

    def newest(self, wanted: ReservationQuery) -> list[Reservation]:
        """The newest of those that are asked for, the newest first."""
        ended = filter(wanted.has, self._ended.values())
        is_open = wanted.state in (None, ReservationState.HELD)
        return newest(chain(ended, self._newest_open(wanted) if is_open else ()), wanted.limit)

    def _newest_open(self, wanted: ReservationQuery) -> Iterator[Reservation]:
        scope = wanted.account_id or _ALL
        end = (scope, *(wanted.before or _END))
        places = self._places.irange((scope,), end, inclusive=(True, False), reverse=True)
        return (self._open[reservation_id] for _, _, reservation_id in islice(places, wanted.limit))

    def _close(self, reservation_id: ReservationId) -> None:
        ended = self._open.pop(reservation_id)
        self._places.remove((_ALL, *made_at(ended)))
        self._places.remove((ended.account_id, *made_at(ended)))


def made_at(reservation: Reservation) -> MadeAt:
    """The place of a reservation in the order in which they were made."""
    return reservation.created_at, reservation.reservation_id


def newest(reservations: Iterable[Reservation], limit: int) -> list[Reservation]:
    """At most `limit` of them, the newest first."""
    return heapq.nlargest(limit, reservations, key=made_at)
