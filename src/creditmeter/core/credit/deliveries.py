"""Deliveries: what a webhook is to be told, as the central store hands it out."""

from dataclasses import dataclass

from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt to tell a webhook something: the first is number 1. `body` is what is sent, to the letter."""

    account_id: AccountId
    delivery_id: str
    body: str
    attempt: int
    created_at: Instant
    claimed_at: Instant
