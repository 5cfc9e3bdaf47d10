"""Balances in the past: always the sum of the lines posted by then, read from the row of a day and the lines that follow.

| what is stored | what is read |
| --- | --- |
| a row for each day | the last one before the moment, and lines of one day |
| no rows, or some: an older program wrote the history | lines of several days; the rows that are missing are put on the way |
| a reading breaks off on the way | the rows up to there stay, and the next one goes on from them |
| two readings, or a reading and a decision, put the same row | it is there once: it is the same |
"""

import random
from collections.abc import Sequence

import pytest
from sqlalchemy import delete, event, select

from creditmeter.central.queries import past_balances
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify_database
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant
from creditmeter.core.refusals import AccountNotFound, InvalidRequest
from creditmeter.core.reports.past_balance import PastBalance, day_of
from tests.cases import more
from tests.central.accounts import ACME, count, give, history, opened, refund, void
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

SIGNS = {EntryType.REFUNDED: 1}


async def by_history(store: CentralStore, at: int) -> tuple[int, ...]:
    """The balance at a moment, summed from all of the history: of each kind, in order."""
    left = dict.fromkeys(GrantKind, 0)
    for line in await history(store):
        if line.posted_at <= at:
            for draw in line.draws:
                left[draw.kind] += SIGNS.get(line.type, -1) * draw.amount
            if not line.draws and line.kind is not None:
                left[line.kind] += line.amount
    return tuple(left.values())


async def read(store: CentralStore, at: int) -> tuple[int, ...]:
    """The balance at a moment as it is told."""
    found = await store.past_balances.read(ACME, Instant(at))
    assert isinstance(found, PastBalance)
    assert found.adds_up
    return tuple(found.by_kind.values())


async def live(store: CentralStore, clock: ManualClock, days: int, seed: int) -> None:
    """Days of an account with everything that moves credit, some of them without anything."""
    choose = random.Random(seed)  # noqa: S311 - the same life each time
    here = await Peer.registered(store, clock, "s1")
    for number in range(days * 3):
        clock.advance(choose.choice([MINUTE, 5 * HOUR, 11 * HOUR, 30 * HOUR]))
        made = here.charge(f"c{number}", 0, excess=choose.randint(1, 9))
        await here.exchange(made, leases=())
        what = choose.randrange(6)
        if what == 0:
            await refund(store, made.charge_id, 1, name=f"r{number}", mode=choose.choice(list(RefundMode)))
        elif what == 1:
            await give(store, f"g{number}", 6, effective_at=Instant(clock.wall() + choose.choice([0, 20 * HOUR])))
        elif what == 2:
            given = await give(store, f"v{number}", 4, choose.choice([GrantKind.PERMANENT, GrantKind.MONTHLY]))
            await void(store, given.grant_id, f"void{number}")


def moments(clock: ManualClock, seed: int) -> Sequence[int]:
    """Moments from before the beginning until now, midnights and the instants beside them among them."""
    choose = random.Random(seed)  # noqa: S311 - the same moments each time
    end = clock.wall()
    midnights = [day_of(Instant(NOON + number * DAY)) + beside for number in range(1, 9) for beside in (-1, 0, 1)]
    return [NOON - 1, NOON, end, *(each for each in midnights if each <= end), *(choose.randint(NOON, end) for _ in range(12))]


@pytest.mark.parametrize("seed", [0, *more(*range(1, 3))])
@pytest.mark.parametrize("lost", ["none", "some", "all"])
async def test_it_is_the_sum_of_the_history(store: CentralStore, clock: ManualClock, seed: int, lost: str) -> None:
    """At any moment, with all rows of days, some or none, before and after they were put."""
    await opened(store, daily=5, monthly=30, permanent=20, overdraft=9, time_zone="Asia/Tokyo")
    await live(store, clock, 4, seed)
    days = await count(store, "balance_days")
    assert days >= 3
    async with store.database.write() as connection:
        for number, day in enumerate((await connection.execute(select(tables.balance_days.c.starts_at))).scalars().all()):
            if lost == "all" or (lost == "some" and number % 2):
                await connection.execute(delete(tables.balance_days).where(tables.balance_days.c.starts_at == day))
    for at in moments(clock, seed):
        assert await read(store, at) == await by_history(store, at), at
    assert await count(store, "balance_days") == days


