"""Verification: computes every balance again from history, and compares it with what is stored.

Each account is read in one snapshot, so this may run beside sidecars. The checks are: the amounts of every grant add up and are
those in history; every charge is paid by its draws; every charge and every refund is in history once; what is out on leases has
credit behind it.

An account's grants and open leases are kept in memory. History, charges and refunds are read page by page, and the database
counts what has to be counted over all of them.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import RowMapping, Table

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralRowDamaged
from creditmeter.central.schema import tables
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.rows import account_of, calendar_change_of, grant_of, lease_of, recall_of, watch_of
from creditmeter.central.verification import statements
from creditmeter.central.verification.checks import (
    History,
    Unreadable,
    balance_problems,
    charge_problems,
    draws_in,
    grant_problems,
    lease_problems,
    line_problems,
    read,
    refund_problems,
    sum_problems,
    void_problems,
)
from creditmeter.core.credit.grants import Draw
from creditmeter.core.ids import AccountId
from creditmeter.forms.administration import CENTRAL_REQUEST
from creditmeter.forms.answers import ANSWER

MAX_PROBLEMS = 100
"""Most problems that are listed. Further ones are counted."""

PAGE = 2_000
"""Rows that are read at a time."""

_DECODED_ALONE: dict[Table, Callable[[RowMapping], object]] = {
    tables.accounts: lambda row: (account_of(row), calendar_change_of(row)),
    tables.grants: grant_of,
    tables.leases: lease_of,
    tables.recalls: recall_of,
    tables.alert_watches: watch_of,
    tables.exchanges: lambda row: ANSWER.decode(row["answer"]),
    tables.requests: lambda row: (CENTRAL_REQUEST.decode(row["rpc"], row["request"]), json.loads(row["reply"])),
}
_OF_ACCOUNTS = (tables.grants, tables.leases, tables.charges, tables.refunds, tables.history, tables.balance_days)


@dataclass(frozen=True, slots=True)
class Report:
    """How many accounts and lines of history were checked, and the problems, one sentence for each."""

    accounts: int
    entries: int
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """The first problems, and how many there were."""

    listed: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: str) -> None:
        """Count a problem, and list it if there is room."""
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            self.listed.append(problem)

    def sentences(self) -> tuple[str, ...]:
        """The listed problems, and a count of the rest."""
        rest = self.count - len(self.listed)
        return (*self.listed, f"and {rest} more problems") if rest else tuple(self.listed)


async def verify(url: str, progress: Callable[[int, int], None] | None = None) -> Report:
    """Check a whole central store. `progress` is called with how many accounts are done, and of how many.

    Raises:
        CentralUnavailable: the store did not answer, its file is damaged, or what is there is no central store.
        CentralMisconfigured: the address is not that of a central store.
    """
    database = Database(url, is_timed=False, read_only=True)  # a large account takes long
    try:
        return await verify_database(database, progress)
    finally:
        await database.close()


async def verify_database(database: Database, progress: Callable[[int, int], None] | None = None) -> Report:
    """Check a whole central store as `verify` does, on connections that are open already.

    Raises:
        CentralUnavailable: the store did not answer, its file is damaged, or what is there is no central store.
    """
    await database.check_whole()  # what else is read rests on pages and indexes
    progress = progress or (lambda _done, _all: None)
    found, accounts, entries = _Found(), 0, 0
    async with database.read() as connection:
        expected = (await connection.execute(statements.COUNT_OF_ACCOUNTS)).scalar_one()
    async for account_id in _account_ids(database):
        history = History()
        async with database.read() as connection:
            async for problem in _all_problems(connection, account_id, history):
                found.add(f"account {account_id}: {problem}")
        accounts, entries = accounts + 1, entries + history.entries
        progress(accounts, max(accounts, expected))
    async with database.read() as connection:
        async for problem in _rows_of_nobody(connection):
            found.add(problem)
    return Report(accounts, entries, found.sentences())


async def _account_ids(database: Database) -> AsyncIterator[AccountId]:
    """All accounts, read in pages. No transaction is open while the caller checks an account."""
    after = ""
    while True:
        async with database.read() as connection:
            found = await connection.execute(statements.ACCOUNT_IDS, {"after": after, "rows": PAGE})
            page = found.scalars().all()
        for account_id in page:
            yield AccountId(account_id)
        if len(page) < PAGE:
            return
        after = page[-1]


async def _rows_of_nobody(connection: AsyncConnection) -> AsyncGenerator[str]:
    for table in _OF_ACCOUNTS:
        for account_id in (await connection.execute(statements.rows_of_nobody(table))).scalars():
            yield f"account {account_id}: does not exist, but has rows in {table.name}"


async def _all_problems(connection: AsyncConnection, account_id: AccountId, history: History) -> AsyncGenerator[str]:
    """All problems of one account, whatever its rows have in the place of what was written."""
    try:
        with reading(account_id, "a row"):
            async for problem in _unreadable(connection, account_id):
                yield problem
            async for problem in _problems(connection, account_id, history):
                yield problem
    except CentralRowDamaged as error:
        yield f"{error.reason}, and nothing more was checked"


async def _unreadable(connection: AsyncConnection, account_id: AccountId) -> AsyncGenerator[str]:
    """The rows that cannot be read, of the tables of which other checks do not decode every row."""
    for table, decode in _DECODED_ALONE.items():
        for row in (await connection.execute(statements.rows_of(table), {"account": account_id})).mappings():
            found = read(decode, row)
            if isinstance(found, Unreadable):
                key = "".join(f" {row[each.name]}" for each in table.primary_key.columns if each.name != "account_id")
                yield f"the row{key} of {table.name} cannot be read: {found.reason}"


async def _problems(connection: AsyncConnection, account_id: AccountId, history: History) -> AsyncGenerator[str]:
    """All problems of one account."""
    grants = {row["grant_id"]: row async for row in _rows(connection, tables.grants, account_id)}
    history.sources = {name: row["source"] for name, row in grants.items()}
    async for page in _pages(connection, tables.history, account_id):
        paid = await _draws_of_charges(connection, account_id, page)
        for row in page:
            for problem in line_problems(row, history, paid):
                yield problem
    for charge_id in history.owed:
        yield f"charge {charge_id} drew more than its lines of history say"
    for problem in grant_problems(grants, history):
        yield problem
    stored = (await connection.execute(statements.rows_of(tables.accounts), {"account": account_id})).mappings().one()
    debt = (await connection.execute(statements.DEBT, {"account": account_id})).scalar_one()
    for problem in (
        *balance_problems(stored, grants.values(), history),
        *sum_problems(stored, grants.values(), int(debt)),
    ):
        yield problem
    for look in (_days_problems, _charges_problems, _refunds_problems):
        async for problem in look(connection, account_id):
            yield problem
    leases = [row async for row in _rows(connection, tables.leases, account_id)]
    about = grants.values(), leases, stored["decided_at"]
    for problem in (*lease_problems(*about), *void_problems(*about)):
        yield problem


# History.


async def _draws_of_charges(
    connection: AsyncConnection, account_id: AccountId, lines: Iterable[RowMapping]
) -> dict[str, tuple[Draw, ...]]:
    """The draws of the charges that these lines are about, by charge."""
    named = {line["charge_id"] for line in lines if line["charge_id"]}
    found = await connection.execute(statements.BODIES, {"account": account_id, "charges": sorted(named)})
    return {charge_id: draws_in(body) for charge_id, body in found}


async def _days_problems(connection: AsyncConnection, account_id: AccountId) -> AsyncGenerator[str]:
    """Problems of days that do not begin with what the line of history before them says, or not after it."""
    for starts_at, begins_with, line, says in await connection.execute(statements.WRONG_DAYS, {"account": account_id}):
        yield f"the day {starts_at} begins with {begins_with}, and history line {line} before it says {says}"


# Charges and refunds.


async def _charges_problems(connection: AsyncConnection, account_id: AccountId) -> AsyncGenerator[str]:
    async for page in _pages(connection, tables.charges, account_id):
        refunded = await _refunded(connection, account_id, [row["charge_id"] for row in page])
        for row in page:
            for problem in charge_problems(row, *refunded.get(row["charge_id"], (0, 0))):
                yield problem
    for name, count in await connection.execute(statements.CHARGES_NOT_IN_HISTORY, {"account": account_id}):
        yield f"charge {name} is in history {count} times"


async def _refunded(
    connection: AsyncConnection, account_id: AccountId, charge_ids: Collection[str]
) -> dict[str, tuple[int, int]]:
    """For charges that have refunds, of their own or of a duplicate: what these returned, and the debt that they cancelled."""
    found = await connection.execute(statements.SUMS_OF_REFUNDS, {"account": account_id, "charges": sorted(charge_ids)})
    return {row[0]: (int(row[1]), int(row[2])) for row in found}


async def _refunds_problems(connection: AsyncConnection, account_id: AccountId) -> AsyncGenerator[str]:
    async for row in _rows(connection, tables.refunds, account_id):
        for problem in refund_problems(row):
            yield problem
    for name, count in await connection.execute(statements.REFUNDS_NOT_IN_HISTORY, {"account": account_id}):
        yield f"refund {name} is in history {count} times"
    async for problem in _moved_problems(connection, account_id):
        yield problem


async def _moved_problems(connection: AsyncConnection, account_id: AccountId) -> AsyncGenerator[str]:
    """Problems of refunds whose lines of history return, or let lapse, other amounts than the refund says."""
    found = await connection.execute(statements.MOVED_OTHERWISE, {"account": account_id})
    for name, back, gone, stated_back, stated_gone in found:
        if stated_back is None:
            yield f"refund {name} is in history, but does not exist"
        else:
            yield f"refund {name} has {stated_back} restored and {stated_gone} lapsed, its history has {back} and {gone}"


# Rows.


async def _rows(connection: AsyncConnection, table: Table, account_id: AccountId) -> AsyncIterator[RowMapping]:
    """An account's rows of a table, in the order of the primary key."""
    async for page in _pages(connection, table, account_id):
        for row in page:
            yield row


async def _pages(connection: AsyncConnection, table: Table, account_id: AccountId) -> AsyncIterator[Sequence[RowMapping]]:
    """An account's rows of a table, in the order of the primary key, a page at a time."""
    query, given = statements.first_page(table), {"account": account_id, "rows": PAGE}
    while True:
        page = (await connection.execute(query, given)).mappings().all()
        yield page
        if len(page) < PAGE:
            return
        query, given = statements.next_page(table), given | {"after": page[-1][statements.key_of(table)]}
