"""How long a caller waits."""

import asyncio

ANSWER_SECONDS = 0.05
"""What is left of a caller's deadline when its wait ends, so that it hears why; at most half of what it had."""


def waits_until(within: float | None, wait: float) -> float:
    """Until when a caller waits that is willing to wait so long and has to hear of it `within` so many seconds; None: it need
    not. Seconds; the result is on the event loop's clock.
    """
    now = asyncio.get_running_loop().time()
    if within is None:
        return now + wait
    return now + max(0.0, min(wait, within - min(ANSWER_SECONDS, within / 2)))
