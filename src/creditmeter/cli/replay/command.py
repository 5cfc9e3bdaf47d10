"""The command: reads its options, replays the trace on a sidecar, and prints the outcome."""

import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import typer

from creditmeter.cli.commands.verify import verified
from creditmeter.cli.connection import access, failed_call, sidecar_address
from creditmeter.cli.ending import run_to_its_end
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import AsJson, Central, DataDir
from creditmeter.cli.output import print_json
from creditmeter.cli.own_sidecar import OwnSidecar, temporary_place
from creditmeter.cli.replay import options
from creditmeter.cli.replay.accounts import Allowance, prepare_accounts
from creditmeter.cli.replay.audit import audit
from creditmeter.cli.replay.calls import Call, Shares, plan_calls, read_trace
from creditmeter.cli.replay.fleet import Pace, replay_calls
from creditmeter.cli.replay.progress import progress_of
from creditmeter.cli.replay.report import Outcome, outcome_json, print_outcome
from creditmeter.cli.replay.tally import Tally
from creditmeter.cli.replay.worker import CallSettings
from creditmeter.client.stubs import Access, Connection, CreditmeterError, Retry
from creditmeter.core.amounts import from_credits

PATIENCE = Retry(total=60, attempt=10)
"""In seconds. It is long because a sidecar may be killed and started again during the replay."""

SETTLE_SECONDS = 60
"""Longest settling after the last call, in seconds, besides the time until holds expire."""


SAMPLE = Path(__file__).with_name("sample_trace.csv")
"""The trace that comes with the package."""

DAILY = from_credits(100)
MONTHLY = from_credits(3000)


@dataclass(frozen=True, slots=True)
class Script:
    """The calls of a replay, and how they are made. `allowance` is what new accounts are granted."""

    calls: list[Call]
    accounts: list[str]
    allowance: Allowance
    settings: CallSettings
    pace: Pace


def replay(
    trace: options.Trace = None,
    sample: options.Sample = False,
    address: options.RunningSidecar = None,
    accounts: options.AccountCount = 50,
    account_prefix: options.AccountPrefix = None,
    workers: options.WorkerCount = 16,
    speed: options.Speed = 0.0,
    limit: options.CallLimit = None,
    max_output: options.MaxOutput = 1024,
    seed: options.Seed = 1,
    release_share: options.ReleaseShare = 0.02,
    refund_share: options.RefundShare = 0.01,
    kill_share: options.KillShare = 0.002,
    hold_seconds: options.HoldSeconds = 10,
    daily: options.Daily = DAILY,
    monthly: options.Monthly = MONTHLY,
    data_dir: DataDir = None,
    central: Central = None,
    as_json: AsJson = False,
) -> None:
    """Drive a sidecar with a trace of real calls, and check that nothing was lost, doubled or overspent.

    --data-dir and --central say where its own sidecar keeps its files; with --address, --central says what to verify.
    """
    shares = Shares(release_share, refund_share, kill_share)
    _check(shares, address, data_dir)
    traced = read_trace(_chosen(trace, sample=sample), limit)
    run = f"replay-{secrets.token_hex(4)}"
    names = [f"{account_prefix or run}-{number:04d}" for number in range(1, accounts + 1)]
    settings = CallSettings(run, max_output, hold_seconds, PATIENCE)
    calls = plan_calls(traced, names, shares, seed)
    script = Script(calls, names, Allowance(daily, monthly), settings, Pace(workers, speed))
    on = _on_running(script, sidecar_address(address), central) if address else _on_own(script, data_dir, central)
    _finish(run_to_its_end(on), as_json=as_json)


def _check(shares: Shares, address: str | None, data_dir: Path | None) -> None:
    """Refuse options that contradict each other.

    Raises:
        CommandFailed: they do.
    """
    if shares.release + shares.refund + shares.kill > 1:
        raise CommandFailed("the shares add up to more than 1", ExitCode.USAGE)
    if address and data_dir:
        raise CommandFailed("--data-dir is for a sidecar of its own: give it or --address, not both", ExitCode.USAGE)


def _finish(outcome: Outcome, *, as_json: bool) -> NoReturn:
    """Print the outcome, and exit with its code."""
    if as_json:
        print_json(outcome_json(outcome))
    else:
        print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def _chosen(trace: Path | None, *, sample: bool) -> Path:
    """The trace that is named, or the sample.

    Raises:
        CommandFailed: neither or both are asked for.
    """
    if sample == (trace is not None):
        raise CommandFailed("name one trace, or --sample for the one that comes with the program", ExitCode.USAGE)
    return trace or SAMPLE


async def _on_running(script: Script, address: str, central: str | None) -> Outcome:
    outcome = await _played(script, address, access())
    outcome.report = await verified(central) if central else None
    return outcome


async def _on_own(script: Script, data_dir: Path | None, central: str | None) -> Outcome:
    with temporary_place(data_dir, central) as place:
        async with OwnSidecar.running(place) as sidecar:
            outcome = await sidecar.while_running(_played(script, place.address, Access()))
            outcome.sidecar_exit_code = await sidecar.stop()
        outcome.report = await verified(place.central)
    return outcome


async def _played(script: Script, address: str, access: Access) -> Outcome:
    """Replay on the sidecar at an address, and audit."""
    tally, connect = Tally(), partial(Connection, address, access)
    try:
        async with connect() as client:
            await prepare_accounts(client, script.settings.run, script.accounts, script.allowance, PATIENCE)
            with progress_of(len(script.calls)) as done:
                await replay_calls(script.calls, connect, script.pace, script.settings, tally, done)
            patience = SETTLE_SECONDS + script.settings.hold_seconds
            return Outcome(tally, await audit(client, script.accounts, tally, patience, PATIENCE))
    except CreditmeterError as error:
        raise failed_call(address, error, patience=PATIENCE) from error
