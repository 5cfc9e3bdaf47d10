"""`reconcile`, put to a real sidecar: what is compared, what ends it, and that entries are booked once.

A call of gpt-4o with 100,000 tokens of input and 10,000 of output costs 0.1 x 2.50 + 0.01 x 10 = 0.35 USD: 35 credits.
"""

import asyncio
import csv
import io
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from creditmeter.cli import bill_file
from creditmeter.cli.bill_file import MOST_COMPLAINTS, Scope, read_bill
from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.corrections import request_id
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.settling import settled_balance
from creditmeter.client.stubs import Connection, call
from creditmeter.core.amounts import Microcredits
from creditmeter.core.reports.reconciliation import Correction
from creditmeter.v1 import metering_pb2, work_pb2
from tests.cli.conftest import CommandLine

CREDIT = 1_000_000
NO_COLUMNS = dict.fromkeys(("date", "model", "cost", "input", "output"), "")
HEAD = "date,model,usd"
NAMED = ("--date-column", "date", "--model-column", "model", "--cost-column", "usd")


async def charge(address: str, accounts: Sequence[str]) -> str:
    """Charge each account for one call, and wait until it is settled. Returns the day in UTC on which all were charged."""
    days = set()
    usage = work_pb2.Usage(action="text", request_model="gpt-4o", input_tokens=100_000, output_tokens=10_000)
    async with Connection(address) as client:
        for account in accounts:
            request = metering_pb2.ChargeRequest(request_id="call", account_id=account, usage=usage)
            charged = (await call(client.metering.Charge, request, PATIENCE)).charge
            days.add(charged.committed_at.ToDatetime(tzinfo=UTC).date().isoformat())
    for account in accounts:
        await settled(address, account)
    (day,) = days  # a midnight between two calls would make two
    return day


async def settled(address: str, account: str) -> None:
    """Wait until nothing of an account waits to be posted."""
    async with Connection(address) as client:
        balance = await settled_balance(client, account, time.monotonic() + 60, PATIENCE)
    assert not balance.unposted_microcredits


@pytest.fixture
def accounts(cli: CommandLine) -> tuple[str, str]:
    """Two accounts, the second one in Tokyo."""
    names = f"acc-{uuid4().hex[:8]}", f"acc-{uuid4().hex[:8]}"
    for name, zone in zip(names, ("UTC", "Asia/Tokyo"), strict=True):
        assert cli("account", "create", name, "--time-zone", zone).code == 0
        assert cli("grant", "add", name, "100").code == 0
    return names


@pytest.fixture
def day(cli: CommandLine, accounts: tuple[str, str]) -> str:
    """The day on which both were charged 0.35 USD for gpt-4o."""
    return asyncio.run(charge(cli.address, accounts))


def bill(folder: Path, *lines: str, head: str = HEAD, name: str = "bill.csv") -> str:
    """A bill with these lines."""
    path = folder / name
    path.write_text("\n".join([head, *lines, ""]))
    return str(path)


def only(accounts: Sequence[str]) -> list[str]:
    """Options that leave other accounts of the shared sidecar aside."""
    return [word for each in accounts for word in ("--only", each)]


def test_all_agrees(cli: CommandLine, accounts: tuple[str, str], day: str, tmp_path: Path) -> None:
    """0.35 USD of each account, in two lines of a snapshot, by the days of UTC: that of Tokyo is asked day by day."""
    file = bill(tmp_path, f"{day},gpt-4o-2024-08-06,0.50", f"{day}T00:00:00Z,gpt-4o-2024-08-06,0.20")
    ended = cli("reconcile", file, *NAMED, *only(accounts))
    assert ended.code == 0
    assert "No differences. Billed: 0.70 USD, charged: 0.70 USD." in ended.out
    found = cli.read("reconcile", file, *NAMED, *only(accounts), "--all")
    assert (found["accounts"], found["compared"], found["differing"], found["booked"]) == (2, 1, 0, None)
    assert found["rows"] == [
        {
            "day": day,
            "model": "gpt-4o",
            "key": "gpt-4o",
            "side": "both",
            "billed_usd": "0.7",
            "charged_usd": "0.7",
            "difference_usd": "0",
            "billed_input_tokens": None,
            "charged_input_tokens": 200_000,
            "billed_output_tokens": None,
            "charged_output_tokens": 20_000,
            "difference_microcredits": 0,
        }
    ]


