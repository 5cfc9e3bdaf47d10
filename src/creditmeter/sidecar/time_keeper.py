"""Keeps in the journal what a sidecar knows of the time of day, so that the next run begins with it.

Nothing is written by a call. Once a second it is looked whether what is kept will do: whether it is of this run of the machine,
less than a second away from what is known, and less than a second less sure. A step is kept with the deadlines that it moves.
"""

from creditmeter.core.clocks import ClockStep
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import SidecarClock


class TimeKeeper:
    """Begins with what the journal has of the time, and keeps there what is learnt."""

    def __init__(self, journal: Journal, clock: SidecarClock) -> None:
        self._journal = journal
        self._clock = clock
        kept = journal.identity
        clock.not_before(kept.clock)
        if kept.time is not None:
            clock.carry_on(kept.time)

    def follow(self, books: Books) -> None:
        """Have the books follow each step of the time of day."""

        def follow_step(step: ClockStep) -> None:
            books.note_step(step)
            books.moment()  # what it moves is written in one transaction with the time that it leads to
            self._keep()

        self._clock.on_step.append(follow_step)

    def look(self) -> None:
        """Compare the clocks, and keep what was learnt. To be called every second or so."""
        self._clock.look()
        self._keep()

    def _keep(self) -> None:
        news = self._clock.worth_keeping(self._journal.identity.time)
        if news is not None:
            self._journal.keep_time(news)
