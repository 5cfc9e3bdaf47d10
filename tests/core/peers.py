"""Sidecars whose messages a test writes by hand, with a central store in memory. Each numbers its messages and keeps its
leases.
"""

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.messages import Answer, LeaseReport, LeaseTerms, Message, Need
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.settlement.recalls import Purpose, Recall
from creditmeter.core.values import replace
from tests.core.builders import ACCOUNT, Central, account, grant, mc

PATIENCE = Span(SECOND // 4)


def need(required: int, *, wanted: int | None = None, smallest: int | None = None, patience: Span = PATIENCE) -> Need:
    """A need for credit: by default for exactly so much, and nothing less is of use."""
    wanted = required if wanted is None else wanted
    return Need(mc(required), mc(wanted), mc(required if smallest is None else smallest), patience)


class Peer:
    """One sidecar, by the central store's clock."""

    def __init__(self, central: Central, name: str) -> None:
        self.central = central
        self.sidecar_id = SidecarId(name)
        self.leases: tuple[LeaseTerms, ...] = ()
        self.asked_at: Instant | None = None
        """When what it needs was first asked for. Its needs are one request's, repeated until it is decided."""
        self._seq = 0

    def message(
        self,
        *charges: Charge,
        held: int | tuple[int, ...] = 0,
        unposted: int = 0,
        asks: Need | None = None,
        keeps: bool = False,
    ) -> Message:
        """The next message. It reports what is held on each lease, or on the newest one, and what is unposted there.

        The rest is returned unless it `keeps` it. What the charges spend on their leases is not returned.
        """
        self._seq += 1
        if asks is not None:
            asks = replace(asks, since=self.asked_at)
        return Message(
            self.sidecar_id,
            1,
            ACCOUNT,
            self._seq,
            leases=self._reports(held, unposted, charges, keeps=keeps),
            charges=charges,
            need=asks,
        )

    def _reports(
        self, held: int | tuple[int, ...], unposted: int, charges: tuple[Charge, ...], *, keeps: bool
    ) -> tuple[LeaseReport, ...]:
        each_held = held if isinstance(held, tuple) else (0,) * (len(self.leases) - 1) + (held,)
        reports = []
        for terms, on_it in zip(self.leases, each_held, strict=False):
            waiting = unposted if terms is self.leases[-1] else 0
            paid = sum(part.amount for each in charges for part in each.parts if part.lease_id == terms.lease_id)
            limit = terms.limit if keeps else terms.posted + paid + on_it + waiting
            reports.append(LeaseReport(terms.lease_id, mc(limit), mc(on_it), mc(waiting)))
        return tuple(reports)

    def send(self, message: Message, now: Instant) -> Answer:
        """Send a message. It has to be answered."""
        answered = self.central.exchange(message, now)
        assert answered is not None
        self.leases = answered.leases
        self.asked_at = (self.asked_at or answered.asked_at) if answered.is_pending else None
        return answered

    def exchange(
        self,
        now: Instant,
        *charges: Charge,
        held: int | tuple[int, ...] = 0,
        unposted: int = 0,
        asks: Need | None = None,
        keeps: bool = False,
    ) -> Answer:
        """Send the next message. See `message`."""
        sent = self.message(*charges, held=held, unposted=unposted, asks=asks, keeps=keeps)
        return self.send(sent, now)

    def recall(self, purpose: Purpose = Purpose.LEASE) -> Recall | None:
        """Its recall for this purpose; None if it waits for nothing."""
        return self.central.recalls.get((self.sidecar_id, purpose))

    def is_notified(self) -> bool:
        """Whether the last decision notified it."""
        return self.sidecar_id in self.central.notified


def outcome(answered: Answer) -> tuple[int, int, bool]:
    """What was granted, what is missing, and whether more may come."""
    return answered.granted, answered.short, answered.is_pending


def central_with(*amounts: int) -> Central:
    """A central store with permanent grants of these amounts."""
    return Central(account(), grants=[grant(f"g{number}", amount) for number, amount in enumerate(amounts)])


def sidecars(central: Central, names: str) -> list[Peer]:
    """A sidecar for each letter."""
    return [Peer(central, each) for each in names]
