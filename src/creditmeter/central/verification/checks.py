"""Checks of an account's rows at the central store. Each check yields problems, one sentence for each.

Nothing is read from the database here: `verification` does that.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import RowMapping

from creditmeter.central.engine.faults import CentralRowDamaged
from creditmeter.central.schema.rows import (
    bits_of_kinds,
    charge_of,
    charge_row,
    entry_of,
    grant_of,
    lease_of,
    refund_of,
    refund_row,
)
from creditmeter.core.credit.grants import Draw, Grant, alive_between
from creditmeter.core.credit.history import Entry, EntryType
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.instants import Instant
from creditmeter.forms.posted_charges import draws_of

_Raw = TypeVar("_Raw")
_Read = TypeVar("_Read")

_SPENT = {EntryType.CHARGED, EntryType.DEBT_REPAID}
_OF_A_GRANT = {EntryType.GRANTED: "amount", EntryType.LAPSED: "lapsed", EntryType.VOIDED: "voided"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why stored data cannot be read."""

    reason: str


def read(decode: Callable[[_Raw], _Read], raw: _Raw) -> _Read | Unreadable:
    """The decoded value of stored data, or why it cannot be read."""
    try:
        return decode(raw)
    except CentralRowDamaged as error:
        return Unreadable(str(error.__cause__))
    except (AssertionError, ValueError) as error:
        return Unreadable(str(error))


def draws_in(body: str) -> tuple[Draw, ...]:
    """The draws of the charge with this body; none if it cannot be read, which `charge_problems` reports."""
    draws = read(draws_of, body)
    return () if isinstance(draws, Unreadable) else draws


# History.


@dataclass(slots=True)
class History:
    """The sums of an account's lines of history so far, in microcredits.

    `sources` is the source of each grant. `by_grant` has an amount for each grant and part of it: amount, drawn, refunded,
    lapsed, voided. `owed` has, for charges that were not paid at once, the draws that later lines should have.
    """

    sources: dict[str, str] = field(default_factory=dict)
    entries: int = 0
    last_number: int = 0
    balance: int = 0
    by_grant: Counter[tuple[str, str]] = field(default_factory=Counter)
    owed: dict[str, tuple[Draw, ...]] = field(default_factory=dict)


def line_problems(row: RowMapping, history: History, paid: Mapping[str, tuple[Draw, ...]]) -> Iterator[str]:
    """Add a line to the sums, and yield what is wrong with it."""
    number, expected = row["number"], history.last_number + 1
    if number != expected:
        yield f"history has line {number} where line {expected} should be"
    history.last_number = number
    history.entries += 1
    history.balance += row["amount_microcredits"]
    if row["balance_after_microcredits"] != history.balance:
        stated = row["balance_after_microcredits"]
        yield f"history line {number} says a balance of {stated}, but it adds up to {history.balance}"
    entry = read(entry_of, row)
    if isinstance(entry, Unreadable):
        yield f"history line {number} cannot be read: {entry.reason}"
        return
    if entry.charge_id is not None and entry.charge_id not in paid:
        yield f"history line {number} is about charge {entry.charge_id}, which does not exist"
    if entry.amount != _amount_of_draws(entry):
        yield f"history line {number} of {entry.amount} is not the sum of its draws"
    if row["kinds"] != bits_of_kinds(entry.kinds) or not _names_its_sources(entry, history):
        yield f"history line {number} does not have the kinds and sources of its grants"
    _add_up(entry, history)
    if entry.type in _SPENT and not _paid_by(entry, history, paid):
        yield f"history line {number} has draws that are not those of charge {entry.charge_id}"


def _amount_of_draws(entry: Entry) -> int:
    """What a line's amount should be, from its draws. The amount of a line about one grant is taken as it is."""
    if entry.type in _OF_A_GRANT:
        return entry.amount
    drawn = sum(draw.amount for draw in entry.draws)
    return -drawn if entry.type in _SPENT else drawn


