"""What a sidecar and its store have: of each account, and in all. Two of them say whether anything changed in between."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from creditmeter.client.stubs import Connection
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, reservations_pb2
from tests.fuzz.valid import LASTING

SETTLED_SECONDS = 20.0
POLL_SECONDS = 0.02
_PAGE = 1_000


@dataclass(frozen=True)
class Of:
    """What an account has: its balance, its grants, its last lines of history, and until when each of its holds lasts."""

    balance: object
    grants: object
    history: object
    holds: Mapping[str, float]

    def may_have_changed(self, now: float) -> bool:
        """Whether one of its holds ended by itself."""
        return any(expires_at <= now for expires_at in self.holds.values())


@dataclass(frozen=True)
class Snapshot:
    """What there is at a moment, in seconds since 1970. `whole` is what all accounts agreed, the plans and the rate cards."""

    at: float
    accounts: Mapping[str, Of]
    whole: object

    def differences(self, later: "Snapshot") -> Iterator[str]:
        """What a later one has otherwise, of accounts whose holds did not end by themselves."""
        if self.whole != later.whole:
            yield f"accounts, plans or rate cards: {self.whole} became {later.whole}"
        for account_id, before in self.accounts.items():
            after = later.accounts[account_id]
            if before.may_have_changed(later.at):
                continue
            for name in ("balance", "grants", "history", "holds"):
                if getattr(before, name) != getattr(after, name):
                    yield f"{name} of {account_id}: {getattr(before, name)} became {getattr(after, name)}"


async def settled(connection: Connection) -> None:
    """Wait until all charges are posted, for a while."""
    until = time.monotonic() + SETTLED_SECONDS
    while time.monotonic() < until:
        status = await connection.admin.GetStatus(admin_pb2.GetStatusRequest())
        if status.unposted_count == 0:
            return
        await asyncio.sleep(POLL_SECONDS)


async def snapshot(connection: Connection) -> Snapshot:
    """What there is now."""
    await settled(connection)
    accounts = {each: await _of(connection, each) for each in LASTING}
    admin = connection.admin
    listed = await admin.ListAccounts(admin_pb2.ListAccountsRequest(page_size=_PAGE))
    plans = await admin.ListPlans(admin_pb2.ListPlansRequest(page_size=_PAGE))
    cards = await admin.ListRateCards(admin_pb2.ListRateCardsRequest(page_size=_PAGE))
    whole = [*map(str, listed.accounts), *map(str, plans.plans), *(each.version for each in cards.rate_cards)]
    return Snapshot(time.time(), accounts, whole)


async def held(connection: Connection, account_id: str = "") -> list[reservations_pb2.Reservation]:
    """The reservations that are held, of one account or of all."""
    return await _reservations(connection, account_id, reservations_pb2.RESERVATION_STATE_HELD)


async def unfinished(connection: Connection) -> list[reservations_pb2.Reservation]:
    """All reservations that may change by themselves: those that are held, and metered calls that expired and are not charged
    yet.
    """
    expired = await _reservations(connection, "", reservations_pb2.RESERVATION_STATE_EXPIRED)
    return [*await held(connection), *(each for each in expired if each.HasField("progress"))]


async def _reservations(
    connection: Connection, account_id: str, state: reservations_pb2.ReservationState.ValueType
) -> list[reservations_pb2.Reservation]:
    request = metering_pb2.ListReservationsRequest(account_id=account_id, state=state, page_size=_PAGE)
    found: list[reservations_pb2.Reservation] = []
    while True:
        page = await connection.metering.ListReservations(request)
        found += page.reservations
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def account_ids(connection: Connection) -> list[str]:
    """The ids of all accounts."""
    request = admin_pb2.ListAccountsRequest(page_size=_PAGE)
    found: list[str] = []
    while True:
        page = await connection.admin.ListAccounts(request)
        found += [each.account_id for each in page.accounts]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def _of(connection: Connection, account_id: str) -> Of:
    account = connection.account
    balance = await account.GetBalance(account_pb2.GetBalanceRequest(account_id=account_id))
    grants = await account.ListGrants(account_pb2.ListGrantsRequest(account_id=account_id, page_size=_PAGE))
    history = await account.ListHistory(account_pb2.ListHistoryRequest(account_id=account_id, page_size=20))
    holds = await held(connection, account_id)
    amounts = (balance.available_microcredits, balance.held_microcredits, balance.debt_microcredits, balance.plan_id)
    return Of(
        balance=(*amounts, *((each.kind, each.granted_microcredits, each.remaining_microcredits) for each in balance.buckets)),
        grants=[str(each) for each in grants.grants],
        history=[each.entry_id for each in history.entries],
        holds={each.reservation_id: each.expires_at.ToMicroseconds() / 1e6 for each in holds},
    )
