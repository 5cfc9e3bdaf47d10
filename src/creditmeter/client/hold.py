"""A hold on credits around one call: `async with client.hold(…) as hold`.

Credit is held when the block is entered. `Hold.commit` charges what the call used. What becomes of the hold when the block is
left without a commit is the table of `ending.py`.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from creditmeter.client import requests
from creditmeter.client.holding import Holding
from creditmeter.client.requests import Span, Terms, with_counts, with_said
from creditmeter.client.streaming import Streaming, close
from creditmeter.client.tokenizers import Tokenizer
from creditmeter.client.values import Charge, Reservation, Usage, Work
from creditmeter.client.words import MeterStopReason

if TYPE_CHECKING:
    from typing_extensions import Self

_Chunk = TypeVar("_Chunk")


class Hold:
    """A hold on credits. `Client.hold` makes one, which is used in one `async with`."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._was_entered = False

    @property
    def reservation(self) -> Reservation:
        """The reservation, as the sidecar last said.

        Raises:
            RuntimeError: the block was not entered.
        """
        if self._holding.reservation is None:
            raise RuntimeError("nothing is held: enter the block first, as `with client.hold(…) as hold`")
        return self._holding.reservation

    def dispatched(self) -> None:
        """Say that the call is being sent to its provider. From now on a failure is charged: see `report`."""
        self._holding.dispatched()

    def report(self, usage: object = None, *, input_tokens: int | None = None, output_tokens: int | None = None) -> None:
        """Note what the call has used so far. Nothing is sent: `stream` does that.

        The counts are cumulative, and what a later report does not say stays. If the call breaks off, this is what is charged.
        A report without any count, such as a stream's first event, says only that the call was dispatched.
        `usage` is what `commit` takes.

        Raises:
            TypeError: it is nothing that could be a report.
            ValueError: it is larger than 64 KiB, also without what was generated.
            RuntimeError: `stream` counts the call.
        """
        self.dispatched()
        counts = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        for each in (usage, None if counts == Usage() else counts):
            if each is not None:
                self._holding.report(each)

    @property
    def charge(self) -> Charge | None:
        """The last charge of this hold, also the one that was made as its block was left. None if there was none."""
        return self._holding.charge

    @property
    def stop_reason(self) -> MeterStopReason | None:
        """Why `stream` ended before its provider's stream did. None if it did not."""
        return self._holding.stop_reason

    async def stream(
        self,
        chunks: AsyncIterable[_Chunk],
        *,
        tokenizer: Tokenizer | None = None,
        text: Callable[[_Chunk], str] | None = None,
    ) -> AsyncIterator[_Chunk]:
        """The chunks of a provider's stream, while the sidecar is told what the call has used so far.

        What the provider reports in its events counts. Output since its last report is counted by `tokenizer`, by default
        tiktoken's if that is installed and knows the model, else estimated as a token for each 4 bytes. `text` says what was
        generated in a chunk; by default that is read from the chunk, an event of any known provider or a text.

        It ends early, and closes the provider's stream, if the account cannot pay for more: `stop_reason` says so. `commit`
        without a usage charges what was counted, and so does leaving the block: exactly if the provider reported all of it,
        else flagged PARTIAL_STREAM. If this process dies, the sidecar charges the last report, at most 32 tokens behind.

        Raises:
            RuntimeError: the block was not entered or was left, or another stream was not committed yet.
            ValueError: the hold is of no text.
            TypeError: nothing can be counted of a chunk.
            Unreachable: no sidecar answered, and no more is known to be paid.
        """
        try:
            streaming = await self._streaming(tokenizer, text)
            async for chunk in chunks:
                may_go_on = await streaming.take(chunk)
                yield chunk
                if not may_go_on:
                    return
            await streaming.end()
        finally:
            await close(chunks)

    async def commit(
        self,
        usage: object = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        quantity: int | None = None,
        amount_microcredits: int | None = None,
        keep_open: bool = False,
    ) -> Charge:
        """Charge what the call used, and give the rest of the hold back.

        `usage` is a `Usage`, or what the provider reported, as it came: its usage object or the whole response, from its SDK,
        as a dict or as JSON. Counts given beside it win. With neither, it is what `stream` counted, or what was reported last;
        without any report the sidecar charges what the work says at most, flagged ESTIMATED. `amount_microcredits` charges a
        fixed amount instead.

        With `keep_open` it charges what is new since the last commit, and the rest stays held. A commit is never refused for
        lack of credit, and after the deadline it still counts, for 24 hours.

        Raises:
            TypeError: `usage` is nothing that could be a report.
            ValueError: it is larger than 64 KiB, also without what was generated.
            ReservationEnded: the hold was committed or released by another request, or the time for late commits is over.
            StreamResumed: another run of the job goes on with the hold.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer. In that case the same commit is sent
                once more when the block is left.
        """
        _ = self.reservation
        call = self._holding.call
        call.is_dispatched = True
        reported = self._holding.known if usage is None else usage
        counts = with_counts(reported, input_tokens=input_tokens, output_tokens=output_tokens, quantity=quantity)
        cost = counts if amount_microcredits is None else amount_microcredits
        return await self._holding.commit(cost, keep_open=keep_open)

    async def extend(
        self,
        work: Work | None = None,
        *,
        input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        amount_microcredits: int | None = None,
        ttl: Span | None = None,
        wait: Span | None = None,
    ) -> Reservation:
        """Raise the hold to a new total, push its deadline, or both. If it is refused, the old hold stands.

        The total is the price of `work`, or of the hold's work with other counts, or an amount. `ttl` and `wait` are spans of
        time, in seconds where they are numbers.

        Raises:
            InsufficientCredits: the account cannot pay for it.
            ReservationEnded: the hold has ended.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer.
        """
        counts = {"input_tokens": input_tokens, "max_output_tokens": max_output_tokens}
        if work is None and counts != dict.fromkeys(counts):
            work = self.reservation.work
        more = None if work is None else with_said(work, **counts)
        request = requests.extend(self.reservation.reservation_id, more, Terms(amount_microcredits, ttl, wait))
        return await self._holding.extend(request)

    async def release(self, reason: str = "") -> None:
        """Give the hold back, with a reason of at most 512 characters, for tracing. A released hold never commits.

        Raises:
            ReservationCommitted: it was committed.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer.
        """
        _ = self.reservation
        await self._holding.release(reason)

    async def _streaming(self, tokenizer: Tokenizer | None, text: Callable[[_Chunk], str] | None) -> Streaming:
        _ = self.reservation
        return await self._holding.stream(tokenizer, text)

    async def __aenter__(self) -> "Self":
        self._enter()
        await self._holding.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        was_cancelled = await self._holding.leave(failed=kind is not None)
        if was_cancelled and kind is None:
            raise asyncio.CancelledError

    def _enter(self) -> None:
        if self._was_entered:
            raise RuntimeError("a hold is entered once: make another one with client.hold(…)")
        self._was_entered = True

    async def _interrupted(self) -> None:
        """Give back what is held by now, for a caller who was interrupted while the block was entered."""
        if self._holding.reservation is not None:
            await self._holding.leave(failed=True)
