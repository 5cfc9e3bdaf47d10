"""Verification: recompute every balance from history, and hold what is stored against it.

Each account is read from one snapshot. What is checked are the invariants that credit rests on: every grant adds up, its parts
are what history says they are, every charge is covered by its draws and stands in history once, and what is out on leases
has credit behind it.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy import RowMapping, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central import tables
from creditmeter.central.database import Database
from creditmeter.central.rows import charge_of, entry_of, lease_of
from creditmeter.core.history import Entry, EntryType
from creditmeter.core.ids import AccountId, ChargeId, GrantId, RefundId

MAX_PROBLEMS = 100
"""As many problems are listed; the rest are counted."""

_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what is wrong: one sentence a problem."""

    accounts: int
    entries: int
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Recomputed:
    """What an account's history adds up to, in microcredits."""

    entries: int = 0
    balance: int = 0
    granted: dict[GrantId, int] = field(default_factory=lambda: defaultdict(int))
    drawn: dict[GrantId, int] = field(default_factory=lambda: defaultdict(int))
    refunded: dict[GrantId, int] = field(default_factory=lambda: defaultdict(int))
    lapsed: dict[GrantId, int] = field(default_factory=lambda: defaultdict(int))
    voided: dict[GrantId, int] = field(default_factory=lambda: defaultdict(int))
    charge_lines: dict[ChargeId, int] = field(default_factory=lambda: defaultdict(int))
    charge_draws: dict[ChargeId, int] = field(default_factory=lambda: defaultdict(int))
    refund_lines: dict[RefundId, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, entry: Entry) -> None:
        """Count one line."""
        self.entries += 1
        self.balance += entry.amount
        drawn = sum(draw.amount for draw in entry.draws)
        match entry.type:
            case EntryType.GRANTED if entry.grant_id:
                self.granted[entry.grant_id] += entry.amount
            case EntryType.LAPSED if entry.grant_id:
                self.lapsed[entry.grant_id] -= entry.amount
            case EntryType.VOIDED if entry.grant_id:
                self.voided[entry.grant_id] -= entry.amount
            case EntryType.REFUNDED if entry.refund_id:
                self.refund_lines[entry.refund_id] += 1
                self._count_draws(self.refunded, entry)
            case EntryType.CHARGED | EntryType.DEBT_REPAID if entry.charge_id:
                self.charge_lines[entry.charge_id] += entry.type is EntryType.CHARGED
                self.charge_draws[entry.charge_id] += drawn
                self._count_draws(self.drawn, entry)

    def _count_draws(self, by_grant: dict[GrantId, int], entry: Entry) -> None:
        for draw in entry.draws:
            by_grant[draw.grant_id] += draw.amount


async def verify(url: str, progress: Callable[[int, int], None] | None = None) -> Report:
    """Check a whole central store. `progress` is told how many accounts of how many are done.

    Raises:
        CentralUnavailable: the store did not answer.
        CentralMisconfigured: the address is none.
    """
    database = Database(url)
    try:
        return await _verify(database, progress or (lambda _done, _all: None))
    finally:
        await database.close()


async def _verify(database: Database, progress: Callable[[int, int], None]) -> Report:
    async with database.read() as connection:
        query = select(tables.accounts.c.account_id).order_by(tables.accounts.c.account_id)
        accounts = list((await connection.execute(query)).scalars())
    entries = 0
    found: list[str] = []
    for done, account_id in enumerate(accounts, start=1):
        async with database.read() as connection:
            history = _Recomputed()
            found += [f"account {account_id}: {each}" async for each in _problems(connection, account_id, history)]
            entries += history.entries
        progress(done, len(accounts))
    listed = found[:MAX_PROBLEMS]
    if len(found) > MAX_PROBLEMS:
        listed.append(f"and {len(found) - MAX_PROBLEMS} more problems")
    return Report(len(accounts), entries, tuple(listed))


async def _problems(connection: AsyncConnection, account_id: AccountId, history: _Recomputed) -> AsyncGenerator[str, None]:
    """Everything that is wrong with one account."""
    async for entry, expected_number in _entries(connection, account_id):
        if entry.number != expected_number:
            yield f"history has {entry.number} where {expected_number} should stand"
        history.add(entry)
        if entry.balance_after != history.balance:
            yield f"history line {entry.number} says a balance of {entry.balance_after}, but it adds up to {history.balance}"
    grants = [row async for row in _rows(connection, tables.grants, account_id)]
    for problem in _grant_problems(grants, history):
        yield problem
    remaining = sum(row["remaining_microcredits"] for row in grants)
    stored = (
        (await connection.execute(select(tables.accounts).where(tables.accounts.c.account_id == account_id))).mappings().one()
    )
    if not stored["balance_microcredits"] == history.balance == remaining:
        yield (
            f"the balance is {stored['balance_microcredits']}, its history adds up to {history.balance},"
            f" and its grants have {remaining} left"
        )
    if stored["last_entry"] != history.entries:
        yield f"history has {history.entries} lines where {stored['last_entry']} were written"
    async for problem in _book_problems(connection, account_id, grants, history):
        yield problem


