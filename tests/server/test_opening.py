"""A start has an exchange of an embedded store rehearsed, beside itself, and depends on it in nothing."""

import asyncio
from pathlib import Path

import pytest

from creditmeter.central.decisions.exchanges import Exchanges
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import SidecarId
from creditmeter.journal.journal import Journal
from creditmeter.server.opening import open_central
from tests.clocks import ManualClock


@pytest.mark.parametrize("fault", [None, RuntimeError("a trigger of the operator's")])
async def test_a_start_rehearses_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception | None) -> None:
    """Whatever goes wrong in it ends no start: whoever uses the store meets that."""
    rehearsed = asyncio.Event()
    rehearse = Exchanges.rehearse

    async def noted(exchanges: Exchanges) -> None:
        rehearsed.set()
        if fault is not None:
            raise fault
        await rehearse(exchanges)

    monkeypatch.setattr(Exchanges, "rehearse", noted)
    journal = await Journal.open(tmp_path / "journal.db", SidecarId("s1"))
    store = CentralStore(f"sqlite:///{tmp_path / 'central.db'}", ManualClock().wall)
    async with open_central(store, journal) as central:
        async with asyncio.timeout(10):
            await rehearsed.wait()
        await central.ping()
    await journal.close()


async def test_a_start_that_ends_at_once_waits_for_no_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is broken off."""

    async def endless(_exchanges: Exchanges) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Exchanges, "rehearse", endless)
    journal = await Journal.open(tmp_path / "journal.db", SidecarId("s1"))
    store = CentralStore(f"sqlite:///{tmp_path / 'central.db'}", ManualClock().wall)
    async with asyncio.timeout(10), open_central(store, journal):
        pass
    await journal.close()
