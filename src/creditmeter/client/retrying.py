"""Calls that are repeated, within bounds, while their outcome is unknown.

A call whose connection failed may have taken effect. Repeating it with the same request_id is safe: it takes effect once, and
every repetition gets the first reply, marked replayed. So the same request is sent again, byte for byte.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import grpc

from creditmeter.client.errors import CreditmeterError
from creditmeter.client.statuses import error_of

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message

_Request = TypeVar("_Request", bound="Message")
_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Retry:
    """How long a call is repeated. All values are in seconds.

    The last attempt begins at most `total` after the first. The delay between attempts doubles from `first_delay` to
    `longest_delay`. It is shortened at random by up to a half, so that callers that lost their connection together do not
    return together. It is at least the delay that the sidecar asks for. Each attempt has a deadline of `attempt`, and of the
    request's `wait` more if it says how long it waits.
    """

    total: float = 10
    first_delay: float = 0.05
    longest_delay: float = 1
    attempt: float = 5

    def delays(self) -> Iterator[float]:
        """The delays between attempts, in seconds, without end."""
        delay = self.first_delay
        while True:
            yield delay * random.uniform(0.5, 1)  # noqa: S311 - spreads callers, is no secret
            delay = min(2 * delay, self.longest_delay)


_MOST_SECONDS = 3_600
"""No sidecar lets a request wait for as long as that."""

DEFAULT_RETRY = Retry()
NO_RETRY = Retry(total=0)


async def repeated(
    attempt: Callable[[float], Awaitable[_Reply]], request: "Message", retry: Retry, look_again: Callable[[], bool] = bool
) -> _Reply:
    """The reply to `attempt`, which sends the request with a deadline in seconds. It is repeated while the outcome is unknown
    or the sidecar asks to try again; and once where the token is not known, if `look_again` says that there may be another.

    Raises:
        CreditmeterError: it was refused, or `retry` was used up.
    """
    give_up_at = time.monotonic() + retry.total
    delays = retry.delays()
    timeout, was_unanswered, has_looked = retry.attempt + waits_for(request), False, False
    while True:
        try:
            return await attempt(timeout)
        except grpc.aio.AioRpcError as raised:
            error = error_of(raised)
            error.__cause__ = raised
        except CreditmeterError as raised:
            error = raised
        error.was_unanswered = was_unanswered
        was_unanswered = error.is_outcome_unknown
        wait = max(next(delays), error.retry_delay or 0)
        if error.code == "UNAUTHENTICATED" and not has_looked and look_again():
            has_looked = True
            continue
        if not error.is_retryable or time.monotonic() + wait > give_up_at:
            raise error
        await asyncio.sleep(wait)


async def call(
    method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Reply]",
    request: _Request,
    retry: Retry = DEFAULT_RETRY,
    look_again: Callable[[], bool] = bool,
) -> _Reply:
    """Call a method of a stub, and repeat it while the outcome is unknown or the sidecar asks to try again.

    The request must be safe to repeat: a read, or a change with a request_id.

    Raises:
        CreditmeterError: it was refused, or `retry` was used up.
    """

    async def attempt(timeout: float) -> _Reply:
        return await method(request, timeout=timeout)

    return await repeated(attempt, request, retry, look_again)


def waits_for(request: "Message") -> float:
    """The seconds that a request is willing to wait at the sidecar; 0 if it does not say."""
    if "wait" not in request.DESCRIPTOR.fields_by_name or not request.HasField("wait"):
        return 0
    wait = cast("Duration", getattr(request, "wait"))  # noqa: B009 - not every message has it
    return max(0.0, wait.ToTimedelta().total_seconds()) if abs(wait.seconds) < _MOST_SECONDS else 0