async def _book_problems(
    connection: AsyncConnection, account_id: AccountId, grants: list[RowMapping], history: _Recomputed
) -> AsyncGenerator[str, None]:
    """Everything that is wrong with an account's charges, refunds and leases."""
    refunded = await _refunded(connection, account_id)
    async for row in _rows(connection, tables.charges, account_id):
        for problem in _charge_problems(row, history, refunded):
            yield problem
    async for row in _rows(connection, tables.refunds, account_id):
        if history.refund_lines[RefundId(row["refund_id"])] != 1:
            yield f"refund {row['refund_id']} stands in history {history.refund_lines[RefundId(row['refund_id'])]} times"
    for problem in _lease_problems([row async for row in _rows(connection, tables.leases, account_id)], grants):
        yield problem


async def _entries(connection: AsyncConnection, account_id: AccountId) -> AsyncGenerator[tuple[Entry, int], None]:
    """All lines, oldest first, each with the number it should have."""
    expected = 1
    async for row in _rows(connection, tables.history, account_id):
        entry = entry_of(row)
        yield entry, expected
        expected = entry.number + 1


async def _rows(connection: AsyncConnection, table: Table, account_id: AccountId) -> AsyncGenerator[RowMapping, None]:
    """An account's rows of a table by primary key, a page at a time."""
    key = list(table.primary_key.columns)[1]
    after: object = None
    while True:
        query = select(table).where(table.c.account_id == account_id).order_by(key).limit(_PAGE)
        page = (await connection.execute(query if after is None else query.where(key > after))).mappings().all()
        for row in page:
            yield row
        if len(page) < _PAGE:
            return
        after = page[-1][key.name]


def _grant_problems(rows: Iterable[RowMapping], history: _Recomputed) -> Iterable[str]:
    """Where a grant does not add up, or is not what history says."""
    for row in rows:
        name = row["grant_id"]
        parts = {part: row[f"{part}_microcredits"] for part in ("drawn", "refunded", "lapsed", "voided")}
        amount, remaining = row["amount_microcredits"], row["remaining_microcredits"]
        if remaining < 0:
            yield f"grant {name} is overdrawn by {-remaining}"
        if amount != remaining + parts["drawn"] - parts["refunded"] + parts["lapsed"] + parts["voided"]:
            yield f"grant {name} of {amount} does not add up: {remaining} left and {parts}"
        said = {
            "amount": (amount, history.granted[name]),
            "drawn": (parts["drawn"], history.drawn[name]),
            "refunded": (parts["refunded"], history.refunded[name]),
            "lapsed": (parts["lapsed"], history.lapsed[name]),
            "voided": (parts["voided"], history.voided[name]),
        }
        for part, (stored, recomputed) in said.items():
            if stored != recomputed:
                yield f"grant {name} has {part} {stored}, its history says {recomputed}"


async def _refunded(connection: AsyncConnection, account_id: AccountId) -> dict[ChargeId, tuple[int, int]]:
    """For each charge with refunds: what came back to it in all, and how much of its debt was cancelled."""
    refunds, charges = tables.refunds.c, tables.charges.c
    back = refunds.restored_microcredits + refunds.lapsed_microcredits
    paid = func.coalesce(charges.duplicate_of, charges.charge_id)
    query = (
        select(paid, func.sum(back), func.sum(refunds.amount_microcredits - back))
        .join(tables.charges, (charges.account_id == account_id) & (charges.charge_id == refunds.charge_id))
        .where(refunds.account_id == account_id)
        .group_by(paid)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in await connection.execute(query)}


def _charge_problems(row: RowMapping, history: _Recomputed, refunded: dict[ChargeId, tuple[int, int]]) -> Iterable[str]:
    """Where a charge does not add up, is not what history says, or stands there more or less often than once."""
    charge = charge_of(row)
    posting, name = charge.posting, charge.charge_id
    if posting is None:
        yield f"charge {name} is not posted"
        return
    stored = {
        "cost": charge.cost,
        "covered": posting.covered,
        "debt": posting.debt,
        "uncovered": posting.uncovered,
        "refunded": posting.refunded,
    }
    for part, amount in stored.items():
        if row[f"{part}_microcredits"] != amount:
            yield f"charge {name} has {part} {row[f'{part}_microcredits']} beside {amount}"
    lines = history.charge_lines[name]
    if posting.duplicate_of is not None:
        if lines or posting.covered:
            yield f"charge {name} is a duplicate and was charged all the same"
        return
    if lines != 1:
        yield f"charge {name} stands in history {lines} times"
    drawn, returned = sum(draw.amount for draw in posting.draws), sum(draw.returned for draw in posting.draws)
    if not posting.covered == drawn == history.charge_draws[name]:
        yield f"charge {name} is covered by {posting.covered}, drew {drawn}, and history says {history.charge_draws[name]}"
    back, cancelled = refunded.get(name, (0, 0))
    if charge.cost != posting.covered + posting.debt + posting.uncovered + cancelled:
        yield f"charge {name} costs {charge.cost}, but {stored} and {cancelled} cancelled do not make that up"
    if not posting.refunded == returned == back:
        yield f"charge {name} was refunded {posting.refunded}, its draws {returned}, and its refunds say {back}"


def _lease_problems(rows: Iterable[RowMapping], grants: Iterable[RowMapping]) -> Iterable[str]:
    """Where more is out on leases than the grants that may stand behind it have left."""
    out = 0
    for lease in (lease_of(row) for row in rows if not row["closed"]):
        if lease.held + lease.unposted > lease.out:
            yield f"lease {lease.lease_id} has {lease.out} out and more than that held and unposted"
        out += lease.out
    remaining = sum(row["remaining_microcredits"] for row in grants)
    if out > remaining:
        yield f"{out} is out on leases, and all grants have {remaining} left"