async def test_the_rows_that_a_reading_puts_are_those_of_decisions(store: CentralStore, clock: ManualClock) -> None:
    """To the last column."""
    await opened(store, daily=5, monthly=30, permanent=20, overdraft=9)
    await live(store, clock, 4, 7)
    query = select(tables.balance_days).order_by(tables.balance_days.c.starts_at)
    async with store.database.write() as connection:
        decided = (await connection.execute(query)).all()
        await connection.execute(delete(tables.balance_days))
    await read(store, clock.wall())
    async with store.database.read() as connection:
        put = (await connection.execute(query)).all()
    lines = await history(store)
    starts = {day_of(each.posted_at) for each in lines} - {day_of(lines[0].posted_at)}
    assert put == [row for row in decided if row.starts_at in starts]


async def test_lines_of_one_day_are_read(
    store: CentralStore, clock: ManualClock, here: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the history is before and after."""
    monkeypatch.setattr(past_balances, "PAGE", 3)
    await opened(store, permanent=900)
    for number in range(40):
        await here.exchange(here.charge(f"c{number}", 0, excess=1))
        clock.advance(6 * HOUR)
    statements: list[str] = []

    def look(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if "FROM history" in statement:
            statements.append(statement)

    event.listen(store.database.engine.sync_engine, "before_cursor_execute", look)
    assert sum(await read(store, NOON + 5 * DAY)) == 900 - 21
    assert len(statements) <= 3, "the line of the day's row, and two pages"
    async with store.database.write() as connection:
        await connection.execute(delete(tables.balance_days))
    await read(store, NOON + 5 * DAY)
    del statements[:]
    await read(store, NOON + 5 * DAY)
    assert len(statements) <= 3, "the rows were put"


async def test_a_reading_that_breaks_off_leaves_less_to_read(
    store: CentralStore, clock: ManualClock, here: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one goes on from the last row that was put."""
    monkeypatch.setattr(past_balances, "PAGE", 4)
    await opened(store, permanent=900)
    for number in range(30):
        await here.exchange(here.charge(f"c{number}", 0, excess=1))
        clock.advance(12 * HOUR)
    async with store.database.write() as connection:
        await connection.execute(delete(tables.balance_days))
    pages = 0

    def break_off(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        nonlocal pages
        pages += "FROM history" in statement and "draws" in statement
        if pages > 4:
            raise KeyboardInterrupt

    engine = store.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", break_off)
    with pytest.raises(KeyboardInterrupt):
        await read(store, clock.wall())
    event.remove(engine, "before_cursor_execute", break_off)
    assert await count(store, "balance_days") >= 6
    assert await read(store, clock.wall()) == await by_history(store, clock.wall()) == (0, 0, 870)


async def test_what_cannot_be_told_is_refused(store: CentralStore, clock: ManualClock) -> None:
    """An account that is not there, and a moment to come; an account without history has nothing."""
    await opened(store)
    assert await store.past_balances.read(AccountId("nobody"), NOON) == AccountNotFound(AccountId("nobody"))
    assert isinstance(await store.past_balances.read(ACME, Instant(clock.wall() + 1)), InvalidRequest)
    assert await read(store, clock.wall()) == (0, 0, 0)


async def test_a_row_that_is_wrong_does_not_pass(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """The line of history beside it says another balance."""
    await opened(store, permanent=9)
    clock.advance(DAY)
    await here.exchange(here.charge("c", 0, excess=1))
    async with store.database.write() as connection:
        await connection.execute(tables.balance_days.update().values(permanent_microcredits=8))
    found = await store.past_balances.read(ACME, clock.wall())
    assert isinstance(found, PastBalance)
    assert not found.adds_up
    (problem,) = (await verify_database(store.database)).problems
    assert problem == "account acme: the day 1795564800000000 begins with 8, and history line 1 before it says 9"
    async with store.database.write() as connection:
        await connection.execute(tables.balance_days.update().values(permanent_microcredits=9))
