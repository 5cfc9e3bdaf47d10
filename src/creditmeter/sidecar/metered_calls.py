"""The metered calls of a sidecar: which streams are attached to them, and what becomes of those that have none.

What a stream reports is on disk before it is answered. A call without a stream, because the stream broke or the sidecar was
started anew, waits for a grace in which the same open request resumes it. After that it is charged for its last progress;
without any, its hold is given back.
"""

from collections.abc import Callable

import structlog

from creditmeter.core.credit.requests import Done, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import ReservationId, origin_of
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.metered import is_unfinished
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.refusals import Refusal, ReservationNotFound
from creditmeter.journal.faults import AccountDamaged, StorageUnavailable
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.meter import Meter
from creditmeter.sidecar.metered_stream import MeteredStream

GRACE = Span(5 * SECOND)
"""How long a call whose stream broke waits to be resumed."""

_log = structlog.get_logger()


class MeteredCalls:
    """Attaches streams to metered calls, and ends the calls that have had none for too long."""

    def __init__(self, books: Books, meter: Meter, pricing: Pricing, default_ttl: Span) -> None:
        self._books = books
        self._meter = meter
        self._pricing = pricing
        self._default_ttl = default_ttl
        self._attached: dict[ReservationId, MeteredStream] = {}
        self._broken: dict[ReservationId, Span] = {}
        books.on_reload.append(self._find_broken)
        books.on_change.append(self._note)

    async def open(
        self,
        request: Reserve,
        within: float | None,
        wait: Span | None,
        on_stop: Callable[[], None],
        credential_id: str = "",
    ) -> tuple[MeteredStream, Done[Reservation]] | Refusal:
        """Begin a metered call, or resume it: the stream, and the call's reservation as it is now. `on_stop` is called when
        another stream resumes the call, and when the sidecar begins to stop. The rest is as in `Meter.decide`.

        Raises:
            What `Meter.answer` does.
        """
        outcome = await self._meter.answer(request, within, wait=wait, credential_id=credential_id)
        if isinstance(outcome, Refusal):
            return outcome
        made = outcome.reply.reservation
        assert made is not None, "a Reserve makes a reservation"
        name = made.reservation_id
        now = self._books.reservation(name)
        if now is None:
            return ReservationNotFound(name)
        before = self._attached.pop(name, None)
        if before is not None:
            before.supersede()
        stream = MeteredStream(self._books, self._meter, self._pricing, now, request.ttl or self._default_ttl, on_stop)
        self._attached[name] = stream
        self._broken.pop(name, None)
        return stream, Done(now, outcome.replayed)

    @property
    def is_stopping(self) -> bool:
        """Whether the sidecar stops: calls may be resumed and finished, and should come to their end."""
        return self._meter.is_draining

    def leave(self, stream: MeteredStream) -> None:
        """A stream ended. If its call did not, it has so long to be resumed from now on."""
        name = stream.reservation_id
        if self._attached.get(name) is not stream:
            return
        del self._attached[name]
        origin = origin_of(name)
        book = None if origin is None else self._books.find(origin.account_key)
        live = None if book is None else book.reservations.get(name)
        if live is not None and is_unfinished(live):
            self._broken[name] = self._books.boot()

    def may_be_resumed(self) -> None:
        """Note that callers can reach the sidecar from now on. A grace before that would be none."""
        self._broken = dict.fromkeys(self._broken, self._books.boot())

    def stop(self) -> None:
        """Tell all streams that the sidecar stops."""
        for each in list(self._attached.values()):
            each.on_stop()

    async def end_broken(self, grace: Span = GRACE) -> None:
        """End the calls that have had no stream for so long.

        Raises:
            StorageUnavailable: the journal cannot be written. They are ended once it can.
        """
        boot = self._books.boot()
        over = [name for name, since in self._broken.items() if boot - since >= grace]
        for name in over:
            self._end(name)
        if over:
            await self._meter.durable()
        for name in over:
            self._broken.pop(name, None)

    def _end(self, name: ReservationId) -> None:
        """End one call. One that cannot be ended does not keep the others from it; it is tried again at the next start."""
        try:
            reservation = self._books.reservation(name)
            if reservation is None or not is_unfinished(reservation):
                return
            outcome = self._meter.end_metered(reservation)
        except AccountDamaged:
            return  # it is told of by the journal, and read again at the next start
        except StorageUnavailable as error:
            if self._books.is_writable:
                _log.error("a metered call cannot be read", reservation_id=name, reason=str(error))
                return
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with one call, the others are ended
            _log.exception("a metered call cannot be ended", reservation_id=name)
            return
        if isinstance(outcome, Refusal):
            _log.error("a metered call cannot be charged", reservation_id=name, reason=str(outcome))

    def _note(self, change: Change) -> None:
        """Note the calls in a change that no stream is attached to: its caller may be gone before it is."""
        for each in change.reservations:
            if each.metered is not None and is_unfinished(each) and each.reservation_id not in self._attached:
                self._broken.setdefault(each.reservation_id, self._books.boot())

    def _find_broken(self) -> None:
        """Note the calls that no stream is attached to, after the books were read from disk: none could be resumed before."""
        boot = self._books.boot()
        self._broken = {
            each.reservation_id: boot
            for book in self._books
            for each in book.reservations.values()
            if is_unfinished(each) and each.reservation_id not in self._attached
        }
