"""Deliveries: events that are to be sent to a webhook, as the central store hands them out."""

from dataclasses import dataclass

from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt to send an event to a webhook. The first attempt is number 1. `body` is sent byte by byte as it is."""

    account_id: AccountId
    delivery_id: str
    body: str
    attempt: int
    created_at: Instant
    claimed_at: Instant
