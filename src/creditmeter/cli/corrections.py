"""Correcting entries for a bill: charges and goodwill grants to one account, each booked once.

A bill's entry for a day and a model has one request id, which is derived from the bill's bytes, the day and the model. So the
same command may be repeated. An entry for this day and model that another bill made, or this one with another amount, is found
by its labels or its note, and then nothing is booked at all.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from creditmeter.cli.bill_file import Bill
from creditmeter.cli.connection import LONG_READ, PATIENCE
from creditmeter.cli.exits import CommandFailed
from creditmeter.cli.options import timestamp
from creditmeter.cli.paging import pages
from creditmeter.client.stubs import Connection, call
from creditmeter.core.amounts import format_credits
from creditmeter.core.credit.calendar import Period
from creditmeter.core.instants import to_datetime
from creditmeter.core.reports.reconciliation import MAX_GROUPS, Correction
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, metering_pb2

RECONCILED, DAY, MODEL = "reconciled", "day", "model"
"""The labels of a correcting charge: the bill by its file's name and the beginning of its digest, the day, the model's key."""

_DIGEST_SHOWN = 12
_LONGEST_NAME = 200
_NOTE = re.compile(r"reconciled (.* [0-9a-f]{12}): (\d{4}-\d{2}-\d{2}) (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Booked:
    """How many correcting entries are booked, and how many of them were before."""

    entries: int
    replayed: int


def request_id(digest: str, correction: Correction) -> str:
    """The request id of an entry: the same for the same bill, day and model."""
    identity = f"{digest}\n{correction.day}\n{correction.model}"
    return f"reconcile-{hashlib.sha256(identity.encode()).hexdigest()[:40]}"


async def book(
    client: Connection, account_id: str, bill: Bill, days: Sequence[Period], corrections: Sequence[Correction]
) -> Booked:
    """Book the entries, or none if one of them contradicts what was booked before.

    Raises:
        CreditmeterError: the sidecar refused, or did not answer. Entries may be booked then, and the command may be repeated.
        CommandFailed: a day and model were corrected before, by another bill or by another amount.
    """
    await _check(client, account_id, bill, days, corrections)
    replayed = [await _book(client, account_id, bill, each) for each in corrections]
    return Booked(len(replayed), sum(replayed))


async def _check(
    client: Connection, account_id: str, bill: Bill, days: Sequence[Period], corrections: Sequence[Correction]
) -> None:
    before = await _not_posted(client, account_id)  # first: what is posted meanwhile is found again, and nothing is missed
    before += await _charged_before(client, account_id, days) + await _granted_before(client, account_id)
    by_key = {(each.day, _cut(each.model)): each for each in corrections}
    for name, day, model, amount in sorted(before):
        now = by_key.get((day, model))
        if now is not None and (name, amount) != (_bill_name(bill), _signed(now)):
            raise CommandFailed(
                f"nothing was booked: {day} {model} was corrected before by {format_credits(amount)} credits for {name}, and "
                f"would be by {format_credits(_signed(now))} for {_bill_name(bill)}; leave that day out with "
                f"--first-day or --last-day, or correct it by hand"
            )


_Before = tuple[str, str, str, int]
"""An entry that was booked before: the bill, the day, the model, and its amount in microcredits, below 0 for a grant."""


async def _not_posted(client: Connection, account_id: str) -> list[_Before]:
    """The correcting charges that this sidecar has not posted yet."""
    request = account_pb2.ListHistoryRequest(account_id=account_id, label=account_pb2.LabelMatch(key=RECONCILED), page_size=1)
    pending = (await call(client.account.ListHistory, request, PATIENCE)).pending
    return [
        (each.labels[RECONCILED], each.labels.get(DAY, ""), each.labels.get(MODEL, ""), each.cost_microcredits)
        for each in pending
    ]


async def _charged_before(client: Connection, account_id: str, days: Sequence[Period]) -> list[_Before]:
    """The correcting charges of these days. They were made after the days began."""
    by = [account_pb2.UsageGrouping(label_key=key) for key in (RECONCILED, DAY, MODEL)]
    start = timestamp(to_datetime(days[0].starts_at))
    request = account_pb2.SummarizeUsageRequest(account_id=account_id, start=start, group_by=by)
    reply = await pages(client.account.SummarizeUsage, request, lambda page: len(page.groups), MAX_GROUPS, LONG_READ)
    found = []
    for each in reply.groups:
        name, day, model = each.keys
        if name:
            found.append((name, day, model, each.totals.cost_microcredits))
    return found


async def _granted_before(client: Connection, account_id: str) -> list[_Before]:
    request = account_pb2.ListGrantsRequest(account_id=account_id)
    reply = await pages(client.account.ListGrants, request, lambda page: len(page.grants), MAX_GROUPS, LONG_READ)
    notes = [(_NOTE.fullmatch(each.note), each) for each in reply.grants if each.source == grants_pb2.GRANT_SOURCE_GOODWILL]
    return [(note[1], note[2], note[3], -each.amount_microcredits) for note, each in notes if note is not None]


async def _book(client: Connection, account_id: str, bill: Bill, correction: Correction) -> bool:
    """Book one entry. Returns whether it was booked before."""
    made, model, name = request_id(bill.digest, correction), _cut(correction.model), _bill_name(bill)
    if correction.is_charge:
        charge = metering_pb2.ChargeRequest(
            request_id=made,
            account_id=account_id,
            amount_microcredits=correction.amount,
            already_incurred=True,
            labels={RECONCILED: name, DAY: correction.day, MODEL: model},
        )
        return (await call(client.metering.Charge, charge, PATIENCE)).replayed
    grant = admin_pb2.GrantCreditsRequest(
        request_id=made,
        account_id=account_id,
        kind=grants_pb2.GRANT_KIND_PERMANENT,
        amount_microcredits=correction.amount,
        source=grants_pb2.GRANT_SOURCE_GOODWILL,
        note=f"reconciled {name}: {correction.day} {model}",
    )
    return (await call(client.admin.GrantCredits, grant, PATIENCE)).replayed


def _bill_name(bill: Bill) -> str:
    """The bill as entries name it."""
    return f"{_cut(bill.path.name)} {bill.digest[:_DIGEST_SHOWN]}"


def _cut(text: str) -> str:
    """A text of a label: short enough, and without the one character that cannot be stored."""
    return text[:_LONGEST_NAME].replace("\0", "")


def _signed(correction: Correction) -> int:
    return correction.amount if correction.is_charge else -correction.amount
