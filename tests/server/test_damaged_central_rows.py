"""Rows of the central store that go bad while a sidecar runs.

What needs one is refused as STORAGE_DAMAGED, and the log names the account once. All other accounts go on.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
import structlog

from creditmeter.central.verification.verification import verify
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND
from creditmeter.sidecar.exchanger import DAMAGE_PAUSE
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Failure, Services, failure


async def run(services: Services, statement: str) -> None:
    """Change the central store behind the sidecar's back, in a thread, since a transaction of the sidecar may be under way."""

    def change() -> None:
        with contextlib.closing(sqlite3.connect(services.data_dir / "central.db", timeout=5)) as connection, connection:
            assert connection.execute(statement).rowcount > 0

    await asyncio.to_thread(change)


async def settled(services: Services, *accounts: str) -> None:
    """Settle until nothing of these accounts is unposted."""
    sidecar = services.program.sidecar
    async with asyncio.timeout(10):
        while any(book.has_unposted for book in sidecar.books if book.account_id in accounts):
            await sidecar.settle()
            await asyncio.sleep(0)


def charge(account_id: str, request_id: str, amount: int = 1) -> metering_pb2.ChargeRequest:
    """A charge of so many microcredits."""
    return metering_pb2.ChargeRequest(request_id=request_id, account_id=account_id, amount_microcredits=amount)


def damage_in(entries: list[Any]) -> list[tuple[str, str]]:
    """Whose rows the log says are damaged, and how grave that is."""
    return [(each["account_id"], each["log_level"]) for each in entries if each["event"] == "the central store is damaged"]


def assert_damaged(failed: Failure) -> None:
    """It says whose it is, and what to do."""
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.DATA_LOSS, "STORAGE_DAMAGED")
    assert dict(failed.info.metadata) == {"account_id": "alice"}
    assert "`creditmeter verify` says more" in failed.message


@pytest.fixture
async def two(services: Services) -> Services:
    """A sidecar with two accounts, each with a charge that is settled, and leases."""
    for account_id in ("alice", "bob"):
        await services.create(account_id, permanent=1_000_000)
        await services.metering.Charge(charge(account_id, "first"))
    await settled(services, "alice", "bob")
    return services


BALANCE = account_pb2.GetBalanceRequest(account_id="alice")
HISTORY = account_pb2.ListHistoryRequest(account_id="alice")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET state = 'NONSENSE' WHERE account_id = 'alice'",
        "UPDATE accounts SET alerts = '[' WHERE account_id = 'alice'",
        "UPDATE accounts SET decided_at = 'soon' WHERE account_id = 'alice'",
        "UPDATE accounts SET balance_microcredits = 'much' WHERE account_id = 'alice'",
        "UPDATE accounts SET time_zone = CAST(x'ff00' AS TEXT) WHERE account_id = 'alice'",
        "UPDATE grants SET remaining_microcredits = remaining_microcredits + 1 WHERE account_id = 'alice'",
        "UPDATE grants SET note = CAST(x'ff00' AS TEXT) WHERE account_id = 'alice'",
        "UPDATE grants SET kind = 'NONSENSE' WHERE account_id = 'alice'",
        "UPDATE leases SET posted_microcredits = limit_microcredits + 1 WHERE account_id = 'alice'",
        "UPDATE leases SET trusted_until = x'00' WHERE account_id = 'alice'",
    ],
)
async def test_one_account_is_refused_and_the_other_settles(two: Services, statement: str) -> None:
    """In one settlement with both, and in calls."""
    sidecar = two.program.sidecar
    await run(two, statement)
    with structlog.testing.capture_logs() as entries:
        for account_id in ("alice", "bob"):
            await two.metering.Charge(charge(account_id, "second"))  # on the lease in hand
        await settled(two, "bob")
        for _ in range(3):
            assert_damaged(await failure(two.metering.Charge(charge("alice", "third", 900_000))))
        await sidecar.settle()
    assert damage_in(entries) == [("alice", "error")]
    assert not [each for each in entries if each["event"] in ("exchange failed", "settlement failed", "a call failed")]
    assert [book.account_id for book in sidecar.books if book.has_unposted] == ["alice"]
    report = await verify(f"sqlite:///{two.data_dir / 'central.db'}")
    assert report.problems
    assert all(each.startswith("account alice: ") for each in report.problems)


