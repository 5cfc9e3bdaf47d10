"""Metrics: what is counted, and where Prometheus finds it."""

import asyncio
import contextlib
import socket
import sqlite3
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partialmethod
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from creditmeter.central.decisions.pruning import HEARING, REQUEST_KEPT_FOR
from creditmeter.core.instants import HOUR, MINUTE, SECOND
from creditmeter.server import metrics
from creditmeter.server.app import running
from creditmeter.server.config import ConfigError, Settings
from creditmeter.server.exits import MISUNDERSTOOD, StartupError
from creditmeter.server.metrics import Metrics, MetricsPage
from creditmeter.sidecar.alerts.standard_webhooks import DeliveryOutcome
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, metering_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.sidecar.alerts.receiver import SECRET, Receiver

CREDIT = 1_000_000

Values = dict[tuple[str, ...], float]


async def read(address: str) -> Values:
    """All values that a page shows, by their name and labels, those in the order of their names."""

    def get() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics") as page:
            return str(page.read().decode())

    families = text_string_to_metric_families(await asyncio.to_thread(get))
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def shown(services: Services) -> Values:
    """What the program shows now."""
    assert services.program.metrics_address is not None
    return await read(services.program.metrics_address)


async def test_accounts_in_quarantine_are_shown(data_dir: Path, clock: ManualClock) -> None:
    """From the first reading of the journal on; 0 if there are none."""
    settings = Settings.load(
        None,
        listen=("127.0.0.1:0",),
        data_dir=data_dir,
        enable_admin=True,
        shutdown_grace=0.2,
        metrics_listen="127.0.0.1:0",
    )
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        services = Services.on(program, data_dir, channel)
        assert (await shown(services))[("creditmeter_quarantined_accounts",)] == 0
        await services.create("alice", permanent=10)
        await services.metering.Reserve(metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=1))
    with contextlib.closing(sqlite3.connect(data_dir / "journal.db")) as connection, connection:
        connection.execute("UPDATE records SET body = x'00'")
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        assert (await shown(Services.on(program, data_dir, channel)))[("creditmeter_quarantined_accounts",)] == 1


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where alerts are sent."""
    made = Receiver()
    async with made.listening():
        yield made


@pytest.fixture
async def services(
    migrated_dir: Path, clock: ManualClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Services]:
    """A running program that exports metrics and delivers alerts to a webhook."""
    monkeypatch.setattr("creditmeter.sidecar.alerts.courier.INTERVAL_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings = Settings.load(
        None,
        listen=("127.0.0.1:0",),
        data_dir=migrated_dir,
        enable_admin=True,
        settle_interval=0.02,
        shutdown_grace=0.2,
        metrics_listen="127.0.0.1:0",
        alert_webhook_url=receiver.url,
        alert_webhook_secret=SECRET,
        alert_webhook_private=True,
    )
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, migrated_dir, channel)


def charge(request_id: str, amount: int, account_id: str = "alice") -> metering_pb2.ChargeRequest:
    """A charge of an amount."""
    return metering_pb2.ChargeRequest(request_id=request_id, account_id=account_id, amount_microcredits=amount)


async def test_an_alert_goes_all_the_way(services: Services, receiver: Receiver) -> None:
    """From a charge to history, to metrics, and to a webhook that fails at first."""
    receiver.answer(500, 200)
    await services.create("alice", permanent=100 * CREDIT, alerts=[admin_pb2.Alert(percent=50)])
    await services.metering.Charge(charge("c", 60 * CREDIT))
    async with asyncio.timeout(20):
        await receiver.came.wait()
        while not (values := await shown(services))["creditmeter_webhook_deliveries_total", "failed"]:
            pass
    (received,) = receiver.received
    assert received.is_genuine
    history = await services.account.ListHistory(
        account_pb2.ListHistoryRequest(account_id="alice", types=[account_pb2.HISTORY_TYPE_LOW_BALANCE])
    )
    (entry,) = history.entries
    assert (entry.amount_microcredits, entry.balance_after_microcredits) == (0, 40 * CREDIT)
    assert entry.note == "40 of 100 credits left: the alert is at 50%"
    assert received.content["data"]["entry_id"] == entry.entry_id
    assert values["creditmeter_low_balance_alerts_total", "percent"] == 1
    assert values["creditmeter_low_balance_alerts_total", "amount"] == 0
    assert values["creditmeter_webhook_deliveries_total", "delivered"] == 0


async def test_calls_are_counted_and_timed_by_how_they_ended(services: Services) -> None:
    """By RPC and code; refusals by reason; never by account. What could not be read is counted too, and each of a batch."""
    await services.create("alice", permanent=10 * CREDIT)
    await services.metering.Charge(charge("a", CREDIT))
    await failure(services.metering.Charge(charge("b", 100 * CREDIT)))
    await failure(services.metering.Charge(charge("c", CREDIT, "nobody")))
    await failure(services.metering.Charge(charge("", CREDIT)))
    await failure(services.send("/creditmeter.v1.MeteringService/Charge", b"\xff"))
    asked = charge("d", CREDIT), charge("e", 100 * CREDIT)
    both = [metering_pb2.Mutation(charge=each) for each in asked]
    await services.metering.Batch(metering_pb2.BatchRequest(mutations=both))
    await failure(services.send("/creditmeter.v1.MeteringService/Meter", b"", streams=True))
    values = await shown(services)
    assert values["creditmeter_calls_total", "OK", "Charge"] == 2
    assert values["creditmeter_calls_total", "RESOURCE_EXHAUSTED", "Charge"] == 2
    assert values["creditmeter_calls_total", "NOT_FOUND", "Charge"] == 1
    assert values["creditmeter_calls_total", "INVALID_ARGUMENT", "Charge"] == 2
    assert values["creditmeter_calls_total", "OK", "Batch"] == 1
    assert values["creditmeter_calls_total", "INVALID_ARGUMENT", "Meter"] == 1
    assert values["creditmeter_refusals_total", "INSUFFICIENT_CREDITS", "Charge"] == 2
    assert values["creditmeter_refusals_total", "ACCOUNT_NOT_FOUND", "Charge"] == 1
    assert values["creditmeter_refusals_total", "INVALID_REQUEST", "Charge"] == 2
    assert values["creditmeter_call_seconds_count", "Charge"] == 7
    assert 0 < values["creditmeter_call_seconds_sum", "Charge"] < 20
    assert not [labels for labels in values if "alice" in labels or "nobody" in labels]


HOLDS = ("commit_held_microcredits", "commit_charged_microcredits", "commits_beyond_hold")


def of_holds(values: Values, action: str) -> list[float]:
    """What commits took off holds of an action, what they charged (both in credits), and how many charged more."""
    held, charged, beyond = (values[f"creditmeter_{name}_total", action] for name in HOLDS)
    return [held / CREDIT, charged / CREDIT, beyond]


async def reserved(services: Services, request_id: str, work: work_pb2.Work | int) -> str:
    """The id of a new reservation for work, or of so many credits."""
    bound = {"work": work} if isinstance(work, work_pb2.Work) else {"amount_microcredits": work * CREDIT}
    asked = metering_pb2.ReserveRequest(request_id=request_id, account_id="alice", **bound)
    return (await services.metering.Reserve(asked)).reservation.reservation_id


def committed(request_id: str, reservation_id: str, credits: int, **fields: Any) -> metering_pb2.CommitRequest:
    """A commit of so many credits."""
    fields |= {"request_id": request_id, "reservation_id": reservation_id}
    return metering_pb2.CommitRequest(amount_microcredits=credits * CREDIT, **fields)


async def test_holds_are_counted_against_what_was_used(services: Services) -> None:
    """By action, 0 before anything happened. Commits of one reservation add up to its hold; one that comes again, a release
    and an estimate do not count.
    """
    await services.create("alice", permanent=200 * CREDIT)
    values = await shown(services)
    assert [of_holds(values, action) for action in ("text", "image", "tool", "other", "amount")] == [[0, 0, 0]] * 5
    commit = services.metering.Commit
    text = work_pb2.Work(action="text", provider="anthropic", request_model="claude-sonnet-4-5", max_output_tokens=0)
    text.input_tokens = 100_000
    for number, cached in enumerate((0, 100_000)):
        held = await reserved(services, f"text-{number}", text)  # 30 credits, and 3 if all of it is read from the cache
        used = work_pb2.Usage(input_tokens=100_000, output_tokens=0, cache_read_input_tokens=cached)
        asked = metering_pb2.CommitRequest(request_id=f"used-{number}", reservation_id=held, usage=used)
        assert [(await commit(asked)).replayed, (await commit(asked)).replayed] == [False, True]
    guessed = await reserved(services, "guessed", text)
    await commit(metering_pb2.CommitRequest(request_id="guess", reservation_id=guessed, usage=work_pb2.Usage()))
    opened = await reserved(services, "opened", 10)
    await commit(committed("first", opened, 4, keep_open=True))
    assert of_holds(await shown(services), "amount") == [4, 4, 0]
    await commit(committed("last", opened, 7))
    released = metering_pb2.ReleaseRequest(request_id="back", reservation_id=await reserved(services, "released", 10))
    await services.metering.Release(released)
    await commit(committed("view", await reserved(services, "viewed", work_pb2.Work(action="view")), 1))
    values = await shown(services)
    assert of_holds(values, "text") == [60, 33, 0]
    assert of_holds(values, "amount") == [10, 11, 1]
    assert of_holds(values, "other") == [0, 1, 1]


async def test_calls_that_are_given_up_are_counted(services: Services) -> None:
    """Their caller has gone, so gRPC cancels them: here while another program keeps the central store to itself."""
    with contextlib.closing(sqlite3.connect(services.data_dir / "central.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        plan = admin_pb2.PutPlanRequest(plan=grants_pb2.Plan(plan_id="p"))
        with pytest.raises(grpc.aio.AioRpcError):
            await services.admin.PutPlan(plan, timeout=1)
        other.rollback()
        async with asyncio.timeout(20):
            while ("creditmeter_calls_total", "CANCELLED", "PutPlan") not in await shown(services):
                pass


async def test_pruned_rows_are_counted(services: Services, clock: ManualClock) -> None:
    """By table, from the first round on. Here first replies that are 90 days old."""
    pruning = services.program.sidecar.central.pruning
    assert await pruning.prune() == {}, "the first round is due later"
    await services.create("alice", permanent=CREDIT)
    clock.advance(REQUEST_KEPT_FOR + HOUR)
    assert await pruning.prune() == {}, "the first round after a gap only waits"
    clock.advance(HEARING)
    deleted = await pruning.prune()
    assert deleted["requests"] > 0
    values = await shown(services)
    for table in ("leases", "requests", "refused_calls", "recalls", "sidecars", "exchanges"):
        assert values["creditmeter_pruned_rows_total", table] == deleted.get(table, 0)


@pytest.mark.parametrize(("step", "direction"), [(HOUR, "forward"), (-HOUR, "back")])
async def test_clocks_are_shown(services: Services, clock: ManualClock, step: int, direction: str) -> None:
    """How far this machine's is off while a step is doubted, and the steps that are believed in the end."""
    sidecar = services.program.sidecar
    await sidecar.look_after()
    values = await shown(services)
    assert [values["creditmeter_clock_steps_total", each] for each in ("forward", "back")] == [0, 0]
    assert values[("creditmeter_clock_offset_seconds",)] == values[("creditmeter_clock_drift_ratio",)] == 0
    clock.step_wall(step)
    await sidecar.look_after()
    assert (await shown(services))[("creditmeter_clock_offset_seconds",)] == -step / SECOND
    clock.advance(MINUTE)
    await sidecar.look_after()
    values = await shown(services)
    assert values["creditmeter_clock_steps_total", direction] == 1
    assert values[("creditmeter_clock_offset_seconds",)] == 0


