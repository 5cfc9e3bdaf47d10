"""A sidecar with a past: four days of two accounts at a clock that the story moves and that then stands still. So what commands
show of it is always the same, but for the sidecar's id.
"""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.connection import PATIENCE
from creditmeter.client.stubs import Connection, call
from creditmeter.core.ids import AccountId, ChargeId
from creditmeter.core.instants import DAY, HOUR, MINUTE, from_datetime, to_datetime
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, metering_pb2, reservations_pb2, work_pb2
from tests.clocks import NOON, ManualClock

CREDIT = 1_000_000
MORNING = from_datetime(datetime(2026, 11, 21, 7, tzinfo=UTC))
PRESENT = to_datetime(NOON)
"""When the story ends, and the moment at which its commands run."""

ZONE = "Europe/Berlin"
LONG_NAME = "workspace-0c1d7a52-team-growth-marketing"
_START_SECONDS = 60
_FOLDER = "/tmp"  # noqa: S108 - the kept pictures show paths in it, in lines that are broken by their length
_ALL_LEASES = admin_pb2.ListLeasesRequest()


@contextmanager
def still_sidecar() -> Iterator[Path]:
    """The sidecar, in a thread of this process; gives its data directory."""
    with tempfile.TemporaryDirectory(prefix="cm", dir=_FOLDER) as directory:
        loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        failed: list[BaseException] = []

        def live() -> None:
            try:
                loop.run_until_complete(_live(Path(directory), ready, stop))
            except BaseException as error:  # noqa: BLE001 - raised below, in the test
                failed.append(error)
            finally:
                loop.close()
                ready.set()

        thread = threading.Thread(target=live)
        thread.start()
        try:
            assert ready.wait(_START_SECONDS)
            if failed:
                raise failed[0]
            yield Path(directory)
        finally:
            if thread.is_alive():
                loop.call_soon_threadsafe(stop.set)
            thread.join()


async def _live(data_dir: Path, ready: threading.Event, stop: asyncio.Event) -> None:
    settings = Settings.load(None, listen=(), data_dir=data_dir, enable_admin=True, settle_interval=0.02, shutdown_grace=0.2)
    clock = ManualClock(MORNING)
    async with running(settings, clock) as program, Connection(settings.socket_address) as client:
        await Story(client, clock, program.sidecar).run()
        ready.set()
        await stop.wait()


