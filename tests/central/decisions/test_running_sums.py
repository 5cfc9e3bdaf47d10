"""Running sums: what is owed and what has not begun costs a settlement nothing where there is none, and nothing is overlooked.

| what happens | what the next decision does |
| --- | --- |
| nothing is owed | no query for debt |
| a charge leaves debt, or an older program lets one | all that is owed is loaded, and repaid by later credit |
| a grant is given that begins later | it is not loaded, and what it has is no part of what is available |
| its first instant comes | the first decision loads it, draws on it, and takes the mark away |
| it begins while nobody writes, and is read | it is loaded by each reading, and counts |
| it is voided before it begins, or draws come on the others | the sum follows |
| an older program writes in between | the sums are computed anew, and the marks set |
"""

import pytest
from sqlalchemy import event, select, update

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify_database
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.instants import DAY, HOUR, Instant
from tests.central.accounts import ACME, available, balance_summary, give, opened, remaining, void
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

LATER = Instant(NOON + HOUR)


def watched(store: CentralStore) -> list[str]:
    """The statements from now on, each with the table that it reads or writes."""
    found: list[str] = []

    def look(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        found.append(statement)

    event.listen(store.database.engine.sync_engine, "before_cursor_execute", look)
    return found


async def sums(store: CentralStore) -> tuple[bool, int, int]:
    """The account's sums: whether they count all lines, what is owed, what is to come."""
    accounts = tables.accounts.c
    query = select(accounts.summed_entry == accounts.last_entry, accounts.debt_microcredits, accounts.to_come_microcredits)
    async with store.database.read() as connection:
        current, debt, to_come = (await connection.execute(query.where(accounts.account_id == ACME))).one()
        return bool(current), debt, to_come


async def marked(store: CentralStore) -> int:
    """How many grants are marked as not begun."""
    async with store.database.read() as connection:
        return len((await connection.execute(select(tables.grants).where(tables.grants.c.begins_later))).all())


async def write_as_an_older_program(store: CentralStore) -> None:
    """What is left after an older program has written: lines that the sums do not count, and grants without a mark."""
    async with store.database.write() as connection:
        await connection.execute(update(tables.grants).values(begins_later=False))
        values = {"summed_entry": tables.accounts.c.last_entry - 1, "debt_microcredits": 0, "to_come_microcredits": 77}
        await connection.execute(update(tables.accounts).values(**values))


async def test_where_nothing_is_owed_no_debt_is_looked_for(store: CentralStore, here: Peer) -> None:
    """Neither by a message that posts nothing, nor by one that posts; with debt there is one query for both."""
    await opened(store, permanent=20, overdraft=9)
    await here.exchange(need=8)
    statements = watched(store)
    await here.exchange(need=9)
    assert not [each for each in statements if "FROM charges" in each]
    before = len(statements)
    await here.exchange(here.charge("a", 3))
    asked = [each for each in statements[before:] if "FROM charges" in each]
    assert len(asked) == 1
    assert "debt_microcredits >" not in asked[0]
    await here.exchange(here.charge("b", 0, excess=20), leases=here.reports(idle=False))
    assert (await sums(store))[1] == (await balance_summary(store)).debt == 3
    del statements[:]
    await here.exchange()
    assert len([each for each in statements if "FROM charges" in each]) == 1


async def test_debt_is_repaid_and_then_not_looked_for(store: CentralStore, here: Peer) -> None:
    """By an operator's grant, whoever wrote the debt."""
    await opened(store, overdraft=9)
    await here.exchange(here.charge("a", 0, excess=6))
    assert await sums(store) == (True, 6, 0)
    await write_as_an_older_program(store)
    await give(store, "some", 4)
    assert await sums(store) == (True, 2, 0)
    await give(store, "more", 4)
    assert await sums(store) == (True, 0, 0)
    assert await available(store) == 2


async def test_a_grant_that_has_not_begun_is_not_loaded(store: CentralStore, here: Peer) -> None:
    """However many there are, of whichever kind."""
    await opened(store, permanent=20)
    await here.exchange(need=8)
    plain = await rows_of(store, here, "plain")
    for number in range(12):
        await give(store, f"p{number}", 5, effective_at=LATER, expires_at=Instant(NOON + DAY))
        await give(store, f"d{number}", 5, GrantKind.DAILY, effective_at=LATER)
    assert await sums(store) == (True, 0, 120)
    assert await rows_of(store, here, "beside many") == plain
    assert await available(store) == 18


async def rows_of(store: CentralStore, here: Peer, name: str) -> tuple[int, int]:
    """How many statements the settlement of a charge makes, and how many grants a decision loads."""
    statements = watched(store)
    await here.exchange(here.charge(name, 1))
    made = len(statements)
    async with store.database.read() as connection:
        found = await open_ledger(connection, ACME, NOON, lock=False)
    assert found is not None
    return made, len(found.ledger.grants)


@pytest.mark.parametrize("kind", [GrantKind.PERMANENT, GrantKind.DAILY])
async def test_a_grant_is_usable_at_its_first_instant(
    store: CentralStore, here: Peer, clock: ManualClock, kind: GrantKind
) -> None:
    """Not a microsecond before: read, leased and drawn on, with the mark taken away once."""
    await opened(store)
    given = await give(store, "later", 5, kind, effective_at=LATER)
    clock.advance(HOUR - 1)
    assert await available(store) == 0
    assert (await here.exchange(need=5)).granted == 0
    clock.advance(1)
    assert await available(store) == 5
    assert (await marked(store), await sums(store)) == (1, (True, 0, 5)), "a reading writes nothing"
    assert (await here.exchange(need=5)).granted == 5
    assert (await marked(store), await sums(store)) == (0, (True, 0, 0))
    made = here.charge("c", 5)
    (draw,) = (await here.exchange(made)).postings[made.charge_id].draws
    assert (draw.grant_id, draw.amount) == (given.grant_id, 5)


async def test_grants_that_begin_are_drawn_on_in_their_order(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """More of them than are looked at first, among others with earlier and later ends."""
    await opened(store)
    for number in range(12):
        await give(store, f"old{number}", 1, expires_at=Instant(NOON + (20 + 2 * number) * DAY))
        await give(store, f"new{number}", 1, effective_at=LATER, expires_at=Instant(NOON + (21 + 2 * number) * DAY))
    clock.advance(HOUR)
    await here.exchange(need=24)
    made = here.charge("c", 15)
    draws = (await here.exchange(made)).postings[made.charge_id].draws
    async with store.database.read() as connection:
        rows = (await connection.execute(select(tables.grants.c.grant_id).order_by(tables.grants.c.expires_at))).scalars()
        assert [each.grant_id for each in draws] == list(rows)[:15]
    assert await remaining(store) == (0, 0, 9)


async def test_a_grant_is_voided_before_it_begins(store: CentralStore, clock: ManualClock) -> None:
    """All of it is taken back, and nothing begins."""
    await opened(store, permanent=3)
    given = await give(store, "later", 5, effective_at=LATER)
    await void(store, given.grant_id)
    assert await sums(store) == (True, 0, 0)
    clock.advance(HOUR)
    assert await available(store) == 3


async def test_what_an_older_program_writes_is_counted_anew(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its grants have no mark, and the sums are of an earlier line: nothing is overlooked, before and after they begin."""
    await opened(store, overdraft=9)
    for number in range(20):
        await give(store, f"g{number:02}", 1)
    await give(store, "later", 5, effective_at=LATER)
    await give(store, "daily", 4, GrantKind.DAILY, effective_at=LATER)
    await write_as_an_older_program(store)
    assert await available(store) == 20
    assert (await verify_database(store.database)).problems == ()
    assert (await here.exchange(need=20)).granted == 20
    assert (await marked(store), await sums(store)) == (2, (True, 0, 9))
    await write_as_an_older_program(store)
    clock.advance(HOUR)
    assert await available(store) == 29
    assert (await here.exchange(need=9)).granted == 9
    assert (await marked(store), await sums(store)) == (0, (True, 0, 0))