async def test_it_is_asked_again_now_and_then(two: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with every settlement; and once it can be read again, all is settled."""
    sidecar = two.program.sidecar
    asked: list[list[str]] = []
    exchange = sidecar.central.exchanges.exchange

    async def counted(messages: Any) -> Any:
        asked.append([each.account_id for each in messages])
        return await exchange(messages)

    monkeypatch.setattr(sidecar.central.exchanges, "exchange", counted)
    await run(two, "UPDATE accounts SET alerts = '[' WHERE account_id = 'alice'")
    await two.metering.Charge(charge("alice", "second"))
    for number in range(20):
        await two.metering.Charge(charge("bob", f"more-{number}"))
        await sidecar.settle()
        clock.advance(SECOND)
    assert sum("alice" in each for each in asked) == 1
    await run(two, "UPDATE accounts SET alerts = '[]' WHERE account_id = 'alice'")
    clock.advance(DAMAGE_PAUSE)
    await settled(two, "alice", "bob")
    assert sidecar._exchanger.damage_of(AccountId("alice")) is None
    assert (await two.metering.Charge(charge("alice", "third", 900_000))).charge.cost_microcredits == 900_000


@pytest.mark.parametrize(
    ("statement", "call"),
    [
        ("UPDATE history SET type = 'NONSENSE' WHERE account_id = 'alice'", "history"),
        ("UPDATE history SET draws = '[' WHERE account_id = 'alice'", "history"),
        ("UPDATE charges SET body = '{}' WHERE account_id = 'alice'", "usage"),
        ("UPDATE charges SET body = '{}' WHERE account_id = 'alice'", "forecast"),
        ("UPDATE accounts SET alerts = '[' WHERE account_id = 'alice'", "balance"),
        ("UPDATE accounts SET alerts = '[' WHERE account_id = 'alice'", "account"),
        ("UPDATE requests SET request = '{}' WHERE account_id = 'alice'", "grant"),
        ("UPDATE requests SET reply = '{}' WHERE account_id = 'alice'", "grant"),
        ("UPDATE history SET draws = '[' WHERE account_id = 'alice'", "past balance"),
    ],
)
async def test_calls_that_read(two: Services, clock: ManualClock, statement: str, call: str) -> None:
    """Each names the account, as long as the row is as it is."""
    await run(two, statement)
    at = admin_pb2.GrantCreditsRequest(request_id="grant", account_id="alice", amount_microcredits=1_000_000)
    past = account_pb2.GetPastBalanceRequest(account_id="alice")
    past.at.FromMicroseconds(clock.wall())
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "history": lambda: two.account.ListHistory(HISTORY),
        "usage": lambda: two.account.SummarizeUsage(account_pb2.SummarizeUsageRequest(account_id="alice")),
        "forecast": lambda: two.account.ForecastUsage(account_pb2.ForecastUsageRequest(account_id="alice")),
        "balance": lambda: two.account.GetBalance(BALANCE),
        "account": lambda: two.admin.GetAccount(admin_pb2.GetAccountRequest(account_id="alice")),
        "grant": lambda: two.admin.GrantCredits(at),
        "past balance": lambda: two.account.GetPastBalance(past),
    }
    with structlog.testing.capture_logs() as entries:
        for _ in range(2):
            assert_damaged(await failure(calls[call]()))
    assert damage_in(entries) == [("alice", "error")]


async def test_a_stop_does_not_wait_for_it(two: Services) -> None:
    """What cannot be posted is safe in the journal; everything else is settled and given back."""
    sidecar = two.program.sidecar
    await run(two, "UPDATE accounts SET alerts = '[' WHERE account_id = 'alice'")
    for account_id in ("alice", "bob"):
        await two.metering.Charge(charge(account_id, "second"))
    with structlog.testing.capture_logs() as entries:
        assert not await sidecar.stop(60)
    assert not [each for each in entries if each["event"].startswith("stopped before")]
    assert [book.account_id for book in sidecar.books if book.has_unposted] == ["alice"]
