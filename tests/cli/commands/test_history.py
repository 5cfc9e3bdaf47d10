"""`history`, `usage`, `grant list` and `balance --at`, put to a real sidecar, and what they print in every form."""

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from creditmeter.cli.commands.past_balance import KINDS, read_past_balance
from creditmeter.cli.commands.usage import usage_table
from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.layout import BAR, Bar
from creditmeter.cli.output import print_cells
from creditmeter.cli.paging import _joined
from creditmeter.client.stubs import Connection, call
from creditmeter.core.instants import DAY, HOUR, Instant, to_datetime
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, work_pb2
from tests.cli.conftest import CommandLine
from tests.cli.tables import rows
from tests.clocks import NOON, ManualClock
from tests.server.conftest import (  # noqa: F401 - a program at a clock that the test moves
    Services,
    data_dir,
    migrated_dir,
    services,
)
from tests.server.settling import settled_charge

CREDIT = 1_000_000


def cells(text: str) -> list[dict[str, str]]:
    """CSV as it is read again."""
    return list(csv.DictReader(io.StringIO(text)))


async def charge(address: str, account: str) -> None:
    """Charge twice, and wait until it is settled."""
    async with Connection(address) as client:
        for number, tool in enumerate(("web_search", "seo_search")):
            usage = work_pb2.Usage(action="tool", tool=tool, quantity=2 - number)
            labels = {"job": "=1+1", "team": f"t{number}"}
            request = metering_pb2.ChargeRequest(request_id=f"c{number}", account_id=account, usage=usage, labels=labels)
            reply = await call(client.metering.Charge, request, PATIENCE)
            asked = metering_pb2.GetChargeRequest(charge_id=reply.charge.charge_id)
            async with asyncio.timeout(60):
                while not (await call(client.metering.GetCharge, asked, PATIENCE)).charge.HasField("posted_at"):
                    await asyncio.sleep(0.01)


def present() -> str:
    """This moment, as it is typed."""
    return datetime.now(UTC).isoformat()


@pytest.fixture
def busy(cli: CommandLine, account: str) -> str:
    """An account with settled charges of 2 credits and of 1."""
    asyncio.run(charge(cli.address, account))
    return account


