"""An alert from a charge to a webhook, through real processes that end on the way."""

import asyncio
import contextlib
import sqlite3
import urllib.request
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection, Retry, call
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2
from tests.cli.processes import SidecarProcess, run_forked
from tests.e2e.fleet import CREDIT, assert_clean
from tests.sidecar.alerts.receiver import SECRET, Receiver

PATIENT = Retry(total=30, attempt=10)
WAIT_SECONDS = 90


async def spend_below(address: str) -> None:
    """Open an account with an alert, and charge it for more than that leaves."""
    async with Connection(address) as client:
        account = admin_pb2.Account(account_id="alice", alerts=[admin_pb2.Alert(percent=50)])
        await call(client.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="create", account=account), PATIENT)
        grant = admin_pb2.GrantCreditsRequest(request_id="grant", account_id="alice", amount_microcredits=10 * CREDIT)
        await call(client.admin.GrantCredits, grant, PATIENT)
        charge = metering_pb2.ChargeRequest(request_id="c", account_id="alice", amount_microcredits=6 * CREDIT)
        await call(client.metering.Charge, charge, PATIENT)


async def alerts_in_history(address: str) -> list[str]:
    """The notes of the account's alerts."""
    wanted = account_pb2.ListHistoryRequest(account_id="alice", types=[account_pb2.HISTORY_TYPE_LOW_BALANCE])
    async with Connection(address) as client:
        return [each.note for each in (await call(client.account.ListHistory, wanted, PATIENT)).entries]


def end_claims(data_dir: Path) -> None:
    """As if the time had passed for which deliveries are claimed."""
    with contextlib.closing(sqlite3.connect(data_dir / "central.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alert_deliveries SET due_at = 0")


@pytest.mark.long
@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_an_alert_outlives_the_sidecar_that_was_delivering_it(short_path: Path, ending: str) -> None:
    """The receiver hangs while the sidecar ends, and SIGTERM does not wait for it. The next process delivers the alert, under
    the same id.
    """
    receiver = Receiver()
    receiver.answer(0)
    async with receiver.listening(), asyncio.timeout(WAIT_SECONDS):
        process = SidecarProcess(
            short_path,
            "--enable-admin",
            alert_webhook_url=receiver.url,
            alert_webhook_secret=SECRET,
            alert_webhook_private=True,
            alert_webhook_timeout=60,
        )
        await asyncio.to_thread(process.start)
        try:
            await spend_below(process.address)
            await receiver.came.wait()
            ended = await asyncio.to_thread(process.stop if ending == "stop" else process.kill)
            assert ended in (0, None)
            receiver.answer(200)
            receiver.came.clear()
            end_claims(short_path)
            await asyncio.to_thread(process.start)
            await receiver.came.wait()
            assert await alerts_in_history(process.address) == ["4 of 10 credits left: the alert is at 50%"]
        finally:
            if process.is_running:
                await asyncio.to_thread(process.stop)
    assert receiver.ids == [receiver.ids[0]] * 2
    assert all(each.is_genuine for each in receiver.received)
    await assert_clean(process.central)


def test_metrics_are_shown_where_the_ready_line_says(short_path: Path) -> None:
    """Port 0 is any free one."""
    process = SidecarProcess(short_path, "--metrics-listen", "127.0.0.1:0")
    process.start()
    try:
        with urllib.request.urlopen(f"http://{process.ready['metrics']}/metrics") as page:
            assert "creditmeter_low_balance_alerts_total" in page.read().decode()
    finally:
        assert process.stop() == 0


def test_a_webhook_that_cannot_be_used_keeps_the_sidecar_from_starting(short_path: Path) -> None:
    """With one line that says what is wrong, and not what the secret is."""
    serve = ("serve", "--data-dir", str(short_path), "--listen", "127.0.0.1:0")
    where = {"CREDITMETER_ALERT_WEBHOOK_URL": "https://example.com/alerts"}
    for secret in ({}, {"CREDITMETER_ALERT_WEBHOOK_SECRET": "whsec_c2hvcnQ="}):
        ended = run_forked(*serve, **where, **secret)
        assert ended.code == 2
        assert "secret" in ended.complaint
        assert "c2hvcnQ=" not in ended.complaint