def _names_its_sources(entry: Entry, history: History) -> bool:
    """Whether a line has the sources of its grants. Grants that are missing are reported by `grant_problems`."""
    if not entry.grant_ids <= history.sources.keys():
        return True
    return {history.sources[name] for name in entry.grant_ids} == {each.value for each in entry.sources}


def _add_up(entry: Entry, history: History) -> None:
    """Add what a line says of each grant to the sums."""
    if entry.type in _OF_A_GRANT:
        sign = 1 if entry.type is EntryType.GRANTED else -1
        history.by_grant[entry.grant_id or "", _OF_A_GRANT[entry.type]] += sign * entry.amount
    part = "drawn" if entry.type in _SPENT else "refunded"
    for draw in entry.draws:
        history.by_grant[draw.grant_id, part] += draw.amount


def _paid_by(entry: Entry, history: History, paid: Mapping[str, tuple[Draw, ...]]) -> bool:
    """Whether a line has the draws of its charge that are due: the first draws in the charge's own line, then those that follow
    the draws of earlier lines.
    """
    charge_id = entry.charge_id or ""
    due = paid.get(charge_id, ()) if entry.type is EntryType.CHARGED else history.owed.pop(charge_id, ())
    named, rest = due[: len(entry.draws)], due[len(entry.draws) :]
    if rest:
        history.owed[charge_id] = rest
    return [(each.grant_id, each.amount) for each in named] == [(each.grant_id, each.amount) for each in entry.draws]


# Grants and the balance.


def void_problems(grants: Iterable[RowMapping], leases: Iterable[RowMapping], now: Instant) -> Iterator[str]:
    """Problems of voided grants that have more left than is out on leases. It should have been taken back when it returned."""
    kept = [each for each in grants if each["voided_at"] is not None and each["remaining_microcredits"]]
    left = sum(each["remaining_microcredits"] for each in kept if each["expires_at"] is None or each["expires_at"] > now)
    out = sum(each["limit_microcredits"] - each["posted_microcredits"] for each in leases if not each["closed"])
    if left > out:
        yield f"voided grants have {left} left, and {out} is out on leases"


def grant_problems(grants: Mapping[str, RowMapping], history: History) -> Iterator[str]:
    """Problems of grants whose amounts do not add up, or differ from those in history."""
    for name, row in grants.items():
        parts = {part: row[f"{part}_microcredits"] for part in ("amount", "drawn", "refunded", "lapsed", "voided")}
        remaining = row["remaining_microcredits"]
        if remaining < 0:
            yield f"grant {name} is overdrawn by {-remaining}"
        if parts["amount"] != remaining + parts["drawn"] - parts["refunded"] + parts["lapsed"] + parts["voided"]:
            yield f"grant {name} does not add up: {remaining} left of {parts}"
        for part, stored in parts.items():
            if stored != history.by_grant[name, part]:
                yield f"grant {name} has {part} {stored}, its history says {history.by_grant[name, part]}"
    for name in sorted({name for name, _ in history.by_grant} - grants.keys()):
        yield f"grant {name or 'without an id'} is in history, but does not exist"


def balance_problems(account: RowMapping, grants: Iterable[RowMapping], history: History) -> Iterator[str]:
    """Problems of the account's row that differs from its grants and its history."""
    grants = list(grants)
    balance, last_entry = account["balance_microcredits"], account["last_entry"]
    remaining = sum(row["remaining_microcredits"] for row in grants)
    if not balance == history.balance == remaining:
        yield f"the balance is {balance}, its history adds up to {history.balance}, and its grants have {remaining} left"
    if last_entry != history.entries:
        yield f"history has {history.entries} lines, but {last_entry} were written"


def sum_problems(account: RowMapping, grants: Iterable[RowMapping], debt: int) -> Iterator[str]:
    """Problems of the running sums in the account's row. `debt` is what its charges owe, in microcredits.

    Sums that do not count all lines are not used: an older program wrote the last ones.
    """
    if account["summed_entry"] != account["last_entry"]:
        return
    with_credit = [each for each in grants if each["remaining_microcredits"]]
    to_come = sum(each["remaining_microcredits"] for each in with_credit if each["begins_later"])
    if account["debt_microcredits"] != debt:
        yield f"the account owes {account['debt_microcredits']}, and its charges owe {debt}"
    if account["to_come_microcredits"] != to_come:
        yield f"the account has {account['to_come_microcredits']} to come, and its grants have {to_come}"
    for each in with_credit:
        if each["begins_later"] != (each["effective_at"] > account["decided_at"]):
            yield f"grant {each['grant_id']} is marked wrongly as one that {'has not' if each['begins_later'] else 'has'} begun"


