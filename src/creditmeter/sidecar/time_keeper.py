"""Keeps in the journal what a sidecar knows of the time of day, so that the next run begins with it.

Nothing is written by a call. Once a second it is looked whether what is kept will do: whether it is of this run of the machine,
less than a second away from what is known, and less than a second less sure. A step is kept with the deadlines that it moves,
and the time of an orderly stop is kept too: the next run begins later.
"""

from creditmeter.core.clocks import ClockStep
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import SidecarClock


class TimeKeeper:
    """Begins with what the journal has of the time, and keeps there what is learnt."""

    def __init__(self, journal: Journal, clock: SidecarClock, books: Books) -> None:
        self._journal = journal
        self._clock = clock
        self._books = books
        clock.not_before(journal.identity.clock)
        if journal.identity.time is not None:
            clock.carry_on(journal.identity.time)
        if clock.is_stores:
            books.know_the_time()
        clock.on_step.append(self._follow)

    def _follow(self, step: ClockStep) -> None:
        """Have the books follow a step. What it moves is written in one transaction with the time that it leads to."""
        self._books.note_step(step)
        self._books.moment()
        self.keep()

    def look(self) -> None:
        """Compare the clocks, and keep what was learnt. To be called every second or so."""
        self._clock.look()
        self.keep()

    def keep(self, *, is_last: bool = False) -> None:
        """Keep what is known of the time if that is worth it, and at the end of the run in any case."""
        known = self._clock.known()
        if is_last or known.is_news(self._journal.identity.time):
            self._journal.keep_time(known)
