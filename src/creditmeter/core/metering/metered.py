"""Metered calls: a stream reports what its call used so far, and the hold is kept ahead of that.

A metered call begins with a hold for its input and some of its output. As it makes progress, the hold is raised to what the
call will have cost when it has burnt on for a while at its pace, as far as its account can pay. What it reports is in its
reservation, so that it is charged also if nothing more is heard of it.
"""

from collections.abc import Iterator

from creditmeter.core.credit.requests import Extend, Request
from creditmeter.core.credit.reservations import MeteredCall, Reservation
from creditmeter.core.ids import RequestId, ReservationId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Change
from creditmeter.core.values import Value, replace
from creditmeter.core.work import STANDARD, Usage, UsageSource

FIRST_OUTPUT_TOKENS = 1_000
"""Output tokens that a metered call has credit for at first, unless its work has fewer."""

LEAST_AHEAD = 500
"""Fewest output tokens that a hold is raised for beyond what was reported."""

AHEAD_SECONDS = 10
"""For how long a call can burn on, at its pace, once its hold was raised."""

MOST_BURNT = 50_000
"""Most output tokens that a call is taken to burn in that time."""

_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_1h_input_tokens",
    "reasoning_output_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "quantity",
)
_ASKED = ("action", "provider", "request_model", "variant", "tool")
_NAMES = (*_ASKED, "response_model", "response_id")


class Pace(Value, frozen=True):
    """How fast a stream burns: the output tokens that it reported first and last, the largest step between two reports, and the
    time since boot, in microseconds, at which it began.
    """

    began: Span
    first: int
    last: int
    largest: int = 0

    def after(self, output_tokens: int) -> "Pace":
        """The pace once so many output tokens were reported."""
        return replace(self, last=output_tokens, largest=max(self.largest, output_tokens - self.last))

    def ahead(self, boot: Span) -> int:
        """For how many output tokens beyond those reported there should be credit, at a time since boot."""
        seconds = max(1.0, (boot - self.began) / SECOND)
        burn = (self.last - self.first) / seconds
        return max(LEAST_AHEAD, 2 * self.largest, min(MOST_BURNT, int(AHEAD_SECONDS * burn)))


class Cover(Value, frozen=True):
    """What the hold of a metered call pays for.

    `paid` is the output that it pays for in all, in tokens: None if the price does not go by them. `bound` is the most that the
    work may have, None if it does not say. `is_covered`: the hold pays for what was reported.
    """

    reported: int
    paid: int | None
    bound: int | None
    is_covered: bool

    @property
    def left(self) -> int:
        """The output tokens that it still pays for."""
        return 0 if self.paid is None else max(0, self.paid - self.reported)

    @property
    def pays_for_all(self) -> bool:
        """Whether it pays for all that the call can come to."""
        if self.paid is None or not self.is_covered:
            return self.is_covered
        return self.bound is not None and self.reported <= self.bound <= self.paid

    def is_ahead(self, pace: Pace, boot: Span) -> bool:
        """Whether the hold is far enough ahead of the call for now."""
        return self.pays_for_all or self.left >= pace.ahead(boot) // 2

    def is_used_up(self, pace: Pace) -> bool:
        """Whether the next report may be beyond the hold."""
        return not self.pays_for_all and self.left <= pace.largest

    def wanted(self, pace: Pace, boot: Span) -> int:
        """How many output tokens in all the hold should pay for."""
        tokens = self.reported + pace.ahead(boot)
        return tokens if self.bound is None or self.reported > self.bound else min(tokens, self.bound)


def carried_on(before: Usage | None, now: Usage) -> Usage:
    """A usage in which what is left out is as it was before. Both are counts, without a provider's report."""
    if before is None:
        return now
    kept = {name: getattr(before, name) for name in (*_COUNTS, *_NAMES) if getattr(now, name) in (None, "")}
    if now.served == STANDARD:
        kept["served"] = before.served
    return replace(now, units={**before.units, **now.units}, **kept)


def as_reported(reported: Usage, said: Usage, whole: Usage) -> Usage:
    """What a call is charged for that reported this: the report of its provider, whose responses are priced by themselves, if
    that leaves out nothing that was known before; else the counts of the whole. `said` are the counts of the report.
    """
    is_whole = said.units == whole.units and all(getattr(said, name) == getattr(whole, name) for name in _COUNTS)
    if not (reported.provider_usage_json and is_whole):
        return whole
    return replace(reported, **{name: getattr(whole, name) for name in _ASKED if not getattr(reported, name)})


def fallen(before: Usage | None, now: Usage) -> Iterator[tuple[str, str]]:
    """Each count that is below what it was before, and what is wrong with that."""
    if before is None:
        return
    for name in _COUNTS:
        was, count = getattr(before, name), getattr(now, name)
        if was is not None and count is not None and count < was:
            yield name, f"must not fall: it was {was:,}"
    for name, was in before.units.items():
        if now.units.get(name, was) < was:
            yield f"units[{name!r}]", f"must not fall: it was {was:,}"


def progressed(reservation: Reservation, progress: Usage) -> Change:
    """Note what a metered call used so far."""
    noted = replace(reservation, metered=MeteredCall(progress))
    return Change(reservation.account_id, reservations=(noted,))


def interrupted(progress: Usage) -> Usage:
    """What a call is charged for of which nothing more is heard than this progress: output that it did not report is none."""
    return replace(progress, source=UsageSource.PARTIAL_STREAM)


def so_far(usage: Usage) -> Usage:
    """A usage that was reported while its call goes on: output that it does not name is none yet."""
    return replace(usage, output_tokens=0) if usage.output_tokens is None else usage


def raise_id(reservation_id: ReservationId, step: str) -> RequestId:
    """The id of a request of the sidecar's own by which it keeps a hold ahead."""
    return RequestId(f"{reservation_id}/{step}")


def is_of_sidecar(request: Request) -> bool:
    """Whether the sidecar asks for more by itself, ahead of its call: if there is none, nobody was refused anything."""
    return isinstance(request, Extend) and request.request_id.startswith(f"{request.reservation_id}/")


def has_progress(reservation: Reservation) -> bool:
    """Whether it is a metered call that used something which is still to be charged."""
    return is_unfinished(reservation) and reservation.metered is not None and reservation.metered.progress is not None


def is_unfinished(reservation: Reservation) -> bool:
    """Whether it is a metered call whose stream has still to end: it is held, or it expired before its progress was charged."""
    return reservation.metered is not None and not reservation.has_ended
