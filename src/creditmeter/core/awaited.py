"""Who has not answered yet: what a caller whose credit is out elsewhere waits for."""

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value


class Awaited(Value, frozen=True):
    """A sidecar that was asked to return credit and has not answered: how much may come back from it at most, in microcredits,
    and until when at the latest it is waited for.
    """

    sidecar_id: SidecarId
    amount: Microcredits
    until: Instant
