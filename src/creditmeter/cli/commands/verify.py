"""`creditmeter verify`: recompute every balance of a central store from its history."""

import asyncio
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.cli.connection import central_url, failed_store
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import AsJson, Central, DataDir
from creditmeter.cli.output import counted, print_json
from creditmeter.cli.screen import print_lines
from creditmeter.cli.store_address import check_address

if TYPE_CHECKING:
    from creditmeter.central.verification.verification import Report


def verify(central: Central = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Recompute every balance from history and compare. Reads only, and may run beside sidecars."""
    if central and data_dir:
        raise CommandFailed("give --central or --data-dir, not both", ExitCode.USAGE)
    report = asyncio.run(verified(central_url(central, data_dir)))
    if as_json:
        print_json(report_json(report))
    else:
        print_lines(report_text(report))
    if report.problems:
        raise typer.Exit(ExitCode.NOT_CLEAN)


async def verified(url: str) -> "Report":
    """Verify a central store, with a progress bar on stderr.

    Raises:
        CommandFailed: there is no store at this address, it does not answer, or it is damaged.
    """
    from creditmeter.central.verification import verification  # noqa: PLC0415 - most commands need no database

    check_address(url)
    with Progress(console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal) as bar:
        task = bar.add_task("verify", total=None)
        try:
            return await verification.verify(url, lambda done, total: bar.update(task, completed=done, total=total))
        except CentralUnavailable as error:
            raise failed_store(error) from error


def report_text(report: "Report") -> str:
    """A report as text: one line, and one for each problem."""
    head = f"verify: {counted(report.accounts, 'account')}, {counted(report.entries, 'history entry', 'history entries')}"
    if not report.problems:
        return f"{head}: clean"
    return "\n".join([f"{head}: {counted(len(report.problems), 'problem')}", *report.problems])


def report_json(report: "Report") -> dict[str, object]:
    """A report as JSON."""
    return {
        "accounts": report.accounts,
        "entries": report.entries,
        "problems": list(report.problems),
        "clean": not report.problems,
    }
