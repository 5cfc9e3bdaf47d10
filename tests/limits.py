"""A limit of time for asynchronous tests. pytest-timeout cannot end them: what it raises goes to whichever task runs."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

SHARE = 0.9
"""The share of the time that pytest-timeout would give: it ends what runs before and after a test."""


def within(seconds: float | None, test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The same test, which fails where it stands after so many seconds. None is no limit."""

    @functools.wraps(test)
    async def limited(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*arguments, **named)

    return limited
