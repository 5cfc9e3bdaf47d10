"""How often a sidecar does things, and what bounds its exchanges with the central store."""

from dataclasses import dataclass

from creditmeter.core.instants import HOUR, MINUTE, Span

REPORTED_AFTER_SECONDS = 1.25
"""After this long a message reports a change of what is held, if none did by then. The central store is to know it within 2 s:
the rest of the time is for that message.
"""


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """How long a lease may be used without renewal, how long a hold may last, and how many accounts share one transaction of
    the central store (1 where it is sharded by account).
    """

    lease_ttl: Span = Span(10 * MINUTE)
    max_hold_lifetime: Span = HOUR
    settlement_batch: int = 64


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often things are done beside the requests, after how long a change of what is held is reported, and how long a
    request waits for recalled credit, in seconds.
    """

    settle: float = 1.0
    report: float = REPORTED_AFTER_SECONDS
    housekeeping: float = 1.0
    heartbeat: float = 15.0
    rate_cards: float = 5.0
    recall_timeout: float = 0.25
    lease_ttl: Span = Span(10 * MINUTE)
    settlement_batch: int = 64
    retention: Span = Span(60 * MINUTE)
