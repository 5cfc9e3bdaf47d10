"""The process that `soak` measures: a sidecar, and in the same process callers that use its meter directly.

It reads commands from its standard input, one a line, and answers each with one line of JSON: how much memory and processor
time the process has used, what it has written, and how large its journal is.

* `accounts`: open the accounts, and give each more than it can spend.
* `idle SECONDS`: do nothing for a while.
* `pairs COUNT CALLERS`: reserve and commit so often, on all accounts in turn.
* `hold COUNT CALLERS`: reserve so often.
* `settle`: post all that is not posted, and do all that housekeeping has to do.
"""

import asyncio
import contextlib
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from creditmeter.core.amounts import from_credits
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.administration import CreateAccount, GrantCredits
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.requests import Commit, Done, Reserve
from creditmeter.core.ids import AccountId, RequestId, ReservationId
from creditmeter.core.work import Usage, Work
from creditmeter.server import app
from creditmeter.server.app import Program, running
from creditmeter.server.config import Settings
from creditmeter.server.logs import configure_logging
from creditmeter.sidecar.clock import SystemClock

AMPLE = from_credits(100_000_000)
_PAGES = ("page_count", "freelist_count", "page_size")
MODEL = "claude-sonnet-4-5"


class Callers:
    """Calls on one sidecar. Each request has an id that no other one has, also of another run."""

    def __init__(self, program: Program, accounts: Sequence[AccountId]) -> None:
        self._meter = program.sidecar.meter
        self._accounts = accounts
        self._run = time.time_ns()
        self._count = 0

    async def pair(self) -> None:
        """Reserve and commit."""
        reservation_id = await self.hold()
        usage = Usage("text", "anthropic", MODEL, input_tokens=1_200, output_tokens=350)
        done = await self._meter.answer(Commit(self._request(), reservation_id, usage))
        assert isinstance(done, Done), done

    async def hold(self) -> ReservationId:
        """Reserve. Returns the id of the reservation."""
        request_id = self._request()
        work = Work("text", "anthropic", MODEL, input_tokens=1_200, max_output_tokens=1_000)
        account_id = self._accounts[self._count % len(self._accounts)]
        done = await self._meter.answer(Reserve(request_id, account_id, work, labels={"feature": "chat"}))
        assert isinstance(done, Done), done
        assert done.reply.reservation is not None
        return done.reply.reservation.reservation_id

    def _request(self) -> RequestId:
        self._count += 1
        return RequestId(f"job-{self._run:x}-{self._count:08x}")

    async def all(self, call: Callable[[], Coroutine[None, None, object]], count: int, callers: int) -> None:
        """Make so many calls, by so many callers at once."""
        numbers = iter(range(count))

        async def caller() -> None:
            for _ in numbers:
                await call()

        await asyncio.gather(*(caller() for _ in range(callers)))


def used(program: Program, began: float) -> dict[str, float]:
    """What the process has used so far: bytes, and seconds."""
    times = getrusage(RUSAGE_SELF)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    path = program.sidecar._journal._path.absolute()
    files = [path, path.with_name(f"{path.name}-wal")]
    return {
        "memory": 1024 * int(status.partition("VmRSS:")[2].split()[0]),
        "processor": times.ru_utime + times.ru_stime,
        "seconds": time.monotonic() - began,
        "written": max(int(io["write_bytes"]), int(io["wchar"])),  # files in memory count as what was passed to the system
        "journal": sum(each.stat().st_size for each in files if each.exists()),
        "in_use": bytes_in_use(path),
    }


def bytes_in_use(path: Path) -> int:
    """The bytes of a journal's pages that are not free."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        pages, free, size = (connection.execute(f"PRAGMA {each}").fetchone()[0] for each in _PAGES)
    return int((pages - free) * size)


async def open_accounts(program: Program, accounts: Sequence[AccountId]) -> None:
    """Give each account more than it can spend."""
    administration = program.sidecar.central.administration
    for account_id in accounts:
        await administration.create_account(
            CreateAccount(RequestId("open"), Account(account_id, program.sidecar.books.moment().now))
        )
        await administration.grant_credits(GrantCredits(RequestId("give"), account_id, GrantKind.PERMANENT, AMPLE))


async def main(data_dir: Path, central: str, account_count: int) -> None:
    """Start a sidecar and do what is asked for."""
    accounts = [AccountId(f"account-{number:05}") for number in range(account_count)]
    configure_logging("error")
    began = time.monotonic()
    settings = Settings.load(data_dir=data_dir, central=central, listen=("127.0.0.1:0",), enable_admin=True)
    async with running(settings, SystemClock()) as program:
        print(json.dumps(used(program, began)), flush=True)
        callers = Callers(program, accounts)
        async for command, *numbers in commands():
            began = time.monotonic()
            if command == "accounts":
                await open_accounts(program, accounts)
            elif command == "idle":
                await asyncio.sleep(float(numbers[0]))
            elif command == "pairs":
                await callers.all(callers.pair, int(numbers[0]), int(numbers[1]))
            elif command == "hold":
                await callers.all(callers.hold, int(numbers[0]), int(numbers[1]))
            elif command == "settle":
                await program.sidecar.settle()
            print(json.dumps(used(program, began)), flush=True)


async def commands() -> AsyncIterator[list[str]]:
    """The commands on standard input, in words."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.split()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=app._event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
