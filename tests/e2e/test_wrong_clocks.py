"""Real sidecars whose clock, or whose central store's clock, is set while they work: for a moment, or until it is believed.

Whatever it shows, nothing is lost, given twice or authorised twice. Once it is right again, nobody who could pay is refused for
more than half a minute. What takes hours of real time is tested at clocks that tests move: `tests/server/test_clock_steps.py`,
`tests/central/decisions`, and the simulation.
"""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.v1 import account_pb2, metering_pb2, reservations_pb2
from tests.cases import more
from tests.cli.processes import SidecarProcess, run_forked
from tests.e2e.fleet import CREDIT, ONCE, assert_clean, balance, history, open_account, settled, stop_all
from tests.e2e.wrong_clocks import MachineClock, ServerClock

ACCOUNT = "acme"
BELIEVED_AFTER = 0.5
"""A clock is believed so soon where it is to be, in seconds."""

MOMENT = 2.0
"""A clock is wrong so long where it is not to be believed, in seconds: much less than the patience of a default start."""

FALSE_REFUSALS = 30
"""How long a refusal may be false after the clock is right, in seconds."""

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
TO_1970 = timedelta(seconds=3_600 - time.time())
"""How far a machine is behind that does not know the time, until a time server has told it."""

RIGHT = timedelta(0)
WARNED_FROM = 2 * SECOND
WHOSE = ("sqlite: the machine's", *more("postgresql: the server's", "postgresql: a sidecar's machine's"))


@dataclass
class Fleet:
    """Two sidecars, and the clock that is set: the central store's, or else that of the second sidecar's machine alone."""

    central: str
    clock: MachineClock | ServerClock
    is_stores: bool
    sidecars: Sequence[SidecarProcess]
    clients: Sequence[Connection]
    right_since: float = 0.0

    async def be_wrong_by(self, span: timedelta) -> None:
        """Set the clock, and wait until somebody has read it."""
        before = self.clock.times_read()
        await self.clock.be_wrong_by(span)
        async with asyncio.timeout(FALSE_REFUSALS):
            while self.clock.times_read() == before:
                await asyncio.sleep(0.02)

    async def be_right(self) -> None:
        """Set the clock right."""
        await self.clock.be_wrong_by(RIGHT)
        self.right_since = time.monotonic()

    def check_for_refusal(self) -> None:
        """A request was refused though the account could pay: that may be for a while after the clock was set right."""
        assert time.monotonic() < self.right_since + FALSE_REFUSALS, "it is refused though the account could pay"

    async def end(self) -> None:
        """Stop in order, and look that all adds up."""
        assert await stop_all(self.sidecars) == [0, 0]
        await assert_clean(self.central)

    def said(self, event: str) -> list[int]:
        """How often each sidecar logged this, once they have ended."""
        return [[line["event"] for line in each.log].count(event) for each in self.sidecars]

    def steps(self) -> list[int]:
        """How many steps of the clock that counts each sidecar believed, once they have ended."""
        events = "this machine's clock was set", "the central store's clock was set"
        return [sum(both) for both in zip(*map(self.said, events), strict=True)]

    def warned(self) -> list[int]:
        """How often each sidecar warned of its machine's clock, once they have ended."""
        return self.said("this machine's clock is wrong: the time of day is another")


Start = Callable[..., contextlib.AbstractAsyncContextManager[Fleet]]


