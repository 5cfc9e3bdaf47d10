"""When a sidecar looks for notifications in an embedded store."""

import asyncio
from pathlib import Path

from creditmeter.central.decisions.notifications import _changes
from creditmeter.central.store import CentralStore
from tests.clocks import ManualClock


async def test_a_write_of_the_process_itself_ends_a_rest(tmp_path: Path, clock: ManualClock) -> None:
    """By its own write a sidecar begins to have credit that others may want, so it looks more often from there on."""
    async with CentralStore(f"sqlite:///{tmp_path / 'central.db'}", clock.wall) as store:
        await store.migrate()
        async with _changes(store.database) as changes:
            observer = changes._observer
            assert observer is not None
            await changes.any()
            resting = asyncio.create_task(observer.rest(3_600))
            async with store.database.read():
                pass
            assert not resting.done()
            async with store.database.write():
                pass
            await asyncio.sleep(0)
            assert resting.done()
        async with store.database.write():
            pass  # nobody observes any more
        assert not store.database.on_write