def test_history_is_filtered_by_bucket_source_and_label(cli: CommandLine, busy: str) -> None:
    """Each as it is typed."""

    def found(*filters: str) -> list[int]:
        return [each["amount_microcredits"] // CREDIT for each in cli.read("history", busy, *filters)["entries"]]

    assert found("--kind", "daily") == [-1, -2, 3]
    assert found("--kind", "permanent") == [10]
    assert found("--kind", "daily", "--kind", "monthly") == [-1, -2, 4, 3]
    assert found("--source", "referral") == [10]
    assert found("--source", "plan", "--type", "charged") == [-1, -2]
    assert found("--label", "team") == [-1, -2]
    assert found("--label", "team=t1") == [-1]
    assert found("--label", "team=") == []
    assert found("--label", "job==1+1") == [-1, -2]
    assert cli("history", busy, "--label", "=x").code == 2


def test_history_as_csv_has_the_contracts_names_and_no_formulas(cli: CommandLine, busy: str) -> None:
    """One line an entry; amounts are integers, and what is within an entry is JSON."""
    listed = cells(cli("history", busy, "--csv").out)
    assert [*listed[0]] == [field.name for field in account_pb2.HistoryEntry.DESCRIPTOR.fields]
    assert [each["amount_microcredits"] for each in listed] == ["-1000000", "-2000000", "10000000", "4000000", "3000000"]
    assert json.loads(listed[0]["labels"]) == {"job": "=1+1", "team": "t1"}
    assert json.loads(listed[0]["draws"])[0]["amount_microcredits"] == CREDIT
    short = cli("history", busy, "--csv", "--limit", "1")
    assert (len(cells(short.out)), "--page-token" in short.err) == (1, True)


def test_text_that_a_spreadsheet_would_run_is_quoted(
    cli: CommandLine, account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Users choose notes. Numbers stay numbers."""
    for number, note in enumerate(('=HYPERLINK("http://x")', "+1", "@x", 'fine, "quoted"')):
        cli.read("grant", "add", account, "1", "--note", note, "--request-id", f"n{number}")
    notes = [each["note"] for each in cells(cli("grant", "list", account, "--csv").out)]
    assert {'\'=HYPERLINK("http://x")', "'+1", "'@x", 'fine, "quoted"', "welcome"} <= {*notes}
    print_cells(["a", "=b"], [[-5, "-5"], [0, "\tx"], [1, "a=b"], [2, ""]])
    assert capsys.readouterr().out == "a,'=b\n-5,'-5\n0,'\tx\n1,a=b\n2,\n"


def test_grants_are_listed(cli: CommandLine, busy: str) -> None:
    """As a table, as JSON and page by page."""
    shown = rows(cli("grant", "list", busy).out)
    assert sorted(row[:3] for row in shown[3:-1]) == [["daily", "3", "0"], ["monthly", "4", "4"], ["permanent", "10", "10"]]
    first = cli.read("grant", "list", busy, "--limit", "1")
    rest = cli.read("grant", "list", busy, "--page-token", first["next_page_token"])
    found = first["grants"] + rest["grants"]
    assert found == cli.read("grant", "list", busy)["grants"]
    assert sorted(each["remaining_microcredits"] for each in found) == [0, 4 * CREDIT, 10 * CREDIT]


def test_usage_is_shown_with_bars(cli: CommandLine, busy: str) -> None:
    """The longest is the most; the total stands below."""
    shown = rows(cli("usage", busy, "--group-by", "tool").out)
    assert shown[1] == ["tool", "charges", "credits", "paid", "refunded", "USD"]
    assert [row[:3] for row in shown[3:5]] == [["seo_search", "1", "1"], ["web_search", "1", "2"]]
    assert [len(row[-1]) for row in shown[3:5]] == [BAR // 2, BAR]
    assert shown[-2][:3] == ["total", "2", "3"]


def test_usage_for_programs(cli: CommandLine, busy: str) -> None:
    """JSON is the reply; CSV has the groups under their names."""
    groupings = ("--group-by", "label:team", "--group-by", "kind")
    found = cli.read("usage", busy, *groupings)
    assert [each["keys"] for each in found["groups"]] == [["t0", "GRANT_KIND_DAILY"], ["t1", "GRANT_KIND_DAILY"]]
    assert (found["total"]["charge_count"], found["total"]["cost_microcredits"]) == (2, 3 * CREDIT)
    listed = cells(cli("usage", busy, *groupings, "--csv").out)
    assert [(each["label:team"], each["kind"], each["cost_microcredits"]) for each in listed] == [
        ("t0", "GRANT_KIND_DAILY", "2000000"),
        ("t1", "GRANT_KIND_DAILY", "1000000"),
    ]
    first = cli.read("usage", busy, *groupings, "--limit", "1")
    rest = cli.read("usage", busy, *groupings, "--page-token", first["next_page_token"])
    assert first["groups"] + rest["groups"] == found["groups"]
    (day,) = cli.read("usage", busy)["groups"]
    assert day["keys"] == [datetime.now(UTC).date().isoformat()]
    assert cli.read("usage", busy, "--end", "2001-01-01")["total"]["charge_count"] == 0
    assert cli.read("usage", busy, "--end", "1970-01-05")["total"]["charge_count"] == 0
    assert "from 1970-01-01 00:00 until 1970-01-05" in cli("usage", busy, "--end", "1970-01-05").out
    assert cli("usage", busy, "--group-by", "moon").code == 2
    assert "group_by[1]" in cli("usage", busy, "--group-by", "day", "--group-by", "day").complaint


def test_every_listing_prints_csv(cli: CommandLine, busy: str) -> None:
    """With a header and the same number of items as in JSON; one form at a time."""
    listings: Sequence[tuple[Sequence[str], str]] = (
        (("account", "list"), "accounts"),
        (("plan", "list"), "plans"),
        (("grant", "list", busy), "grants"),
        (("rates", "list"), "rate_cards"),
        (("prices",), "prices"),
        (("sidecars",), "sidecars"),
        (("leases",), "leases"),
        (("quote", "--input", "10", "--model", "gpt-4o"), "quotes"),
        (("history", busy), "entries"),
    )
    for command, name in listings:
        assert len(cells(cli(*command, "--csv").out)) == len(cli.read(*command)[name]), command
        for both in (("--csv", "--json"), ("--json", "--csv")):
            assert "choose one" in cli(*command, *both).complaint
    (now,) = cells(cli("balance", busy, "--csv").out)
    assert (now["available_microcredits"], now["plan_id"], now["stale"]) == ("14000000", "small", "False")
    assert len(json.loads(now["buckets"])) == 3


def test_a_past_balance_is_shown(cli: CommandLine, busy: str) -> None:
    """In every form; nothing before there was an account."""
    now = present()
    later = cli.read("balance", busy, "--at", now)
    assert (later["account_id"], later["balance_microcredits"]) == (busy, 14 * CREDIT)
    assert datetime.fromisoformat(later["at"]) == datetime.fromisoformat(now)
    assert [each["remaining_microcredits"] for each in later["buckets"]] == [0, 4 * CREDIT, 10 * CREDIT]
    assert cli.read("balance", busy, "--at", "2001-01-01")["balance_microcredits"] == 0
    assert ["balance", "14"] in rows(cli("balance", busy, "--at", present()).out)
    listed = cells(cli("balance", busy, "--at", present(), "--csv").out)
    assert [(each["kind"], each["remaining_microcredits"]) for each in listed][1:] == [
        ("GRANT_KIND_MONTHLY", "4000000"),
        ("GRANT_KIND_PERMANENT", "10000000"),
    ]
    assert "ACCOUNT_NOT_FOUND" in cli("balance", "nobody", "--at", present()).complaint


def test_a_balance_to_come_is_not_told(cli: CommandLine, busy: str) -> None:
    """It would be today's under a later date, and change afterwards."""
    ended = cli("balance", busy, "--at", "2999-01-01")
    assert "2999-01-01 00:00:00Z is yet to come: without --at the balance of now is shown" in ended.complaint
    assert ended.code == ExitCode.USAGE
    assert ended.out == ""


def test_usage_says_from_when_on_it_is(cli: CommandLine, busy: str) -> None:
    """A first day may be a part of one: it begins at midnight in UTC, wherever the account is."""
    title = cli("usage", busy).out.splitlines()[0]
    assert title.startswith(f"Usage of {busy} from ")
    assert title.endswith(" 00:00 on, settled charges")


async def settled(on: Services, request_id: str, credits: int) -> str:
    """The id of a charge of so many credits, once it is posted."""
    asked = metering_pb2.ChargeRequest(
        request_id=request_id, account_id="alice", amount_microcredits=credits * CREDIT, already_incurred=True
    )
    return (await settled_charge(on, (await on.metering.Charge(asked)).charge.charge_id)).charge_id


async def test_a_past_balance_is_what_the_store_had_then(services: Services, clock: ManualClock) -> None:  # noqa: F811
    """Asked at the end about each moment at which the buckets were noted, with a refund, a void and a night between them."""
    await services.create("alice", permanent=10 * CREDIT, daily=5 * CREDIT)
    noted: list[tuple[Instant, list[int]]] = []

    async def note() -> None:
        now = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
        noted.append((clock.wall(), [each.remaining_microcredits for each in now.buckets]))
        clock.advance(HOUR)

    await note()
    first = await settled(services, "c1", 7)
    await note()
    await services.metering.Refund(metering_pb2.RefundRequest(request_id="r", charge_id=first, amount_microcredits=CREDIT))
    await note()
    gift = admin_pb2.GrantCreditsRequest(request_id="g", account_id="alice", amount_microcredits=3)
    given = (await services.admin.GrantCredits(gift)).grant.grant_id
    await note()
    await services.admin.VoidGrant(admin_pb2.VoidGrantRequest(request_id="v", account_id="alice", grant_id=given))
    await note()
    clock.advance(DAY)
    await settled(services, "c2", 6)
    await note()
    async with Connection(f"unix:{services.data_dir / 'creditmeter.sock'}") as client:
        for at, buckets in noted:
            then = await read_past_balance(client, "alice", to_datetime(at))
            assert [then.by_kind[kind] for kind in KINDS] == buckets, to_datetime(at)
            assert then.balance == sum(buckets)
        before = await read_past_balance(client, "alice", to_datetime(Instant(NOON - 1)))
        assert (before.balance, set(before.by_kind.values())) == (0, {0})


def test_bars_are_seen_and_fit() -> None:
    """Down to an eighth of a character."""
    drawn = [Bar(amount, 240).drawn(BAR) for amount in (0, 1, 8, 12, 240)]
    assert drawn == ["", "▏", "█", "█▌", "█" * BAR]
    assert Bar(1, 10**15).drawn(BAR) == "▏"
    assert Bar(240, 240).drawn(7) == "█" * 7


def test_bars_of_kinds_show_what_each_paid() -> None:
    """The rest of a charge is where its first draw is, which says nothing of the kinds."""
    totals = account_pb2.UsageTotals(charge_count=1, cost_microcredits=4 * CREDIT, covered_microcredits=CREDIT)
    other = account_pb2.UsageTotals(covered_microcredits=3 * CREDIT)
    groups = [
        account_pb2.UsageGroup(keys=["GRANT_KIND_DAILY"], totals=totals),
        account_pb2.UsageGroup(keys=["GRANT_KIND_UNSPECIFIED"], totals=other),
    ]
    shown = usage_table(["kind"], account_pb2.SummarizeUsageResponse(groups=groups, total=totals))
    assert [row[0] for row in shown.rows] == ["daily", "none", "total"]
    assert [row[-1] for row in shown.rows] == [Bar(CREDIT, 3 * CREDIT), Bar(3 * CREDIT, 3 * CREDIT), ""]


def test_what_is_not_a_list_is_as_the_last_page_says() -> None:
    """Also where it says 0: debt may be repaid between two pages."""
    first = account_pb2.SummarizeUsageResponse(
        groups=[account_pb2.UsageGroup(keys=["a"])],
        total=account_pb2.UsageTotals(charge_count=2, debt_microcredits=5),
        next_page_token="on",
    )
    last = account_pb2.SummarizeUsageResponse(
        groups=[account_pb2.UsageGroup(keys=["b"])], total=account_pb2.UsageTotals(charge_count=3)
    )
    joined = _joined(first, last)
    assert [list(each.keys) for each in joined.groups] == [["a"], ["b"]]
    assert (joined.total.charge_count, joined.total.debt_microcredits, joined.next_page_token) == (3, 0, "")