@pytest.fixture(params=WHOSE)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Starts a fleet. The clock that is set is that of the machine with the embedded store and both sidecars on it, that of
    a PostgreSQL server, or that of the second sidecar's machine, with a right one at the server.
    """
    engine, _, whose = request.param.partition(": ")
    url = request.getfixturevalue("postgres_url") if engine == "postgresql" else f"sqlite:///{tmp_path / 'central.db'}"
    machine = MachineClock(tmp_path)

    @contextlib.asynccontextmanager
    async def fleet(wrong: timedelta = RIGHT, **settings: float) -> AsyncIterator[Fleet]:
        migrated = await asyncio.to_thread(run_forked, "central", "migrate", "--central", url)
        assert migrated.code == 0, migrated.err
        clock: MachineClock | ServerClock = machine
        if whose == "the server's":
            clock = ServerClock(request.getfixturevalue("postgres_server"), url)
            await clock.take_over()
        await clock.be_wrong_by(wrong)
        with tempfile.TemporaryDirectory(prefix="cm") as directory:
            options = "--enable-admin", "--central", url
            places = [Path(directory) / str(number) for number in range(2)]
            sidecars = [SidecarProcess(each, *options, settle_interval=0.2, **settings) for each in places]
            for each in sidecars if engine == "sqlite" else sidecars[1:]:
                each.lead = machine.lead
            try:
                await asyncio.gather(*(asyncio.to_thread(each.start) for each in sidecars))
                async with Connection(sidecars[0].address) as one, Connection(sidecars[1].address) as two:
                    yield Fleet(url, clock, whose != "a sidecar's machine's", sidecars, (one, two))
            finally:
                for each in sidecars:
                    if each.is_running:
                        await asyncio.to_thread(each.kill)

    return fleet


async def hold(client: Connection, request_id: str, credits: int, seconds: int = 3_000) -> reservations_pb2.Reservation:
    """Hold credits for so long.

    Raises:
        CreditmeterError: it was refused.
    """
    request = metering_pb2.ReserveRequest(request_id=request_id, account_id=ACCOUNT, amount_microcredits=credits * CREDIT)
    request.ttl.seconds = seconds
    return (await call(client.metering.Reserve, request, ONCE)).reservation


async def commit(client: Connection, reservation_id: str, credits: int) -> metering_pb2.CommitResponse:
    """Charge a hold."""
    request = metering_pb2.CommitRequest(
        request_id=f"{reservation_id}/commit", reservation_id=reservation_id, amount_microcredits=credits * CREDIT
    )
    return await call(client.metering.Commit, request)


async def release(client: Connection, reservation_id: str) -> None:
    """Give a hold up."""
    await call(
        client.metering.Release,
        metering_pb2.ReleaseRequest(request_id=f"{reservation_id}/release", reservation_id=reservation_id),
    )


async def hold_all(client: Connection, name: str, credits: int, seconds: float) -> list[str]:
    """Hold so many credits again and again, until there are no more, or those that are elsewhere have not come for so long.
    Returns the holds.
    """
    held: list[str] = []
    give_up = time.monotonic() + seconds
    while True:
        try:
            held.append((await hold(client, f"{name}-{len(held)}", credits)).reservation_id)
        except CreditmeterError as error:
            if error.reason == "INSUFFICIENT_CREDITS" or (error.reason == "RECALL_PENDING" and time.monotonic() > give_up):
                return held
            if error.reason != "RECALL_PENDING":
                raise


async def hold_soon(fleet: Fleet, client: Connection, name: str, credits: int) -> reservations_pb2.Reservation:
    """Hold credits that the account has, once the clock is right."""
    for number in itertools.count():
        try:
            return await hold(client, f"{name}-{number}", credits)
        except CreditmeterError:
            fleet.check_for_refusal()
            await asyncio.sleep(0.1)
    raise AssertionError


async def goes_by(client: Connection, wrong: timedelta) -> None:
    """Wait until a sidecar goes by a clock that is wrong by so much."""
    async with asyncio.timeout(FALSE_REFUSALS):
        for number in itertools.count():
            earliest = datetime.now(UTC) + wrong
            with contextlib.suppress(CreditmeterError):
                seen = await hold(client, f"wrong-by-{wrong.total_seconds()}-{number}", 1)
                latest = datetime.now(UTC) + wrong
                await release(client, seen.reservation_id)
                if earliest - SECOND / 10 < seen.created_at.ToDatetime(UTC) < latest + SECOND / 10:
                    return
            await asyncio.sleep(0.1)


async def buckets(fleet: Fleet) -> list[tuple[int, int]]:
    """What the grants of each kind gave, and what is left of them, in credits, once all is settled and the clock is right."""
    for each in fleet.clients:
        await goes_by(each, RIGHT)
    seen = await settled(fleet.clients, ACCOUNT)
    return [(each.granted_microcredits // CREDIT, each.remaining_microcredits // CREDIT) for each in seen.buckets]


class Pause(Enum):
    """When the sidecar with the holds stands still: never, until it goes on in the wrong time, or until the clock is right."""

    NEVER = "running"
    AT_FIRST = "still at first"
    THROUGHOUT = "still"


@dataclass(frozen=True)
class Wrong:
    """By how much a clock is wrong, and whether until it is believed."""

    by: timedelta
    is_believed: bool
    pause: Pause

    @property
    def patience(self) -> float:
        """The patience of the sidecars, in seconds; if it is not to be believed, that of a default start."""
        return BELIEVED_AFTER if self.is_believed else 30


MINUTES_75 = timedelta(minutes=75)
WRONG = {
    "75 min ahead for a moment, still": Wrong(MINUTES_75, is_believed=False, pause=Pause.THROUGHOUT),
    "2 days ahead for a moment": Wrong(2 * DAY, is_believed=False, pause=Pause.NEVER),
    "400 days behind for a moment, still at first": Wrong(-400 * DAY, is_believed=False, pause=Pause.AT_FIRST),
    "in 1970 for a moment": Wrong(TO_1970, is_believed=False, pause=Pause.NEVER),
    "1 s ahead": Wrong(SECOND, is_believed=True, pause=Pause.AT_FIRST),
    "1 s behind": Wrong(-SECOND, is_believed=True, pause=Pause.NEVER),
    "75 min ahead, still": Wrong(MINUTES_75, is_believed=True, pause=Pause.THROUGHOUT),
    "75 min behind, still at first": Wrong(-MINUTES_75, is_believed=True, pause=Pause.AT_FIRST),
    "13 h ahead": Wrong(13 * HOUR, is_believed=True, pause=Pause.NEVER),
    "2 days ahead, still at first": Wrong(2 * DAY, is_believed=True, pause=Pause.AT_FIRST),
    "2 days behind": Wrong(-2 * DAY, is_believed=True, pause=Pause.NEVER),
    "400 days ahead": Wrong(400 * DAY, is_believed=True, pause=Pause.NEVER),
    "400 days ahead, still at first": Wrong(400 * DAY, is_believed=True, pause=Pause.AT_FIRST),
    "400 days behind, still": Wrong(-400 * DAY, is_believed=True, pause=Pause.THROUGHOUT),
}
_SHORT = "75 min ahead, still"


async def hold_while_wrong(fleet: Fleet, wrong: Wrong, *, is_followed: bool) -> list[str]:
    """Set the clock wrong, and hold all that is left through the second sidecar. Returns the holds."""
    here, elsewhere = fleet.clients
    if wrong.pause is not Pause.NEVER:
        fleet.sidecars[0].pause()
    await fleet.be_wrong_by(wrong.by)
    if is_followed:
        await goes_by(elsewhere, wrong.by)
    else:
        await asyncio.sleep(MOMENT)
    taken = await hold_all(elsewhere, "taken", 8, 10 if wrong.pause is Pause.NEVER else 0)
    if wrong.pause is Pause.AT_FIRST:
        fleet.sidecars[0].resume()
        if is_followed:
            await goes_by(here, wrong.by)
        taken += await hold_all(elsewhere, "more", 8, 10)
    return taken


@pytest.mark.parametrize("name", [_SHORT, *more(*(each for each in WRONG if each != _SHORT))])
async def test_a_clock_that_is_wrong_for_a_while(start: Start, name: str) -> None:
    """Of 300 credits 4 are spent and 200 are held when it becomes wrong. The other sidecar then holds the rest and no more,
    and when the clock is right all that was held can be charged, and all that is left can be held at once.
    """
    wrong = WRONG[name]
    async with start(clock_step_patience=wrong.patience) as fleet:
        here, elsewhere = fleet.clients
        await open_account(here, ACCOUNT, daily=10, permanent=[290])
        await commit(here, (await hold(here, "first", 4)).reservation_id, 4)
        await settled([here], ACCOUNT)
        held = [await hold(here, f"held-{number}", 20) for number in range(10)]
        is_followed = wrong.is_believed and fleet.is_stores
        taken = await hold_while_wrong(fleet, wrong, is_followed=is_followed)
        await fleet.be_right()
        if wrong.pause is Pause.THROUGHOUT:
            fleet.sidecars[0].resume()
        of_other_day = 10 if is_followed and abs(wrong.by) >= 13 * HOUR else 0
        assert 8 * len(taken) <= 96 + of_other_day
        assert 8 * len(taken) >= (64 if wrong.pause is Pause.THROUGHOUT else 96)
        for each in taken:
            await release(elsewhere, each)
        again = await hold(here, "held-0", 20)
        assert again.reservation_id == held[0].reservation_id
        for one in held:
            assert not (await commit(here, one.reservation_id, 20)).charge.late
        await release(elsewhere, (await hold_soon(fleet, elsewhere, "rest", 96)).reservation_id)
        assert await buckets(fleet) == [(10, 0), (0, 0), (290, 96)]
        await fleet.end()
        if abs(wrong.by) > WARNED_FROM:
            believed = 2 if is_followed else 0
            assert fleet.steps() == [0 if wrong.pause is Pause.THROUGHOUT else believed, believed]
        if not fleet.is_stores:
            assert fleet.warned() == [0, abs(wrong.by) > WARNED_FROM]


@pytest.mark.long
async def test_single_readings_that_are_wrong(start: Start) -> None:
    """Of a machine's clock, one after the other: none has any consequence."""
    async with start(clock_step_patience=30) as fleet:
        here, elsewhere = fleet.clients
        await open_account(here, ACCOUNT, daily=10, permanent=[90])
        held = [await hold(here, f"held-{number}", 10) for number in range(5)]
        for by in (SECOND, -SECOND, MINUTES_75, -MINUTES_75, 2 * DAY, -2 * DAY, 400 * DAY, -400 * DAY, TO_1970):
            before = fleet.clock.times_read()
            if isinstance(fleet.clock, MachineClock):
                fleet.clock.misread(by)
            else:
                await fleet.clock.be_wrong_by(by)
            while fleet.clock.times_read() == before:
                await release(elsewhere, (await hold(elsewhere, f"{by.total_seconds()}-{time.monotonic()}", 1)).reservation_id)
            await fleet.be_right()
        taken = await hold_all(elsewhere, "taken", 5, 10)
        assert len(taken) == 10
        for each in taken:
            await release(elsewhere, each)
        for one in held:
            assert not (await commit(here, one.reservation_id, 10)).charge.late
        assert await buckets(fleet) == [(10, 0), (0, 0), (90, 50)]
        await fleet.end()
        assert fleet.steps() == [0, 0]