async def test_each_sidecar_counts_for_itself() -> None:
    """Two in one process do not add up."""
    one, other = Metrics(), Metrics()
    one.delivery(DeliveryOutcome.DELIVERED, 3)
    page = MetricsPage.open("127.0.0.1:0", other)
    assert (await read(page.address))["creditmeter_webhook_deliveries_total", "delivered"] == 0
    await page.close()


async def test_a_page_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sidecar that stops does not wait until its page looks whether it is to end."""
    monkeypatch.setattr(BaseServer, "serve_forever", partialmethod(BaseServer.serve_forever, 20))
    page = MetricsPage.open("127.0.0.1:0", Metrics())
    async with asyncio.timeout(10):
        await page.close()


async def test_a_page_is_closed_for_good() -> None:
    """Its address is free again."""
    page = MetricsPage.open("127.0.0.1:0", Metrics())
    await page.close()
    again = MetricsPage.open(page.address, Metrics())
    assert again.address == page.address
    await again.close()


# Settings that cannot be used.


async def why_not(data_dir: Path, **settings: object) -> StartupError:
    """Why a program does not start."""
    loaded = Settings.load(None, listen=("127.0.0.1:0",), data_dir=data_dir, **settings)
    with pytest.raises(StartupError) as refused:
        async with running(loaded, ManualClock()):
            pass
    assert "\n" not in str(refused.value)
    return refused.value


async def test_an_address_that_is_in_use_is_named(data_dir: Path) -> None:
    """It cannot start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"cannot show metrics on {address}" in str(await why_not(data_dir, metrics_listen=address))


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MetricsPage]:
    """A page for one reader at a time."""
    monkeypatch.setattr(metrics, "MAX_READERS", 1)
    opened = MetricsPage.open("127.0.0.1:0", Metrics())
    yield opened
    await opened.close()


