"""The outcome of a replay, as text and as JSON."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from creditmeter.cli.commands.verify import report_json, report_text
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.replay.audit import Audit, Found
from creditmeter.cli.replay.tally import PERCENTILES, Tally, percentile
from creditmeter.cli.screen import Table, print_lines, print_table, table
from creditmeter.core.amounts import format_credits

if TYPE_CHECKING:
    from creditmeter.central.verification.verification import Report

_MILLISECONDS = 1_000


@dataclass(slots=True)
class Outcome:
    """The results of a replay. `sidecar_exit_code` is None for a running sidecar, `report` if nothing was verified."""

    tally: Tally
    audit: Audit
    sidecar_exit_code: int | None = None
    report: "Report | None" = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost, doubled, unsettled or wrong."""
        verified = self.report is None or not self.report.problems
        return self.audit.is_clean and verified and not self.tally.failures and not self.sidecar_exit_code

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return ExitCode.OK if self.is_clean else ExitCode.NOT_CLEAN


def outcome_json(outcome: Outcome) -> dict[str, object]:
    """The outcome as JSON; amounts in microcredits, times in milliseconds."""
    tally, audit = outcome.tally, outcome.audit
    return {
        "calls": tally.calls,
        "committed": tally.committed,
        "released": tally.released,
        "refunded": tally.refunded,
        "killed_workers": tally.killed,
        "late": tally.late,
        "replayed": tally.replayed,
        "refusals": dict(tally.refusals),
        "failures": dict(tally.failures),
        "held_microcredits": tally.held,
        "used_microcredits": tally.used,
        "refunded_microcredits": tally.given_back,
        "elapsed_ms": round(tally.seconds * _MILLISECONDS),
        "latency_ms": {
            rpc.lower(): {f"p{each}": round(percentile(taken, each) * _MILLISECONDS, 3) for each in PERCENTILES}
            for rpc, taken in tally.latencies.items()
        },
        "acknowledged_charges": _found_json(audit.charges),
        "acknowledged_refunds": _found_json(audit.refunds),
        "unposted_microcredits": audit.unposted,
        "still_held_microcredits": audit.held,
        "sidecar_exit_code": outcome.sidecar_exit_code,
        "verify": report_json(outcome.report) if outcome.report else None,
        "clean": outcome.is_clean,
    }


def _found_json(found: Found) -> dict[str, object]:
    return {
        "acknowledged": found.acknowledged,
        "found": found.found,
        "missing": found.missing,
        "doubled": found.doubled,
        "different": found.different,
    }


def print_outcome(outcome: Outcome) -> None:
    """Print the outcome as text."""
    tally, audit = outcome.tally, outcome.audit
    rate = round(tally.calls / tally.seconds) if tally.seconds else 0
    print_table(_calls_table(tally), f"Calls: {rate:,} a second for {tally.seconds:.1f} s")
    print_table(_latency_table(tally), "Milliseconds a request, repetitions included")
    print_lines(_credits_line(tally), hang=2)
    print_lines(_found_line("acknowledged charges", audit.charges), hang=2)
    print_lines(_found_line("acknowledged refunds", audit.refunds), hang=2)
    for text in audit.charges.different:
        print_lines(f"  {text}", hang=4)
    if audit.unposted or audit.held:
        print_lines(
            f"not settled in time: {format_credits(audit.unposted)} credits unposted,"
            f" {format_credits(audit.held)} credits still held"
        )
    if outcome.sidecar_exit_code:
        print_lines(f"the sidecar ended with exit code {outcome.sidecar_exit_code}")
    print_lines(report_text(outcome.report) if outcome.report else "verify: not run (name the central store with --central)")
    print_lines("clean" if outcome.is_clean else "NOT CLEAN")


def _calls_table(tally: Tally) -> Table:
    shown = table("", "calls", right=("calls",))
    counts = {
        "all": tally.calls,
        "committed": tally.committed,
        "  of these late, after the hold had expired": tally.late,
        "  of these refunded": tally.refunded,
        "released": tally.released,
        "ended with their worker, killed in the middle": tally.killed,
        "replies repeated, the first time having been lost": tally.replayed,
    }
    refused = {f"refused, {reason}": count for reason, count in sorted(tally.refusals.items())}
    failed = {f"FAILED, {reason}": count for reason, count in sorted(tally.failures.items())}
    for label, count in (counts | refused | failed).items():
        shown.add_row(label, f"{count:,}")
    return shown


def _latency_table(tally: Tally) -> Table:
    columns = tuple(f"p{each}" for each in PERCENTILES)
    shown = table("", "requests", *columns, right=("requests", *columns))
    for rpc, taken in tally.latencies.items():
        shown.add_row(rpc, f"{len(taken):,}", *(f"{percentile(taken, each) * _MILLISECONDS:.1f}" for each in PERCENTILES))
    return shown


def _credits_line(tally: Tally) -> str:
    share = f" ({100 * tally.used // tally.held} %)" if tally.held else ""
    return (
        f"credits: {format_credits(tally.held)} held for the committed calls, {format_credits(tally.used)} used{share},"
        f" the rest given back at once; {format_credits(tally.given_back)} refunded"
    )


def _found_line(what: str, found: Found) -> str:
    counts = f"{found.acknowledged:,}, found: {found.found:,}, missing: {found.missing:,}, doubled: {found.doubled:,}"
    return f"{what}: {counts}" + (f", at another price: {len(found.different):,}" if found.different else "")
