"""A sidecar that a command starts for itself."""

import asyncio
import os
from pathlib import Path

from creditmeter.cli.own_sidecar import OwnSidecar, Place


async def test_the_address_of_its_store_is_in_no_list_of_processes(short_path: Path) -> None:
    """It may have a password, and any user of the machine can read how a process was started."""
    place = Place(short_path, f"sqlite:///{short_path}/Zsecret.db", f"unix:{short_path}/s")
    async with OwnSidecar.running(place) as sidecar:
        started = await asyncio.to_thread(Path(f"/proc/{sidecar.process_id}/cmdline").read_bytes)
        assert b"serve" in started
        assert b"Zsecret" not in started
        assert await sidecar.stop() == 0
    assert "Zsecret.db" in await asyncio.to_thread(os.listdir, short_path)
