"""A metered call through the death of its sidecar, by SIGKILL in the middle of its stream."""

import asyncio
from typing import Any

import pytest

from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2, work_pb2
from tests.cli.processes import SidecarProcess
from tests.e2e.fleet import CREDIT, assert_clean, fleet, history, open_account, settled, stop_all

ACCOUNT = "alice"

OPEN = metering_pb2.MeterRequest(
    open=metering_pb2.ReserveRequest(
        request_id="job/open",
        account_id=ACCOUNT,
        work=work_pb2.Work(action="text", request_model="gpt-4o", input_tokens=1_000, max_output_tokens=20_000),
    )
)


async def opened(connection: Connection) -> Any:
    """A stream whose call is open, and the event that says so."""
    stream: Any = connection.metering.Meter(wait_for_ready=True)
    await stream.write(OPEN)
    return stream, (await stream.read()).opened


async def report(stream: Any, output_tokens: int) -> None:
    """Report progress, and wait for its answer: from then on it is a fact."""
    await stream.write(metering_pb2.MeterRequest(progress=work_pb2.Usage(output_tokens=output_tokens)))
    assert (await stream.read()).HasField("go_on")


async def killed(sidecar: SidecarProcess) -> None:
    """End the process at once, and start it again on what it left."""
    await asyncio.to_thread(sidecar.kill)
    await asyncio.to_thread(sidecar.start)


@pytest.mark.long
@pytest.mark.parametrize("resumes", [True, False])
async def test_a_metered_call_survives_sigkill(central_url: str, resumes: bool) -> None:
    """What was reported is charged once: at its finish if the stream is resumed, else after the grace."""
    async with fleet(central_url, 1) as (sidecar,):
        async with Connection(sidecar.address) as connection:
            await open_account(connection, ACCOUNT, permanent=[100])
            stream, begun = await opened(connection)
            for reported in (100, 900, 1_700):
                await report(stream, reported)
            await killed(sidecar)
            if resumes:
                stream, again = await opened(connection)
                assert (again.replayed, again.reservation.reservation_id) == (True, begun.reservation.reservation_id)
                await report(stream, 2_500)
                await stream.write(metering_pb2.MeterRequest(finish=metering_pb2.MeterFinish(request_id="job/finish")))
                assert (await stream.read()).charged.charge.usage.output_tokens == 2_500
            await settled([connection], ACCOUNT)
            charges = [each for each in await history(connection, ACCOUNT) if each.charge_id]
            assert [each.amount_microcredits for each in charges] == [(-3 if resumes else -2) * CREDIT]
        assert await stop_all([sidecar]) == [0]
        await assert_clean(central_url)