def test_differences_end_with_a_code_of_their_own(
    cli: CommandLine, accounts: tuple[str, str], day: str, tmp_path: Path
) -> None:
    """0.80 - 0.70 = 0.10 USD are 10 credits; 0.05 USD of o3 are on the bill alone. CSV has a line for each."""
    file = bill(tmp_path, f"{day},gpt-4o,0.80", f"{day},o3,0.05")
    ended = cli("reconcile", file, *NAMED, *only(accounts), "--csv")
    assert ended.code == ExitCode.NOT_CLEAN
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [(each["model"], each["side"], each["difference_usd"]) for each in rows] == [
        ("gpt-4o", "both", "0.1"),
        ("o3", "bill only", "0.05"),
    ]
    assert [each["difference_microcredits"] for each in rows] == ["10000000", "5000000"]
    assert cli("reconcile", file, *NAMED, *only(accounts), "--tolerance", "0.05", "--tolerance", "12.5%").code == 0
    assert cli("reconcile", file, *NAMED, *only(accounts), "--model", "o?", "--tolerance", "0.05").code == 0


def test_names_that_do_not_meet(cli: CommandLine, accounts: tuple[str, str], day: str, tmp_path: Path) -> None:
    """Are shown on their sides, and meet when the operator says that they are one."""
    file = bill(tmp_path, f"{day},Omni (large),0.70")
    ended = cli("reconcile", file, *NAMED, *only(accounts))
    assert ended.code == ExitCode.NOT_CLEAN
    assert "Only on the bill: Omni (large). Only among the charges: gpt-4o." in ended.out
    found = cli.read("reconcile", file, *NAMED, *only(accounts), "--same", "omni (LARGE)=gpt-4o")
    assert (found["differing"], found["only_on_the_bill"], found["only_among_the_charges"]) == (0, [], [])


def test_tokens_alone(cli: CommandLine, accounts: tuple[str, str], day: str, tmp_path: Path) -> None:
    """A bill without money: 200,001 tokens of input against 200,000. Nothing can be booked for it."""
    columns = ("--date-column", "date", "--model-column", "model", "--input-column", "in", "--output-column", "out")
    file = bill(tmp_path, f"{day},gpt-4o,200001,20000", head="date,model,in,out")
    ended = cli("reconcile", file, *columns, *only(accounts), "--apply", "--account", accounts[0], "--yes")
    assert ended.code == ExitCode.NOT_CLEAN
    assert "1 difference without an entry: this bill states no costs." in ended.out
    assert "booked" not in ended.out
    assert cli("reconcile", file, *columns, *only(accounts), "--tolerance", "1%").code == 0


def spent(cli: CommandLine, account: str) -> list[tuple[str, int]]:
    """What was booked for a bill: notes of grants and labels of charges, with the credits."""
    entries = cli.read("history", account)["entries"]
    return sorted(
        (each["note"].partition(": ")[2] or f"{each['labels']['day']} {each['labels']['model']}", each["amount_microcredits"])
        for each in entries
        if "reconciled" in each["labels"] or each["note"].startswith("reconciled ")
    )


def test_entries_are_booked_once(cli: CommandLine, accounts: tuple[str, str], day: str, tmp_path: Path) -> None:
    """10 credits are charged for gpt-4o and 5 for o3. The same file again books nothing; another one is refused."""
    payer = accounts[1]
    lines = (f"{day},gpt-4o,0.80", f"{day},o3,0.05")
    apply = (*NAMED, *only(accounts), "--apply", "--account", payer, "--yes")
    ended = cli("reconcile", bill(tmp_path, *lines), *apply)
    assert (ended.code, ended.out.splitlines()[-1]) == (0, f"booked to {payer}: 2 entries")
    other = cli("reconcile", bill(tmp_path, *lines, f"{day},o3,0.05"), *apply)  # what was booked may not be posted yet
    assert other.code == ExitCode.FAILED
    assert f"nothing was booked: {day} gpt-4o was corrected before by 10 credits for bill.csv" in other.err
    asyncio.run(settled(cli.address, payer))
    booked = [(f"{day} gpt-4o", -10 * CREDIT), (f"{day} o3", -5 * CREDIT)]
    assert spent(cli, payer) == booked
    again = cli("reconcile", bill(tmp_path, *lines), *apply)
    assert (again.code, again.out.splitlines()[-1]) == (0, f"booked to {payer}: 2 entries, 2 of them before")
    later = cli("reconcile", bill(tmp_path, *lines, f"{day},o3,0.05"), *apply)
    assert later.code == ExitCode.FAILED
    assert f"nothing was booked: {day} gpt-4o was corrected before" in later.err
    assert spent(cli, payer) == booked


