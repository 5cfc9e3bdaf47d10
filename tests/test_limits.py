"""A test that hangs fails."""

import asyncio

import pytest

from tests.limits import within


async def test_a_test_that_hangs() -> None:
    """It is cancelled where it stands, also while other tasks go on."""

    async def waits(seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)

    other = asyncio.ensure_future(waits(0))
    with pytest.raises(TimeoutError):
        await within(0.01, waits)(60)
    assert not other.done()
    other.cancel()


async def test_each_asynchronous_test_is_so(request: pytest.FixtureRequest) -> None:
    """This one is."""
    assert isinstance(request.node, pytest.Function)
    assert request.node.obj.__wrapped__ is not None
    assert asyncio.current_task() is not None
