"""The commands that ask a sidecar, each put to a real one."""

import pytest

from creditmeter.cli.exits import ExitCode
from creditmeter.v1 import admin_pb2
from tests.cli.conftest import CommandLine
from tests.cli.tables import rows


def test_an_account_is_made_shown_changed_and_listed(cli: CommandLine) -> None:
    """Every field that is typed comes back, in credits in tables and in microcredits in JSON."""
    options = ("--time-zone", "Europe/Berlin", "--anchor-day", "31", "--overdraft-limit", "2.5")
    made = cli(
        "account",
        "create",
        "zoe",
        *options,
        "--max-open-reservations",
        "7",
        "--max-reservation",
        "50",
        "--offline-allowance",
        "3",
    )
    assert made.code == 0, made.err
    head, _, *terms = rows(made.out)
    assert head == ["account", "zoe"]
    assert terms[:3] == [["plan", "-"], ["time zone", "Europe/Berlin"], ["state", "active"]]
    assert [row[1] for row in terms[5:10]] == ["31", "2.5", "7", "50", "3"]
    assert terms[10] == ["Times are local: UTC."]
    assert "request id: cli-" in made.out
    cli.read("account", "update", "zoe", "--state", "suspended", "--max-reservation", "0")
    shown = cli.read("account", "show", "zoe")["account"]
    assert shown["state"] == "ACCOUNT_STATE_SUSPENDED"
    assert shown["overdraft_limit_microcredits"] == 2_500_000
    assert shown["max_reservation_microcredits"] == 0
    assert shown["max_open_reservations"] == 7
    assert "zoe" in [each["account_id"] for each in cli.read("account", "list", "--limit", "1000")["accounts"]]
    assert "zoe" in cli("account", "show", "zoe").out


def test_a_listing_says_how_to_go_on(cli: CommandLine) -> None:
    """With --limit and --page-token every account is listed once."""
    for number in range(3):
        cli.read("account", "create", f"page-{number}")
    first = cli.read("account", "list", "--limit", "2")
    rest = cli.read("account", "list", "--limit", "1000", "--page-token", first["next_page_token"])
    names = [each["account_id"] for each in first["accounts"] + rest["accounts"]]
    assert names[:3] == ["page-2", "page-1", "page-0"]
    assert len(names) == len(set(names))
    assert rest["next_page_token"] == ""
    assert "--page-token" in cli("account", "list", "--limit", "1").out


def test_a_calendar_is_changed_once_in_thirty_days(cli: CommandLine) -> None:
    """The refusal says why, and from when on it may be changed again."""
    cli.read("account", "create", "mover")
    options = ("--time-zone", "Asia/Tokyo", "--anchor-day", "31")
    moved = cli.read("account", "update", "mover", *options)["account"]
    assert (moved["time_zone"], moved["anchor_day"]) == ("Asia/Tokyo", 31)
    refused = cli("account", "update", "mover", "--time-zone", "UTC")
    assert refused.code == ExitCode.FAILED
    assert "TIME_ZONE_CHANGE_TOO_SOON: the time zone or anchor day was changed less than 30 days ago" in refused.complaint
    assert "both stay as they are until 20" in refused.complaint


def test_a_command_repeated_with_its_request_id_changes_nothing(cli: CommandLine, account: str) -> None:
    """The id is shown, and with it the grant is given once."""
    first = cli.read("grant", "add", account, "5")
    again = cli.read("grant", "add", account, "5", "--request-id", first["request_id"])
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["grant"] == first["grant"]
    assert "done before; nothing changed now" in cli("grant", "add", account, "5", "--request-id", first["request_id"]).out
    assert cli.read("balance", account)["available_microcredits"] == 22_000_000


def test_plans_are_put_and_listed(cli: CommandLine) -> None:
    """A plan may be put again with other amounts."""
    assert cli.read("plan", "put", "pro", "--daily", "100", "--monthly", "3000")["plan"] == {
        "plan_id": "pro",
        "daily_microcredits": 100_000_000,
        "monthly_microcredits": 3_000_000_000,
    }
    assert ["pro", "0.5", "0"] in rows(cli("plan", "put", "pro", "--daily", "0.5").out)
    assert ["pro", "0.5", "0"] in rows(cli("plan", "list").out)
    listed = {each["plan_id"]: each for each in cli.read("plan", "list")["plans"]}
    assert listed["pro"]["daily_microcredits"] == 500_000


def test_a_grant_is_added_and_voided(cli: CommandLine, account: str) -> None:
    """What is left of it is taken back, and both are lines of history."""
    added = cli.read("grant", "add", account, "6.5", "--kind", "monthly", "--source", "bonus", "--note", "sorry")["grant"]
    assert added["amount_microcredits"] == 6_500_000
    assert (added["kind"], added["source"]) == ("GRANT_KIND_MONTHLY", "GRANT_SOURCE_BONUS")
    voided = cli("grant", "void", account, added["grant_id"])
    assert "taken back: 6.5 credits" in voided.out
    shown = rows(cli("history", account).out)
    assert shown[3][1:5] == ["voided", "-6.5", "17", "monthly"]
    assert shown[4][1:] == ["granted", "+6.5", "23.5", "monthly", "sorry"]


