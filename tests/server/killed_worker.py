"""A worker whose calls never end: `python -m tests.server.killed_worker ADDRESS CALLS`. It prints what each call has generated.

Half of its calls are streamed and metered, the others hold credit and wait for a reply that never comes.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from creditmeter.client import Client

ACCOUNT = "alice"
MODEL = "claude-sonnet-4-5"
CHUNK_TOKENS = 20
CHUNK = "word" * CHUNK_TOKENS


async def main(address: str, calls: int) -> None:
    """Work until somebody ends this process."""
    async with Client(address) as client:
        await asyncio.gather(*((_stream, _wait)[number % 2](client, f"job{number}") for number in range(calls)))


async def _stream(client: Client, job: str) -> None:
    terms = {"job_id": job, "labels": {"job": job}}
    async with client.hold(ACCOUNT, model=MODEL, input_tokens=1_000, max_output_tokens=5_000, metered=True, **terms) as hold:  # type: ignore[arg-type]  # the terms
        async for _ in hold.stream(_chunks(job)):
            pass


async def _chunks(job: str) -> AsyncIterator[str]:
    generated = 0
    while True:
        generated += CHUNK_TOKENS
        print(job, generated, flush=True)  # noqa: T201 - before the client can report it
        yield CHUNK
        await asyncio.sleep(0.001)


async def _wait(client: Client, job: str) -> None:
    async with client.hold(ACCOUNT, model=MODEL, input_tokens=1_000, max_output_tokens=1_000, job_id=job):
        print(job, 0, flush=True)  # noqa: T201 - its hold is taken
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
