"""`creditmeter status`, put to a real sidecar."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter import __version__
from creditmeter.cli.commands.status import _print_status
from creditmeter.v1 import admin_pb2
from tests.cli.conftest import CommandLine
from tests.cli.processes import SidecarProcess
from tests.cli.tables import rows

CREDIT = 1_000_000


def test_a_status_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """In credits, with what is unknown as a dash."""
    found = admin_pb2.GetStatusResponse(
        sidecar_id="s1",
        epoch=3,
        version="1.2",
        state=admin_pb2.SERVING_STATE_JOURNAL_UNWRITABLE,
        started_at=Timestamp(),
        uptime=Duration(seconds=7_300),
        addresses=["127.0.0.1:50151", "unix:/s"],
        central_clock_offset=Duration(seconds=-1, nanos=-500_000_000),
        journal_bytes=2_049,
        account_count=1_500,
        open_reservation_count=2,
        held_microcredits=CREDIT // 2,
        unposted_count=1,
        unposted_microcredits=7 * CREDIT,
        receipt_count=9,
    )
    _print_status(found)
    lines = [row for row in rows(capsys.readouterr().out)[2:] if len(row) == 2]
    assert [value for name, value in lines if name == "listens on"] == ["127.0.0.1:50151", "unix:/s"]
    assert {name: value for name, value in lines if name != "listens on"} == {
        "sidecar": "s1",
        "state": "journal unwritable",
        "version": "1.2",
        "epoch": "3",
        "running": "2 h, since 1970-01-01 00:00",
        "central store": "not reachable",
        "last answer": "-",
        "its clock": "1,500 ms behind",
        "rate card": "-",
        "journal": "3 KiB",
        "accounts": "1,500",
        "open holds": "2, of 0.5 credits",
        "leases": "0, of 0 credits",
        "not settled": "1, of 7 credits",
        "oldest of them": "-",
        "remembers": "0 reservations, 0 charges, 0 refunds, 9 receipts",
    }


def test_a_running_sidecar_says_how_it_is(cli: CommandLine, sidecar: SidecarProcess) -> None:
    """For people and, with every field, for programs."""
    shown = cli("status")
    assert shown.code == 0
    assert ["state", "serving"] in rows(shown.out)
    found = cli.read("status")
    assert (found["state"], found["version"], found["epoch"]) == ("SERVING_STATE_SERVING", __version__, 1)
    assert found["addresses"] == sidecar.addresses
    assert found["central_reachable"] is True
    assert found["journal_bytes"] > 0
