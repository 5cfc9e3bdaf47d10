"""The stored forms of a sidecar's leases, and of the sidecars that a recall waits for or was answered by."""

from creditmeter.core.credit.leases import Lease
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant
from creditmeter.forms.body import Body, Form, form_of


@form_of(Lease)
class LeaseForm(Body):
    """The sidecar's view of a lease; amounts in microcredits."""

    lease_id: str
    account_id: str
    opened_at: int
    ends_at: int
    limit: int
    spent: int = 0
    trusted_until: int = 0
    offline: bool = False


LEASE = Form(LeaseForm, Lease)
AWAITED = Form(tuple[str, ...], tuple[SidecarId, ...])
ANSWERED = Form(tuple[tuple[str, int], ...], tuple[tuple[SidecarId, Instant], ...])
