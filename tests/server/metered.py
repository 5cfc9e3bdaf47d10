"""A worker's side of Meter, for tests: a stream, and what becomes of its call."""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from creditmeter.core.instants import SECOND
from creditmeter.v1 import account_pb2, charges_pb2, metering_pb2, reservations_pb2, work_pb2
from tests.clocks import ManualClock
from tests.credentials import Metadata
from tests.server.conftest import Failure, Services
from tests.server.requests import reserve, text

CREDIT = 1_000_000
MODEL = "claude-sonnet-4-5"
"""0.3 credits for 1,000 input tokens, 1.5 for 1,000 output tokens."""

GO_ON, USED_UP, EXPIRED, ENDED, SHUTTING_DOWN = (
    *("go_on", "METER_STOP_REASON_HOLD_USED_UP", "METER_STOP_REASON_RESERVATION_EXPIRED"),
    *("METER_STOP_REASON_RESERVATION_ENDED", "METER_STOP_REASON_SHUTTING_DOWN"),
)


def opening(request_id: str = "job/open", **fields: Any) -> metering_pb2.ReserveRequest:
    """The open step of a call with 1,000 input tokens and at most 20,000 of output."""
    work = text(request_model=MODEL, input_tokens=1_000, max_output_tokens=20_000)
    return reserve(**{"request_id": request_id, "work": work} | fields)


class Call:
    """A worker's side of one stream."""

    def __init__(self, services: Services, caller: Metadata = ()) -> None:
        self.stream: Any = services.metering.Meter(metadata=caller)

    @classmethod
    async def opened(
        cls, services: Services, request: metering_pb2.ReserveRequest | None = None, caller: Metadata = ()
    ) -> "Call":
        """A stream whose call is open."""
        call = cls(services, caller)
        await call.stream.write(metering_pb2.MeterRequest(open=request or opening()))
        event = await call.stream.read()
        assert event.WhichOneof("event") == "opened"
        call.reservation, call.replayed = event.opened.reservation, event.opened.replayed
        return call

    reservation: reservations_pb2.Reservation
    replayed: bool

    async def report(self, **counts: Any) -> str:
        """Report progress. Returns whether the call may go on, or why it should stop."""
        await self.stream.write(metering_pb2.MeterRequest(progress=work_pb2.Usage(**counts)))
        return await self.event()

    left = 0

    async def event(self) -> str:
        """The next event in a word."""
        event = await self.stream.read()
        if event.WhichOneof("event") == "stop":
            return metering_pb2.MeterStopReason.Name(event.stop.reason)
        assert event.WhichOneof("event") == "go_on"
        self.left = event.go_on.output_tokens_left
        return GO_ON

    async def finish(self, request_id: str = "job/finish", **counts: Any) -> metering_pb2.MeterCharged:
        """Finish the call."""
        usage: Mapping[str, Any] = {"usage": work_pb2.Usage(**counts)} if counts else {}
        await self.stream.write(metering_pb2.MeterRequest(finish=metering_pb2.MeterFinish(request_id=request_id, **usage)))
        event = await self.stream.read()
        assert event.WhichOneof("event") == "charged"
        assert await self.stream.read() is grpc.aio.EOF
        return event.charged  # type: ignore[no-any-return]  # the stream is untyped

    async def failed(self) -> Failure:
        """The error with which the stream ends."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self._read_all()
        return Failure(caught.value)

    async def _read_all(self) -> None:
        while await self.stream.read() is not grpc.aio.EOF:
            pass


async def balance(services: Services, account_id: str = "alice") -> tuple[int, int]:
    """What is available and what is held, in microcredits."""
    found = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id=account_id))
    return found.available_microcredits, found.held_microcredits


async def detached(services: Services) -> None:
    """Wait until the sidecar knows that no stream is left."""
    while services.program.sidecar.metered_calls._attached:
        await asyncio.sleep(0.001)


async def after_grace(services: Services, clock: ManualClock) -> None:
    """Let the grace of broken streams pass."""
    await detached(services)
    clock.advance(5 * SECOND)
    await services.program.sidecar.look_after()


async def charges(services: Services) -> list[charges_pb2.Charge]:
    """All charges of the account, posted."""
    while any(book.has_unposted for book in services.program.sidecar.books):
        await services.program.sidecar.settle()
        await asyncio.sleep(0.001)  # a message of the settler may be under way
    found = await services.account.ListHistory(account_pb2.ListHistoryRequest(account_id="alice"))
    names = [each.charge_id for each in found.entries if each.type == account_pb2.HISTORY_TYPE_CHARGED]
    return [(await services.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id=each))).charge for each in names]