class Story:
    """What happened. Each step waits until it is settled, so that the order of the history is that of the steps."""

    def __init__(self, client: Connection, clock: ManualClock, sidecar: Sidecar) -> None:
        self._client = client
        self._clock = clock
        self._sidecar = sidecar
        self._steps = 0

    async def run(self) -> None:
        """Live through four days, the last of them to noon, where one call is still held."""
        await self._open_accounts()
        for day in range(3):
            await self._work_a_day(day)
            self._clock.advance(DAY - (self._clock.wall() - MORNING) % DAY)
        await self._work_a_day(3)
        self._clock.advance(NOON - self._clock.wall() - HOUR)
        await self._until(
            lambda lease: not lease.out_microcredits
        )  # what was leased so far depends on how quick this machine is
        self._clock.advance(HOUR)
        held = await self._reserve("gpt-4o", 8_000, 2_000)
        await self._charge(work_pb2.Usage(action="tool", tool="web_search"), then=0)  # with it goes what is held
        await self._until(lambda lease: lease.held_microcredits == held.held_microcredits)
        for account_id in (LONG_NAME, "bob", "ada"):  # the first read writes what midnight brought
            await call(self._client.account.GetBalance, account_pb2.GetBalanceRequest(account_id=account_id), PATIENCE)

    async def _open_accounts(self) -> None:
        for plan_id, daily, monthly in (("basic", 20, 300), ("pro", 100, 3_000)):
            plan = grants_pb2.Plan(plan_id=plan_id, daily_microcredits=daily * CREDIT, monthly_microcredits=monthly * CREDIT)
            await call(self._client.admin.PutPlan, admin_pb2.PutPlanRequest(plan=plan), PATIENCE)
        alerts = [admin_pb2.Alert(percent=10), admin_pb2.Alert(amount_microcredits=50 * CREDIT)]
        for account in (
            admin_pb2.Account(account_id=LONG_NAME),
            admin_pb2.Account(account_id="bob", plan_id="basic", time_zone="America/New_York", anchor_day=31),
            admin_pb2.Account(account_id="ada", plan_id="pro", time_zone=ZONE, anchor_day=15, alerts=alerts),
        ):
            request = admin_pb2.CreateAccountRequest(request_id=self._request_id(), account=account)
            await call(self._client.admin.CreateAccount, request, PATIENCE)
            self._clock.advance(MINUTE)
        await self._grant("ada", 500, grants_pb2.GRANT_SOURCE_REFERRAL, "for inviting 友達 and two more")
        await self._grant("bob", 5, grants_pb2.GRANT_SOURCE_GOODWILL, "\x1b[31msorry\x1b[0m \u202eabout that")

    async def _grant(self, account_id: str, credits: int, source: "grants_pb2.GrantSource.ValueType", note: str) -> None:
        ends = Timestamp()
        ends.FromDatetime(datetime(2027, 6, 30, 12, tzinfo=UTC))
        request = admin_pb2.GrantCreditsRequest(
            request_id=self._request_id(),
            account_id=account_id,
            amount_microcredits=credits * CREDIT,
            source=source,
            note=note,
            expires_at=ends,
        )
        await call(self._client.admin.GrantCredits, request, PATIENCE)

    async def _work_a_day(self, day: int) -> None:
        """Texts, a picture that is refunded now and then, and searches."""
        for number in range(3):
            model = ("claude-sonnet-4-5", "gpt-4o-mini", "gpt-5")[number]
            held = await self._reserve(model, 20_000 * (number + 1), 4_000)
            usage = work_pb2.Usage(output_tokens=900 * (day + number + 1))
            commit = metering_pb2.CommitRequest(request_id=self._request_id(), reservation_id=held.reservation_id, usage=usage)
            await self._settled((await call(self._client.metering.Commit, commit, PATIENCE)).charge.charge_id)
            self._clock.advance(HOUR // 4)
        picture = await self._charge(work_pb2.Usage(action="image", request_model="gpt-image-1", quantity=3 + day))
        if day % 2:
            refund = metering_pb2.RefundRequest(
                request_id=self._request_id(), charge_id=picture, amount_microcredits=15 * CREDIT, reason="blurred"
            )
            await call(self._client.metering.Refund, refund, PATIENCE)
        await self._charge(work_pb2.Usage(action="tool", tool="web_search", quantity=12 * (day + 1)))
        await self._charge(work_pb2.Usage(action="directory_submission", request_model="claude-opus-4-5"))

    async def _reserve(self, model: str, input_tokens: int, most: int) -> reservations_pb2.Reservation:
        work = work_pb2.Work(action="text", request_model=model, input_tokens=input_tokens, max_output_tokens=most)
        request = metering_pb2.ReserveRequest(request_id=self._request_id(), account_id="ada", work=work)
        return (await call(self._client.metering.Reserve, request, PATIENCE)).reservation

    async def _charge(self, usage: work_pb2.Usage, then: int = HOUR // 4) -> str:
        request = metering_pb2.ChargeRequest(request_id=self._request_id(), account_id="ada", usage=usage)
        charge_id = (await call(self._client.metering.Charge, request, PATIENCE)).charge.charge_id
        await self._settled(charge_id)
        self._clock.advance(then)
        return charge_id

    async def _settled(self, charge_id: str) -> None:
        await self._sidecar._settler.settle_charge(AccountId("ada"), ChargeId(charge_id))

    async def _until(self, is_so: Callable[[admin_pb2.Lease], bool]) -> None:
        """Wait until something is so of all open leases."""
        async with asyncio.timeout(_START_SECONDS):
            while not all(map(is_so, (await call(self._client.admin.ListLeases, _ALL_LEASES, PATIENCE)).leases)):
                await asyncio.sleep(0.01)

    def _request_id(self) -> str:
        self._steps += 1
        return f"story-{self._steps}"