async def test_prometheus_reads_from_another_machine(migrated_dir: Path, clock: ManualClock) -> None:
    """In plain text, without `insecure`, which would open the other addresses as well."""
    settings = Settings.load(
        None, listen=("127.0.0.1:0",), data_dir=migrated_dir, metrics_listen="0.0.0.0:0", shutdown_grace=0.2
    )
    async with running(settings, clock) as program:
        assert program.metrics_address is not None
        assert await read(program.metrics_address)


async def test_readers_of_the_page_take_few_places(page: MetricsPage) -> None:
    """Beyond them a connection is closed, and the next one is served once there is a place."""
    host, _, port = page.address.rpartition(":")
    with socket.create_connection((host, int(port))) as first:
        first.sendall(b"GET /metrics HTTP/1.0\r\n")
        with socket.create_connection((host, int(port))) as second:
            assert await asyncio.to_thread(second.recv, 1) == b""
    async with asyncio.timeout(20):
        while True:  # until the page has seen that the first one is gone
            with contextlib.suppress(OSError):
                assert await read(page.address)
                return


async def test_who_says_nothing_loses_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a reader is not kept out for ever."""
    monkeypatch.setattr(metrics, "READ_SECONDS", 0.01)
    opened = MetricsPage.open("127.0.0.1:0", Metrics())
    host, _, port = opened.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as silent:
        assert await asyncio.to_thread(silent.recv, 1) == b""
    await opened.close()


@pytest.mark.parametrize("address", ["9090", "unix:/run/metrics", "localhost:high", "localhost:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """As every setting."""
    with pytest.raises(ConfigError, match=r"metrics_listen \(option --metrics-listen\): .*use host:port"):
        Settings.load(None, metrics_listen=address)


URL = "https://user:password@example.com/alerts?key=secret"


async def test_a_webhook_needs_a_secret(data_dir: Path, tmp_path: Path) -> None:
    """One, from the settings or from a file; what is wrong with it is said, and never what it is."""
    error = await why_not(data_dir, alert_webhook_url=URL)
    assert error.exit_code == MISUNDERSTOOD
    assert "alert_webhook_url (option --alert-webhook-url): it needs a secret" in str(error)
    file = tmp_path / "secret"
    file.write_text(SECRET)
    both = await why_not(data_dir, alert_webhook_url=URL, alert_webhook_secret=SECRET, alert_webhook_secret_file=file)
    assert "needs a secret" in str(both)
    missing = await why_not(data_dir, alert_webhook_url=URL, alert_webhook_secret_file=tmp_path / "none")
    assert "No such file" in str(missing)
    for content in (b"whsec_tooshort", SECRET.encode()[6:], b"\xff\xfe"):
        file.write_bytes(content)
        wrong = await why_not(data_dir, alert_webhook_url=URL, alert_webhook_secret_file=file)
        assert f"the file {file} has no secret" in str(wrong)
        assert "tooshort" not in str(wrong)


@pytest.mark.parametrize("proxy", ["socks5://user:password@localhost:1080", "ftp://user:password@localhost"])
async def test_a_proxy_that_cannot_be_used_is_a_mistake_in_the_settings(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """It comes from the environment, and may have a password."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    error = await why_not(data_dir, alert_webhook_url=URL, alert_webhook_secret=SECRET)
    assert error.exit_code == MISUNDERSTOOD
    assert "ALL_PROXY" in str(error)
    assert "password" not in f"{error} {error.__cause__!r} {error.__cause__.__cause__!r}"  # type: ignore[union-attr]  # it has one


