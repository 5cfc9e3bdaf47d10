"""The client for workers: it holds credit around a call, charges what the call used, and reads what an account has."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from creditmeter.client import requests
from creditmeter.client.access import Access, Tls
from creditmeter.client.channel import resolved_address
from creditmeter.client.errors import NotSettled, Problem
from creditmeter.client.hold import Hold
from creditmeter.client.holding import Holding
from creditmeter.client.messages import decoded, duration, encoded_work, timestamp
from creditmeter.client.request_ids import StepIds, random_id, request_id_of
from creditmeter.client.requests import Span, Terms, with_counts, with_said
from creditmeter.client.retrying import DEFAULT_RETRY, Retry
from creditmeter.client.session import Session
from creditmeter.client.values import Balance, Charge, HistoryEntry, Quote, Refund, Work
from creditmeter.client.words import GrantKind, GrantSource, HistoryType, RefundMode
from creditmeter.v1 import account_pb2, metering_pb2

if TYPE_CHECKING:
    from typing_extensions import Self

_LONGEST_WAIT = 20.0
"""How long one GetCharge waits at the sidecar, in seconds: it is asked again while there is time."""


class Client:
    """A client of the sidecar at `address`: `host:port` or `unix:/path`; by default that of the environment variable
    CREDITMETER_ADDRESS, else 127.0.0.1:50151.

    It may be made anywhere, also when a module is imported. It connects when it is first used, in each event loop anew. Calls
    may run in parallel. Every call has a deadline, and is repeated with the same request_id while its outcome is unknown:
    `retry` says how long, by default 5 s for each attempt and 10 s for all.

    `token`, or `token_file`, which may be replaced meanwhile, says who calls; by default CREDITMETER_TOKEN or
    CREDITMETER_TOKEN_FILE. `tls` is for TCP addresses; by default what CREDITMETER_TLS_SERVER_CA and its like say.

    `close`, or leaving `async with`, waits for what is under way. A client that was closed connects again when it is used.
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
        self.address = resolved_address(address)
        self._retry = retry
        self._access = Access.of(token, token_file, tls)
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}
        self._lock = threading.Lock()

    def hold(  # noqa: PLR0913 - a hold has so many terms
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
    ) -> Hold:
        """A hold for one call, to be used as `async with`. Credit is held when its block is entered.

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
        said = with_said(work, action=action, request_model=model, provider=provider, variant=variant, tool=tool)
        said = with_said(said, input_tokens=input_tokens, max_output_tokens=max_output_tokens, quantity=quantity)
        terms = Terms(amount_microcredits, ttl, wait, allow_partial, labels or {})
        request, ids = requests.reserve(account_id, said, terms), StepIds(job_id or random_id())
        return Hold(Holding(self._session, request, ids, is_metered=metered))

    async def charge(  # noqa: PLR0913 - a charge has so many terms
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
        said = with_counts(
            usage, request_model=model, input_tokens=input_tokens, output_tokens=output_tokens, quantity=quantity
        )
        said = with_counts(said, action=action or said.action or "text", variant=variant, tool=tool)
        request = requests.charge(account_id, said, Terms(amount_microcredits, wait=wait, labels=labels or {}))
        request.request_id, request.already_incurred = request_id_of("charge", job_id, request_id), already_incurred
        return decoded(Charge, (await self._session().send(metering_pb2.Mutation(charge=request))).charge.charge)

    async def refund(
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
        request = metering_pb2.RefundRequest(
            request_id=request_id_of("refund", job_id, request_id),
            charge_id=charge_id,
            amount_microcredits=amount_microcredits,
            mode=mode.number,
            reason=reason,
        )
        return decoded(Refund, (await self._session().send(metering_pb2.Mutation(refund=request))).refund.refund)

    async def quote(  # noqa: PLR0913 - work has so many terms
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
        said = with_said(
            work, action=action, request_model=model, input_tokens=input_tokens, max_output_tokens=max_output_tokens
        )
        said = with_said(said, provider=provider, quantity=quantity, variant=variant, tool=tool)
        session = self._session()
        request = metering_pb2.QuoteRequest(account_id=account_id, work=[encoded_work(said)])
        return decoded(Quote, (await session.read(session.metering.Quote, request)).quotes[0])

    async def balance(self, account_id: str) -> Balance:
        """What an account may spend now. What this client did before is in it.

        Raises:
            AccountNotFound: there is no such account.
            CreditmeterError: the sidecar refused otherwise, or did not answer.
        """
        session = self._session()
        reply = await session.read(session.account.GetBalance, account_pb2.GetBalanceRequest(account_id=account_id))
        return decoded(Balance, reply)

    async def settled(self, charge_id: str, *, timeout: float = 60) -> Charge:
        """A charge once the central store has posted it: what was covered, and by which grants, is known then.

        It waits at most `timeout` seconds, also while the sidecar or the central store is away.

        Raises:
            NotSettled: it was not posted by then. It counts all the same, and will be.
            ChargeNotFound: there is no such charge.
            CreditmeterError: the sidecar refused otherwise, or did not answer.
        """
        give_up_at, left = time.monotonic() + timeout, max(0.0, timeout)
        while True:
            session = self._session()
            request = metering_pb2.GetChargeRequest(charge_id=charge_id, wait=duration(min(left, _LONGEST_WAIT)))
            asking = session.read(session.metering.GetCharge, request, replace(self._retry, total=left))
            try:
                charge = (await asyncio.wait_for(asking, left or self._retry.attempt)).charge
            except asyncio.TimeoutError:
                break
            if charge.HasField("posted_at"):
                return decoded(Charge, charge)
            left = give_up_at - time.monotonic()
            if left <= 0:
                break
        message = f"{charge_id} was not posted within {timeout:g} s"
        raise NotSettled(Problem("DEADLINE_EXCEEDED", "NOT_SETTLED", message))

    async def history(  # noqa: PLR0913 - a history has so many filters
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
    ) -> AsyncIterator[HistoryEntry]:
        """What happened to an account's credit, as posted, newest first; only entries that match all filters that are given.

        `label` is a key and its value. `start` and `end` are moments with a time zone; `end` is not in it. It is read page by
        page, of 50 entries unless said otherwise, as far as it is asked for.

        Raises AccountNotFound, CentralUnavailable, or another CreditmeterError, while it is read.
        """
        request = account_pb2.ListHistoryRequest(
            account_id=account_id, action=action, model=model, tool=tool, start=timestamp(start), end=timestamp(end)
        )
        request.types.extend(each.number for each in types)
        request.kinds.extend(each.number for each in kinds)
        request.page_size, request.source = page_size, (source or GrantSource.UNKNOWN).number
        if label:
            request.label.key, request.label.value = label
        while True:
            session = self._session()  # for each page, since the client may be closed between two of them
            page = await session.read(session.account.ListHistory, request)
            for entry in page.entries:
                yield decoded(HistoryEntry, entry)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def close(self) -> None:
        """Wait for what is under way in this loop, such as a commit whose caller was cancelled, and close the connection."""
        with self._lock:
            session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _session(self) -> Session:
        """What this client has in the running loop. What it had in loops that were closed is forgotten."""
        loop = asyncio.get_running_loop()
        with self._lock:  # there may be loops in other threads
            if loop not in self._sessions:
                for each in [each for each in self._sessions if each.is_closed()]:
                    del self._sessions[each]
                self._sessions[loop] = Session(self.address, self._retry, access=self._access)
            return self._sessions[loop]
