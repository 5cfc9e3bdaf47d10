"""Several sidecars on one central store, each a process of its own, and an account for their workers to spend from."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from creditmeter.client.stubs import Connection, Retry, call
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, metering_pb2, reservations_pb2
from tests.cli.processes import SidecarProcess, run_forked

CREDIT = 1_000_000
ONCE = Retry(total=0, attempt=10)
PAGE_SIZE = 1_000
SETTLE_SECONDS = 30


@asynccontextmanager
async def fleet(central: str, count: int, **settings: float | str) -> AsyncIterator[list[SidecarProcess]]:
    """Running sidecars that administer. What of them still runs at the end is stopped, however it goes."""
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        places = [Path(directory) / str(number) for number in range(count)]
        sidecars = [SidecarProcess(place, "--enable-admin", "--central", central, **settings) for place in places]
        try:
            await asyncio.gather(*(asyncio.to_thread(each.start) for each in sidecars))
            yield sidecars
        finally:
            for each in sidecars:
                if each.is_running:
                    await asyncio.to_thread(each.kill)


async def stop_all(sidecars: Sequence[SidecarProcess]) -> list[int]:
    """Stop sidecars in order, together; returns their exit codes."""
    return list(await asyncio.gather(*(asyncio.to_thread(each.stop) for each in sidecars)))


async def assert_clean(central: str) -> None:
    """What is stored can be recomputed from its history."""
    verified = await asyncio.to_thread(run_forked, "verify", "--central", central)
    assert verified.code == 0, verified.out + verified.err


def far_from_midnight() -> str:
    """A time zone in which it is about noon, so that no day ends while a test runs."""
    hours_behind = datetime.now(UTC).hour - 12
    return f"Etc/GMT{hours_behind:+d}"  # the sign is that of POSIX: west of Greenwich is positive


async def open_account(
    client: Connection, account_id: str, *, daily: int = 0, monthly: int = 0, permanent: Sequence[int] = ()
) -> None:
    """An account with a plan of its own and permanent grants, in credits."""
    plan = grants_pb2.Plan(
        plan_id=f"plan-{account_id}", daily_microcredits=daily * CREDIT, monthly_microcredits=monthly * CREDIT
    )
    await call(client.admin.PutPlan, admin_pb2.PutPlanRequest(plan=plan))
    account = admin_pb2.Account(account_id=account_id, plan_id=plan.plan_id, time_zone=far_from_midnight())
    await call(client.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="create", account=account))
    for number, credits in enumerate(permanent):
        grant = admin_pb2.GrantCreditsRequest(
            request_id=f"grant-{number}", account_id=account_id, amount_microcredits=credits * CREDIT
        )
        await call(client.admin.GrantCredits, grant)


async def reserve(
    client: Connection, request_id: str, account_id: str, credits: int, retry: Retry = ONCE
) -> reservations_pb2.Reservation:
    """Hold credits for a call.

    Raises:
        CreditmeterError: it was refused.
    """
    request = metering_pb2.ReserveRequest(request_id=request_id, account_id=account_id, amount_microcredits=credits * CREDIT)
    return (await call(client.metering.Reserve, request, retry)).reservation


async def balance(client: Connection, account_id: str) -> account_pb2.GetBalanceResponse:
    """How an account stands."""
    return await call(client.account.GetBalance, account_pb2.GetBalanceRequest(account_id=account_id))


async def settled(clients: Sequence[Connection], account_id: str) -> account_pb2.GetBalanceResponse:
    """The balance of an account once every sidecar has posted everything of it."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            found = [await balance(each, account_id) for each in clients]
            if not any(each.held_microcredits or each.unposted_microcredits or each.stale for each in found):
                return found[0]


async def history(client: Connection, account_id: str) -> list[account_pb2.HistoryEntry]:
    """An account's history, oldest first. Nothing waits to be posted by this sidecar."""
    request = account_pb2.ListHistoryRequest(account_id=account_id, page_size=PAGE_SIZE)
    entries: list[account_pb2.HistoryEntry] = []
    while True:
        page = await call(client.account.ListHistory, request)
        assert not page.pending
        entries += page.entries
        if not page.next_page_token:
            return entries[::-1]
        request.page_token = page.next_page_token
