"""`creditmeter sidecars` and `creditmeter leases`, put to a real sidecar."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.commands.leases import _print_leases
from creditmeter.cli.commands.sidecars import _print_sidecars
from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.output import ago
from creditmeter.cli.times import by_clock
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import admin_pb2, metering_pb2
from tests.cli.conftest import CommandLine
from tests.cli.tables import rows

CREDIT = 1_000_000
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(**span: int) -> Timestamp:
    """So long after noon."""
    moment = Timestamp()
    moment.FromDatetime(NOON + timedelta(**span))
    return moment


def test_sidecars_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """In credits, with how long ago each was seen."""
    silent = admin_pb2.Sidecar(
        sidecar_id="s1",
        epoch=3,
        state=admin_pb2.SIDECAR_STATE_SILENT,
        registered_at=at(days=-2),
        last_seen_at=at(minutes=-12),
        lease_count=2,
        leased_microcredits=1_500 * CREDIT,
        held_microcredits=CREDIT // 2,
        unposted_microcredits=2 * CREDIT,
    )
    _print_sidecars([silent], NOON)
    head, _, row = rows(capsys.readouterr().out)
    assert head == ["sidecar", "state", "last seen", "registered", "epoch", "leases", "leased", "held", "unposted"]
    assert row == ["s1", "silent", "12 min ago", "2 d ago", "3", "2", "1,500", "0.5", "2"]


def test_leases_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is idle on each, and every moment that matters."""
    lease = admin_pb2.Lease(
        lease_id="lea-1",
        account_id="ada",
        sidecar_id="s1",
        out_microcredits=10 * CREDIT,
        held_microcredits=3 * CREDIT,
        unposted_microcredits=CREDIT,
        opened_at=at(),
        renewed_at=at(minutes=1),
        ttl_ends_at=at(minutes=11),
        ends_at=at(hours=12),
        reclaim_at=at(minutes=72),
    )
    over = admin_pb2.Lease(account_id="bob", out_microcredits=CREDIT, held_microcredits=2 * CREDIT)
    with by_clock(lambda: NOON):
        _print_leases([lease, over])
    head, _, first, second, zone = rows(capsys.readouterr().out)
    assert head[:6] == ["account", "sidecar", "out", "held", "unposted", "idle"]
    assert head[6:] == ["opened", "renewed", "TTL ends", "day ends", "reclaimed"]
    assert first[:6] == ["ada", "s1", "10", "3", "1", "6"]
    assert first[6:] == ["12:00:00", "12:01:00", "12:11:00", "2026-11-25 00:00", "13:12:00"]
    assert second[-6:] == ["0", "-", "-", "-", "-", "-"]
    assert zone == ["Times are local: UTC."]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "now"), (0, "now"), (3, "3 s ago"), (59, "59 s ago"), (60, "1 min ago"), (7_199, "1 h ago"), (200_000, "2 d ago")],
)
def test_how_long_ago(seconds: int, shown: str) -> None:
    """In the largest unit. The sidecar's clock may be ahead of ours."""
    assert ago(admin_pb2.Sidecar(last_seen_at=at(seconds=-seconds)), "last_seen_at", NOON) == shown


def test_how_long_ago_was_never() -> None:
    """A dash."""
    assert ago(admin_pb2.Sidecar(), "last_seen_at", NOON) == "-"


def test_the_sidecar_that_is_asked_lists_itself(cli: CommandLine) -> None:
    """It registered when it started."""
    (listed,) = cli.read("sidecars")["sidecars"]
    assert (listed["state"], listed["epoch"]) == ("SIDECAR_STATE_ACTIVE", 1)
    assert listed["sidecar_id"] in cli("sidecars").out
    assert cli.read("sidecars", "--state", "active")["sidecars"][0]["sidecar_id"] == listed["sidecar_id"]
    assert cli.read("sidecars", "--state", "gone")["sidecars"] == []
    assert cli("sidecars", "--state", "asleep").code == 2
    assert "page_token" in cli("sidecars", "--page-token", "made-up").complaint


async def reserve(address: str, account: str, amount: int) -> None:
    """Hold credit."""
    async with Connection(address) as client:
        request = metering_pb2.ReserveRequest(request_id="hold", account_id=account, amount_microcredits=amount)
        await call(client.metering.Reserve, request, PATIENCE)


def test_a_lease_is_listed(cli: CommandLine, account: str) -> None:
    """While credit is held on it; by account and by sidecar."""
    assert cli.read("leases", "--account", account) == {"leases": [], "next_page_token": ""}
    asyncio.run(reserve(cli.address, account, 2 * CREDIT))
    (lease,) = cli.read("leases", "--account", account)["leases"]
    assert lease["account_id"] == account
    assert lease["out_microcredits"] >= 2 * CREDIT
    (sidecar,) = cli.read("sidecars")["sidecars"]
    assert lease["sidecar_id"] == sidecar["sidecar_id"]
    assert lease in cli.read("leases", "--sidecar", lease["sidecar_id"])["leases"]
    assert account in cli("leases", "--account", account).out
    assert cli.read("leases", "--sidecar", "nobody")["leases"] == []
    assert "account_id" in cli("leases", "--account", "two words").complaint
