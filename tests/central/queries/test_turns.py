"""Long readings take turns, so that the store's connections are there for settlement; and they read each charge once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.queries import forecasts, turns, usage
from creditmeter.central.queries.turns import Turns
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.messages import RefusedCall
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import HOUR, Instant
from creditmeter.core.refusals import Overloaded
from creditmeter.core.reports.forecasting import Forecast
from creditmeter.core.reports.usage_summary import UsageQuery, UsageSummary
from creditmeter.core.values import replace
from tests.central.accounts import ACME, opened
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock


async def test_one_reads_few_wait_and_the_next_is_told_to_come_again() -> None:
    """However a reading ends, the next one has its turn."""
    reading = Turns()
    running = 0
    most = 0
    go_on = asyncio.Event()

    async def read() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await go_on.wait()
        finally:
            running -= 1
        return "done"

    present = [asyncio.create_task(reading.read(read)) for _ in range(1 + turns.MAX_WAITING)]
    await asyncio.sleep(0)
    assert await reading.read(read) == Overloaded(turns.RETRY_AFTER)
    present[0].cancel()
    present[1].cancel()
    await asyncio.wait(present[:2])
    present.append(asyncio.create_task(reading.read(read)))
    go_on.set()
    assert await asyncio.gather(*present[2:]) == ["done"] * turns.MAX_WAITING
    assert most == 1


async def test_settlement_goes_on_beside_many_summaries(
    store: CentralStore, here: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are connections, summaries and forecasts alike; none gets on before a charge is settled."""
    await opened(store, permanent=100)
    await here.exchange(need=5)
    await here.exchange(here.charge("first", 1))
    settled = asyncio.Event()
    reading = Database.read

    @asynccontextmanager
    async def read(database: Database) -> AsyncIterator[AsyncConnection]:
        async with reading(database) as connection:
            await connection.execute(text("SELECT 1"))
            await settled.wait()
            yield connection

    monkeypatch.setattr(Database, "read", read)
    half = (1 + turns.MAX_WAITING) // 2
    summaries = [asyncio.create_task(store.usage.summarize(UsageQuery(ACME), 1)) for _ in range(half)]
    forecasted = [asyncio.create_task(store.forecasts.forecast(ACME)) for _ in range(1 + turns.MAX_WAITING - half)]
    await asyncio.sleep(0)
    assert await store.forecasts.forecast(ACME) == Overloaded(turns.RETRY_AFTER)
    async with asyncio.timeout(20):
        await here.exchange(here.charge("second", 1))
    settled.set()
    assert all(isinstance(each, UsageSummary) for each in await asyncio.gather(*summaries))
    assert all(isinstance(each, Forecast) for each in await asyncio.gather(*forecasted))


@pytest.mark.parametrize("table", ["charges", "refused_calls"])
async def test_every_page_begins_where_the_last_one_ended(
    store: CentralStore, here: Peer, clock: ManualClock, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the index itself, with no other lower bound: else a page would read all those before it."""
    await opened(store, permanent=100)
    clock.advance(HOUR)
    for number in range(5):
        await here.exchange(need=1)
        await here.exchange(here.charge(f"c{number}", 1))
        call = RefusedCall(RequestId(f"r{number}"), clock.wall(), "text", Microcredits(9))
        await here.send(replace(here.message(), refused=(call,)))
    monkeypatch.setattr(usage, "PAGE", 2)
    monkeypatch.setattr(forecasts, "PAGE", 2)
    asked: list[tuple[str, Any]] = []

    def seen(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if f"ORDER BY {table}" in statement:
            asked.append((statement, parameters))

    event.listen(store.database.engine.sync_engine, "before_cursor_execute", seen)
    found = await store.usage.summarize(UsageQuery(ACME, NOON, Instant(NOON + 2 * HOUR)), 1)
    assert isinstance(found, UsageSummary)
    assert found.total.charges == 5
    forecast = await store.forecasts.forecast(ACME)
    assert isinstance(forecast, Forecast)
    assert forecast.refused_count == 5
    event.remove(store.database.engine.sync_engine, "before_cursor_execute", seen)
    assert len(asked) == (6 if table == "charges" else 3)
    async with store.database.write() as connection:
        if not store.database.is_sqlite:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
        for statement, parameters in asked:
            plan = "\n".join(str(row) for row in await connection.exec_driver_sql(f"{explain} {statement}", parameters))
            found_by = {"charges": "charges_by_commit", "refused_calls": "refused_calls_by_time"}[table]
            assert found_by in plan
            if store.database.is_sqlite:
                bound = {"charges": "(committed_at,charge_id)>(?,?)", "refused_calls": "refused_at>?"}[table]
                assert bound in plan, plan