@pytest.mark.long
@pytest.mark.parametrize("ahead", [13 * HOUR, DAY, 400 * DAY], ids=str)
async def test_a_day_that_had_not_come(start: Start, ahead: timedelta) -> None:
    """A clock is believed that is ahead, and right again. Today's credit is what was left of it, and what was used meanwhile is
    charged to the other day.
    """
    async with start(clock_step_patience=BELIEVED_AFTER) as fleet:
        here, elsewhere = fleet.clients
        await open_account(here, ACCOUNT, daily=10)
        await commit(here, (await hold(here, "today", 4)).reservation_id, 4)
        await settled(fleet.clients, ACCOUNT)
        await fleet.be_wrong_by(ahead)
        for each in fleet.clients if fleet.is_stores else ():
            await goes_by(each, ahead)
        wrong = await hold(elsewhere, "wrong", 3)
        await commit(elsewhere, wrong.reservation_id, 3)
        await settled(fleet.clients, ACCOUNT)
        await fleet.be_right()
        left = 6 if fleet.is_stores else 3
        assert await buckets(fleet) == [(10, left), (0, 0), (0, 0)]
        with pytest.raises(CreditmeterError, match="INSUFFICIENT_CREDITS"):
            await hold(elsewhere, "more", left + 1)
        await release(here, (await hold_soon(fleet, here, "rest", left)).reservation_id)
        given = [each for each in await history(here, ACCOUNT) if each.type == account_pb2.HISTORY_TYPE_GRANTED]
        assert len(given) == (2 if fleet.is_stores else 1)
        await fleet.end()


