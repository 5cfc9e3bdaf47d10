"""What a central store knows of accounts on behalf of one sidecar: the leases that are out to it, and what it posted last."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from creditmeter.cli.exits import CommandFailed
from creditmeter.cli.output import counted
from creditmeter.cli.store_address import check_address
from creditmeter.cli.times import short_instant
from creditmeter.core.amounts import format_credits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import Instant, to_datetime

if TYPE_CHECKING:
    from creditmeter.central.queries.holders import Listing

MAX_LEASES, MAX_CHARGES = 100, 5
"""Most leases and charges that are told of one account."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of one account: leases, and the charges that were posted last. `problem`: why it was not asked."""

    leases: Sequence[OutLease] = ()
    charges: Sequence[Charge] = ()
    problem: str = ""

    def lines(self) -> Iterator[str]:
        """What it knows, for people."""
        if self.problem:
            yield f"the central store was not asked: {self.problem}"
            return
        yield f"the central store has {counted(len(self.leases), 'open lease')} of it for this sidecar"
        for lease in self.leases:
            amounts = (lease.limit, lease.posted, lease.held, lease.unposted)
            limit, posted, held, unposted = map(format_credits, amounts)
            yield (
                f"  {lease.lease_id}: limit {limit}, posted {posted}; held {held} and unposted {unposted} at the last report,"
                f" {short_instant(lease.renewed_at)}; reclaimed {short_instant(lease.reclaim_at)}"
            )
        for charge in self.charges:
            cost, at = format_credits(charge.cost), short_instant(charge.committed_at)
            yield f"  {charge.charge_id} is posted: {cost} credits, {at}"

    def document(self) -> dict[str, object]:
        """What it knows, as JSON."""
        return {
            "problem": self.problem,
            "leases": [
                {
                    "lease_id": each.lease_id,
                    "limit_microcredits": each.limit,
                    "posted_microcredits": each.posted,
                    "held_microcredits": each.held,
                    "unposted_microcredits": each.unposted,
                    "renewed_at": _json(each.renewed_at),
                    "reclaim_at": _json(each.reclaim_at),
                }
                for each in self.leases
            ],
            "charges": [
                {"charge_id": each.charge_id, "cost_microcredits": each.cost, "committed_at": _json(each.committed_at)}
                for each in self.charges
            ],
        }


def _json(moment: Instant) -> str:
    return to_datetime(moment).isoformat().replace("+00:00", "Z")


def ask_central(url: str, sidecar_id: SidecarId, accounts: Sequence[AccountId]) -> dict[AccountId, Known]:
    """What the store at this address knows of accounts. It is only read. That it cannot be asked is no error, but is told."""
    from creditmeter.central.engine.faults import CentralUnavailable  # noqa: PLC0415 - most commands need no database

    try:
        check_address(url)
        return asyncio.run(_asked(url, sidecar_id, accounts))
    except (CentralUnavailable, CommandFailed) as error:
        return dict.fromkeys(accounts, Known(problem=str(error)))


async def _asked(url: str, sidecar_id: SidecarId, accounts: Sequence[AccountId]) -> dict[AccountId, Known]:
    from creditmeter.central.engine.clock import StoreClock  # noqa: PLC0415 - most commands need no database
    from creditmeter.central.engine.database import Database  # noqa: PLC0415 - most commands need no database
    from creditmeter.central.queries.holders import Listing  # noqa: PLC0415 - most commands need no database

    database = Database(url, read_only=True)
    try:
        listing = Listing(database, StoreClock(None))
        return {each: await _known(listing, sidecar_id, each) for each in accounts}
    finally:
        await database.close()


async def _known(listing: "Listing", sidecar_id: SidecarId, account_id: AccountId) -> Known:
    leases = [each.lease for each in await listing.leases(MAX_LEASES, account_id, sidecar_id)]
    return Known(leases, await listing.charges_of(sidecar_id, account_id, MAX_CHARGES))
