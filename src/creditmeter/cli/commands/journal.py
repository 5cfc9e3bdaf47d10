"""`creditmeter journal`: what of a sidecar's journal is damaged, whose it is, and how to go on without it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from creditmeter.cli.central_knowledge import Known, ask_central
from creditmeter.cli.connection import central_url, load_settings
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import AccountId, AsJson, Central, DataDir
from creditmeter.cli.output import counted, print_json
from creditmeter.cli.screen import print_lines
from creditmeter.core import ids as core_ids
from creditmeter.core.amounts import format_credits
from creditmeter.server.config import Settings

if TYPE_CHECKING:
    from creditmeter.core.metering.book import Book
    from creditmeter.journal.checking import Checked, DamagedRow

commands = typer.Typer(help="Check the journal of a sidecar, and go on without what is lost of it.")


@commands.command()
def check(data_dir: DataDir = None, central: Central = None, as_json: AsJson = False) -> None:
    """Read the whole journal, and say what is damaged, whose it is, and what the central store knows of these accounts.

    Nothing is changed, and a sidecar may run on it. Exit code 5 if anything is damaged.
    """
    from creditmeter.journal.checking import check_journal  # noqa: PLC0415 - most commands read no journal
    from creditmeter.journal.faults import JournalUnusable  # noqa: PLC0415 - most commands read no journal

    settings = load_settings(data_dir=data_dir, central=central)
    path = settings.journal_path
    if not path.is_file():
        raise CommandFailed(f"there is no journal at {path}", ExitCode.FAILED)
    is_running = _is_running(settings)
    try:
        found = check_journal(path)
    except JournalUnusable as error:
        raise CommandFailed(str(error), ExitCode.DAMAGED) from error
    known = _known(found, central_url(central, data_dir)) if found.accounts else {}
    if as_json:
        print_json(_document(path, found, known, is_running=is_running))
    else:
        for line in _lines(path, found, known, is_running=is_running):
            print_lines(line, hang=len(line) - len(line.lstrip()) + 2)
    if not found.is_clean:
        raise typer.Exit(ExitCode.DAMAGED)


@commands.command("accept-loss")
def accept_loss(
    account_id: AccountId,
    data_dir: DataDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this nothing is changed.")] = False,
) -> None:
    """Take an account out of quarantine: go on from what can be read of it, and give up the rest for good.

    What was charged and can be read is posted. Its leases count as spent, so nothing is authorised on them twice.
    Run `creditmeter journal check` first. The sidecar must not run.
    """
    from creditmeter.server.accepting import accept_loss_of  # noqa: PLC0415 - the other commands do not load a server
    from creditmeter.server.exits import StartupError  # noqa: PLC0415 - the other commands do not load a server

    settings = load_settings(data_dir=data_dir)
    if not settings.journal_path.is_file():
        raise CommandFailed(f"there is no journal at {settings.journal_path}", ExitCode.FAILED)
    if not yes:
        raise CommandFailed(f"what cannot be read of {account_id} would be lost for good: add --yes to do it", ExitCode.USAGE)
    try:
        left = asyncio.run(accept_loss_of(settings, core_ids.AccountId(account_id)))
    except StartupError as error:
        raise CommandFailed(str(error), error.exit_code) from error
    if left is None:
        raise CommandFailed(f"the account {account_id} is not in quarantine: there is nothing to accept")
    lost = counted(len(left.damaged), "row")
    print_lines(f"{account_id} is out of quarantine; {lost} given up; kept: {_kept(left.book)}")


def _is_running(settings: Settings) -> bool:
    """Whether a sidecar runs on the data directory."""
    from creditmeter.server.locks import is_locked  # noqa: PLC0415 - most commands lock nothing

    return is_locked(settings.lock_path, settings.data_dir)


def _known(found: "Checked", url: str) -> dict[core_ids.AccountId, Known]:
    assert found.sidecar_id is not None, "an account is known by a journal that has an identity"
    return ask_central(url, found.sidecar_id, sorted(found.accounts))


def _lines(path: Path, found: "Checked", known: dict[core_ids.AccountId, Known], *, is_running: bool) -> Iterator[str]:
    if is_running:
        yield "A sidecar runs on this journal: it was read as it was at one moment, and nothing was changed."
    head = f"{path}: {counted(found.records, 'record')}, {counted(found.parts, 'part')} of the image"
    if found.is_clean:
        yield f"{head}: clean"
        return
    yield f"{head}: damaged"
    yield from (f"  {each}: a start is refused" for each in found.problems)
    if not found.is_index_sound:
        yield "  the index of the records is damaged: a start makes it anew"
    for account_id in sorted({each.account_id for each in found.damaged} | found.accounts.keys()):
        yield f"account {account_id}: {'in quarantine' if account_id in found.accounts else 'goes on'}"
        yield from _of_account(found, account_id, known.get(account_id))


def _of_account(found: "Checked", account_id: core_ids.AccountId, known: Known | None) -> Iterator[str]:
    yield from (f"  {_described(each)}" for each in found.damaged if each.account_id == account_id)
    left = found.accounts.get(account_id)
    if left is not None:
        yield f"  can be read: {_kept(left.book)}"
    if known is not None:
        yield from (f"  {each}" for each in known.lines())


def _described(row: "DamagedRow") -> str:
    """What is lost with a row, as far as it can be told."""
    if row.table == "image":
        what = "part of the image: some of what could still change when that was made"
    elif row.is_live:
        what = "one change since the image: a call, or an answer of the central store"
    else:
        what = "a change that is over: the first reply to a call; calls that need it are refused"
    names = f"; it seems to name {', '.join(row.names)}" if row.names else ""
    return f"row {row.number} of {row.table} ({row.reason}): {what}{names}"


def _kept(book: "Book") -> str:
    unposted = sum(each.cost for each in book.unposted_charges)
    refunds = sum(1 for _ in book.unposted_refunds)
    return (
        f"{counted(book.open_reservations, 'open hold')} of {format_credits(book.held)} credits,"
        f" {counted(book.unposted_charge_count, 'unposted charge')} of {format_credits(unposted)},"
        f" {counted(refunds, 'unposted refund')}, {counted(len(book.leases), 'lease')}"
    )


def _document(path: Path, found: "Checked", known: dict[core_ids.AccountId, Known], *, is_running: bool) -> dict[str, object]:
    return {
        "journal": str(path),
        "sidecar_id": found.sidecar_id,
        "running": is_running,
        "records": found.records,
        "image_parts": found.parts,
        "clean": found.is_clean,
        "problems": found.problems,
        "index_sound": found.is_index_sound,
        "damaged": [_row_document(each) for each in found.damaged],
        "quarantine": [_account_document(each, found, known.get(each)) for each in sorted(found.accounts)],
    }


def _row_document(row: "DamagedRow") -> dict[str, object]:
    return {
        "table": row.table,
        "number": row.number,
        "account_id": row.account_id,
        "reason": row.reason,
        "live": row.is_live,
        "seems_to_name": list(row.names),
    }


def _account_document(account_id: core_ids.AccountId, found: "Checked", known: Known | None) -> dict[str, object]:
    book = found.accounts[account_id].book
    return {
        "account_id": account_id,
        "open_reservation_count": book.open_reservations,
        "held_microcredits": book.held,
        "unposted_charges": [{"charge_id": each.charge_id, "cost_microcredits": each.cost} for each in book.unposted_charges],
        "unposted_refunds": [
            {"refund_id": each.refund_id, "amount_microcredits": each.amount} for each in book.unposted_refunds
        ],
        "leases": [
            {"lease_id": each.lease_id, "limit_microcredits": each.limit, "spent_microcredits": each.spent}
            for each in book.leases.values()
        ],
        "central": None if known is None else known.document(),
    }
