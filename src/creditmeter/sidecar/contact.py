"""Whether the central store can be reached, as far as this sidecar knows.

After each failed attempt the pause before the next one is longer, with jitter so that a fleet does not come back all at once. A
call during the pause fails at once.
"""

import random

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.instants import MINUTE, SECOND, Span
from creditmeter.sidecar.clock import Clock

FIRST_WAIT = Span(SECOND // 5)
LONGEST_WAIT = Span(2 * SECOND)
"""Short, since a sidecar is to settle within seconds of the store's return."""

STEADY_AFTER = MINUTE
"""After an outage of the store every sidecar that is alive has sent a message or a heartbeat within this long."""

LONGEST_SILENCE = Span(30 * SECOND)
"""After a longer time without a call it is not known whether the store was there meanwhile."""


class Contact:
    """What is known from the attempts so far. Moments are on the boot-time clock."""

    def __init__(self) -> None:
        self._wait = Span(0)
        self._next_attempt = Span(0)
        self._since: Span | None = None
        self._last = Span(0)

    def check(self, boot: Span) -> None:
        """Fail while an attempt would be too early.

        Raises:
            CentralUnavailable: the last attempt failed, a moment ago.
        """
        if boot < self._next_attempt:
            raise CentralUnavailable("the central store is away; it is asked again in a moment")

    def succeeded(self, boot: Span) -> None:
        """The store answered."""
        if self._since is None or boot - self._last > LONGEST_SILENCE:
            self._since = boot
        self._last = boot
        self._wait = self._next_attempt = Span(0)

    def failed(self, boot: Span) -> None:
        """The store did not answer."""
        self._since = None
        self._wait = Span(min(LONGEST_WAIT, max(FIRST_WAIT, 2 * self._wait)))
        self._next_attempt = Span(boot + int(self._wait * random.uniform(0.5, 1)))  # noqa: S311 - jitter

    @property
    def last_answer(self) -> Span | None:
        """When the store last answered; None: it never did."""
        return self._last or None

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._wait > 0

    def is_steady(self, boot: Span) -> bool:
        """Whether the store has answered for `STEADY_AFTER` without a break, so that it heard from all living sidecars."""
        return self._since is not None and boot - self._last <= LONGEST_SILENCE and boot - self._since >= STEADY_AFTER


class Attempt:
    """One call to the central store: refused while it is too early, and its success or failure noted."""

    def __init__(self, contact: Contact, clock: Clock) -> None:
        self._contact = contact
        self._clock = clock

    def __enter__(self) -> None:
        self._contact.check(self._clock.boot())

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, CentralUnavailable) and not error.is_crowded:
            self._contact.failed(self._clock.boot())
        elif error is None:
            self._contact.succeeded(self._clock.boot())
