"""The command itself: its options, and the course of a replay."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.commands.verify import verified
from creditmeter.cli.connection import failed_call, sidecar_address
from creditmeter.cli.ending import run_to_its_end
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import AsJson, Central, DataDir, read_credits
from creditmeter.cli.output import print_json
from creditmeter.cli.own_sidecar import OwnSidecar, temporary_place
from creditmeter.cli.replay.accounts import Allowance, prepare_accounts
from creditmeter.cli.replay.audit import audit
from creditmeter.cli.replay.calls import Call, Shares, plan_calls, read_trace
from creditmeter.cli.replay.fleet import Pace, replay_calls
from creditmeter.cli.replay.progress import progress_of
from creditmeter.cli.replay.report import Outcome, outcome_json, print_outcome
from creditmeter.cli.replay.tally import Tally
from creditmeter.cli.replay.worker import Terms
from creditmeter.client import CallError, Client, Retry
from creditmeter.core.amounts import from_credits

PATIENCE = Retry(total=60, attempt=10)
"""A sidecar may be killed and started again in the middle."""

SETTLE_SECONDS = 60
"""As long as settling may take after the last call, beside the time that holds need to run out."""


SAMPLE = Path(__file__).with_name("sample_trace.csv")
"""The trace that comes with the package."""

DAILY = from_credits(100)
MONTHLY = from_credits(3000)


def read_speed(text: str | float) -> float:
    """A factor above 0, or `max`, which is read as 0. A default stays as it is."""
    if isinstance(text, float):
        return text
    try:
        speed = 0.0 if text == "max" else float(text)
    except ValueError:
        speed = -1.0
    if not (text == "max" or 0 < speed < float("inf")):
        raise typer.BadParameter(f"{text!r} is not a speed: write a number above 0, or max")
    return speed


@dataclass(frozen=True, slots=True)
class Script:
    """What a replay is to do. `allowance` is what new accounts are granted."""

    calls: list[Call]
    accounts: list[str]
    allowance: Allowance
    terms: Terms
    pace: Pace


def replay(
    trace: Annotated[
        Path | None, typer.Argument(metavar="TRACE.csv", help="TIMESTAMP,ContextTokens,GeneratedTokens", show_default=False)
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Replay the small trace that comes with the program.")] = False,
    address: Annotated[
        str | None, typer.Option(metavar="ADDR", help="A running sidecar. Default: one of its own, on a new directory.")
    ] = None,
    accounts: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="COUNT", help="How many accounts the calls are spread over.")
    ] = 50,
    account_prefix: Annotated[
        str | None, typer.Option(metavar="NAME", help="Accounts NAME-0001 and on, which may exist. Default: new ones.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1_000, metavar="COUNT", help="How many calls run at once.")] = 16,
    speed: Annotated[
        float, typer.Option(parser=read_speed, metavar="X|max", show_default="max", help="How often as fast as the trace.")
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, metavar="COUNT", help="Only the first calls of the trace.")] = None,
    max_output: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="TOKENS", help="The bound on output that is reserved.")
    ] = 1024,
    seed: Annotated[
        int, typer.Option(metavar="SEED", help="Draws accounts, models and ends; the same seed, the same replay.")
    ] = 1,
    release_share: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="How many of the calls fail and are released.")
    ] = 0.02,
    refund_share: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="How many of the calls are refunded.")
    ] = 0.01,
    kill_share: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="In how many of the calls the worker dies.")
    ] = 0.002,
    hold_seconds: Annotated[
        int, typer.Option(min=1, max=3600, metavar="SECONDS", help="How long the credit of a call is held.")
    ] = 10,
    daily: Annotated[
        int, typer.Option(parser=read_credits, metavar="CREDITS", show_default="100", help="Granted a day.")
    ] = DAILY,
    monthly: Annotated[
        int, typer.Option(parser=read_credits, metavar="CREDITS", show_default="3000", help="Granted a month.")
    ] = MONTHLY,
    data_dir: DataDir = None,
    central: Central = None,
    as_json: AsJson = False,
) -> None:
    """Drive a sidecar with a trace of real calls, and check that nothing was lost, doubled or overspent.

    --data-dir and --central say where its own sidecar keeps its files; with --address, --central says what to verify.
    """
    if release_share + refund_share + kill_share > 1:
        raise CommandFailed("the shares add up to more than 1", ExitCode.USAGE)
    if address and data_dir:
        raise CommandFailed("--data-dir is for a sidecar of its own: give it or --address, not both", ExitCode.USAGE)
    traced = read_trace(_chosen(trace, sample=sample), limit)
    run = f"replay-{secrets.token_hex(4)}"
    names = [f"{account_prefix or run}-{number:04d}" for number in range(1, accounts + 1)]
    shares = Shares(release_share, refund_share, kill_share)
    script = Script(
        plan_calls(traced, names, shares, seed),
        names,
        Allowance(daily, monthly),
        Terms(run, max_output, hold_seconds, PATIENCE),
        Pace(workers, speed),
    )
    if address:
        outcome = run_to_its_end(_on_running(script, sidecar_address(address), central))
    else:
        outcome = run_to_its_end(_on_own(script, data_dir, central))
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
    outcome = await _played(script, address)
    outcome.report = await verified(central) if central else None
    return outcome


async def _on_own(script: Script, data_dir: Path | None, central: str | None) -> Outcome:
    with temporary_place(data_dir, central) as place:
        async with OwnSidecar.running(place) as sidecar:
            outcome = await sidecar.while_running(_played(script, place.address))
            outcome.sidecar_exit_code = await sidecar.stop()
        outcome.report = await verified(place.central)
    return outcome


async def _played(script: Script, address: str) -> Outcome:
    """Replay on the sidecar at an address, and audit."""
    tally = Tally()
    try:
        async with Client(address) as client:
            await prepare_accounts(client, script.terms.run, script.accounts, script.allowance, PATIENCE)
            with progress_of(len(script.calls)) as done:
                await replay_calls(script.calls, address, script.pace, script.terms, tally, done)
            patience = SETTLE_SECONDS + script.terms.hold_seconds
            return Outcome(tally, await audit(client, script.accounts, tally, patience, PATIENCE))
    except CallError as error:
        raise failed_call(address, error, patience=PATIENCE) from error
