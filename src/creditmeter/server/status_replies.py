"""From a sidecar's status to the message that callers get."""

from collections.abc import Sequence

from creditmeter import __version__
from creditmeter.server.enums import number_of
from creditmeter.server.replies import duration, int64, timestamp
from creditmeter.sidecar.status import Status
from creditmeter.v1 import admin_pb2

MAX_LISTED = 100
"""Most accounts in quarantine that a status names."""


def status_message(status: Status, addresses: Sequence[str]) -> admin_pb2.GetStatusResponse:
    """The status of a sidecar that listens on these addresses."""
    tally, central = status.tally, status.central
    return admin_pb2.GetStatusResponse(
        sidecar_id=status.sidecar_id,
        epoch=status.epoch,
        version=__version__,
        state=number_of(admin_pb2.ServingState, status.condition),
        started_at=timestamp(status.started_at),
        uptime=duration(status.uptime),
        addresses=addresses,
        central_reachable=central.is_reachable,
        central_seen_at=timestamp(central.seen_at),
        central_clock_offset=duration(central.clock_offset),
        rate_card_version=status.rate_card_version,
        journal_bytes=status.journal_bytes,
        account_count=tally.accounts,
        reservation_count=tally.remembered.reservations,
        open_reservation_count=tally.open_reservations,
        held_microcredits=int64(tally.held),
        charge_count=tally.remembered.charges,
        refund_count=tally.remembered.refunds,
        receipt_count=tally.remembered.receipts,
        lease_count=tally.leases,
        leased_microcredits=int64(tally.leased),
        unposted_count=tally.unposted,
        unposted_microcredits=int64(tally.unposted_cost),
        oldest_unposted_at=timestamp(tally.oldest_unposted_at),
        quarantined_account_count=len(status.quarantine),
        quarantined_account_ids=status.quarantine[:MAX_LISTED],
    )