def test_goodwill_is_given_back_once(cli: CommandLine, accounts: tuple[str, str], day: str, tmp_path: Path) -> None:
    """0.60 - 0.70 = -0.10 USD: 10 credits. When a later charge makes it another amount, nothing is booked."""
    payer = accounts[0]
    apply = (*NAMED, "--apply", "--account", payer, "--yes")
    file = bill(tmp_path, f"{day},gpt-4o,0.60")
    found = cli("reconcile", file, *apply, *only(accounts), "--json")
    assert found.code == 0
    assert '"booked": {\n    "entries": 1,\n    "replayed": 0\n  }' in found.out
    assert spent(cli, payer) == [(f"{day} gpt-4o", 10 * CREDIT)]
    assert cli("reconcile", file, *apply, *only(accounts)).out.endswith("1 entry, 1 of them before\n")
    refused = cli("reconcile", file, *apply, "--only", payer)
    assert refused.code == ExitCode.FAILED
    assert "corrected before by -10 credits" in refused.err
    assert "would be by 25 for" in refused.err
    assert spent(cli, payer) == [(f"{day} gpt-4o", 10 * CREDIT)]


class Typed(io.StringIO):
    """What is typed on a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize(("typed", "booked"), [("y\n", 1), ("n\n", 0)])
def test_it_asks_before_it_books(
    cli: CommandLine,
    accounts: tuple[str, str],
    day: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    booked: int,
) -> None:
    """On a terminal."""
    monkeypatch.setattr("sys.stdin", Typed(typed))
    file = bill(tmp_path, f"{day},gpt-4o,0.80")
    ended = cli("reconcile", file, *NAMED, *only(accounts), "--apply", "--account", accounts[0])
    assert f"Book 1 entry to {accounts[0]}? [y/N]" in ended.err + ended.out
    assert ended.code == (0 if booked else ExitCode.NOT_CLEAN)
    asyncio.run(settled(cli.address, accounts[0]))
    assert len(spent(cli, accounts[0])) == booked


def test_nobody_to_be_asked(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is even compared in a script without --yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ended = cli("reconcile", bill(tmp_path, "2026-11-01,gpt-4o,1"), *NAMED, "--apply", "--account", "a")
    assert ended.code == ExitCode.USAGE
    assert "--yes books without asking" in ended.complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--apply",), "name the account with --account"),
        (("--apply", "--account", "a", "--json"), "no place for a question"),
        (("--currency", "EUR"), "'EUR' cannot be compared"),
        (("--tolerance", "-1"), "'-1' is neither"),
        (("--tolerance", "NaN%"), "'NaN%' is neither"),
        (("--same", "a="), "'a=' are no two names"),
        (("--time-zone", "Mars/Base"), "'Mars/Base' is not the name of a time zone"),
        (("--first-day", "2026-02-30"), "'2026-02-30' is not a day"),
        (("--first-day", "2025-01-01"), "days: one comparison has 1 to 400"),
        (("--first-day", "2026-11-02", "--last-day", "2026-11-01"), "are 0 days"),
        (("--last-day", "9998-12-31"), "days: one comparison has 1 to 400"),
    ],
)
def test_what_cannot_be_asked(cli: CommandLine, tmp_path: Path, options: Sequence[str], complaint: str) -> None:
    """One line each."""
    ended = cli("reconcile", bill(tmp_path, "2026-11-01,gpt-4o,1", "2026-11-02,gpt-4o,1"), *NAMED, *options)
    assert ended.code == ExitCode.USAGE
    assert complaint in ended.complaint


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no known header"),
        (b"date,model\n", "has no column usd; it has: date, model"),
        (b"date,model,usd,usd\n", "has the column usd twice"),
        (b"date,model,usd\n", "has no lines in these days"),
        (b"date,model,usd\n2026-11-01,\xff,1\n", "cannot be read"),
        (b'date,model,usd\n2026-11-01,"m"x,1\n', "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(cli: CommandLine, tmp_path: Path, content: bytes, complaint: str) -> None:
    """Before a sidecar is asked."""
    path = tmp_path / "bill.csv"
    path.write_bytes(content)
    options = () if not content else NAMED
    ended = cli("reconcile", str(path), *options, "--address", "unix:/nowhere.sock")
    assert ended.code == ExitCode.USAGE
    assert complaint in ended.complaint


def test_a_day_that_its_zone_skipped(cli: CommandLine, tmp_path: Path) -> None:
    """Samoa had no 30 December 2011."""
    ended = cli("reconcile", bill(tmp_path, "2011-12-30,gpt-4o,1"), *NAMED, "--time-zone", "Pacific/Apia")
    assert (ended.code, ended.complaint) == (ExitCode.USAGE, "creditmeter: 2011-12-30 is no day in Pacific/Apia")


def test_a_file_that_is_not_there(cli: CommandLine, tmp_path: Path) -> None:
    """One line."""
    assert "cannot be read" in cli("reconcile", str(tmp_path / "none.csv")).complaint


def test_every_wrong_cell_is_named(cli: CommandLine, tmp_path: Path) -> None:
    """By its line and column, up to 20 of them; the lines are those of the file."""
    lines = ['2026-11-01,"a\nb",x', "soon,m,1", "2026-11-01,m,1,more", *["2026-11-01,m,?"] * MOST_COMPLAINTS]
    ended = cli("reconcile", bill(tmp_path, *lines), *NAMED)
    said = ended.err.splitlines()
    assert ended.code == ExitCode.USAGE
    assert said[0] == "creditmeter: line 3, column usd: 'x' is not an amount"
    assert said[1].startswith("creditmeter: line 4, column date: 'soon' is not a date")
    assert said[2] == "creditmeter: line 5: has more cells than there are columns"
    assert said[MOST_COMPLAINTS:] == ["creditmeter: and 3 cells more"]


def test_days_of_a_known_export_are_in_utc(cli: CommandLine, tmp_path: Path) -> None:
    """Another time zone would move them."""
    file = bill(tmp_path, "2026-11-01,Claude Haiku 4.5,1", head="usage_date_utc,model,cost_usd")
    ended = cli("reconcile", file, "--time-zone", "Europe/Berlin")
    assert (ended.code, "are days in UTC" in ended.complaint) == (ExitCode.USAGE, True)


def test_a_column_of_a_known_export_may_be_another(tmp_path: Path) -> None:
    """The list price instead of what was paid."""
    file = bill(tmp_path, "2026-11-01,Claude Haiku 4.5,1,2", head="usage_date_utc,model,cost_usd,list_price_usd")
    found = read_bill(Path(file), NO_COLUMNS | {"cost": "list_price_usd"}, Scope())
    total = found.reconciliation.total()
    assert total.billed is not None
    assert total.billed.usd == 2


@pytest.mark.long
def test_a_long_bill_is_read_with_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """100,000 lines of 0.01 USD are 1,000 USD; the mark of the order of bytes is no part of a name."""
    path = tmp_path / "long.csv"
    path.write_bytes(b"\xef\xbb\xbfusage_date_utc,model,cost_usd\r\n" + b"2026-11-01,Claude Haiku 4.5,0.01\r\n" * 100_000)
    found = read_bill(path, NO_COLUMNS, Scope())
    total = found.reconciliation.total()
    assert total.billed is not None
    assert found.lines == 100_000
    assert total.billed.usd == 1_000
    assert capsys.readouterr().err.splitlines()[-1] == "read 100,000 lines of the bill"


def test_a_comparison_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine) -> None:
    """By days and models."""
    monkeypatch.setattr("creditmeter.core.reports.reconciliation.MAX_GROUPS", 2)
    monkeypatch.setattr(bill_file, "MAX_GROUPS", 2)
    ended = cli("reconcile", bill(tmp_path, *(f"2026-11-01,m{number},1" for number in "abc")), *NAMED)
    assert ended.complaint.endswith("has more than 2 days and models")


def test_what_is_beyond_the_scope_is_left_aside(tmp_path: Path) -> None:
    """And counted: 1 + 2 USD of other days and models. A day without usage belongs to the bill's days."""
    lines = ("2026-11-01,gpt-4o,1", "2026-11-02,GPT-4.1,4", "2026-11-02,o3,2", "2026-11-03,,")
    found = read_bill(
        Path(bill(tmp_path, *lines)),
        NO_COLUMNS | {"date": "date", "model": "model", "cost": "usd"},
        Scope(first_day="2026-11-02", patterns=("gpt-4.1*",)),
    )
    assert (found.first_day, found.last_day) == ("2026-11-02", "2026-11-03")
    assert found.lines_left_aside == 2
    assert found.left_aside.usd == 3
    assert [each.name for each in found.reconciliation.compared()] == ["GPT-4.1"]


def test_a_day_that_is_not_over(cli: CommandLine, tmp_path: Path) -> None:
    """Is said on stderr."""
    today = datetime.now(UTC).date().isoformat()
    ended = cli("reconcile", bill(tmp_path, f"{today},gpt-4o,1"), *NAMED, "--tolerance", "1000000")
    assert f"{today} is not over" in ended.err


def test_request_ids() -> None:
    """Differ by bill, day and model, and are the same however often they are made."""
    one = Correction("2026-11-01", "gpt-4o", Microcredits(1), is_charge=True)
    others = [
        request_id("a", one),
        request_id("b", one),
        request_id("a", Correction("2026-11-02", "gpt-4o", Microcredits(1), is_charge=True)),
        request_id("a", Correction("2026-11-01", "o3", Microcredits(1), is_charge=True)),
    ]
    assert len(set(others)) == len(others)
    assert request_id("a", Correction("2026-11-01", "gpt-4o", Microcredits(2), is_charge=False)) == request_id("a", one)