def test_a_grant_ends_at_the_end_of_the_day_that_is_named(cli: CommandLine, account: str) -> None:
    """The reply shows the end as it was settled."""
    grant = cli.read("grant", "add", account, "1", "--expires-at", "2099-06-01T10:00:00Z")["grant"]
    assert grant["expires_at"] == "2099-06-02T00:00:00Z"


def test_the_balance_is_shown_by_bucket_and_by_grant(cli: CommandLine, account: str) -> None:
    """In the order of deduction, right-aligned, in credits."""
    shown = cli("balance", account)
    assert shown.code == 0, shown.err
    found = rows(shown.out)
    assert ["available", "17"] in found
    buckets = [row[:3] for row in found if row[0] in ("daily", "monthly", "permanent")]
    assert buckets[:3] == [["daily", "3", "3"], ["monthly", "4", "4"], ["permanent", "10", "10"]]
    assert buckets[3:] == buckets[:3], "each bucket has one grant"
    document = cli.read("balance", account)
    assert [each["remaining_microcredits"] for each in document["buckets"]] == [3_000_000, 4_000_000, 10_000_000]
    assert document["plan_id"] == "small"
    assert document["stale"] is False


def test_history_can_be_filtered(cli: CommandLine, account: str) -> None:
    """By type and by time; the newest entry comes first."""
    entries = cli.read("history", account, "--type", "granted")["entries"]
    assert entries[0]["kind"] == "GRANT_KIND_PERMANENT"
    assert {each["type"] for each in entries} == {"HISTORY_TYPE_GRANTED"}
    assert cli.read("history", account, "--type", "charged")["entries"] == []
    assert cli.read("history", account, "--start", "2099-01-01")["entries"] == []
    assert cli.read("history", account, "--end", "1999-01-01")["entries"] == []
    assert len(cli.read("history", account, "--limit", "1")["entries"]) == 1


@pytest.mark.parametrize("name", admin_pb2.AccountState.keys()[1:])
def test_every_state_can_be_typed(cli: CommandLine, account: str, name: str) -> None:
    """The command line knows each state that the contract has."""
    changed = cli.read("account", "update", account, "--state", name.removeprefix("ACCOUNT_STATE_").lower())
    assert changed["account"]["state"] == name


def test_alerts_are_set_shown_replaced_and_taken_away(cli: CommandLine) -> None:
    """Credits or a share; what is not named stays, and what is set beside it is set."""
    made = cli("account", "create", "ann", "--alert", "50", "--alert", "10%", "--alert", "0.5")
    assert made.code == 0, made.err
    assert ["alerts at", "50, 10%, 0.5"] in rows(made.out)
    cli.read("account", "update", "ann", "--max-reservation", "5")
    assert ["alerts at", "50, 10%, 0.5"] in rows(cli("account", "show", "ann").out)
    replaced = cli.read("account", "update", "ann", "--alert", "100%")["account"]
    assert replaced["alerts"] == [{"percent": 100}]
    none = cli.read("account", "update", "ann", "--no-alerts", "--max-reservation", "7", "--state", "suspended")["account"]
    assert none["alerts"] == []
    assert (none["max_reservation_microcredits"], none["state"]) == (7_000_000, "ACCOUNT_STATE_SUSPENDED")
    assert cli.read("account", "update", "ann", "--no-alerts")["account"]["max_reservation_microcredits"] == 7_000_000


@pytest.mark.parametrize("typed", ["0", "0%", "101%", "1000%", "5.5%", "%", "many", "-5", ""])
def test_what_is_no_threshold_is_refused(cli: CommandLine, typed: str) -> None:
    """Before anything is asked."""
    ended = cli("account", "create", "bob", f"--alert={typed}")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1


def test_alerts_that_contradict_each_other_are_refused(cli: CommandLine) -> None:
    """To set some and to take all away; and more than 16 by the sidecar."""
    assert cli("account", "update", "ann", "--alert", "5", "--no-alerts").code == 2
    many = [part for number in range(17) for part in ("--alert", str(number + 1))]
    refused = cli("account", "create", "carl", *many)
    assert refused.code == 1
    assert "must be at most 16" in refused.err


def test_a_closed_account_is_not_opened_again(cli: CommandLine) -> None:
    """A suspended one is."""
    assert cli("account", "create", "cloe").code == 0
    for state in ("suspended", "active", "closed"):
        assert cli("account", "update", "cloe", "--state", state).code == 0
    for state in ("suspended", "active"):
        ended = cli("account", "update", "cloe", "--state", state)
        assert "ACCOUNT_CLOSED: the account cloe is closed for good" in ended.complaint
    assert cli.read("account", "show", "cloe")["account"]["state"] == "ACCOUNT_STATE_CLOSED"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_grant_that_never_ends_by_its_date(cli: CommandLine, zone: str) -> None:
    """Its end is shown, in every listing and after the account moved."""
    account = f"nev-{zone.replace('/', '-')}"
    assert cli("account", "create", account, "--time-zone", zone).code == 0
    assert cli("grant", "add", account, "5", "--expires-at", "9999-12-31T23:59:59Z").code == 0
    assert cli("account", "update", account, "--time-zone", "Asia/Tokyo").code == 0
    for command in (("grant", "list"), ("balance",), ("history",), ("forecast",)):
        ended = cli(*command, account)
        assert ended.code == 0, ended.err
    assert "9999-12-30" in cli("grant", "list", account).out
