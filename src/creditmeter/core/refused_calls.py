"""Calls that were refused for lack of credit. They are no charges, but say what would have been used had there been more."""

from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import Instant


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call, by its request; when it was refused last, what it was about (empty if only an amount was asked for), and how much
    it asked for in microcredits.
    """

    request_id: RequestId
    refused_at: Instant
    action: str
    amount: Microcredits
