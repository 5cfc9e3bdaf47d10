"""A clock whose hands the test moves."""

from datetime import UTC, datetime

from creditmeter.core.instants import Instant, Span, from_datetime

NOON = from_datetime(datetime(2026, 11, 24, 12, tzinfo=UTC))


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, wall: Instant = NOON) -> None:
        self._wall = wall
        self._boot = Span(1_000_000_000)

    def wall(self) -> Instant:
        """The time of day."""
        return self._wall

    def boot(self) -> Span:
        """The time since boot."""
        return self._boot

    def advance(self, span: int) -> None:
        """Let time pass on both clocks, in microseconds."""
        self._wall = Instant(self._wall + span)
        self._boot = Span(self._boot + span)

    def reboot(self, down: int) -> None:
        """Let the machine be down for so long, in microseconds, and start."""
        self._wall = Instant(self._wall + down)
        self._boot = Span(10_000_000)

    def step_wall(self, span: int) -> None:
        """Set the time of day forward or back, as an operator or a time server does."""
        self._wall = Instant(self._wall + span)
