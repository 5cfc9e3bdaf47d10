"""Whose turn it is: work that waits has a queue for each account, and the queues are served one after another.

Work that finds no queue of its account, and room, begins at once. Of one account only so much is under way at a time, and of
all accounts together too. So whatever waits for its turn waits for a few calls of each other account, however many there are.
Within an account, work that frees credit comes first, and finds room in queues that are full for other work.

What is under way also takes time from work that need not wait. So of one account less is under way while another account is
quiet: it has one call at a time, which begins at once.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")

TIMES_FOR_FREEING = 2
"""How much longer a queue may be for work that frees credit."""

LATELY = 1_000
"""Within so many pieces of work a quiet account had one, or it is not known any more."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How much may be under way of one account, of one while another is quiet, and in all; and how many may wait of one account
    and in all.
    """

    under_way_of_account: int
    under_way_beside_quiet: int
    under_way: int
    waiting_of_account: int
    waiting: int


@dataclass(slots=True)
class _Queue(Generic[_Item]):
    """What is under way of an account, and what waits, each with its weight."""

    under_way: int = 0
    is_listed: bool = False
    freeing: deque[tuple[_Item, int]] = field(default_factory=deque)
    others: deque[tuple[_Item, int]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.freeing) + len(self.others)


class Turns(Generic[_Key, _Item]):
    """The queues of accounts. An account is known for as long as something of it waits or is under way.

    A weight says how many calls a piece of work counts as. Work begins while less than the limit is under way, however much it
    weighs.
    """

    def __init__(self, limits: TurnLimits) -> None:
        self.limits = limits
        """May be replaced at any time."""
        self.under_way = 0
        self.waiting = 0
        self._queues: dict[_Key, _Queue[_Item]] = {}
        self._listed: deque[_Key] = deque()
        self._seen = 0
        self._quiet: _Key | None = None
        self._quiet_at = self._other_quiet_at = -LATELY

    def begins(self, key: _Key, weight: int = 1) -> bool:
        """Begin work of an account, if it need not wait. It is under way until `end`."""
        if self.under_way >= self.limits.under_way:
            return False
        queue = self._queues.get(key)
        if queue is None:
            queue = self._first(key)
        elif len(queue) or queue.under_way >= self._most_of(key):
            return False
        self._begin(queue, weight)
        return True

    def waits(self, key: _Key, item: _Item, weight: int = 1, *, frees: bool = False) -> bool:
        """Put work of an account into its queue. Returns whether there was room; if not, nothing was changed."""
        times = TIMES_FOR_FREEING if frees else 1
        queue = self._queues.get(key)
        of_account = 0 if queue is None else len(queue)
        if self.waiting >= times * self.limits.waiting or of_account >= times * self.limits.waiting_of_account:
            return False
        if queue is None:
            queue = self._first(key)
        (queue.freeing if frees else queue.others).append((item, weight))
        self.waiting += 1
        self._list(key, queue)
        return True

    def next(self) -> _Item | None:
        """Begin the work whose turn it is; None if nothing waits that may begin now."""
        while self._listed and self.under_way < self.limits.under_way:
            key = self._listed.popleft()
            queue = self._queues[key]
            queue.is_listed = False
            if queue.under_way >= self._most_of(key):
                continue  # less is allowed than when it was listed: it is listed again as its work ends
            item, weight = (queue.freeing or queue.others).popleft()
            self.waiting -= 1
            self._begin(queue, weight)
            self._list(key, queue)
            return item
        return None

    def end(self, key: _Key, weight: int = 1) -> None:
        """Note that work of an account is no longer under way."""
        queue = self._queues[key]
        queue.under_way -= weight
        self.under_way -= weight
        assert queue.under_way >= 0, "it was begun"
        if queue.under_way or len(queue):
            self._list(key, queue)
        else:
            del self._queues[key]

    @property
    def accounts(self) -> int:
        """How many accounts something waits or is under way of."""
        return len(self._queues)

    def _begin(self, queue: _Queue[_Item], weight: int) -> None:
        self._seen += 1
        queue.under_way += weight
        self.under_way += weight

    def _first(self, key: _Key) -> _Queue[_Item]:
        """The queue of an account of which nothing waits or is under way: it is quiet, for now."""
        if key != self._quiet:
            self._quiet, self._other_quiet_at = key, self._quiet_at
        self._quiet_at = self._seen
        queue = self._queues[key] = _Queue()
        return queue

    def _most_of(self, key: _Key) -> int:
        """How much may be under way of an account now."""
        at = self._other_quiet_at if key == self._quiet else self._quiet_at
        return self.limits.under_way_beside_quiet if self._seen - at < LATELY else self.limits.under_way_of_account

    def _list(self, key: _Key, queue: _Queue[_Item]) -> None:
        """Put an account that may begin what waits behind the others that may."""
        if not queue.is_listed and len(queue) and queue.under_way < self._most_of(key):
            queue.is_listed = True
            self._listed.append(key)
