"""A process that writes to a journal until it is killed, and prints each id once it is on disk.

Arguments: the journal's path and a name that no earlier worker had.
"""

import asyncio
import sys
from pathlib import Path

from creditmeter.core.ids import SidecarId
from creditmeter.journal.journal import Journal
from tests.journal.things import NOON, reserving

CALLERS = 7


async def call(journal: Journal, caller: str) -> None:
    """Write one after another, as a caller does that waits for each reply."""
    number = 0
    while True:
        name = f"{caller}-{number}"
        journal.write(reserving(name), NOON)
        await journal.durable()
        print(name, flush=True)  # noqa: T201 - that is how it acknowledges
        number += 1


async def main(path: Path, name: str) -> None:
    """Have several callers write at once."""
    journal = await Journal.open(path, SidecarId("s1"))
    await asyncio.gather(*(call(journal, f"{name}-{caller}") for caller in range(CALLERS)))


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
