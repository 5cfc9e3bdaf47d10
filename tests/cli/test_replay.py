"""The parts of a replay: reading the trace, drawing the calls, the counts, and the audit."""

from pathlib import Path

import pytest

from creditmeter.central.verification.verification import Report
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.replay.audit import Audit, audit
from creditmeter.cli.replay.calls import Ending, Shares, TracedCall, plan_calls, read_trace
from creditmeter.cli.replay.command import PATIENCE, SAMPLE
from creditmeter.cli.replay.report import Outcome, outcome_json
from creditmeter.cli.replay.tally import Tally, percentile
from creditmeter.cli.replay.worker import EXPECTED
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import admin_pb2, charges_pb2, metering_pb2
from tests.cli.processes import SidecarProcess, run_forked
from tests.cli.sample_trace import ROWS, sample_trace
from tests.v1.comments import errors_of_every_rpc, errors_stated

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def test_a_trace_is_read(tmp_path: Path) -> None:
    """Times count from the first call; more columns and digits than needed do no harm."""
    trace = tmp_path / "trace.csv"
    trace.write_text("x," + HEAD + "1,2023-11-16 18:15:46.6805900,374,44\n1,2023-11-16 18:15:50.6805900,396,109\n")
    assert read_trace(trace, None) == [TracedCall(0.0, 374, 44), TracedCall(4.0, 396, 109)]
    assert len(read_trace(trace, 1)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("TIMESTAMP,ContextTokens\n", "has no column GeneratedTokens"),
        (HEAD, "has no calls"),
        (HEAD + "2023-11-16 18:15:46,1,2\nyesterday,1,2\n", "line 3 of the trace"),
        (HEAD + "2023-11-16 18:15:46,many,2\n", "line 2 of the trace"),
        (HEAD + "2023-11-16 18:15:46,1\n", "line 2 of the trace"),
        (HEAD + "2023-11-16 18:15:46,1,-2\n", "counts below 0"),
    ],
)
def test_a_trace_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    """The message names the line, and nothing is replayed."""
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    with pytest.raises(CommandFailed, match=said) as caught:
        read_trace(trace, None)
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_sample_is_what_is_drawn() -> None:
    """The file that ships is the one that its program writes, and can be replayed."""
    assert SAMPLE.read_text() == sample_trace()
    assert len(read_trace(SAMPLE, None)) == ROWS


@pytest.mark.parametrize("arguments", [(), ("trace.csv", "--sample")])
def test_one_trace_is_named(arguments: tuple[str, ...]) -> None:
    """Neither none nor two."""
    ended = run_forked("replay", *arguments)
    assert ended.code == ExitCode.USAGE
    assert "name one trace, or --sample" in ended.complaint


def test_the_same_seed_draws_the_same_calls() -> None:
    """Another seed draws others; every ending has about its share."""
    trace = [TracedCall(0.0, 1, 1)] * 5_000
    shares = Shares(release=0.1, refund=0.2, kill=0.3)
    calls = plan_calls(trace, ["a", "b"], shares, seed=7)
    assert calls == plan_calls(trace, ["a", "b"], shares, seed=7)
    assert calls != plan_calls(trace, ["a", "b"], shares, seed=8)
    counts = {ending: sum(each.ending is ending for each in calls) for ending in Ending}
    expected = {Ending.RELEASE: 500, Ending.REFUND: 1_000, Ending.KILL: 1_500, Ending.COMMIT: 2_000}
    assert all(abs(counts[ending] - number) < 150 for ending, number in expected.items())
    assert {each.account_id for each in calls} == {"a", "b"}


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (90, 90), (99, 99), (100, 100), (0, 1)])
def test_percentiles_are_nearest_rank(percent: int, value: int) -> None:
    """Of 1 to 100 each percentile is itself, in whatever order they come."""
    assert percentile([float(each) for each in range(100, 0, -1)], percent) == value


def test_a_percentile_of_nothing() -> None:
    """A replay that commits nothing has no latencies."""
    assert percentile([], 99) == 0


def test_two_calls_that_get_one_charge_are_a_failure() -> None:
    """Each call is charged by itself."""
    tally = Tally()
    charge = charges_pb2.Charge(charge_id="chg-1", account_id="ada", cost_microcredits=5)
    tally.charge(charge, held_microcredits=8)
    assert (tally.acknowledged, tally.held, tally.used, sum(tally.failures.values())) == (1, 8, 5, 0)
    tally.charge(charge, held_microcredits=8)
    assert (tally.acknowledged, sum(tally.failures.values())) == (1, 1)


async def test_the_audit_tells_what_is_missing_or_has_another_price(sidecar: SidecarProcess) -> None:
    """One charge as acknowledged, one at another price, one and a refund that nobody made."""
    async with Connection(sidecar.address) as client:
        account = admin_pb2.Account(account_id="audited")
        await call(client.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="a", account=account))
        grant = admin_pb2.GrantCreditsRequest(request_id="g", account_id="audited", amount_microcredits=10)
        await call(client.admin.GrantCredits, grant)
        tally = Tally()
        made = [
            await call(
                client.metering.Charge,
                metering_pb2.ChargeRequest(request_id=f"c{number}", account_id="audited", amount_microcredits=number),
            )
            for number in (1, 2)
        ]
        for each in made:
            tally.charge(each.charge, 0)
        found = await audit(client, ["audited"], tally, 60, PATIENCE)
        assert found.is_clean
        assert (found.charges.acknowledged, found.charges.found) == (2, 2)
        tally.charges["audited"][made[1].charge.charge_id] = 3
        tally.charges["audited"]["chg-made-up"] = 1
        tally.refunds["audited"] = {"ref-made-up": 1}
        found = await audit(client, ["audited"], tally, 60, PATIENCE)
    assert (found.charges.missing, found.charges.doubled, found.refunds.missing) == (1, 0, 1)
    assert "acknowledged 3 microcredits, stored 2" in found.charges.different[0]
    assert not found.is_clean


def test_what_makes_a_replay_unclean() -> None:
    """Any of these alone does, and shows in the exit code and in the JSON."""
    assert Outcome(Tally(), Audit(), sidecar_exit_code=0, report=Report(1, 1, ())).exit_code == ExitCode.OK
    failed = Tally()
    failed.failures["Commit: INTERNAL"] += 1
    doubled = Audit()
    doubled.charges.count(2)
    unclean = [
        Outcome(failed, Audit()),
        Outcome(Tally(), doubled),
        Outcome(Tally(), Audit(unposted=1)),
        Outcome(Tally(), Audit(held=1)),
        Outcome(Tally(), Audit(), sidecar_exit_code=3),
        Outcome(Tally(), Audit(), report=Report(1, 1, ("a problem",))),
    ]
    for outcome in unclean:
        assert outcome.exit_code == ExitCode.NOT_CLEAN
        assert outcome_json(outcome)["clean"] is False


def test_expected_refusals_are_those_of_the_contract() -> None:
    """Every reason for which a sidecar may refuse new work is expected, but for an account that the replay did not create."""
    stated = errors_stated()
    for rpc, reasons in EXPECTED.items():
        assert reasons <= stated[rpc] | errors_of_every_rpc(), rpc
    assert stated["Reserve"] - EXPECTED["Reserve"] == {"ACCOUNT_NOT_FOUND"}