@pytest.mark.long
@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_machine_that_starts_in_1970(start: Start, is_paused: bool) -> None:
    """Its clock is put right while it works. What was given and held before is there, and is of use within half a minute."""
    async with start(TO_1970, clock_step_patience=BELIEVED_AFTER) as fleet:
        here, elsewhere = fleet.clients
        assert fleet.clock.times_read() > 0
        await open_account(here, ACCOUNT, permanent=[100])
        held = await hold(here, "before", 10)
        for each in fleet.clients if fleet.is_stores else ():
            await goes_by(each, TO_1970)
        used = await hold(elsewhere, "used", 5)
        await commit(elsewhere, used.reservation_id, 5)
        if is_paused:
            fleet.sidecars[0].pause()
        await fleet.be_right()
        if is_paused:
            await goes_by(elsewhere, RIGHT)
            fleet.sidecars[0].resume()
        await release(elsewhere, (await hold_soon(fleet, elsewhere, "rest", 85)).reservation_id)
        for each in fleet.clients:
            await goes_by(each, RIGHT)
        assert not (await commit(here, held.reservation_id, 10)).charge.late
        assert await buckets(fleet) == [(0, 0), (0, 0), (100, 85)]
        await fleet.end()
        assert fleet.steps() == ([1, 1] if fleet.is_stores else [0, 0])


@pytest.mark.long
@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=str)
async def test_a_hold_lasts_as_long_as_it_says(start: Start, step: timedelta) -> None:
    """A step of an hour within its life is believed, and ends it neither early nor late."""
    async with start(clock_step_patience=BELIEVED_AFTER) as fleet:
        _, elsewhere = fleet.clients
        await open_account(elsewhere, ACCOUNT, permanent=[100])
        since = time.monotonic()
        await hold(elsewhere, "held", 10, seconds=4)
        latest = time.monotonic() + 4
        await fleet.be_wrong_by(step)
        while (await balance(elsewhere, ACCOUNT)).held_microcredits:
            assert time.monotonic() < latest + 2 * BELIEVED_AFTER + 2
            await asyncio.sleep(0.05)
        assert time.monotonic() - since > 4 - 2 * BELIEVED_AFTER
        if fleet.is_stores:
            await goes_by(elsewhere, step)
        await fleet.be_right()
        assert await buckets(fleet) == [(0, 0), (0, 0), (100, 100)]
        await fleet.end()
        assert fleet.is_stores or fleet.warned() == [0, 1]
