"""Credit that is idle on another sidecar: it comes back when it is needed, unless that sidecar does not answer.

A sidecar that never answers again loses its credit after TTL, margin, longest hold and grace. That takes more than a minute:
it is tested at a clock that the tests move.
"""

import asyncio
import time

import pytest

from creditmeter.client.stubs import Connection, CreditmeterError, Retry, call
from creditmeter.v1 import metering_pb2
from tests.cli.processes import SidecarProcess
from tests.e2e.fleet import CREDIT, assert_clean, fleet, open_account, reserve, settled, stop_all

ACCOUNT = "alice"
GRANTED = 40
RECALL_SECONDS = 2.0
"""A recall is waited for 250 ms; the rest is a busy machine."""

PATIENCE = Retry(total=20, attempt=10)


async def idle_elsewhere(sidecars: list[SidecarProcess]) -> tuple[Connection, Connection, int]:
    """A client of a sidecar that has idle credit, one of another, and how much they need to share to hold it all."""
    here, elsewhere = (Connection(each.address) for each in sidecars)
    await open_account(here, ACCOUNT, permanent=[GRANTED])
    held = await reserve(elsewhere, "first", ACCOUNT, 2)
    release = metering_pb2.ReleaseRequest(request_id="first/release", reservation_id=held.reservation_id)
    await call(elsewhere.metering.Release, release)
    return here, elsewhere, GRANTED


async def ended(clients: tuple[Connection, Connection], sidecars: list[SidecarProcess], central: str) -> None:
    """Stop in order, and look that all adds up."""
    for client in clients:
        await client.close()
    assert await stop_all(sidecars) == [0, 0]
    await assert_clean(central)


@pytest.mark.long
async def test_idle_credit_elsewhere_is_there_at_once(central_url: str) -> None:
    """All of the account's credit can be held through one sidecar, at the first attempt, though another had a part of it."""
    async with fleet(central_url, 2, recall_timeout=RECALL_SECONDS) as sidecars:
        here, elsewhere, everything = await idle_elsewhere(sidecars)
        held = await reserve(here, "all", ACCOUNT, everything)
        assert held.held_microcredits == everything * CREDIT
        with pytest.raises(CreditmeterError, match="INSUFFICIENT_CREDITS"):
            await reserve(elsewhere, "one", ACCOUNT, 1)
        await ended((here, elsewhere), sidecars, central_url)


@pytest.mark.long
async def test_a_sidecar_that_stands_still_delays_but_does_not_refuse(central_url: str) -> None:
    """The caller is asked to try again soon, and gets the credit once the other sidecar goes on. The rest is for all."""
    async with fleet(central_url, 2) as sidecars:
        here, elsewhere, everything = await idle_elsewhere(sidecars)
        sidecars[1].pause()
        try:
            for _ in range(2):
                started = time.monotonic()
                with pytest.raises(CreditmeterError, match="RECALL_PENDING") as pending:
                    await reserve(here, "all", ACCOUNT, everything)
                assert time.monotonic() - started < RECALL_SECONDS
                assert pending.value.retry_delay
            with pytest.raises(CreditmeterError, match="INSUFFICIENT_CREDITS"):  # that much there never was
                await reserve(here, "more", ACCOUNT, everything + 1)
            waiting = asyncio.create_task(reserve(here, "all", ACCOUNT, everything, PATIENCE))
        finally:
            sidecars[1].resume()
        held = await waiting
        assert held.held_microcredits == everything * CREDIT
        commit = metering_pb2.CommitRequest(
            request_id="commit", reservation_id=held.reservation_id, amount_microcredits=(everything - 5) * CREDIT
        )
        await call(here.metering.Commit, commit)
        await reserve(elsewhere, "rest", ACCOUNT, 5, PATIENCE)
        with pytest.raises(CreditmeterError, match="INSUFFICIENT_CREDITS"):
            await reserve(here, "one", ACCOUNT, 1, PATIENCE)
        await ended((here, elsewhere), sidecars, central_url)


async def test_what_a_sidecar_that_stands_still_holds_is_not_given_away(central_url: str) -> None:
    """It goes on after others took what they could, and commits what it held; the sum is right."""
    async with fleet(central_url, 2) as sidecars:
        here, elsewhere, everything = await idle_elsewhere(sidecars)
        held = await reserve(elsewhere, "held", ACCOUNT, 3)
        sidecars[1].pause()
        try:
            with pytest.raises(CreditmeterError, match=r"RECALL_PENDING|CONTENDED|INSUFFICIENT_CREDITS"):
                await reserve(here, "all", ACCOUNT, everything)
        finally:
            sidecars[1].resume()
        rest = await reserve(here, "rest", ACCOUNT, everything - 3, PATIENCE)
        for number, (client, reservation, credits) in enumerate(((elsewhere, held, 3), (here, rest, everything - 3))):
            commit = metering_pb2.CommitRequest(
                request_id=f"commit-{number}", reservation_id=reservation.reservation_id, amount_microcredits=credits * CREDIT
            )
            await call(client.metering.Commit, commit)
        at_rest = await settled((here, elsewhere), ACCOUNT)
        assert (at_rest.available_microcredits, at_rest.debt_microcredits) == (0, 0)
        await ended((here, elsewhere), sidecars, central_url)
