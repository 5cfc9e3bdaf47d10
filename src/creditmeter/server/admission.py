"""Lets calls begin in turns, so that those of one account do not hold up those of others, and refuses what would wait too long.

A call takes a turn before anything is decided about it, and gives it back once its reply is written. While few are under way, a
turn costs next to nothing. Whose turn is next is decided in `core/turns.py`.

Calls also wait where nobody sees whose they are: gRPC hands over one call of a method at a time, the oldest first. So the next
turns are given only once gRPC has handed over all that it has. What waits then waits in the queue of its account, and a call on
a quiet account is soon taken over.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from typing import NamedTuple

from creditmeter.core.instants import SECOND
from creditmeter.core.refusals import Overloaded
from creditmeter.core.turns import TIMES_FOR_FREEING, TurnLimits, Turns
from creditmeter.server.errors import Context

AT_ONCE_OF_ACCOUNT = 4
"""Calls of one account that are under way at a time: about so many are answered between two of another account."""

AT_ONCE_BESIDE_QUIET = 2
"""At least so many while another account has one call at a time: each call that is under way makes that one take longer."""

PART_BESIDE_QUIET = 4
"""One of so many that would be under way otherwise, if that is more."""

AT_ONCE_PER_MILLISECOND = 2
"""So many more for each millisecond that a write to disk takes: calls that are written together wait for it together."""

MOST_AT_ONCE_OF_ACCOUNT = 64

ACCOUNTS_AT_ONCE = 8
"""In all, as many calls are under way as of so many accounts."""

MAX_WAITING_OF_ACCOUNT = 1_000
"""Most calls of one account that wait for their turn. Twice as many if they free credit; so for the two bounds below."""

MAX_WAITING_OF_CALLER = 2_000
"""Most calls of one caller that wait for their turn."""

MAX_WAITING = 4_000
"""Most calls that wait for their turn."""

RETRY_AFTER = SECOND

_IDLE_ROUNDS = 6
"""Rounds of the event loop without a call that has to wait, after which gRPC has none: to hand one over takes it 5."""

_MOST_ARRIVALS = 64
"""The next turns are given after so many calls that have to wait at the latest, so that a flood does not stop the others."""

_WRITES = 64
"""Of so many writes to disk the quickest counts. The others had to wait for something else, too."""

LONGEST_TURN_SECONDS = 0.05
"""What takes longer waits for the central store, and holds up no other call."""

Caller = Callable[[], str]
"""Returns the name of a caller. It is called only when calls wait."""


def caller_of(context: Context) -> Caller:
    """The caller of a call: the other end of its connection. All that use Unix sockets are one caller."""
    return lambda: str(context.peer())


def nobody() -> str:
    """The name of the caller where nobody calls from outside."""
    return ""


class _Waiting(NamedTuple):
    """A call that waits: its future is done once it has its turn."""

    turn: "asyncio.Future[None]"
    key: Hashable
    weight: int


class Turn:
    """A turn that may be given back early, or is not given at all: then there is a refusal."""

    def __init__(self, admission: "Admission", key: Hashable, weight: int, refusal: Overloaded | None) -> None:
        self.refusal = refusal
        self._admission = admission
        self._key = key
        self._weight = weight
        self._is_held = refusal is None

    def end(self) -> None:
        """Give it back, if that was not done before."""
        if self._is_held:
            self._is_held = False
            self._admission.end(self._key, self._weight)


class Admission:
    """The turns of the calls that change something."""

    def __init__(self) -> None:
        self._turns: Turns[Hashable, _Waiting] = Turns(_limits(AT_ONCE_OF_ACCOUNT))
        self._waiting_of: Counter[str] = Counter()
        self._arrivals = 0
        self._ended = asyncio.Event()
        self._giving: asyncio.Task[None] | None = None
        self._quickest_write = float("inf")
        self._writes = 0

    @property
    def under_way(self) -> int:
        """How many calls have a turn."""
        return self._turns.under_way

    async def begin(self, key: Hashable, caller: Caller, weight: int = 1, *, frees: bool = False) -> Overloaded | None:
        """Wait for a turn of an account, and take it until `end`. Refused, without a turn, if too many wait.

        Work that `frees` credit comes first, and is refused last. `weight` is how many calls it counts as.
        """
        if self._turns.begins(key, weight):
            return None
        self._arrivals += 1  # those that need not wait would keep the others waiting
        return await self._wait(_Waiting(asyncio.get_running_loop().create_future(), key, weight), caller(), frees=frees)

    def end(self, key: Hashable, weight: int = 1) -> None:
        """Give a turn back."""
        self._turns.end(key, weight)
        if self._giving is not None:
            self._ended.set()

    async def turn(self, key: Hashable, caller: Caller, weight: int = 1, *, frees: bool = False) -> Turn:
        """A turn, as `begin` gives it, which may be given back more than once."""
        return Turn(self, key, weight, await self.begin(key, caller, weight, frees=frees))

    @contextlib.asynccontextmanager
    async def short_turn(self, key: Hashable, caller: Caller, *, frees: bool = False) -> AsyncIterator[Overloaded | None]:
        """A turn for as long as the block runs, or for `LONGEST_TURN_SECONDS`. Yields the refusal, if there is one."""
        turn = await self.turn(key, caller, frees=frees)
        timer = asyncio.get_running_loop().call_later(LONGEST_TURN_SECONDS, turn.end)
        try:
            yield turn.refusal
        finally:
            timer.cancel()
            turn.end()

    def wrote(self, seconds: float) -> None:
        """Note how long a call waited for the disk. The longer writes take, the more calls are to share one."""
        self._quickest_write = min(self._quickest_write, seconds)
        self._writes += 1
        if self._writes == _WRITES:
            more = int(self._quickest_write * 1_000 * AT_ONCE_PER_MILLISECOND)
            self._turns.limits = _limits(min(AT_ONCE_OF_ACCOUNT + more, MOST_AT_ONCE_OF_ACCOUNT))
            self._quickest_write, self._writes = float("inf"), 0

    async def _wait(self, waiting: _Waiting, caller: str, *, frees: bool) -> Overloaded | None:
        most = MAX_WAITING_OF_CALLER * (TIMES_FOR_FREEING if frees else 1)
        if self._waiting_of[caller] >= most or not self._turns.waits(waiting.key, waiting, waiting.weight, frees=frees):
            return Overloaded(RETRY_AFTER)
        self._waiting_of[caller] += 1
        if self._giving is None:
            self._giving = asyncio.create_task(self._give(), name="turns")
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if not waiting.turn.cancelled():
                self.end(waiting.key, waiting.weight)  # it was given its turn before its caller gave up
            raise
        finally:
            self._waiting_of[caller] -= 1
            if not self._waiting_of[caller]:
                del self._waiting_of[caller]
        return None

    async def _give(self) -> None:
        """Give turns for as long as any call waits."""
        while self._turns.waiting:
            await self._taken_over()
            self._ended.clear()
            given = 0
            while (waiting := self._turns.next()) is not None:
                if waiting.turn.done():
                    self._turns.end(waiting.key, waiting.weight)  # its caller gave up
                else:
                    waiting.turn.set_result(None)
                    given += 1
            if not given and self._turns.waiting:
                await self._ended.wait()
        self._giving = None

    async def _taken_over(self) -> None:
        """Wait until gRPC has no more calls to hand over."""
        first, seen, idle = self._arrivals, self._arrivals, 0
        while idle < _IDLE_ROUNDS and self._arrivals - first < _MOST_ARRIVALS:
            await asyncio.sleep(0)
            idle = idle + 1 if self._arrivals == seen else 0
            seen = self._arrivals


def _limits(at_once_of_account: int) -> TurnLimits:
    return TurnLimits(
        under_way_of_account=at_once_of_account,
        under_way_beside_quiet=max(AT_ONCE_BESIDE_QUIET, at_once_of_account // PART_BESIDE_QUIET),
        under_way=ACCOUNTS_AT_ONCE * at_once_of_account,
        waiting_of_account=MAX_WAITING_OF_ACCOUNT,
        waiting=MAX_WAITING,
    )