async def test_a_secret_is_read_from_its_file(data_dir: Path, tmp_path: Path) -> None:
    """As operators keep secrets, with a line break at its end."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings = Settings.load(None, data_dir=data_dir, alert_webhook_url=URL, alert_webhook_secret_file=file)
    assert settings.webhook_key() == bytes(range(32))


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("alert_webhook_url", "ftp://user:password@example.com", "https://HOST"),
        ("alert_webhook_secret", "whsec_password", "24 to 64 bytes"),
        ("alert_webhook_timeout", "61", "from 100ms to 1m"),
    ],
)
def test_what_no_webhook_can_have_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    """From the environment, where secrets come from; not even in the cause, which a traceback would show."""
    monkeypatch.setenv(f"CREDITMETER_{name.upper()}", value)
    with pytest.raises(ConfigError, match=complaint) as refused:
        Settings.load(None)
    assert str(refused.value).startswith(name)
    assert "password" not in f"{refused.value} {refused.value.__cause__} {refused.value.__cause__!r}"


def test_settings_do_not_show_the_secret() -> None:
    """However they are printed."""
    settings = Settings.load(None, alert_webhook_url=URL, alert_webhook_secret=SECRET)
    assert SECRET[6:] not in f"{settings} {settings!r} {asdict(settings)}"
