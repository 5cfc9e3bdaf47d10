"""The client for workers that block: that of `client.py`, run on an event loop in a thread of its own.

Generated from client.py and hold.py by scripts/generate-sync-client. Do not edit by hand.
"""

# ruff: noqa: PLR0913, SLF001 - as many arguments as the methods that these stand for; a hold and its blocking form are one

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from creditmeter.client.access import Tls
from creditmeter.client.client import Client
from creditmeter.client.errors import CreditmeterError
from creditmeter.client.hold import Hold
from creditmeter.client.loop_thread import LoopThread
from creditmeter.client.requests import Span
from creditmeter.client.retrying import DEFAULT_RETRY, Retry
from creditmeter.client.streaming import blocking
from creditmeter.client.tokenizers import Tokenizer
from creditmeter.client.values import Balance, Charge, HistoryEntry, Quote, Refund, Reservation, Work
from creditmeter.client.words import GrantKind, GrantSource, HistoryType, MeterStopReason, RefundMode

if TYPE_CHECKING:
    from typing_extensions import Self

_Chunk = TypeVar("_Chunk")


class SyncHold:
    """A hold on credits. `SyncClient.hold` makes one, which is used in one `with`."""

    def __init__(self, client: "SyncClient", thread: LoopThread, hold: Hold) -> None:
        self._client = client  # so that it lives as long as the hold
        self._thread = thread
        self._hold = hold

    @property
    def reservation(self) -> Reservation:
        """The reservation, as the sidecar last said.

        Raises:
            RuntimeError: the block was not entered.
        """
        return self._hold.reservation

    def dispatched(self) -> None:
        """Say that the call is being sent to its provider. From now on a failure is charged: see `report`."""
        self._hold.dispatched()

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
        self._hold.report(usage, input_tokens=input_tokens, output_tokens=output_tokens)

    @property
    def charge(self) -> Charge | None:
        """The last charge of this hold, also the one that was made as its block was left. None if there was none."""
        return self._hold.charge

    @property
    def stop_reason(self) -> MeterStopReason | None:
        """Why `stream` ended before its provider's stream did. None if it did not."""
        return self._hold.stop_reason

    def stream(
        self, chunks: Iterable[_Chunk], *, tokenizer: Tokenizer | None = None, text: Callable[[_Chunk], str] | None = None
    ) -> Iterator[_Chunk]:
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
        return blocking(self._thread, lambda: self._hold._streaming(tokenizer=tokenizer, text=text), chunks)

    def commit(
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
        return self._thread.run(
            self._hold.commit(
                usage,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                quantity=quantity,
                amount_microcredits=amount_microcredits,
                keep_open=keep_open,
            )
        )

    def extend(
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
        return self._thread.run(
            self._hold.extend(
                work,
                input_tokens=input_tokens,
                max_output_tokens=max_output_tokens,
                amount_microcredits=amount_microcredits,
                ttl=ttl,
                wait=wait,
            )
        )

    def release(self, reason: str = "") -> None:
        """Give the hold back, with a reason of at most 512 characters, for tracing. A released hold never commits.

        Raises:
            ReservationCommitted: it was committed.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer.
        """
        self._thread.run(self._hold.release(reason))

    def __enter__(self) -> "Self":
        self._hold._enter()
        try:
            self._thread.run(self._hold._holding.begin())
        except CreditmeterError:
            raise
        except BaseException:  # such as KeyboardInterrupt: what it holds by now is released
            self._thread.begin(self._hold._interrupted())
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._thread.run(self._hold.__aexit__(kind, error, traceback))


class SyncClient:
    """A client that blocks, of the sidecar at `address`: `host:port` or `unix:/path`; by default that of the environment
    variable CREDITMETER_ADDRESS, else 127.0.0.1:50151.

    It may be made anywhere, and used by many threads at once. Its calls run on an event loop in a thread of its own, which
    begins with the first of them. `retry` says how long a call is repeated while its outcome is unknown; `token`, `token_file`
    and `tls` are as in `Client`.

    `close`, or leaving `with`, waits for what is under way; so does the end of the program.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        retry: Retry = DEFAULT_RETRY,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._client, self._thread = Client(address, retry=retry, token=token, token_file=token_file, tls=tls), LoopThread()
        self.address = self._client.address
        weakref.finalize(self, _close, self._client, self._thread)

    def hold(
        self,
        account_id: str,
        work: Work | None = None,
        *,
        model: str = "",
        input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        provider: str = "",
        action: str = "",
        quantity: int | None = None,
        variant: str = "",
        tool: str = "",
        amount_microcredits: int | None = None,
        job_id: str | None = None,
        ttl: Span | None = None,
        allow_partial: bool = False,
        labels: Mapping[str, str] | None = None,
        wait: Span | None = None,
        metered: bool = False,
    ) -> SyncHold:
        """A hold for one call, to be used as `with`. Credit is held when its block is entered.

        `work`, or the names of its fields (`action` is "text" unless said otherwise), is what the call may use at most;
        `amount_microcredits` holds a fixed amount instead. `ttl` is how long it is held: 10 minutes unless said otherwise. With
        `allow_partial` less is held if need be, and `reservation.max_output_tokens` says for how much output. `wait` is how
        long to wait for credit that other sidecars have. Spans are in seconds where they are numbers.

        With `metered` only the input and some of the output is held at first, or as much of that as the account can pay, and
        more while the call goes on: its stream has to be read by `Hold.stream`, which ends it where the credit does.

        The request ids are made from `job_id`: a job that is run again goes on with its hold. They are random without it.
        Entering the block raises ReservationCommitted if the job was charged already, InsufficientCredits if the account cannot
        pay, or another CreditmeterError.
        """
        return SyncHold(
            self,
            self._thread,
            self._client.hold(
                account_id,
                work,
                model=model,
                input_tokens=input_tokens,
                max_output_tokens=max_output_tokens,
                provider=provider,
                action=action,
                quantity=quantity,
                variant=variant,
                tool=tool,
                amount_microcredits=amount_microcredits,
                job_id=job_id,
                ttl=ttl,
                allow_partial=allow_partial,
                labels=labels,
                wait=wait,
                metered=metered,
            ),
        )

    def charge(
        self,
        account_id: str,
        usage: object = None,
        *,
        model: str = "",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        action: str = "",
        quantity: int | None = None,
        variant: str = "",
        tool: str = "",
        amount_microcredits: int | None = None,
        already_incurred: bool = False,
        job_id: str | None = None,
        request_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        wait: Span | None = None,
    ) -> Charge:
        """Charge without a hold: an action whose price is known, or with `already_incurred` a cost that is a fact.

        What was used is `usage` as `Hold.commit` takes it, or the names of its fields (`action` is "text" unless said
        otherwise); `amount_microcredits` charges a fixed amount instead. The request's id is `request_id`, else made from
        `job_id`, else random: under one id it is charged once, however often it is sent.

        Raises:
            InsufficientCredits: the account cannot pay, and the cost is not yet incurred.
            RequestIdReused: this id was used for something else.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer.
        """
        return self._thread.run(
            self._client.charge(
                account_id,
                usage,
                model=model,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                action=action,
                quantity=quantity,
                variant=variant,
                tool=tool,
                amount_microcredits=amount_microcredits,
                already_incurred=already_incurred,
                job_id=job_id,
                request_id=request_id,
                labels=labels,
                wait=wait,
            )
        )

    def refund(
        self,
        charge_id: str,
        *,
        amount_microcredits: int | None = None,
        mode: RefundMode = RefundMode.ORIGINAL,
        reason: str = "",
        job_id: str | None = None,
        request_id: str | None = None,
    ) -> Refund:
        """Give a charge back: all that is left of it, or an amount. `reason` is shown in the account's history.

        The request's id is `request_id`, else made from `job_id`, else random.

        Raises:
            ChargeNotFound: there is no such charge.
            RefundExceedsCharge: there is less left to refund.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer.
        """
        return self._thread.run(
            self._client.refund(
                charge_id,
                amount_microcredits=amount_microcredits,
                mode=mode,
                reason=reason,
                job_id=job_id,
                request_id=request_id,
            )
        )

    def quote(
        self,
        account_id: str = "",
        work: Work | None = None,
        *,
        model: str = "",
        input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        provider: str = "",
        action: str = "",
        quantity: int | None = None,
        variant: str = "",
        tool: str = "",
    ) -> Quote:
        """What work would cost, said as for `hold`, without holding anything; for an account, also whether it could pay.

        Raises:
            Unpriced: the rate card has no price for it.
            CreditmeterError: it was refused otherwise, or the sidecar did not answer.
        """
        return self._thread.run(
            self._client.quote(
                account_id,
                work,
                model=model,
                input_tokens=input_tokens,
                max_output_tokens=max_output_tokens,
                provider=provider,
                action=action,
                quantity=quantity,
                variant=variant,
                tool=tool,
            )
        )

    def balance(self, account_id: str) -> Balance:
        """What an account may spend now. What this client did before is in it.

        Raises:
            AccountNotFound: there is no such account.
            CreditmeterError: the sidecar refused otherwise, or did not answer.
        """
        return self._thread.run(self._client.balance(account_id))

    def settled(self, charge_id: str, *, timeout: float = 60) -> Charge:
        """A charge once the central store has posted it: what was covered, and by which grants, is known then.

        It waits at most `timeout` seconds, also while the sidecar or the central store is away.

        Raises:
            NotSettled: it was not posted by then. It counts all the same, and will be.
            ChargeNotFound: there is no such charge.
            CreditmeterError: the sidecar refused otherwise, or did not answer.
        """
        return self._thread.run(self._client.settled(charge_id, timeout=timeout))

    def history(
        self,
        account_id: str,
        *,
        types: Iterable[HistoryType] = (),
        kinds: Iterable[GrantKind] = (),
        action: str = "",
        model: str = "",
        tool: str = "",
        source: GrantSource | None = None,
        label: tuple[str, str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        page_size: int = 0,
    ) -> Iterator[HistoryEntry]:
        """What happened to an account's credit, as posted, newest first; only entries that match all filters that are given.

        `label` is a key and its value. `start` and `end` are moments with a time zone; `end` is not in it. It is read page by
        page, of 50 entries unless said otherwise, as far as it is asked for.

        Raises AccountNotFound, CentralUnavailable, or another CreditmeterError, while it is read.
        """
        return self._thread.each(
            self._client.history(
                account_id,
                types=types,
                kinds=kinds,
                action=action,
                model=model,
                tool=tool,
                source=source,
                label=label,
                start=start,
                end=end,
                page_size=page_size,
            )
        )

    def close(self) -> None:
        """Wait for what is under way, such as a commit whose caller was interrupted, and close the connection."""
        _close(self._client, self._thread)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _close(client: Client, thread: LoopThread) -> None:
    if not thread.is_running:
        return
    if thread.is_current:  # the garbage collector came by on this thread, which cannot wait for itself
        thread.begin(client.close())
    else:
        thread.run(client.close())
        thread.stop(client.close)
