"""Holds of 5 credits that a test leaves in some way, and what it finds of them afterwards."""

import asyncio

import pytest

from creditmeter.client import (
    Client,
    HistoryEntry,
    HistoryType,
    Usage,
)
from creditmeter.client.hold import Hold
from tests.client.conftest import ACCOUNT, CREDIT

PARTIAL = Usage(input_tokens=10_000, output_tokens=100)
"""Usage that costs 3 credits."""


class ProviderError(Exception):
    """The provider's call failed."""


def text_hold(meter: Client, **terms: str) -> Hold:
    """A hold of 5 credits."""
    return meter.hold(ACCOUNT, model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000, **terms)  # type: ignore[arg-type]  # names


async def charges(meter: Client) -> list[HistoryEntry]:
    """What was charged to the account, once nothing is held and all is posted."""
    while (balance := await meter.balance(ACCOUNT)).unposted_microcredits:
        await asyncio.sleep(0.01)
    assert balance.held_microcredits == 0
    return [each async for each in meter.history(ACCOUNT, types=[HistoryType.CHARGED])]


async def assert_nothing_charged(meter: Client) -> None:
    """The account has all of its credit."""
    assert await charges(meter) == []
    assert (await meter.balance(ACCOUNT)).available_microcredits == 100 * CREDIT


async def assert_charged(meter: Client, microcredits: int) -> None:
    """One charge of so much, and nothing is held."""
    assert [-each.amount_microcredits for each in await charges(meter)] == [microcredits]


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Cancel a task, and wait until it has ended, as cancelled."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