# Charges and refunds.


def charge_problems(row: RowMapping, back: int, cancelled: int) -> Iterator[str]:
    """Problems of a charge whose amounts do not add up.

    `back` is what its refunds returned, `cancelled` the debt that they cancelled, in microcredits.
    """
    name = row["charge_id"]
    charge = read(charge_of, row)
    if isinstance(charge, Unreadable):
        yield f"charge {name} cannot be read: {charge.reason}"
        return
    posting = charge.posting
    if posting is None:
        yield f"charge {name} is not posted"
        return
    yield from _column_problems(f"charge {name}", row, charge_row(charge))
    drawn, returned = sum(draw.amount for draw in posting.draws), sum(draw.returned for draw in posting.draws)
    if posting.covered != drawn:
        yield f"charge {name} is covered by {posting.covered}, but drew {drawn}"
    if not posting.refunded == returned == back:
        yield f"charge {name} was refunded {posting.refunded}, its draws {returned}, and its refunds say {back}"
    accounted = posting.covered + posting.debt + posting.uncovered + cancelled
    if accounted != (charge.cost if posting.duplicate_of is None else 0):
        yield f"charge {name} costs {charge.cost}, but {accounted} is covered, owed, cancelled or written off"


def refund_problems(row: RowMapping) -> Iterator[str]:
    """Problems of a refund by itself: it cannot be read, is not posted, or has columns that differ from its body."""
    name = row["refund_id"]
    refund = read(refund_of, row)
    if isinstance(refund, Unreadable):
        yield f"refund {name} cannot be read: {refund.reason}"
    elif refund.posting is None:
        yield f"refund {name} is not posted"
    else:
        yield from _column_problems(f"refund {name}", row, refund_row(refund))


def _column_problems(name: str, row: RowMapping, expected: Mapping[str, object]) -> Iterator[str]:
    """Problems of a row whose columns differ from its body. The text of the body is not compared: it may be written
    differently.
    """
    for column, value in expected.items():
        if column != "body" and row[column] != value:
            yield f"{name} has {column.removesuffix('_microcredits')} {row[column]} in its row, but {value} in its body"


# Leases.


def lease_problems(grants: Iterable[RowMapping], rows: Iterable[RowMapping], now: Instant) -> Iterator[str]:
    """Problems of leases that have more out than the credit behind them.

    A lease draws on grants that were usable at any time since it was opened. A lease that was opened later has fewer of them.
    So there is enough for all leases if, for each lease, there is enough for it and all that were opened later. Leases that a
    clock opened that was ahead draw on the grants that were usable then.
    """
    leases: list[OutLease] = []
    for row in rows:
        lease = read(lease_of, row)
        if isinstance(lease, Unreadable):
            yield f"lease {row['lease_id']} cannot be read: {lease.reason}"
        elif lease.closed and lease.out:
            yield f"lease {lease.lease_id} is closed with {lease.out} out on it"
        elif not lease.closed:
            leases.append(lease)
    sound = [grant for grant in (read(grant_of, row) for row in grants) if isinstance(grant, Grant)]
    out, latest = 0, max((now, *(each.opened_at for each in leases)))
    for lease in sorted(leases, key=lambda each: each.opened_at, reverse=True):
        if lease.held + lease.unposted > lease.out:
            yield f"lease {lease.lease_id} has {lease.out} out and more than that held and unposted"
        out += lease.out
        behind = sum(grant.remaining for grant in alive_between(sound, min(lease.opened_at, now), latest))
        if out > behind:
            yield f"lease {lease.lease_id} and those opened since have {out} out, and the grants behind them have {behind} left"
